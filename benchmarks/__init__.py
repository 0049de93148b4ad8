"""Throughput figures, measured next to their peers; never part of the test run."""
