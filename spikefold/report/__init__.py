"""Figures of results; computes nothing, prints nothing."""
