"""How a network learns: gradients through time, conversion, STDP, training through the fold."""
