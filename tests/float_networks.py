"""Random float networks for every cell of the fold's matrix: small, lively, with the statistics that trained networks show."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from tests.grids import on_grid

__all__ = ["CELLS", "CODINGS", "NORMS", "TOPOLOGIES", "Cell", "random_events", "random_float_network"]

Rng = np.random.Generator
CODINGS = ("ternary", "poisson", "direct", "frames", "sequence")
TOPOLOGIES = ("plain", "pooled", "backres", "residual", "hybrid")
NORMS = {
    "lif": ("none", "bn", "tdbn", "bntt"),
    "if": ("none", "bn", "tdbn", "bntt"),
    "srm": ("none", "psp-bn", "psp-bn-eq15", "psp-ln", "psp-ln-eq15"),
}
RESETS = {"lif": ("soft", "hard"), "if": ("soft", "hard"), "srm": ("exponential", "alpha")}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination; ``reset`` is the refractory response of srm neurons."""

    norm: str
    neuron: str
    reset: str
    coding: Any
    topology: str

    def __str__(self) -> str:
        return f"{self.norm}, {self.neuron}, {self.reset}, {self.coding}, {self.topology}"


CELLS = tuple(
    Cell(norm=norm, neuron=neuron, reset=reset, coding=coding, topology=topology)
    for neuron in NORMS
    for norm, reset, coding, topology in product(NORMS[neuron], RESETS[neuron], CODINGS, TOPOLOGIES)
)


def random_norm(rng: Rng, kind: Any, timesteps: int, channels: int, source: int) -> Norm:
    """Gammas near 0, below 0 and, in places, exactly 0, as trained networks have them."""
    if kind == "none":
        return Norm.none(channels)
    if kind.startswith("psp"):
        over_samples = kind.startswith("psp-bn")
        moment = rng.uniform(0.05, 0.6, (1, source)) if over_samples else np.ones((1, source))
        gamma = rng.normal(1.0, 0.3, moment.shape) if kind.endswith("eq15") else np.ones_like(moment)
        zero = np.zeros_like(moment)
        return Norm(kind="psp-bn" if over_samples else kind, gamma=gamma, beta=zero, mean=zero, var=moment, eps=0.1)
    size = (timesteps if kind == "bntt" else 1, channels)
    gamma = rng.normal(0.7, 0.5, size) * np.where(rng.random(size) < 0.1, 1e-3, 1) * (rng.random(size) >= 0.05)
    beta = rng.normal(0, 0.2, size) * (kind != "bntt")
    return Norm(
        kind="bntt" if kind == "bntt" else "bn", gamma=gamma, beta=beta, mean=rng.normal(0, 0.3, size), var=rng.uniform(0.3, 2, size), eps=1e-4
    )


def random_float_network(rng: Rng, cell: Cell, timesteps: int | None = None, scale: str = "") -> FloatNetwork:
    """Return a network of ``cell``: up to 4 layers and 9 timesteps.

    With a ``scale`` of :data:`tests.grids.SCALES` its weights are rounded to it, and some channels are odd; all else is drawn as without.
    """
    odd = rng.spawn(1)[0]
    timesteps = timesteps or int(rng.integers(2, 10))
    shape = (2, 1, 6) if cell.coding == "sequence" else (2, 4, 5)
    graded = cell.coding in ("direct", "sequence")
    coding = InputCoding(
        shape=shape,
        coding=cell.coding,
        mean=0.0,
        std=1.0,
        scale=4.0 if graded else 1.0,
        payload_bits=4 if graded or cell.coding == "frames" else 2,
        seed=0,
    )
    width = int(rng.integers(3, 5))
    readout: Any = str(rng.choice(["potential", "spike_count"]))
    plans: dict[str, list[dict[str, Any]]] = {
        "plain": [{}, {}],
        "pooled": [{}, {"pool": 1 if cell.coding == "sequence" else 2}],
        "backres": [{}, {}, {"shared": "layer1"}],
        "residual": [{}, {}, {"add": "layer0", "add_from": "drive" if cell.neuron == "srm" or rng.random() < 0.5 else "output"}],
        "hybrid": [{"neuron": "relu"}, {}],
    }
    tau_s = float(rng.choice([1.0, 2.0, 4.0]))
    layers: list[FloatLayer] = []
    channels, pixels = shape[0], shape[1] * shape[2]
    for i, plan in enumerate(plans[cell.topology]):
        fan_in = channels * 9 * (0.2 if i == 0 or cell.neuron != "srm" else 1.0)
        weights = rng.normal(0.1, 1.2 / np.sqrt(fan_in), (width, channels, 3, 3))
        weights = on_grid(odd, weights, scale) if scale else weights
        if "shared" in plan:
            weights = np.array(layers[1].weights)
        layers.append(_layer(rng, cell, f"layer{i}", weights, timesteps, channels, {"kind": "conv2d", "padding": 1} | plan, tau_s))
        channels, pixels = width, pixels if plan.get("pool", 1) == 1 else (shape[1] // 2) * (shape[2] // 2)
    dense = rng.normal(0, 0.6, (3, channels * pixels))
    dense = on_grid(odd, dense, scale) if scale else dense
    plan = {"kind": "dense"} if readout == "spike_count" else {"kind": "dense", "reset": "none"}
    layers.append(_layer(rng, cell, "out", dense, timesteps, channels, plan, tau_s))
    return FloatNetwork(timesteps=timesteps, input=coding, layers=tuple(layers), readout=readout, class_names=tuple("abc"))


def _layer(rng: Rng, cell: Cell, name: str, weights: np.ndarray, timesteps: int, source: int, plan: dict[str, Any], tau_s: float) -> FloatLayer:
    """Return one layer: the cell's neurons, unless ``plan`` has others."""
    relu, integrates = plan.get("neuron") == "relu", plan.get("reset") == "none"
    kind = "none" if integrates and rng.random() < 0.5 else cell.norm
    if relu and kind.startswith("psp"):
        kind = "bn"
    channels = len(weights)
    fields: dict[str, Any] = {
        "name": name, "weights": weights, "norm": random_norm(rng, kind, timesteps, channels, source),
        "bias": rng.normal(0, 0.1, channels) if rng.random() < 0.5 else None, "fires_at_threshold": bool(rng.integers(2)),
        "leak": 1.0, "reset": "none",
    }  # fmt: skip
    if cell.neuron == "srm" and not relu:
        fields |= {"neuron": "srm", "tau_s": tau_s, "threshold": float(rng.uniform(0.6, 1.5))}
        if not integrates:
            fields |= {"reset": "soft", "tau_r": float(rng.choice([1.0, 2.0, 5.0])), "refractory": cell.reset}
    elif not relu and not integrates:
        several = rng.random() < 0.3
        fields |= {
            "reset": cell.reset, "threshold": rng.uniform(0.4, 1.4, channels) if several else float(rng.uniform(0.4, 1.4)),
            "leak": 1.0 if cell.neuron == "if" else rng.choice([0.99, 0.95, 0.9375, 0.5], channels if several else 1),
        }  # fmt: skip
        if rng.random() < 0.3:
            fields |= {"decrement": rng.uniform(0.4, 1.4, channels), "load": rng.normal(0, 0.2, channels), "initial": rng.normal(0, 0.2, channels)}
    if integrates and kind.startswith("psp-ln"):
        fields["bias"] = None
    return FloatLayer(**fields | plan)


def random_events(rng: Rng, network: FloatNetwork, samples: int = 3) -> np.ndarray:
    """Payloads [N, T, C, H, W] of every size, a third of them not 0; the same in all timesteps for ``direct`` coding."""
    coding = network.input
    shape = (samples, 1 if coding.coding == "direct" else network.timesteps, *coding.shape)
    payload = rng.integers(coding.payload_min, coding.payload_max, shape, endpoint=True) * (rng.random(shape) < 0.35)
    return np.broadcast_to(payload, (samples, network.timesteps, *coding.shape)).astype(np.int8)
