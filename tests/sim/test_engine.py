"""The virtual chip as a whole: what must not change a value, what a run costs, and what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from spikefold.data.errors import ChipError, DataError, SpikefoldError
from spikefold.network import reference
from spikefold.network.trace import Trace, compare
from spikefold.sim import kernels, layers, timing
from spikefold.sim.layers import BATCH
from tests.cases import CASES, single
from tests.chips import changed_chip, chip_of
from tests.equivalence.mutate import cases_for
from tests.random_networks import Case, random_case
from tests.virtual import virtual


def many(case: Case, samples: int) -> np.ndarray:
    """Return ``samples`` inferences that differ, made of the case's own."""
    rng = np.random.default_rng(samples)
    events = case.events[rng.integers(0, len(case.events), samples)]
    return np.where(rng.random(events.shape) < 0.7, events, 0).astype(np.int8)


def assert_equal(expected: Trace, got: Trace) -> None:
    comparison = compare(expected, got)
    assert comparison.equal, str(comparison.first)
    assert got.clamps == expected.clamps
    assert np.array_equal(got.sops, expected.sops)


@pytest.mark.parametrize("samples", [BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 2])
def test_batches_leave_no_seam(samples: int):
    case = random_case(3, small=True, timesteps=4)
    events = many(case, samples)
    chip = virtual(case.network, case.chip)
    got = chip.run(events, potentials=True)
    assert_equal(reference.run(case.network, events, potentials=True), got)
    for edge in sorted({0, min(BATCH - 1, samples - 1), min(BATCH, samples - 1), samples - 1}):
        alone = chip.run(events[edge : edge + 1], potentials=True)
        for a, b in zip(got.potentials or (), alone.potentials or (), strict=True):
            assert np.array_equal(a[edge], b[0])


def test_progress_counts_layer_runs_up_to_all_of_them():
    case = random_case(1, small=True, layers=3, timesteps=2)
    seen: list[tuple[int, int]] = []
    virtual(case.network, case.chip).run(many(case, BATCH + 6), progress=lambda done, total: seen.append((done, total)))
    total = 3 * (BATCH + 6)
    assert seen == [(layer * (BATCH + 6) + done, total) for layer in range(3) for done in (BATCH, BATCH + 6)]


def test_another_order_of_events_changes_no_value():
    """Permuting the input channels, and their weights with them, permutes the events of a timestep."""
    shuffled = 0
    for seed in range(30):
        case = random_case(seed, small=True, timesteps=4)
        connection = case.network.connections[0]
        if case.network.input.shape[0] < 2:
            continue
        order = np.random.default_rng(seed).permutation(case.network.input.shape[0])
        first = case.network.weights_of(connection)
        grouped = first.tensor.reshape(first.tensor.shape[0], len(order), -1)[:, order].reshape(first.tensor.shape)
        others = tuple(w for w in case.network.weights if w is not first)
        permuted = replace(case.network, weights=(replace(first, tensor=grouped), *others))
        a = virtual(case.network, case.chip).run(case.events, potentials=True)
        b = virtual(permuted, case.chip).run(case.events[:, :, order], potentials=True)
        assert_equal(replace(a, timing=None), replace(b, timing=None))
        assert a.timing is not None
        assert b.timing is not None
        shuffled += not np.array_equal(a.timing.arrivals[0], b.timing.arrivals[0])
    assert shuffled >= 10


@pytest.mark.parametrize("seed", range(6))
def test_gaps_change_cycles_and_no_value(seed: int):
    case = random_case(seed, small=True, layers=2, timesteps=3)
    events = many(case, 4)
    chip = virtual(case.network, case.chip)
    isolated = chip.run(events, potentials=True)
    assert isolated.timing is not None
    for gaps in (0, 1, 2, 7, [2, 0, 5, 1]):
        got = chip.run(events, potentials=True, gaps=gaps)
        assert got.timing is not None
        assert_equal(replace(isolated, timing=None), replace(got, timing=None))
        idle = sum(([gaps] * 4 if isinstance(gaps, int) else gaps)[:3])
        assert len(got.timing.cycles) == 4 * 3 + idle + 2
        assert [len(a) for a in got.timing.arrivals] == [len(a) for a in isolated.timing.arrivals]
        assert np.array_equal(got.timing.cycles, isolated.timing.cycles) == (gaps == chip.depth)


def test_timing_and_potentials_are_kept_on_demand_and_change_nothing():
    case = random_case(8, small=True)
    chip = virtual(case.network, case.chip)
    full, bare = chip.run(case.events, potentials=True), chip.run(case.events, timing=False)
    assert (bare.potentials, bare.timing) == (None, None)
    assert_equal(full, bare)


def test_events_need_not_be_contiguous():
    case = random_case(5, small=True)
    chip = virtual(case.network, case.chip)
    turned = np.asfortranarray(case.events)
    assert not turned.flags.c_contiguous
    assert_equal(chip.run(case.events, potentials=True), chip.run(turned, potentials=True))


def test_each_kernel_is_handed_one_form_of_arguments(monkeypatch: pytest.MonkeyPatch):
    """Numba compiles a kernel anew for arrays that are read-only or strided, and that takes longer than most runs."""
    handed: dict[str, set[tuple[object, ...]]] = {}

    def noted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            handed.setdefault(name, set()).add(tuple(numba.typeof(argument) for argument in arguments))
            return function(*arguments)

        return call

    # Only what Python calls is noted: the kernels themselves call each other by their compiled names.
    watched = SimpleNamespace(**{name: noted(name, getattr(kernels, name)) for name in kernels.__all__})
    for module in (layers, timing):
        monkeypatch.setattr(module, "kernels", watched)
    for seed in range(24):
        case = random_case(seed, small=True)
        frozen = case.events.copy()
        frozen.flags.writeable = False
        for events in (case.events, np.asfortranarray(case.events), frozen):
            virtual(case.network, case.chip).run(events, potentials=seed % 2 == 0, timing=seed % 3 > 0)
    for case in cases_for("graph"):
        virtual(case.network, case.chip).run(case.events, potentials=True, timing=False)
    # Payloads of 8 and of 32 bits are added up by the same kernel.
    assert {name: len(forms) for name, forms in handed.items()} == {name: 2 if name == "accumulate" else 1 for name in handed}
    assert {"run_layer", "time_rows", "accumulate", "update_driven", "update_srm", "psp_root"} <= set(handed)


def test_a_run_changes_neither_its_events_nor_the_next_run():
    case = random_case(6, small=True)
    chip, events = virtual(case.network, case.chip), case.events.copy()
    first = chip.run(events, potentials=True)
    assert np.array_equal(events, case.events)
    assert_equal(first, chip.run(events, potentials=True))


def test_depth_is_one_step_a_core():
    assert [virtual(c.network, c.chip).depth for c in (random_case(0, small=True, layers=n) for n in (1, 2, 3))] == [1, 2, 3]


def size(trace: Trace) -> int:
    """Return the bytes that a trace's large arrays take."""
    arrivals = trace.timing.arrivals if trace.timing else ()
    return sum(a.nbytes for a in (*trace.spikes, *(trace.potentials or ()), *arrivals))


@pytest.mark.parametrize("potentials", [False, True])
@pytest.mark.parametrize("timing", [False, True])
def test_the_estimate_is_about_what_a_trace_takes(potentials: bool, timing: bool):
    """Networks whose elements send an event in 15 to 45 % of the timesteps: the estimate counts on a quarter."""
    compared = 0
    for seed in range(40):
        case = random_case(seed, small=False)
        chip = virtual(case.network, case.chip)
        trace = chip.run(case.events, potentials=potentials, timing=timing)
        sources = [np.count_nonzero(s) / s.size for s in (case.events, *trace.spikes[:-1])]
        if not 0.15 <= min(sources) <= max(sources) <= 0.45:
            continue
        estimate = chip.estimate_bytes(len(case.events), potentials=potentials, timing=timing)
        true = size(trace) + case.events.nbytes
        assert true / 2 <= estimate <= true * 2, f"{case.name}: {estimate} bytes estimated, {true} taken"
        compared += 1
    assert compared >= 8


class TestErrors:
    case = single("two neurons", [[1], [0]], [[5], [6]], threshold=100)

    @pytest.mark.parametrize(
        ("limit", "most", "message"),
        [
            ("neurons_per_core", 3, "layer 'only' neurons_per_core: 4 needed; chip 'tiny' has 3"),
            ("weight_bits_per_core", 31, "layer 'only' weight_bits_per_core: 32 needed; chip 'tiny' has 31"),
            ("current_bits", 3, "layer 'only' current_bits: 4 needed; chip 'tiny' has 3"),
            ("potential_bits", 23, "layer 'only' potential_bits: 24 needed; chip 'tiny' has 23"),
        ],
    )
    def test_a_chip_that_is_too_small(self, limit: str, most: int, message: str):
        virtual(self.case.network, changed_chip(self.case.chip, **{limit: int(message.split(": ")[1].split()[0])}))
        with pytest.raises(ChipError) as error:
            virtual(self.case.network, changed_chip(self.case.chip, **{limit: most}))
        assert str(error.value) == message

    def test_more_layers_than_cores(self):
        case = random_case(2, small=True, layers=3)
        with pytest.raises(ChipError) as error:
            virtual(case.network, chip_of(name="pair", cores=2))
        assert str(error.value) == "network: 3 layers, one core each; chip 'pair' has 2 cores"

    def test_events_that_are_not_the_networks(self):
        chip = virtual(self.case.network, self.case.chip)
        with pytest.raises(DataError) as error:
            chip.run(self.case.events[:, :1])
        assert str(error.value) == "events: int8 [1, 1, 1, 1, 1]; the network takes int8 [N, 2, 1, 1, 1] with N of at least 1"
        with pytest.raises(DataError) as error:
            chip.run(self.case.events * 2)
        assert str(error.value) == "events: a payload in 0..2; ternary payloads are in -1..1"

    @pytest.mark.parametrize("gaps", [-1, [1, 2], [-3]])
    def test_gaps(self, gaps: int | list[int]):
        chip = virtual(self.case.network, self.case.chip)
        with pytest.raises(SpikefoldError) as error:
            chip.run(self.case.events, gaps=gaps)
        shown = [gaps] if isinstance(gaps, int) else gaps
        assert str(error.value) == f"gaps: {shown} for 1 samples; one number of at least 0 each is needed"

    def test_a_strict_run_allows_not_even_one_clamp(self):
        case = next(case for case in CASES if case.name == "a clamped sum fires")
        chip = virtual(case.network, case.chip)
        assert chip.run(case.events).clamps == (1,)
        message = ""
        try:
            chip.run(case.events, strict=True)
        except ChipError as error:
            message = str(error)
        assert message == "layer 'only': 1 values were clamped to 4 bits; a strict run allows none"

    def test_nothing_was_simulated_before_an_error(self):
        seen: list[tuple[int, int]] = []
        with pytest.raises(SpikefoldError):
            virtual(self.case.network, self.case.chip).run(self.case.events, gaps=-1, progress=lambda *step: seen.append(step))
        assert not seen


def test_every_boundary_case_runs_on_a_chip_of_any_width():
    for case in CASES[::5]:
        expected = reference.run(case.network, case.events, potentials=True)
        for lanes in (1, 5, 64):
            chip = virtual(case.network, changed_chip(case.chip, lanes=lanes))
            assert_equal(expected, chip.run(case.events, potentials=True))
