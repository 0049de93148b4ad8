"""A run: its folder and checkpoints, and what the trained network is worth."""
