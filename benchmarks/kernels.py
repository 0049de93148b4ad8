"""Two loops to measure: the simulator's fan-out alone, and additions of int8 weights to int32 currents with nothing else to do."""

import numpy as np

from spikefold.sim.arguments import I8, I32, FanOut
from spikefold.sim.kernels import accumulate, kernel

__all__ = ["add_rows", "walk_layer"]


@kernel
def add_rows(weights: I8, current: I32, repeats: int) -> None:
    """Add every row of ``weights`` [rows, neurons] to ``current`` [neurons], ``repeats`` times over. Writes ``current``."""
    for _ in range(repeats):
        for row in range(weights.shape[0]):
            for k in range(current.size):
                current[k] += np.int32(weights[row, k])


@kernel
def walk_layer(payloads: I8, fan_out: FanOut, current: I32) -> int:
    """Walk the fan-out of every timestep of ``payloads`` [timesteps, pixels, channels]; return the runs walked. Writes ``current``."""
    walked = 0
    for t in range(payloads.shape[0]):
        walked += accumulate(payloads[t], fan_out, current)
    return walked
