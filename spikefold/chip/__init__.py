"""The chip without its hardware: its limits, the placement of a network on it, and the memories of that."""
