"""Hostile files for every reader: made by number, read within limits, and held against what their bytes say."""
