"""Which words of a build's memories its vectors touch, and which samples to play so that they touch all that can be touched.

A word of a fan-out table or of the weights is touched if an event is looked up in it. A word of a schedule is read in every inference: it counts as
touched once every neuron group that it serves was seen to fire, and not to fire, under it.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from spikefold.chip.parameters import layer_parameters
from spikefold.hw.gateware.interface import Interface
from spikefold.hw.gateware.layer import LayerConfig

__all__ = ["choose", "touched", "untouched"]

Bools = npt.NDArray[np.bool_]
Spikes = tuple[Bools, ...]


def touched(interface: Interface, events: npt.NDArray[np.int8], spikes: Spikes) -> dict[str, Bools]:
    """Return the parts of words that each of the samples ``events`` [N, T, C, H, W] touches: [N, words, parts] of each memory file.

    A word is touched if all of its parts are, by one sample or by several.
    """
    found: dict[str, Bools] = {}
    for d, layer in enumerate(interface.layers):
        arrived = (events if d == 0 else spikes[d - 1]) != 0
        found |= dict(fan_out_parts(layer, arrived.any(1)))
        found |= dict(schedule_parts(layer, spikes[d]))
    return found


def fan_out_parts(layer: LayerConfig, sent: Bools) -> Iterator[tuple[str, Bools]]:
    """Yield what the events ``sent`` [N, C, H, W] touch of the tables and the weights of a layer."""
    plan = layer.plan
    name = f"mem/layer{plan.index}"
    yield f"{name}_rows.hex", np.any(sent, axis=(1, 3))[:, :, None]
    yield f"{name}_columns.hex", np.any(sent, axis=(1, 2))[:, :, None]
    # A weight word is (channel, kernel row, kernel column, group); the tables say which rows and columns of the kernel an event meets.
    tensor, pool = layer.network.weights_of(layer.connection).tensor, layer.connection.pool
    # A dense layer's kernel covers its whole source.
    kernel = tensor.shape[2:] if tensor.ndim == 4 else tuple(size // pool for size in plan.source_shape[1:])
    rows = taps(plan.rows, kernel[1] * plan.groups, plan.row_weight_step, kernel[0])
    columns = taps(plan.columns, plan.groups, plan.column_weight_step, kernel[1])
    met = np.einsum("ncyx,yk,xl->nckl", sent.astype(np.float32), rows, columns, optimize=True) > 0
    yield f"{name}_weights.hex", np.repeat(met.reshape(len(sent), -1), plan.groups, axis=1)[:, :, None]


def taps(table: npt.NDArray[np.int64], unit: int, step: int, size: int) -> npt.NDArray[np.float32]:
    """Return which of ``size`` kernel positions each row of a fan-out table meets, [source, size]."""
    met = np.zeros((len(table), size), np.float32)
    for source, (_, weight, count) in enumerate(table):
        met[source, [(weight - n * step) // unit for n in range(count)]] = 1
    return met


def schedule_parts(layer: LayerConfig, spikes: Bools) -> Iterator[tuple[str, Bools]]:
    """Yield what the ``spikes`` [N, T, C, H, W] of a layer touch of its schedules: a part a lane that fired, and one a lane that did not."""
    plan = layer.plan
    fired, silent = np.any(spikes, axis=(3, 4)), ~np.all(spikes, axis=(3, 4))
    if layer.population.never_fires:
        fired = np.ones_like(fired)
    spare = plan.groups * plan.lanes - plan.shape[0]
    parameters = layer_parameters(layer.network, plan.index, layer.architecture.gain_terms)
    for axes in sorted({parameter.axes for parameter in parameters.values()} - {""}):
        seen = np.stack([fired, silent], axis=-1)
        if "t" not in axes:
            seen = np.any(seen, axis=1, keepdims=True)
        # Lanes without a neuron have nothing to show.
        lanes = np.pad(seen, ((0, 0), (0, 0), (0, spare), (0, 0)), constant_values=True)
        seen = lanes if "c" in axes else np.any(seen, axis=2, keepdims=True)
        words = (layer.network.timesteps if "t" in axes else 1) * (plan.groups if "c" in axes else 1)
        yield f"mem/layer{plan.index}_schedule_{axes}.hex", seen.reshape(len(spikes), words, -1)


def untouched(found: dict[str, Bools]) -> dict[str, list[int]]:
    """Return the words of each memory file that no sample touches; files that are touched throughout are left out."""
    words = {name: np.flatnonzero(~np.all(np.any(parts, axis=0), axis=1)).tolist() for name, parts in found.items()}
    return {name: missed for name, missed in words.items() if missed}


def choose(found: dict[str, Bools], times: int, most: int) -> list[int]:
    """Return at most ``most`` samples that together touch every part as often as all of them do, or ``times``; the most useful first."""
    flat = np.concatenate([parts.reshape(len(parts), -1) for parts in found.values()], axis=1)
    wanted = np.minimum(flat.sum(0), times)
    chosen: list[int] = []
    while wanted.any() and len(chosen) < most:
        gains = (flat & (wanted > 0)).sum(1)
        gains[chosen] = 0
        best = int(gains.argmax())
        chosen.append(best)
        wanted = np.maximum(wanted - flat[best], 0)
    return chosen
