"""Layers, neurons and normalisations in PyTorch, the network that they form, and its export as a float network."""
