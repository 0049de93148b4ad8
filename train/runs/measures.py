"""What inference costs: spikes, synaptic operations, parameters, and an estimate of the energy (Panda, Aketi and Roy 2020, section 7).

Every layer with weights is counted as the paper's formulas do, and one whose weights run several times (BackRes) once a run:

- ``positions``, the FLOPS of an ANN (eq. 8), are the synapses that one dense pass uses: ``O^2 N k^2 M`` for a convolution of N to M
  channels with outputs O by O and kernels k by k, inputs times outputs for a dense layer. Windows on the padding count in full.
- The FLOPS of an SNN (eq. 9) are, in a timestep, the positions times the input activity S_A: how many of the inputs are not 0.
- Spikes only need accumulations (AC), anything else multiplications as well (MAC), with S_A = 1 as in an ANN. What decides
  is what the weights receive, where the paper goes by the layer's own neurons: a layer of LIF neurons behind ReLU ones is MAC here.

The weights receive spikes where these come from LIF or SRM neurons, from the input if it comes anew in every timestep and is
whole numbers (signed spikes, counts of events), or from sums of those. An average over a pooling window is a count of spikes, its
factor a part of the weights; a count is one operation. A ``PSP`` right before the weights is linear and could as well stand
behind them, and a ``PSPNorm`` between the two scales the weights: S_A is then that of the spikes before the ``PSP``. Stochmax
averages over the timesteps, which could stand behind its weights too; two of its three branches are counted, those of inference.

Layers learned by STDP are convolutions whose weights run in every timestep, on spikes or, with residuals, on counts of them. With their
classifier, the paper's EE_Full is the efficiency of all layers, its EE_Conv that of the spiking ones.

A MAC layer runs once in every timestep, or once an inference where its input is the same in all: what comes before the first
spiking neurons if the input is held. Nothing else is counted: no biases, normalisations, residual additions, updates of
neurons, and no access to memory. So the energies are rough estimates, for comparisons with the same formulas.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any, Literal

import torch
from torch import nn

from spikefold.train.errors import TrainError
from spikefold.train.modules.layers import AveragePool, Conv2d, Synapses
from spikefold.train.modules.network import SpikingNetwork
from spikefold.train.modules.neurons import LIF
from spikefold.train.modules.norm import CurrentNorm
from spikefold.train.modules.psp_norm import PSPNorm
from spikefold.train.modules.srm import PSP, SRM
from spikefold.train.modules.stdp_features import StdpFeatures
from spikefold.train.modules.stochmax import Stochmax, StochmaxOutput
from spikefold.train.recipes.architectures import Parameters
from spikefold.train.recipes.recipe import default_name
from spikefold.train.runs.energy import ENERGY_TABLES, EnergyEstimate, EnergyTable

__all__ = ["LayerMeasure", "Measures", "NeuronMeasure", "measure"]

Kind = Literal["conv2d", "dense", "stochmax"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMeasure:
    """One run of a layer with weights; ``place`` is its position in the chain, ``run`` tells those of shared weights apart, from 1.

    Neurons are a sample's; ``weights`` are without biases. ``passes`` is how often an inference applies the weights: T, or 1.
    ``input_activity`` is the share of the inputs, over samples and timesteps, that are not 0.
    """

    place: int
    name: str
    run: int
    kind: Kind
    input_neurons: int
    output_neurons: int
    weights: int
    positions: int
    passes: int
    spiking_input: bool
    input_activity: float

    @property
    def operations(self) -> float:
        """AC (spiking input) or MAC operations of one inference."""
        return self.passes * self.positions * (self.input_activity if self.spiking_input else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronMeasure:
    """A population of spiking neurons, called by the weights before it; ``rates`` [T] are the mean spikes of a neuron in each timestep."""

    place: int
    name: str
    run: int
    kind: Literal["lif", "srm"]
    neurons: int
    rates: tuple[float, ...]

    @property
    def firing_rate(self) -> float:
        """Mean spikes of a neuron in a timestep."""
        return sum(self.rates) / len(self.rates)

    @property
    def spikes(self) -> float:
        """Mean spikes of all neurons in one inference."""
        return sum(self.rates) * self.neurons


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """A network over ``samples`` inferences of T ``timesteps``: what its layers and neurons did, in the order of the chain.

    ``parameters`` are weights and biases that inference uses, without those of normalisations and neurons.
    """

    timesteps: int
    samples: int
    layers: tuple[LayerMeasure, ...]
    neurons: tuple[NeuronMeasure, ...]
    parameters: Parameters

    @property
    def flops_ann(self) -> int:
        """MAC operations of an ANN of the same layers (eq. 8)."""
        return sum(layer.positions for layer in self.layers)

    @property
    def flops_snn(self) -> float:
        """AC and MAC operations of one inference (eq. 9, in all timesteps)."""
        return sum(layer.operations for layer in self.layers)

    @property
    def flops_snn_per_timestep(self) -> float:
        """The mean over the timesteps of the operations of one inference (eq. 9)."""
        return self.flops_snn / self.timesteps

    @property
    def input_activity(self) -> float | None:
        """S_A of all layers whose input is spikes, weighted by their positions; None where there is none.

        If that is every layer, ``EE = mac_pj / (ac_pj * S_A * T)``.
        """
        spiking = [layer for layer in self.layers if layer.spiking_input]
        return _ratio(sum(layer.positions * layer.input_activity for layer in spiking), sum(layer.positions for layer in spiking))

    @property
    def spikes(self) -> float:
        """Mean spikes of all neurons in one inference, those of the input not among them."""
        return sum(population.spikes for population in self.neurons)

    def estimate(self, table: EnergyTable) -> EnergyEstimate:
        """Return the estimated energies with a table's figures."""
        spiking = sum(layer.operations for layer in self.layers if layer.spiking_input)
        other = sum(layer.operations for layer in self.layers if not layer.spiking_input)
        ann_pj = self.flops_ann * table.mac_pj
        snn_pj = spiking * table.ac_pj + other * table.mac_pj
        spiking_ann_pj = sum(layer.positions for layer in self.layers if layer.spiking_input) * table.mac_pj
        return EnergyEstimate(
            table=table, estimated_ann_pj=ann_pj, estimated_snn_pj=snn_pj, efficiency=_ratio(ann_pj, snn_pj),
            spiking_efficiency=_ratio(spiking_ann_pj, spiking * table.ac_pj),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, with what follows from it, as JSON has it."""
        estimates = map(self.estimate, ENERGY_TABLES)
        return {
            "timesteps": self.timesteps,
            "samples": self.samples,
            "flops_ann": self.flops_ann,
            "flops_snn_per_timestep": self.flops_snn_per_timestep,
            "flops_snn": self.flops_snn,
            "input_activity": self.input_activity,
            "spikes": self.spikes,
            "parameters": {**asdict(self.parameters), "compression": self.parameters.compression},
            "energy": [asdict(estimate) for estimate in estimates],
            "layers": [{**asdict(layer), "operations": layer.operations} for layer in self.layers],
            "neurons": [
                {**asdict(population), "rates": list(population.rates), "firing_rate": population.firing_rate, "spikes": population.spikes}
                for population in self.neurons
            ],
        }


def measure(module: SpikingNetwork, batches: Iterable[torch.Tensor]) -> Measures:
    """Run ``module`` on every batch, [T, N, C, H, W] or [1, N, C, H, W] held, in evaluation mode, and count.

    One batch at a time is kept, and the module is left as it was. No sample, batches of different shapes (but for N), and a part
    that is none of this package's layers but has parameters are TrainErrors.
    """
    _check(module)
    records: dict[int, _Record] = {}
    shape, samples, whole = None, 0, True
    learned = _Learned(module.timesteps)
    with _watched(module, records, learned):
        for batch in batches:
            here = (*batch.shape[:1], *batch.shape[2:])
            shape = shape or here
            if here != shape:
                raise TrainError(f"measures: a batch of shape {list(batch.shape)}; all must be as the first but for N, {list(shape)} without it")
            module(batch)
            samples += batch.shape[1]
            whole = whole and bool((batch == batch.round()).all())
    if shape is None or not samples:
        raise TrainError("measures: there are no samples; at least 1 is needed")
    spiking = whole and shape[0] == module.timesteps
    return _measures(module, records, learned, _spike_sources(module, spiking_input=spiking), samples, spiking_input=spiking)


class _Learned:
    """The runs of layers learned by STDP, by (stage, run): shapes without N, and the elements that were not 0 in every timestep."""

    def __init__(self, timesteps: int) -> None:
        self.timesteps = timesteps
        self.records: dict[tuple[int, int], tuple[_Record, _Record]] = {}
        self.calls: dict[tuple[int, int], int] = {}

    def note(self, stage: int, run: int, received: torch.Tensor, spikes: torch.Tensor) -> None:
        """Count one timestep of a batch: what the weights received, and what the neurons sent."""
        key, shapes = (stage, run), [(self.timesteps, *x.shape[1:]) for x in (received, spikes)]
        now = self.calls.get(key, 0) % self.timesteps
        self.calls[key] = now + 1
        blank = [_Record(received=shapes[0], sent=shapes[1], nonzeros=[0] * self.timesteps) for _ in range(2)]
        for record, x in zip(self.records.setdefault(key, (blank[0], blank[1])), (received, spikes), strict=True):
            record.nonzeros[now] += int(torch.count_nonzero(x))

    def layers(self, place: int, part: StdpFeatures, samples: int, *, spiking: bool) -> Iterator[tuple[LayerMeasure, NeuronMeasure, torch.Tensor]]:
        """Yield what each run came to, and its weights, in the order of the stages."""
        for (stage, run), (received, sent) in sorted(self.records.items()):
            weights, name = part.layers[stage].weight, f"stdp{stage + 1}"
            yield (
                _layer(place, name, run + 1, "conv2d", (weights,), received, received, samples, spiking=spiking),
                _neurons(place, name, run + 1, "lif", sent, samples),
                weights,
            )


@dataclass(slots=True)
class _Record:
    """What went through one place: shapes without N, and in every timestep how many elements, of all samples so far, were not 0.

    They are those of the output for neurons, and of the input for the other parts.
    """

    received: tuple[int, ...]
    sent: tuple[int, ...]
    nonzeros: list[int]


def _check(module: SpikingNetwork) -> None:
    for i, part in enumerate(module.chain):
        known = isinstance(part, Synapses | Stochmax | CurrentNorm | PSPNorm | LIF)
        if not known and next(part.parameters(), None) is not None:
            raise TrainError(f"measures: chain.{i} ({type(part).__name__}) has parameters; only Conv2d, Dense and Stochmax can be counted")


@contextmanager
def _watched(module: SpikingNetwork, records: dict[int, _Record], learned: "_Learned") -> Iterator[None]:
    """Run a block with ``module`` in evaluation mode, without gradients, and with all that must be counted noted in the records."""
    places: dict[nn.Module, list[int]] = {}
    for i, part in enumerate(module.chain):
        if isinstance(part, Synapses | Stochmax | PSP | LIF | SRM):
            places.setdefault(part, []).append(i)
    modes = [(part, part.training) for part in module.modules()]
    handles = [part.register_forward_hook(_noter(found, records)) for part, found in places.items()]
    features = [part for part in module.chain if isinstance(part, StdpFeatures)]
    try:
        for part in features:
            part.watch = learned.note
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()
        for part in features:
            part.watch = None
        for part, training in modes:
            part.training = training


def _noter(places: list[int], records: dict[int, _Record]) -> Callable[[nn.Module, tuple[torch.Tensor, ...], Any], None]:
    """Return the hook of a part that stands in these places; it is called in their order, over and over."""
    calls = cycle(places)

    def note(part: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor | StochmaxOutput) -> None:
        received = args[0]
        sent = output.logits[None, :, :, None, None] if isinstance(output, StochmaxOutput) else output
        counted = torch.count_nonzero(sent if isinstance(part, LIF | SRM) else received, dim=(1, 2, 3, 4)).tolist()
        shapes = [(len(x), *x.shape[2:]) for x in (received, sent)]
        record = records.setdefault(next(calls), _Record(received=shapes[0], sent=shapes[1], nonzeros=[0] * len(counted)))
        record.nonzeros = [before + more for before, more in zip(record.nonzeros, counted, strict=True)]

    return note


def _spike_sources(module: SpikingNetwork, *, spiking_input: bool) -> dict[int, int]:
    """Return, of every place whose weights receive spikes, the place where these are counted: its own, or that of the PSP before it."""
    sources: dict[int, int] = {}
    signals: list[Literal["spikes", "filtered", "real"]] = []
    signal: Literal["spikes", "filtered", "real"] = "spikes" if spiking_input else "real"
    psp = 0
    for i, part in enumerate(module.chain):
        if isinstance(part, Synapses | Stochmax):
            if signal != "real":
                sources[i] = psp if signal == "filtered" else i
            signal = "real"
        elif isinstance(part, LIF | SRM):
            signal = "spikes"
        elif isinstance(part, PSP) and signal == "spikes":
            psp, signal = i, "filtered"
        elif not isinstance(part, nn.Dropout | nn.Identity | (PSPNorm if signal == "filtered" else AveragePool)):
            signal = "real"
        if i in module.adds and not signal == signals[module.adds[i]] == "spikes":
            signal = "real"
        signals.append(signal)
    return sources


def _neurons(place: int, name: str, run: int, kind: Literal["lif", "srm"], record: _Record, samples: int) -> NeuronMeasure:
    count = math.prod(record.sent[1:])
    rates = tuple(spikes / (samples * count) for spikes in record.nonzeros)
    return NeuronMeasure(place=place, name=name, run=run, kind=kind, neurons=count, rates=rates)


def _measures(
    module: SpikingNetwork, records: dict[int, _Record], learned: _Learned, sources: dict[int, int], samples: int, *, spiking_input: bool
) -> Measures:
    layers: list[LayerMeasure] = []
    neurons: list[NeuronMeasure] = []
    runs: dict[nn.Module, list[LayerMeasure]] = {}
    unique: dict[int, int] = {}
    logical = 0
    for i, part in enumerate(module.chain):
        if isinstance(part, Synapses | Stochmax):
            earlier = runs.setdefault(part, [])
            kind: Kind = "stochmax" if isinstance(part, Stochmax) else "conv2d" if isinstance(part, Conv2d) else "dense"
            own = part.name if isinstance(part, Synapses) else ""
            name = earlier[0].name if earlier else own or default_name(kind, len(layers) + 1)
            used = _used(part)
            counted = records[sources.get(i, i)]
            layers.append(_layer(i, name, len(earlier) + 1, kind, used, records[i], counted, samples, spiking=i in sources))
            earlier.append(layers[-1])
            unique.update((id(parameter), parameter.numel()) for parameter in used)
            logical += sum(parameter.numel() for parameter in used)
        elif isinstance(part, LIF | SRM):
            name, run = (layers[-1].name, layers[-1].run) if layers else ("input", 1)
            neurons.append(_neurons(i, name, run, "lif" if isinstance(part, LIF) else "srm", records[i], samples))
        elif isinstance(part, StdpFeatures):
            for layer, population, weight in learned.layers(i, part, samples, spiking=spiking_input):
                layers.append(layer)
                neurons.append(population)
                unique[id(weight)] = weight.numel()
                logical += weight.numel()
    return Measures(
        timesteps=module.timesteps, samples=samples, layers=tuple(layers), neurons=tuple(neurons),
        parameters=Parameters(unique=sum(unique.values()), logical=logical),
    )  # fmt: skip


def _layer(
    place: int, name: str, run: int, kind: Kind, used: tuple[torch.Tensor, ...], record: _Record, counted: _Record, samples: int, *, spiking: bool
) -> LayerMeasure:
    weights = sum(parameter.numel() for parameter in used if parameter.ndim > 1)
    return LayerMeasure(
        place=place, name=name, run=run, kind=kind, input_neurons=math.prod(record.received[1:]), output_neurons=math.prod(record.sent[1:]),
        weights=weights, positions=weights * math.prod(record.sent[2:]), passes=record.received[0], spiking_input=spiking,
        input_activity=sum(counted.nonzeros) / (samples * math.prod(counted.received)),
    )  # fmt: skip


def _used(part: Synapses | Stochmax) -> tuple[torch.Tensor, ...]:
    """Return the weights and biases that inference uses; of stochmax, the third branch is for training."""
    branches = (part.classify, part.retain) if isinstance(part, Stochmax) else (part,)
    return tuple(parameter for branch in branches for parameter in (branch.weight, branch.bias) if parameter is not None)


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None
