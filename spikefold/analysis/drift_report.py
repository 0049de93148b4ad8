"""What :mod:`spikefold.analysis.drift` finds, as frozen figures and as JSON has them."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from spikefold.network.fields import Int, bits_for

__all__ = ["DriftReport", "LayerDrift", "Range", "SpikeDrift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The least and greatest value that a part of a layer took, and the signed ``bits`` that it has for them."""

    part: str
    least: int
    greatest: int
    bits: int

    @property
    def used_bits(self) -> int:
        """The bits that hold what was seen."""
        return bits_for(self.least, self.greatest)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpikeDrift:
    """Spikes and flips of a layer, int64 [T] over all samples and neurons, and the first timestep with a flip, int64 [N] (T: there is none).

    ``flips`` are those of the whole integer network; ``own_flips`` those that remain where the layer is fed as the float one. A neuron is
    ``dead`` that fires in no sample and ``saturated`` that fires in every timestep of every sample: (float, integer) counts.
    """

    float_spikes: Int
    integer_spikes: Int
    flips: Int
    own_flips: Int
    first_flips: Int
    dead: tuple[int, int]
    saturated: tuple[int, int]

    @property
    def samples_with_flips(self) -> int:
        """In how many samples anything flips."""
        return int((self.first_flips < len(self.flips)).sum())

    @property
    def first_flip(self) -> int | None:
        """The earliest timestep with a flip, None where there is none."""
        return self._timestep(int(self.first_flips.min()))

    @property
    def median_first_flip(self) -> int | None:
        """The timestep by whose end half of the samples have a flip, None where fewer have one."""
        return self._timestep(int(np.sort(self.first_flips)[(len(self.first_flips) - 1) // 2]))

    def _timestep(self, t: int) -> int | None:
        return t if t < len(self.flips) else None

    def to_dict(self, compared: int) -> dict[str, Any]:
        """Return the figures as JSON has them; ``compared`` is how many neurons of all samples were compared in each timestep."""
        spikes, each = int(self.float_spikes.sum()), compared * len(self.flips)
        kinds = {"": self.flips, "own_": self.own_flips}
        return {
            "spikes": {"float": spikes, "integer": int(self.integer_spikes.sum())},
            **{f"{kind}flips": int(flips.sum()) for kind, flips in kinds.items()},
            **{f"{kind}flip_share": float(flips.sum() / each) for kind, flips in kinds.items()},
            **{f"{kind}flips_per_spike": float(flips.sum() / spikes) if spikes else None for kind, flips in kinds.items()},
            "first_flip": self.first_flip,
            "median_first_flip": self.median_first_flip,
            "samples_with_flips": self.samples_with_flips,
            "dead": dict(zip(("float", "integer"), self.dead, strict=True)),
            "saturated": dict(zip(("float", "integer"), self.saturated, strict=True)),
            "timesteps": {
                "float_spikes": self.float_spikes.tolist(),
                "integer_spikes": self.integer_spikes.tolist(),
                **{f"{kind}flips": flips.tolist() for kind, flips in kinds.items()},
                **{f"{kind}flip_share": (flips / compared).tolist() for kind, flips in kinds.items()},
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerDrift:
    """The drift of a layer; ``spikes`` is None where it sends graded payloads (``relu``), or nothing, as an integrating readout.

    The potential errors are root mean squares, before the reset and up to each neuron's first flip in a sample, in units of the threshold;
    where there is none, or one of 0, in units of the float values' root mean square. Those of a ReLU layer are of what it sends, and those of
    a readout of srm neurons of the final potential. ``ranges`` are those of the potential, of states and residual drives, and of every
    current; ``memory_bits`` is by what they hold.
    """

    name: str
    neuron: Literal["lif", "srm", "relu"]
    neurons: int
    spikes: SpikeDrift | None
    potential_error: float
    own_potential_error: float
    error_unit: Literal["threshold", "float values"]
    clamps: int
    ranges: tuple[Range, ...]
    memory_bits: dict[str, int]

    @property
    def potential(self) -> Range:
        """The range of the potential, or of what a ReLU layer sends."""
        return next(one for one in self.ranges if one.part == "potential")

    def to_dict(self, samples: int) -> dict[str, Any]:
        """Return the layer as JSON has it."""
        return {
            "name": self.name,
            "neuron": self.neuron,
            "neurons": self.neurons,
            **({} if self.spikes is None else self.spikes.to_dict(samples * self.neurons)),
            "potential_error": self.potential_error,
            "own_potential_error": self.own_potential_error,
            "error_unit": self.error_unit,
            "clamps": self.clamps,
            "ranges": [asdict(one) | {"used_bits": one.used_bits} for one in self.ranges],
            "memory_bits": self.memory_bits | {"all": sum(self.memory_bits.values())},
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftReport:
    """The drift of a network: the predictions of both, int64 [N], and every layer."""

    timesteps: int
    float_predictions: Int
    integer_predictions: Int
    layers: tuple[LayerDrift, ...]

    @property
    def samples(self) -> int:
        """How many samples were run."""
        return len(self.float_predictions)

    @property
    def agreement(self) -> float:
        """The share of samples that both networks put in the same class, right or wrong."""
        return float((self.float_predictions == self.integer_predictions).mean())

    @property
    def first_divergence(self) -> tuple[int, str] | None:
        """The first timestep in which any layer flips, and the first such layer; None where nothing flips."""
        found = [(layer.spikes.first_flip, i) for i, layer in enumerate(self.layers) if layer.spikes is not None]
        flipped = [(t, i) for t, i in found if t is not None]
        return (min(flipped)[0], self.layers[min(flipped)[1]].name) if flipped else None

    def accuracies(self, labels: Int) -> tuple[float, float]:
        """Return the shares of samples that the float and the integer network put in the class of ``labels`` [N]."""
        return float((self.float_predictions == labels).mean()), float((self.integer_predictions == labels).mean())

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        first = self.first_divergence
        return {
            "samples": self.samples,
            "timesteps": self.timesteps,
            "agreement": self.agreement,
            "first_divergence": None if first is None else {"timestep": first[0], "layer": first[1]},
            "layers": [layer.to_dict(self.samples) for layer in self.layers],
        }
