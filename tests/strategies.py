"""Hypothesis strategies: random networks in the contract, and spike rasters for a network."""

import numpy as np
from hypothesis import strategies as st

from spikefold.network.network import Network
from tests.random_networks import Case, random_case

__all__ = ["cases", "rasters"]


def cases(*, small: bool = True, timesteps_max: int = 20, layers_max: int = 3) -> st.SearchStrategy[Case]:
    """Random cases; they shrink to fewer layers and timesteps."""
    return st.builds(
        lambda layers, timesteps, seed: random_case(seed, small=small, layers=layers, timesteps=timesteps),
        st.integers(1, layers_max),
        st.integers(1, timesteps_max),
        st.integers(0, 2**32 - 1),
    )


def rasters(network: Network, *, samples_max: int = 2) -> st.SearchStrategy[np.ndarray]:
    """Payloads for ``network``, int8 [N, T, C, H, W]: none, a few, all, and all at the ends of their range."""

    def build(samples: int, density: float, ends: bool, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        low, high = network.input.payload_min, network.input.payload_max
        shape = (samples, network.timesteps, *network.input.shape)
        payload = rng.choice([low, high], shape) if ends else rng.integers(low, high, shape, endpoint=True)
        return np.where(rng.random(shape) < density, payload, 0).astype(np.int8)

    return st.builds(build, st.integers(1, samples_max), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.booleans(), st.integers(0, 2**32 - 1))
