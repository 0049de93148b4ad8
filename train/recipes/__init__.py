"""Recipes of trainings: networks, data, methods. They need no torch."""
