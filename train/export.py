"""The exact export of a chain of layers as a float network."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.errors import ExportError, TrainError
from spikefold.train.layers import AveragePool, Conv2d, Integrate, SpikeCount, Synapses
from spikefold.train.network import SpikingNetwork, events_to_input
from spikefold.train.neurons import LIF
from spikefold.train.norm import BNTT, CurrentNorm
from spikefold.train.recipe import default_name

__all__ = ["to_float_network"]

Readout = Literal["potential", "spike_count"]
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
CHECK_SAMPLES = 4
CHECK_TOLERANCE = 1e-9


def to_float_network(
    module: nn.Module, *, coding: InputCoding, class_names: Sequence[str], provenance: Mapping[str, str] | None = None
) -> FloatNetwork:
    """Return the float network that ``module`` is in evaluation mode.

    Its layers are taken in the order in which the module registered them (``nn.Sequential`` and modules of your own are
    walked), and the export is then run against the module, in float64 on random events: a ``forward`` that does anything
    but apply them in that order, a part that is none of this package's layers, and a place where one cannot stand are TrainErrors.
    ``timesteps`` is read from the module. An integrating readout's division by T is left out: no prediction depends on it.
    """
    timesteps = getattr(module, "timesteps", None)
    if not isinstance(timesteps, int):
        raise TrainError(f"network: {type(module).__name__} has no attribute timesteps; it must hold their number")
    layers, readout = _Chain().read(module)
    network = FloatNetwork(
        timesteps=timesteps, input=coding, layers=layers, readout=readout, class_names=tuple(class_names), provenance=dict(provenance or {})
    )  # fmt: skip
    _check(module, network)
    return network


def _parts(module: nn.Module, place: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers within ``module`` and their places, in the order of registration."""
    if isinstance(module, SpikingNetwork) and module.adds:
        raise ExportError("network: it has residual connections; a float network is a chain, so adds must be empty")
    for name, child in module._modules.items():
        if child is None:
            continue
        foreign = type(child).__module__.startswith("torch.") and not isinstance(child, CONTAINERS)
        if foreign or not any(True for _ in child.children()):
            yield f"{place}{name}", child
        else:
            yield from _parts(child, f"{place}{name}.")


class _Chain:
    """Reads layers one after the other: [pool] weights [norm] neurons, again and again, then a readout."""

    def __init__(self) -> None:
        self.layers: list[FloatLayer] = []
        self.pool = 1
        self.synapses: Synapses | None = None
        self.norm: CurrentNorm | None = None
        self.readout: Readout | None = None
        self.seen: set[int] = set()

    def read(self, module: nn.Module) -> tuple[tuple[FloatLayer, ...], Readout]:
        for place, part in _parts(module):
            if not isinstance(part, nn.Dropout):
                self.take(f"network {place} ({type(part).__name__})", part)
        if self.readout is None:
            raise ExportError("network: its last layer has no readout; it must be Integrate or SpikeCount")
        return tuple(self.layers), self.readout

    def take(self, place: str, part: nn.Module) -> None:
        between = self.synapses is None
        if isinstance(part, Synapses) and id(part) in self.seen:
            raise ExportError(f"{place}: its weights stand in an earlier place too; a float network's layers have weights of their own")
        self.seen.add(id(part))
        if self.readout:
            raise ExportError(f"{place}: nothing may follow the readout")
        if isinstance(part, AveragePool) and between:
            self.pool *= part.side
        elif isinstance(part, Synapses) and between:
            self.synapses = part
        elif isinstance(part, CurrentNorm) and not between and self.norm is None:
            self.norm = part
        elif isinstance(part, LIF) and not between:
            self.close(leak=part.leak, threshold=part.threshold, reset=part.reset)
        elif isinstance(part, Integrate) and not between:
            self.close(leak=1.0, threshold=1.0, reset="none")
            self.readout = "potential"
        elif isinstance(part, SpikeCount) and between and self.layers and self.pool == 1:
            self.readout = "spike_count"
        else:
            row = "[AveragePool], Conv2d or Dense, [BNTT or BatchNorm], LIF or, last, Integrate"
            raise ExportError(f"{place}: it cannot stand here; a layer is {row}")

    def close(self, *, leak: float, threshold: float, reset: Literal["soft", "hard", "none"]) -> None:
        """End a layer with its neurons."""
        synapses = self.synapses
        if synapses is None:
            raise ExportError("network: neurons without weights")
        kind: Literal["conv2d", "dense"] = "conv2d" if isinstance(synapses, Conv2d) else "dense"
        weights = _array(synapses.weight)
        self.layers.append(
            FloatLayer(
                name=synapses.name or default_name(kind, len(self.layers) + 1), kind=kind, weights=weights,
                bias=None if synapses.bias is None else _array(synapses.bias), stride=synapses.stride if isinstance(synapses, Conv2d) else 1,
                padding=synapses.padding if isinstance(synapses, Conv2d) else 0, pool=self.pool, norm=_norm(self.norm, len(weights)),
                leak=np.full(1, leak), threshold=np.full(1, threshold), reset=reset,
            )
        )  # fmt: skip
        self.pool, self.synapses, self.norm = 1, None, None


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float64]:
    return tensor.detach().cpu().double().numpy()


def _norm(norm: CurrentNorm | None, channels: int) -> Norm:
    if norm is None:
        return Norm.none(channels)
    gamma = _array(norm.gamma)
    beta = np.zeros_like(gamma) if norm.beta is None else _array(norm.beta)
    mean, var = _array(norm.running_mean), _array(norm.running_var)
    return Norm(kind="bntt" if isinstance(norm, BNTT) else "bn", gamma=gamma, beta=beta, mean=mean, var=var, eps=norm.eps)


def _check(module: nn.Module, network: FloatNetwork) -> None:
    """Run the module and its export on the same random events, and raise a TrainError where their scores differ."""
    coding = network.input
    rng = np.random.default_rng(0)
    size = (CHECK_SAMPLES, network.timesteps, *coding.shape)
    events = rng.integers(coding.payload_min, coding.payload_max, size, dtype=np.int8, endpoint=True)
    twin = copy.deepcopy(module).cpu().double().eval()
    with torch.no_grad():
        scores = twin(events_to_input(events, coding.scale, torch.float64)).numpy()
    expected = evaluate(network, events).scores
    if network.readout == "potential":
        expected = expected / network.timesteps
    if scores.shape != expected.shape:
        raise TrainError(f"network: it returns scores of shape {list(scores.shape)}; the chain of its layers gives {list(expected.shape)}")
    difference = float(np.abs(scores - expected).max())
    limit = CHECK_TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not difference <= limit:
        raise TrainError(
            f"network: its scores differ by {difference:.3g} from those of its layers in a row (limit {limit:.3g}); "
            "its forward must apply them in the order in which they are registered, each once"
        )
