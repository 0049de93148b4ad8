"""The way from a trained network to a checked chip: samples, simulation, verification, searches, the demo."""
