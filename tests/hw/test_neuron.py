"""The neuron step alone, in Amaranth's simulator, against the scalar oracle."""

from typing import Any

import numpy as np
import pytest

from spikefold.chip.cycles import NEURON_STEP
from spikefold.chip.placement import place
from spikefold.hw.gateware.interface import Interface
from spikefold.hw.gateware.layer import LayerConfig
from spikefold.hw.gateware.neuron import NeuronStep
from spikefold.network.fields import signed_range
from tests import oracle
from tests.cases import CASES
from tests.hw.simulated import simulate
from tests.random_networks import Case, random_case

SAMPLES = 40
NAMED = (
    "threshold -1, 0, +1, soft", "drive ties by an odd and a negative gain, shift 2", "soft resets beyond both ends",
    "sums at, and one beyond, both ends", "leak by shift 2", "leak by multiplication, 2 fraction bits", "no reset, firing",
    "schedules of gain, shift and leak",
)  # fmt: skip


def cases() -> list[Case]:
    named = [case for case in CASES if case.name in NAMED]
    return named + [random_case(seed, small=True) for seed in range(6)] + [random_case(seed, small=True, gain_terms=2) for seed in range(4)]


def layers() -> list[LayerConfig]:
    return [layer for case in cases() for layer in Interface(place(case.network, case.chip)).layers]


def vectors(layer: LayerConfig) -> list[tuple[int, int, int, int]]:
    """Return (timestep, channel, current, previous potential): random ones, at the ends, and where the sum meets the threshold."""
    rng, population = np.random.default_rng(1), layer.population
    narrow, wide = signed_range(layer.connection.current_bits), signed_range(population.potential_bits)
    # As large as events can make it: beyond that, widths that are proven do not hold.
    reach = min(narrow[1], int(np.abs(layer.plan.weights.astype(np.int64)).sum()))
    found = []
    for _ in range(SAMPLES):
        t, c = int(rng.integers(layer.network.timesteps)), int(rng.integers(population.shape[0]))
        threshold = int(population.threshold.over(layer.network.timesteps, population.shape[0])[t, c])
        previous = int(rng.choice([0, threshold + int(rng.integers(-2, 3)), int(rng.integers(*wide))]))
        found.append((t, c, int(rng.integers(-reach, reach, endpoint=True)), min(max(previous, wide[0]), wide[1])))
    return found


class Watched(oracle.Neuron):
    """An oracle that keeps what its clamps are given."""

    def clamp(self, value: int) -> int:
        self.seen.append(value)
        return super().clamp(value)

    def after(self, layer: LayerConfig, t: int, current: int, previous: int) -> tuple[int, int] | None:
        """Return (fired, potential) behind a timestep; None if it leaves a width that is proven for what can happen."""
        self.seen: list[int] = []
        self.potential = previous
        fired = self.step(t, oracle.drive_of(layer.connection, t, self.channel, current))
        low, high = signed_range(layer.population.potential_bits)
        proven = layer.population.saturate or all(low <= value <= high for value in self.seen)
        return (fired, self.potential) if proven else None


@pytest.mark.parametrize("layer", layers(), ids=lambda layer: f"{layer.network.provenance.get('case', layer.population.name)}")
def test_a_step_is_that_of_the_oracle(layer: LayerConfig) -> None:
    step, given = NeuronStep(layer), vectors(layer)
    shape = layer.network.timesteps, layer.population.shape[0]
    wanted = [Watched(layer.population, c, None).after(layer, t, current, previous) for t, c, current, previous in given]
    found: list[tuple[int, int]] = []

    async def bench(ctx: Any) -> None:
        for number in range(len(given) + NEURON_STEP):
            if number < len(given):
                t, c, current, previous = given[number]
                ctx.set(step.current, current)
                ctx.set(step.previous, previous)
                for name in layer.schedule.neuron_ports:
                    ctx.set(getattr(step, name), int(layer.schedule.parameters[name].over(*shape)[t, c]))
            if number >= NEURON_STEP:
                found.append((ctx.get(step.fired), ctx.get(step.potential)))
            await ctx.tick()

    simulate(step, bench)
    compared = [(got, want) for got, want in zip(found, wanted, strict=True) if want is not None]
    assert len(compared) > SAMPLES // 3
    assert [got for got, _ in compared] == [want for _, want in compared]


def test_the_steps_have_every_kind_of_neuron() -> None:
    kinds = {(part.population.leak_kind, part.population.reset, part.population.saturate) for part in layers()}
    assert {kind for kind, _, _ in kinds} == {"none", "shift", "multiply"}
    assert {reset for _, reset, _ in kinds} == {"none", "soft", "hard"}
    assert {saturate for _, _, saturate in kinds} == {True, False}
    assert {part.connection.unit_gain for part in layers()} == {True, False}
    assert {part.gain_code is None for part in layers()} == {True, False}
