"""Spikefold: one integer spiking network, executed by a reference, a chip simulator and Verilog without a bit of difference."""

__version__ = "0.1.0"
