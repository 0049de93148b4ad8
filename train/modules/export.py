"""The exact export of a network as a float network."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikefold.data.coding import InputCoding
from spikefold.quantize.float_evaluation import evaluate
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.train.errors import ExportError, TrainError
from spikefold.train.modules.layers import AveragePool, Conv2d, Integrate, SpikeCount, Synapses
from spikefold.train.modules.network import SpikingNetwork, events_to_input
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import BNTT, CurrentNorm
from spikefold.train.modules.psp_norm import PSPNorm
from spikefold.train.modules.srm import PSP, SRM
from spikefold.train.modules.stochmax import Stochmax
from spikefold.train.recipes.recipe import default_name

__all__ = ["read_network", "to_float_network"]

Readout = Literal["potential", "spike_count"]
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
CHECK_SAMPLES = 4
CHECK_TIMESTEPS = 32
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
    network = read_network(module, coding=coding, class_names=class_names, provenance=provenance)
    _check(module, network)
    return network


def read_network(module: nn.Module, *, coding: InputCoding, class_names: Sequence[str], provenance: Mapping[str, str] | None = None) -> FloatNetwork:
    """Return what :func:`to_float_network` does, unchecked: fast enough for every step of a training."""
    timesteps = getattr(module, "timesteps", None)
    if not isinstance(timesteps, int):
        raise TrainError(f"network: {type(module).__name__} has no attribute timesteps; it must hold their number")
    for name, part in module.named_modules():
        if isinstance(part, Stochmax):
            raise ExportError(f"network {name} (Stochmax): its scores take an exponential of every class; train with the classifier 'softmax'")
    adds = module.adds if isinstance(module, SpikingNetwork) else {}
    layers, readout = _Reader(adds).read(module)
    return FloatNetwork(
        timesteps=timesteps, input=coding, layers=layers, readout=readout, class_names=tuple(class_names), provenance=dict(provenance or {})
    )  # fmt: skip


def _parts(module: nn.Module, place: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers within ``module`` and their places, in the order of registration."""
    for name, child in module._modules.items():
        if child is None:
            continue
        foreign = type(child).__module__.startswith("torch.") and not isinstance(child, CONTAINERS)
        if foreign or not any(True for _ in child.children()):
            yield f"{place}{name}", child
        else:
            yield from _parts(child, f"{place}{name}.")


class _Reader:
    """Reads layers one after the other: what stands before the weights, weights, [norm] and neurons, again and again, then a readout."""

    def __init__(self, adds: Mapping[int, int]) -> None:
        self.adds = dict(adds)
        self.layers: list[FloatLayer] = []
        self.owners: dict[int, str] = {}
        self.drives: dict[int, str] = {}
        self.outputs: dict[int, str] = {}
        self.readout: Readout | None = None
        self.start()

    def start(self) -> None:
        """Begin a layer."""
        self.pool, self.psp = 1, 0.0
        self.psp_norm: Norm | None = None
        self.synapses: Synapses | None = None
        self.norm: CurrentNorm | None = None
        self.added: int | None = None
        self.drive = -1

    def read(self, module: nn.Module) -> tuple[tuple[FloatLayer, ...], Readout]:
        """Return the layers and how the last one is read."""
        for number, (place, part) in enumerate(_parts(module)):
            if not isinstance(part, nn.Dropout):
                self.take(f"network {place} ({type(part).__name__})", part, number)
        if self.readout is None:
            raise ExportError("network: its last layer has no readout; it must be Integrate or SpikeCount")
        return tuple(self.layers), self.readout

    def take(self, place: str, part: nn.Module, number: int) -> None:
        """Take the next module, the ``number``-th of all."""
        before = self.synapses is None
        if self.readout:
            raise ExportError(f"{place}: nothing may follow the readout")
        if number in self.adds and not isinstance(part, Synapses | CurrentNorm):
            raise ExportError(f"{place}: an earlier module is added to it; a float network adds to what neurons receive alone")
        if isinstance(part, AveragePool) and before and not self.psp:
            self.pool *= part.side
        elif isinstance(part, PSP) and before and not self.psp:
            self.psp = part.tau_s
        elif isinstance(part, PSPNorm) and before and self.psp and self.psp_norm is None:
            self.psp_norm = _psp_norm(place, part)
        elif isinstance(part, Synapses) and before:
            self.synapses = part
            self.receive(place, number)
        elif isinstance(part, CurrentNorm) and not before and self.norm is None:
            if self.added is not None:
                raise ExportError(f"{place}: what is added before it would be normalised too; it must be added behind the norm")
            self.norm = part
            self.receive(place, number)
        elif isinstance(part, LIF) and not before and not self.psp:
            self.close(number, neuron="lif", leak=np.full(1, part.leak), threshold=np.full(1, part.threshold), reset=part.reset)
        elif isinstance(part, SRM) and not before and self.psp:
            self.close(
                number, neuron="srm", leak=np.zeros(1), threshold=np.full(1, part.threshold), fires_at_threshold=True, reset="soft", tau_s=self.psp,
                tau_r=part.tau_r, refractory=part.refractory,
            )  # fmt: skip
        elif isinstance(part, nn.ReLU) and not before and not self.psp:
            self.close(number, neuron="relu", leak=np.zeros(1), reset="none")
        elif isinstance(part, Integrate) and not before:
            srm: dict[str, Any] = {"neuron": "srm", "leak": np.zeros(1), "tau_s": self.psp}
            self.close(number, reset="none", **(srm if self.psp else {"neuron": "lif", "leak": np.ones(1)}))
            self.readout = "potential"
        elif isinstance(part, SpikeCount) and before and self.layers and self.pool == 1 and not self.psp:
            self.readout = "spike_count"
        else:
            row = "[AveragePool], [PSP, [PSPNorm]], Conv2d or Dense, [BNTT or BatchNorm], LIF, ReLU, SRM behind a PSP or, last, Integrate"
            raise ExportError(f"{place}: it cannot stand here; a layer is {row}")

    def receive(self, place: str, number: int) -> None:
        """Note what module, so far, the neurons receive from, and what is added to that."""
        self.drive = number
        if number in self.adds:
            self.added = self.adds[number]
            if self.added not in self.drives and self.added not in self.outputs:
                raise ExportError(f"{place}: what is added to it is neither what earlier neurons receive nor the spikes that they send")

    def close(self, number: int, **neurons: Any) -> None:
        """End a layer with its neurons."""
        synapses = self.synapses
        if synapses is None:
            raise ExportError("network: neurons without weights")
        kind: Literal["conv2d", "dense"] = "conv2d" if isinstance(synapses, Conv2d) else "dense"
        weights = _array(synapses.weight)
        shared = self.owners.get(id(synapses), "")
        name = (f"{shared}.{len(self.layers) + 1}" if shared else synapses.name) or default_name(kind, len(self.layers) + 1)
        self.owners.setdefault(id(synapses), name)
        if self.psp_norm is not None and self.norm is not None:
            raise ExportError(f"layer {name!r}: it has a norm before the weights and one behind them; a float network has one of them")
        add = "" if self.added is None else self.drives.get(self.added, self.outputs.get(self.added, ""))
        self.layers.append(
            FloatLayer(
                name=name, kind=kind, weights=weights, shared=shared, bias=None if synapses.bias is None else _array(synapses.bias),
                stride=synapses.stride if isinstance(synapses, Conv2d) else 1, padding=synapses.padding if isinstance(synapses, Conv2d) else 0,
                pool=self.pool, norm=self.psp_norm or _norm(self.norm, len(weights)), add=add,
                add_from="output" if self.added in self.outputs else "drive", **neurons,
            )
        )  # fmt: skip
        self.drives[self.drive], self.outputs[number] = name, name
        self.start()


def _psp_norm(place: str, norm: PSPNorm) -> Norm:
    if norm.form == "centred":
        raise ExportError(f"{place}: over {norm.over}, form centred, it shifts silent inputs, so that no weights can hold it; use another psp norm")
    if norm.over == "ln":
        kind: Literal["psp-bn", "psp-ln", "psp-ln-eq15"] = "psp-ln" if norm.form == "raw" else "psp-ln-eq15"
        var = np.ones((1, norm.channels))
    else:
        kind, var = "psp-bn", _array(norm.running_moment)[None]
    gamma = np.ones_like(var) if norm.gamma is None else _array(norm.gamma)[None]
    return Norm(kind=kind, gamma=gamma, beta=np.zeros_like(var), mean=np.zeros_like(var), var=var, eps=norm.lam)


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
    twin = copy.deepcopy(module).cpu().double().eval()
    if isinstance(twin, SpikingNetwork) and all(len(layer.norm.gamma) == 1 for layer in network.layers):
        # Where no timestep has values of its own, a few show as much as thousands.
        network = replace(network, timesteps=min(network.timesteps, CHECK_TIMESTEPS))
        twin.timesteps = network.timesteps
    coding = network.input
    rng = np.random.default_rng(0)
    size = (CHECK_SAMPLES, network.timesteps, *coding.shape)
    events = rng.integers(coding.payload_min, coding.payload_max, size, dtype=np.int8, endpoint=True)
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
