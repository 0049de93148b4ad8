"""Learning spiking networks in PyTorch; the only folder that imports torch."""
