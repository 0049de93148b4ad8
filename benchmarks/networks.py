"""The benchmarks' two networks, whose layers all fire at about the rate of their input."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from spikefold.data.coding import InputCoding
from spikefold.network import reference
from spikefold.network.connection import Connection, Weights
from spikefold.network.fields import Int, bits_for
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population
from spikefold.network.schedule import Schedule
from spikefold.network.widths import potential_bounds, weighted_bounds
from spikefold.network.windows import layer_shape

__all__ = ["LAYERS", "Benchmark", "build"]

GAIN_BITS = 8
GAIN_SHIFT = 6
CALIBRATION_SAMPLES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of ``out`` channels: a convolution of a ``kernel``'s side, padded to keep its size, or a dense one (0); ``pool`` comes before."""

    out: int
    kernel: int = 0
    pool: int = 1


LAYERS: dict[str, tuple[tuple[int, int, int], int, tuple[Layer, ...]]] = {
    "dense 1024-1024-10": ((1024, 1, 1), 64, (Layer(out=1024), Layer(out=10))),
    "conv 2x28x28-32c3-p2-64c3-p2-10": ((2, 28, 28), 8, (Layer(out=32, kernel=3), Layer(out=64, kernel=3, pool=2), Layer(out=10, pool=2))),
}
"""Name: (input shape, samples, layers)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Benchmark:
    """A network, its events [N, T, C, H, W], and the share of elements that send an event in a timestep: input, then each hidden layer."""

    network: Network
    events: npt.NDArray[np.int8]
    rates: tuple[float, ...]


def build(name: str, rate: float, timesteps: int, seed: int) -> Benchmark:
    """Return network ``name`` with a schedule in every parameter (Form C, soft reset), firing at about ``rate`` in every layer."""
    shape, samples, layers = LAYERS[name]
    rng = np.random.default_rng(seed)
    coding = InputCoding(shape=shape, coding="poisson", mean=0.0, std=1.0, scale=1.0, payload_bits=2, seed=seed)
    events = (rng.random((samples, timesteps, *shape)) < rate).astype(np.int8)
    payload = events[:CALIBRATION_SAMPLES].astype(np.int64)
    source, rates = "input", [float(events.mean())]
    weights, connections, populations = [], [], []
    for index, layer in enumerate(layers):
        kind: Literal["conv2d", "dense"] = "conv2d" if layer.kernel else "dense"
        last = index == len(layers) - 1
        pooled = (shape[0], shape[1] // layer.pool, shape[2] // layer.pool)
        fan = (shape[0], layer.kernel, layer.kernel) if layer.kernel else (int(np.prod(pooled)),)
        tensor = np.clip(np.rint(rng.normal(0, 40, (layer.out, *fan))), -127, 127).astype(np.int8)
        low, high = weighted_bounds(tensor, layer.pool, 0, 1)
        connection = Connection(
            source=source, target=f"layer{index}", kind=kind, weights=f"layer{index}", pool=layer.pool, padding=layer.kernel // 2,
            current_bits=bits_for(int(low.min()), int(high.max())), gain_shift=Schedule.constant(GAIN_SHIFT),
            gain=Schedule.of(rng.integers(1 << (GAIN_BITS - 2), 1 << (GAIN_BITS - 1), (timesteps, layer.out))),
        )  # fmt: skip
        shape = layer_shape(connection.target, kind, shape, layer.pool, tensor.shape, connection.stride, connection.padding)
        weights.append(Weights(id=connection.weights, tensor=tensor, bits=8))
        silent = Population(
            name=connection.target, shape=shape, reset="none", leak_kind="none", threshold=Schedule.constant((1 << 32) - 1), potential_bits=32,
            saturate=True,
        )  # fmt: skip
        current, _ = reference.currents(connection, weights[-1], payload)
        population = silent if last else firing(rng, connection, silent, current, rate)
        bits = bits_for(*potential_bounds([(connection, low, high)], population, timesteps))
        threshold = Schedule.constant((1 << bits) - 1) if last else population.threshold
        populations.append(replace(population, potential_bits=bits, threshold=threshold, saturate=False))
        connections.append(connection)
        fired, _, _ = reference.run_population([(connection, current)], populations[-1])
        payload, source = fired.astype(np.int64), connection.target
        rates += [] if last else [float(fired.mean())]
    network = Network(
        timesteps=timesteps, timesteps_trained=timesteps, input=coding, class_names=tuple(map(str, range(shape[0]))), weights=tuple(weights),
        connections=tuple(connections), populations=tuple(populations), readout=Readout(decode="potential", offset=np.zeros(shape[0], np.int64)),
    )  # fmt: skip
    return Benchmark(network=network, events=events, rates=tuple(rates))


def firing(rng: np.random.Generator, connection: Connection, silent: Population, current: Int, rate: float) -> Population:
    """Return ``silent`` with a soft reset and thresholds by timestep and channel, scaled by bisection until it fires at ``rate``."""
    shape = (current.shape[1], silent.shape[0])
    spread = rng.uniform(0.9, 1.1, shape)
    low, high = 0.0, float(np.abs(reference.run_population([(connection, current)], silent)[1]).max())
    for _ in range(24):
        middle = (low + high) / 2
        threshold = Schedule.of(np.rint(spread * middle).astype(np.int64) + 1)
        population = replace(silent, reset="soft", threshold=threshold, decrement=threshold)
        if reference.run_population([(connection, current)], population)[0].mean() > rate:
            low = middle
        else:
            high = middle
    return population
