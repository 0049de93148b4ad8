"""The chip without its hardware: its limits, where a network is placed on it, and the memories that it needs."""
