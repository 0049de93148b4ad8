"""The contract: the integer network, its proven widths, its trace, and the reference that says what it means."""
