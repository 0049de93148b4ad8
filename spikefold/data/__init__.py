"""Data sets, input coding and files; NumPy only, below every other part."""
