"""The strict files of networks: tensors with a checked JSON header."""
