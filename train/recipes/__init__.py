"""Recipes: what is trained, and how; without torch."""
