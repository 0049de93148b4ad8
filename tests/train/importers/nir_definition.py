"""NIR as its paper defines it, stepped through time.

It takes the nodes that the ``nir`` package read, and nothing of this package but the rules.
"""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from spikefold.train.importers.nir_import import NirRules

Array = Any


def sent(graph: Any, x: Array, rules: NirRules) -> dict[str, Array]:
    """Return the outputs [T, N, ...] of every node of a row, by its name, for inputs [T, N, ...]."""
    following = dict(graph.edges)
    name = next(name for name, node in graph.nodes.items() if type(node).__name__ == "Input")
    found = {name: torch.from_numpy(np.asarray(x, np.float64))}
    while name in following:
        before, name = found[name], following[name]
        found[name] = _sent(graph.nodes[name], before, rules)
    return {name: np.asarray(values) for name, values in found.items()}


def _sent(node: Any, x: Array, rules: NirRules) -> Array:
    kind, (steps, samples) = type(node).__name__, x.shape[:2]
    flat = x.reshape(steps * samples, *x.shape[2:])
    if kind in ("Affine", "Linear"):
        return x.reshape(steps, samples, -1) @ _numbers(node.weight).T + (_numbers(node.bias) if kind == "Affine" else 0)
    if kind == "Conv2d":
        stride, padding = (tuple(map(int, np.broadcast_to(said, 2))) for said in (node.stride, node.padding))
        out = functional.conv2d(flat, _numbers(node.weight), _numbers(node.bias), stride, padding)
        return out.reshape(steps, samples, *out.shape[1:])
    if kind in ("AvgPool2d", "SumPool2d"):
        side = tuple(map(int, node.kernel_size))
        out = functional.avg_pool2d(flat, side, tuple(map(int, node.stride))) * (1 if kind == "AvgPool2d" else side[0] * side[1])
        return out.reshape(steps, samples, *out.shape[1:])
    if kind in ("LIF", "IF", "LI", "I"):
        return torch.stack(_neurons(node, kind, x, rules))
    assert kind in ("Flatten", "Output"), kind
    return flat.reshape(steps, samples, -1) if kind == "Flatten" else x


def _neurons(node: Any, kind: str, x: Array, rules: NirRules) -> list[Array]:
    """Return spikes, or potentials of what does not fire.

    A timestep is one step of Euler, or the solution for an input that is held.
    """
    r = _numbers(node.r)
    rest = _numbers(node.v_leak) if kind in ("LIF", "LI") else None
    fires = kind in ("LIF", "IF")
    first = rest if rest is not None else _numbers(node.v_reset) if fires else torch.zeros(())
    v = torch.zeros(x.shape[1:], dtype=torch.float64) + first
    found = []
    for step in x:
        if rest is None:
            v = v + rules.dt * r * step
        elif rules.discretisation == "euler":
            v = v + rules.dt / _numbers(node.tau) * (rest - v + r * step)
        else:
            held = rest + r * step
            v = held + (v - held) * torch.exp(-rules.dt / _numbers(node.tau))
        if not fires:
            found.append(v)
            continue
        threshold = _numbers(node.v_threshold)
        spikes = (v >= threshold if rules.compare == "at" else v > threshold).double()
        after = v - threshold if rules.reset == "soft" else _numbers(node.v_reset)
        v = torch.where(spikes > 0, after, v)
        found.append(spikes)
    return found


def _numbers(values: Any) -> Array:
    return torch.from_numpy(np.asarray(values, np.float64))
