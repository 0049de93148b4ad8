"""Small networks that use every kind of field, for the tests of the files."""

from typing import Any

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.network.connection import Connection, Weights
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population
from spikefold.network.schedule import Schedule
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm

NEVER = 1 << 23


def integer_network(seed: int = 0, *, timesteps: int = 3, classes: int = 3, **fields: Any) -> Network:
    """A convolution with every schedule, then a dense readout."""
    rng = np.random.default_rng(seed)

    def schedule(low: int, high: int, channels: int) -> Schedule:
        return Schedule.of(rng.integers(low, high, (timesteps, channels), endpoint=True))

    conv = rng.integers(-8, 7, (2, 1, 3, 3), endpoint=True).astype(np.int8)
    dense = rng.integers(-128, 127, (classes, 2 * 3 * 3), endpoint=True).astype(np.int8)
    given: dict[str, Any] = {
        "timesteps": timesteps,
        "timesteps_trained": timesteps,
        "input": InputCoding(shape=(1, 6, 6), coding="ternary", mean=0.25, std=0.5, scale=1.0, payload_bits=2, seed=seed),
        "class_names": tuple(f"class {i} é" for i in range(classes)),
        "provenance": {"recipe": "tests", "seed": str(seed)},
        "weights": (Weights(id="w0", tensor=conv, bits=4), Weights(id="w1", tensor=dense, bits=8)),
        "connections": (
            Connection(
                source="input", target="conv", kind="conv2d", weights="w0", padding=1, current_bits=12,
                gain=schedule(-200, 200, 2), gain_shift=schedule(0, 4, 2),
            ),
            Connection(
                source="conv", target="out", kind="dense", weights="w1", pool=2, current_bits=16,
                gain=Schedule.constant(1), gain_shift=Schedule.constant(0),
            ),
        ),
        "populations": (
            Population(
                name="conv", shape=(2, 6, 6), reset="hard", leak_kind="multiply", leak=schedule(0, 256, 2), leak_frac_bits=8,
                initial=np.array([3, -4]), threshold=schedule(1, 1000, 2), load=schedule(-50, 50, 2), potential_bits=24,
                saturate=True, unit=np.array([0.5, 0.125]),
            ),
            Population(
                name="out", shape=(classes, 1, 1), reset="none", leak_kind="none", threshold=Schedule.constant(NEVER), potential_bits=24,
                saturate=False,
            ),
        ),
        "readout": Readout(decode="potential", offset=rng.integers(-99, 99, classes)),
    }  # fmt: skip
    return Network(**{**given, **fields})


def float_network(seed: int = 0, *, timesteps: int = 2) -> FloatNetwork:
    """A biased convolution with BNTT, then a dense layer that counts its spikes."""
    rng = np.random.default_rng(seed)
    norm = Norm(
        kind="bntt", gamma=rng.normal(size=(timesteps, 2)), beta=rng.normal(size=(timesteps, 2)), mean=rng.normal(size=(timesteps, 2)),
        var=rng.random((timesteps, 2)), eps=1e-4,
    )  # fmt: skip
    return FloatNetwork(
        timesteps=timesteps,
        input=InputCoding(shape=(1, 5, 5), coding="direct", mean=0.1, std=0.3, scale=12.5, payload_bits=8, seed=seed),
        layers=(
            FloatLayer(
                name="first",
                kind="conv2d",
                weights=rng.normal(size=(2, 1, 3, 3)),
                bias=rng.normal(size=2),
                padding=1,
                norm=norm,
                leak=np.array(0.95),
                reset="soft",
            ),
            FloatLayer(
                name="second",
                kind="dense",
                weights=rng.normal(size=(3, 8)),
                pool=2,
                norm=Norm.none(3),
                leak=np.array(0.5),
                threshold=np.array(0.75),
                reset="hard",
            ),
        ),
        readout="spike_count",
        class_names=("a", "b", "c"),
        provenance={"by": "tests"},
    )
