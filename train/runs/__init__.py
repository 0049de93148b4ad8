"""A run: its folder and checkpoints, and the figures of its trained network."""
