"""The contract: the integer network, its proven widths, its trace, and the reference, which defines its meaning."""
