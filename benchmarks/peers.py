"""What the simulator is measured against: the same network in NumPy and in torch, written as one would without a simulator.

Both take whole batches, keep 32-bit integers in the neurons, and do in float32 only sums that float32 holds exactly (below 2**24), so
that their spikes are the simulator's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spikefold.network.connection import Connection
from spikefold.network.network import Network
from spikefold.network.population import Population
from spikefold.network.windows import patches, pool

__all__ = ["NumpyLoop", "Result", "TorchFolded"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """Spikes [N, T, C, H, W] of each layer, and the last layer's final potentials [N, classes]."""

    spikes: list[npt.NDArray[np.bool_]]
    potentials: npt.NDArray[Any]


def neuron_step(potential: Any, current: Any, gain: Any, shift: int, threshold: Any, decrement: Any) -> tuple[Any, Any]:
    """Return (fired, potential) of neurons without a leak and with a soft reset; NumPy arrays or torch tensors alike."""
    summed = potential + ((current * gain + ((1 << shift) >> 1)) >> shift)
    fired = summed >= threshold
    return fired, summed - decrement * fired


def schedules(connection: Connection, population: Population, timesteps: int) -> list[npt.NDArray[np.int32]]:
    """Return gain, threshold and decrement as int32 [timesteps, channels, 1, 1], of a layer that :func:`neuron_step` and 32 bits can run."""
    product = connection.current_bits + max(-connection.gain.least, connection.gain.most).bit_length()
    if population.leak_kind != "none" or population.reset == "hard" or population.saturate or np.any(population.initial):
        raise ValueError(f"layer {population.name!r}: the peers run neurons without leak, clamp and initial potential, with a soft reset")
    if connection.current_bits > 25 or product > 31 or population.potential_bits >= 32:
        raise ValueError(f"layer {population.name!r}: {connection.current_bits} current bits, {product} with gain; the peers hold 25 and 31")
    channels = population.shape[0]
    return [
        np.ascontiguousarray(s.over(timesteps, channels).astype(np.int32)[:, :, None, None])
        for s in (connection.gain, population.threshold, population.decrement)
    ]


class NumpyLoop:
    """A loop over timesteps and layers, all samples at once.

    In int32, for which there is no BLAS, a dense layer sums the gathered rows of its active inputs (whose payloads are 1); in float32 it is
    a matrix product. A convolution is a matrix product of its patches in both.
    """

    def __init__(self, network: Network, dtype: type[np.int32] | type[np.float32]) -> None:
        self.network, self.dtype = network, dtype
        self.schedules = [schedules(c, p, network.timesteps) for c, p in zip(network.connections, network.populations, strict=True)]
        tensors = (network.weights_of(c).tensor for c in network.connections)
        # [fan-in, out]
        self.weights = [np.ascontiguousarray(t.reshape(len(t), -1).T.astype(dtype)) for t in tensors]

    def currents(self, index: int, payload: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Return the currents [N, C, H, W] of a layer from the payloads [N, C, H, W] of its source."""
        connection, shape = self.network.connections[index], self.network.populations[index].shape
        weights = self.weights[index]
        pooled = pool(payload, connection.pool) if connection.pool > 1 else payload
        if connection.kind == "dense":
            rows = pooled.reshape(len(payload), -1)
            if self.dtype is np.float32 or connection.pool > 1:
                summed = rows @ weights
            else:
                summed = np.stack([np.add.reduce(weights[np.flatnonzero(row)], axis=0, dtype=np.int32) for row in rows])
            return summed.astype(np.int32, copy=False).reshape(-1, *shape)
        kernel = self.network.weights_of(connection).tensor.shape[2:]
        columns = patches(pooled[:, None], (kernel[0], kernel[1]), connection.stride, connection.padding).reshape(-1, len(weights))
        summed = (columns @ weights).reshape(len(payload), *shape[1:], shape[0])
        return np.moveaxis(summed.astype(np.int32, copy=False), 3, 1)

    def run(self, events: npt.NDArray[np.int8]) -> Result:
        """Execute the network on payloads [N, T, C, H, W]."""
        populations = self.network.populations
        spikes = [np.empty((*events.shape[:2], *p.shape), np.bool_) for p in populations]
        potentials = [np.zeros((len(events), *p.shape), np.int32) for p in populations]
        for t in range(events.shape[1]):
            payload = events[:, t].astype(self.dtype)
            for index, connection in enumerate(self.network.connections):
                gain, threshold, decrement = (s[t] for s in self.schedules[index])
                current, shift = self.currents(index, payload), int(connection.gain_shift.values[0, 0])
                fired, potentials[index] = neuron_step(potentials[index], current, gain, shift, threshold, decrement)
                spikes[index][:, t] = fired
                payload = fired.astype(self.dtype)
        return Result(spikes=spikes, potentials=potentials[-1].reshape(len(events), -1))


class TorchFolded:
    """Layer by layer: all timesteps in one float32 matrix product or convolution, then a loop over timesteps for the neurons."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.schedules = [
            [torch.from_numpy(s) for s in schedules(c, p, network.timesteps)] for c, p in zip(network.connections, network.populations, strict=True)
        ]
        self.weights = [torch.from_numpy(network.weights_of(c).tensor.astype(np.float32)) for c in network.connections]

    @torch.inference_mode()
    def run(self, events: npt.NDArray[np.int8]) -> Result:
        """Execute the network on payloads [N, T, C, H, W]."""
        samples, timesteps = events.shape[:2]
        payload = torch.from_numpy(events).flatten(0, 1).float()
        spikes = []
        for index, (connection, population) in enumerate(zip(self.network.connections, self.network.populations, strict=True)):
            if connection.pool > 1:
                payload = torch.nn.functional.avg_pool2d(payload, connection.pool, divisor_override=1)
            if connection.kind == "dense":
                summed = payload.flatten(1) @ self.weights[index].T
            else:
                summed = torch.nn.functional.conv2d(payload, self.weights[index], stride=connection.stride, padding=connection.padding)
            current = summed.int().reshape(samples, timesteps, *population.shape)
            gain, threshold, decrement = self.schedules[index]
            fired = torch.empty(current.shape, dtype=torch.bool)
            potential = torch.zeros_like(current[:, 0])
            for t in range(timesteps):
                shift = int(connection.gain_shift.values[0, 0])
                fired[:, t], potential = neuron_step(potential, current[:, t], gain[t], shift, threshold[t], decrement[t])
            spikes.append(fired.numpy())
            payload = fired.flatten(0, 1).float()
        return Result(spikes=spikes, potentials=potential.reshape(samples, -1).numpy())
