"""The contract: float and integer networks, the fold between them, the reference, and the chip's limits."""
