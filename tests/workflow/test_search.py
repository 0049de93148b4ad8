"""The search for weight bits: within the budget, on held-back samples alone, repeatable, and the same whether interrupted or not."""

import hashlib
import itertools
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikefold.data.coding import InputCoding, encode
from spikefold.data.datasets import load_dataset
from spikefold.data.errors import ChipError, DataError, FoldError
from spikefold.network import reference
from spikefold.network.files import network_file
from spikefold.quantize.float_file import load_float, save_float
from spikefold.quantize.float_network import FloatLayer, FloatNetwork, Norm
from spikefold.quantize.fold import fold
from spikefold.sim.engine import Chip
from spikefold.train.methods.training import split
from spikefold.workflow import search as module
from spikefold.workflow.search import LOG, NETWORK, SearchSettings, search
from tests.chips import chip_of
from tests.train.recipes import recipe_text
from tests.virtual import virtual

DIGITS = Path(__file__).parents[2] / "examples" / "models" / "digits"
TPE = SearchSettings(trials=12, samples=60, budget_points=2)
"""Fewer trials than there are choices for two layers."""
FILES = (NETWORK, LOG, "summary.json")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("search") / "found"
    return out, search(DIGITS, out, TPE)


def held_back(count: int) -> np.ndarray:
    """The held-back samples of the digits run, as its recipe has them: a tenth, drawn by its seed."""
    return split(1437, 0.1, 1)[1][:count]


def correct(bits: dict[str, int], samples: np.ndarray) -> int:
    """How many samples are right by the reference, from the fold on."""
    network, data = fold(load_float(DIGITS / "model.safetensors"), weight_bits=bits).network, load_dataset("digits", "train")
    events = encode(data.images[samples], network.input, network.timesteps, samples)
    return int((reference.run(network, events).predictions == data.labels[samples]).sum())


def interrupt(what: str, done: int) -> Callable[[str, int, int], None]:
    def progress(now: str, at: int, total: int) -> None:
        if (now, at) == (what, done):
            raise KeyboardInterrupt

    return progress


def evaluations(monkeypatch: pytest.MonkeyPatch, result: Callable[[tuple[int, ...]], int] | None = None) -> list[tuple[int, ...]]:
    """Return the list that gets the bits of every evaluation; ``result`` takes the place of what they are worth."""
    asked: list[tuple[int, ...]] = []
    real = module._Evaluator.correct

    def count(self: Any, virtual: Chip) -> int:
        bits = tuple(weights.bits for weights in virtual.network.weights)
        asked.append(bits)
        return real(self, virtual) if result is None else result(bits)

    monkeypatch.setattr(module._Evaluator, "correct", count)
    return asked


def test_the_chosen_network_keeps_the_budget_and_takes_less_memory(found: tuple[Path, dict[str, Any]]) -> None:
    out, summary = found
    chosen, eight, samples = summary["chosen"], summary["eight_bits"], held_back(60)
    assert eight["correct"] == correct({"": 8}, samples)
    assert chosen["correct"] == correct(chosen["weight_bits"], samples)
    assert 100 * (eight["correct"] - chosen["correct"]) / 60 == chosen["lost_points"] <= 2
    assert chosen["memory_bits"] < eight["memory_bits"] == 8 * 3552
    network = network_file.load(out / NETWORK)
    assert {w.id: w.bits for w in network.weights} == chosen["weight_bits"]
    assert sum(w.tensor.size * w.bits for w in network.weights) == chosen["memory_bits"]
    within = [trial for trial in summary["tried"] if trial["within_budget"]]
    assert chosen["memory_bits"] == min(trial["memory_bits"] for trial in within)
    assert all(trial["within_budget"] == (trial["lost_points"] <= 2) for trial in summary["tried"])
    assert len(summary["tried"]) == 12
    assert summary["sampler"] == "tpe"
    assert json.loads((out / "summary.json").read_text()) == summary


def test_the_first_trials_have_equal_bits_in_all_layers(found: tuple[Path, dict[str, Any]]) -> None:
    assert [set(trial["weight_bits"].values()) for trial in found[1]["tried"][:3]] == [{8}, {4}, {2}]


def test_repeated_bits_are_not_evaluated_again(found: tuple[Path, dict[str, Any]]) -> None:
    out, summary = found
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()[1:]]
    different = {tuple(trial["weight_bits"].values()): trial["correct"] for trial in summary["tried"]}
    assert {tuple(line["weight_bits"].values()): line["correct"] for line in lines} == different
    assert len(lines) == len(different) == summary["different_trials"]
    for trial in summary["tried"]:
        if trial["repeats"] is not None:
            assert {**summary["tried"][trial["repeats"]], "trial": trial["trial"], "repeats": trial["repeats"]} == trial


def test_the_same_seed_gives_the_same_bytes(found: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    search(DIGITS, tmp_path / "again", TPE)
    assert all((found[0] / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in FILES)
    other = search(DIGITS, tmp_path / "other", SearchSettings(trials=6, samples=60, seed=2))
    assert [trial["weight_bits"] for trial in other["tried"]] != [trial["weight_bits"] for trial in found[1]["tried"][:6]]


@pytest.mark.parametrize("done", [1, 7])
def test_resumed_is_uninterrupted(done: int, found: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    asked = evaluations(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        search(DIGITS, out, TPE, progress=interrupt("search", done))
    assert sorted(path.name for path in out.iterdir()) == [LOG]
    with (out / LOG).open("a") as file:
        file.write('{"weight_bits": {"hid')
    search(DIGITS, out, TPE, resume=True)
    assert all((found[0] / name).read_bytes() == (out / name).read_bytes() for name in FILES)
    assert len(asked) == len(set(asked)) == found[1]["different_trials"]


def test_what_ends_a_trial_is_raised_and_not_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(bits: tuple[int, ...]) -> int:
        if bits == (4, 4):
            raise FoldError("layer 'hidden': no")
        return 10

    evaluations(monkeypatch, refuse)
    printed: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = printed.append  # type: ignore[method-assign]
    logging.getLogger("optuna").addHandler(handler)
    try:
        with pytest.raises(FoldError, match="layer 'hidden': no"):
            search(DIGITS, tmp_path / "out", TPE)
        with pytest.raises(KeyboardInterrupt):
            search(DIGITS, tmp_path / "other", TPE, progress=interrupt("search", 1))
    finally:
        logging.getLogger("optuna").removeHandler(handler)
    assert not printed


def test_all_choices_are_tried_where_the_trials_suffice(tmp_path: Path) -> None:
    summary = search(DIGITS, tmp_path / "out", SearchSettings(least_bits=7, samples=20, trials=4))
    assert summary["sampler"] == "grid"
    assert {tuple(trial["weight_bits"].values()) for trial in summary["tried"]} == set(itertools.product((7, 8), repeat=2))
    assert len(summary["tried"]) == 4


def test_a_finished_search_goes_on_with_another_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = evaluations(monkeypatch, lambda bits: sum(bits))
    first = search(DIGITS, tmp_path / "out", SearchSettings(least_bits=6, samples=20, budget_points=0))
    again = search(DIGITS, tmp_path / "out", SearchSettings(least_bits=6, samples=20, budget_points=100), resume=True)
    assert (first["chosen"]["weight_bits"], again["chosen"]["weight_bits"]) == ({"hidden": 8, "readout": 8}, {"hidden": 6, "readout": 6})
    assert len(asked) == len(set(asked)) == 9
    search(DIGITS, tmp_path / "out", SearchSettings(least_bits=5, samples=20), resume=True)
    assert len(asked) == len(set(asked)) == 16


def test_eight_bits_are_left_where_nothing_else_keeps_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations(monkeypatch, lambda bits: 50 + (bits == (8, 8)))
    summary = search(DIGITS, tmp_path / "out", SearchSettings(trials=10, samples=60, budget_points=0))
    assert summary["chosen"]["weight_bits"] == {"hidden": 8, "readout": 8}
    assert summary["chosen"]["lost_points"] == 0


@pytest.mark.parametrize(("budget", "bits"), [(0.7, 2), (0.69, 8)])
def test_a_loss_of_exactly_the_budget_is_within_it(budget: float, bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "split", lambda *_: (None, np.arange(1000)))
    evaluations(monkeypatch, lambda bits: 900 if bits == (8, 8) else 893)
    summary = search(DIGITS, tmp_path / "out", SearchSettings(trials=3, budget_points=budget))
    assert set(summary["chosen"]["weight_bits"].values()) == {bits}
    assert summary["samples"] == 1000


@pytest.mark.parametrize("better", [(7, 8, 8), (8, 7, 8)])
def test_of_equal_memory_the_most_accurate_is_chosen(better: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "run", chain(shared=""))
    evaluations(monkeypatch, lambda bits: {(7, 8, 8): 19, (8, 7, 8): 19, (8, 8, 8): 20, better: 20}.get(bits, 0))
    summary = search(run, tmp_path / "out", SearchSettings(least_bits=7, samples=20, budget_points=10))
    assert summary["weights"] == {"one": 9, "two": 9, "three": 40}
    assert tuple(summary["chosen"]["weight_bits"].values()) == better


def chain(*, shared: str = "one") -> FloatNetwork:
    """Two convolutions, of the same weights unless they are not ``shared``, then a readout."""
    rng = np.random.default_rng(4)
    conv: dict[str, Any] = {
        "kind": "conv2d", "weights": rng.normal(0, 0.5, (1, 1, 3, 3)), "padding": 1, "norm": Norm.none(1), "leak": 0.9, "reset": "soft"
    }  # fmt: skip
    return FloatNetwork(
        timesteps=3,
        input=InputCoding(shape=(1, 8, 8), coding="ternary", mean=0.0, std=8.0, scale=1.0, payload_bits=2, seed=9),
        layers=(
            FloatLayer(name="one", **conv),
            FloatLayer(name="two", shared=shared, **conv),
            FloatLayer(name="three", kind="dense", weights=rng.normal(0, 0.5, (10, 4)), pool=4, norm=Norm.none(10), leak=1.0, reset="none"),
        ),
        readout="potential",
        class_names=tuple("0123456789"),
    )


def made_run(folder: Path, network: FloatNetwork, recipe: str = "") -> Path:
    """Return a folder like that of a run, with a network of any kind."""
    text = recipe or recipe_text()
    folder.mkdir()
    (folder / "recipe.toml").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    save_float(replace(network, provenance={"recipe_sha256": sha256}), folder / "model.safetensors")
    return folder


def uneven() -> FloatNetwork:
    """Two dense layers without normalisation: the readout's classes are weighted so unevenly that its few bits need gains that 8 bits do not."""
    rng = np.random.default_rng(0)
    return FloatNetwork(
        timesteps=3,
        input=InputCoding(shape=(1, 8, 8), coding="ternary", mean=0.0, std=8.0, scale=1.0, payload_bits=2, seed=9),
        layers=(
            FloatLayer(name="hidden", kind="dense", weights=rng.normal(0, 0.5, (12, 64)), norm=Norm.none(12), leak=0.9, reset="soft"),
            FloatLayer(
                name="out", kind="dense", weights=rng.normal(0, 0.3, (10, 12)) * np.linspace(1, 3, 10)[:, None], norm=Norm.none(10), leak=1.0,
                reset="none",
            ),
        ),
        readout="potential",
        class_names=tuple("0123456789"),
    )  # fmt: skip


SHIFTS = chip_of(gain_terms=1)
"""A chip that shifts by gains; of :func:`uneven`, it takes only networks with 7 or 8 bits in the readout."""
UNEVEN = SearchSettings(trials=12, samples=20, budget_points=100)


def why_not(bits: dict[str, int]) -> str:
    """Why the chip does not take the network with ``bits``; "" where it does."""
    try:
        virtual(fold(uneven(), weight_bits=bits).network, SHIFTS)
    except ChipError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("settings", [UNEVEN, replace(UNEVEN, trials=49)])
def test_what_is_impossible_is_a_trial_beyond_the_budget(settings: SearchSettings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = search(made_run(tmp_path / "run", uneven()), out, settings, chip=SHIFTS)
    tried, kinds = summary["tried"], {False: {"correct", "accuracy", "lost_points"}, True: {"impossible"}}
    assert len(tried) == settings.trials
    for trial in tried:
        reason = why_not(trial["weight_bits"])
        assert trial.keys() == {"trial", "weight_bits", "memory_bits", "within_budget", "repeats"} | kinds[bool(reason)]
        assert trial.get("impossible", "") == reason
        assert trial["within_budget"] == (not reason)
    different = {tuple(trial["weight_bits"].values()): trial for trial in tried}
    assert 0 < sum("impossible" in trial for trial in different.values()) == summary["impossible_trials"] < len(different)
    assert different[2, 2]["impossible"].startswith("layer 'out' gain: a sum of 5 powers of two; chip 'default' shifts and adds 1")
    assert summary["chosen"]["memory_bits"] == min(trial["memory_bits"] for trial in tried if trial["within_budget"])
    virtual(network_file.load(out / NETWORK), SHIFTS)
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()[1:]]
    assert {tuple(line["weight_bits"].values()): line.get("impossible") for line in lines} == {
        bits: trial.get("impossible") for bits, trial in different.items()
    } | {(8, 8): None}
    assert json.loads((out / "summary.json").read_text(), parse_constant=pytest.fail) == summary


def test_optuna_is_told_that_it_is_far_beyond_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studies, real = [], module._study
    monkeypatch.setattr(module, "_study", lambda *given: studies.append(real(*given)) or studies[-1])
    summary = search(made_run(tmp_path / "run", uneven()), tmp_path / "out", replace(UNEVEN, budget_points=0), chip=SHIFTS)
    told = [trial.constraints["budget"] for trial in studies[0].trials]
    assert len(told) == len(summary["tried"])
    for excess, trial in zip(told, summary["tried"], strict=True):
        assert excess == (1000 if "impossible" in trial else trial["lost_points"])


@pytest.mark.parametrize("done", [2, 3, 9])
def test_resumed_is_uninterrupted_where_some_is_impossible(done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "run", uneven())
    search(run, tmp_path / "whole", UNEVEN, chip=SHIFTS)
    asked = evaluations(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        search(run, tmp_path / "out", UNEVEN, chip=SHIFTS, progress=interrupt("search", done))
    assert '"impossible"' in (tmp_path / "out" / LOG).read_text()
    search(run, tmp_path / "out", UNEVEN, chip=SHIFTS, resume=True)
    assert all((tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes() for name in FILES)
    assert len(asked) == len(set(asked))


def test_another_chip_says_anew_what_is_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = made_run(tmp_path / "run", uneven()), evaluations(monkeypatch)
    settings = replace(UNEVEN, least_bits=5, trials=16)
    first = search(run, tmp_path / "out", settings, chip=SHIFTS)
    roomy = search(run, tmp_path / "out", settings, resume=True)
    assert roomy["impossible_trials"] == 0 < first["impossible_trials"]
    assert roomy["chosen"]["weight_bits"] == {"hidden": 5, "out": 5}
    log = (tmp_path / "out" / LOG).read_text()
    assert search(run, tmp_path / "out", settings, chip=SHIFTS, resume=True) == first
    # What was counted for the roomy chip is kept, though this one has no room for it.
    assert (tmp_path / "out" / LOG).read_text().count('"correct"') == 16
    assert log.count('"correct"') == 16
    assert len(asked) == len(set(asked)) == 16


def test_what_does_not_fold_is_impossible_too(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", chain())
    summary = search(run, tmp_path / "out", SearchSettings(trials=3, samples=20, budget_points=100, gain_bits=2))
    assert [trial.get("impossible", "") for trial in summary["tried"][:2]] == ["", ""]
    assert summary["tried"][2]["impossible"].startswith("layer 'one' leak: the threshold is 1.2 counts")
    assert set(summary["chosen"]["weight_bits"].values()) == {4}


def test_where_8_bits_are_impossible_the_folder_stays_as_it_is(found: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in found[0].iterdir()}
    for out in (tmp_path / "out", found[0]):
        with pytest.raises(ChipError, match="'hidden' gain"):
            search(DIGITS, out, TPE, chip=SHIFTS, resume=True)
    assert not (tmp_path / "out").exists()
    assert {path.name: path.read_bytes() for path in found[0].iterdir()} == before


def test_shared_weights_have_one_width_and_count_once(tmp_path: Path) -> None:
    summary = search(made_run(tmp_path / "run", chain()), tmp_path / "out", SearchSettings(trials=4, samples=20, budget_points=100))
    assert summary["weights"] == {"one": 9, "three": 40}
    network = network_file.load(tmp_path / "out" / NETWORK)
    assert sum(w.tensor.size * w.bits for w in network.weights) == summary["chosen"]["memory_bits"]


def test_gains_are_those_of_quantize(tmp_path: Path) -> None:
    search(DIGITS, tmp_path / "out", SearchSettings(trials=1, samples=5, gain_bits=9, gain_terms=2), chip=chip_of(gain_terms=2))
    expected = fold(load_float(DIGITS / "model.safetensors"), gain_bits=9, gain_terms=2).network
    network_file.save(expected, tmp_path / "expected.safetensors")
    assert (tmp_path / "expected.safetensors").read_bytes() == (tmp_path / "out" / NETWORK).read_bytes()
    with pytest.raises(FoldError, match=r"gain_bits: 99; it must be an integer in 2\.\.16"):
        search(DIGITS, tmp_path / "other", SearchSettings(gain_bits=99))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"budget_points": -0.1}, r"budget_points: -0\.1; it must be in 0\.\.100"),
        ({"budget_points": float("nan")}, r"budget_points: nan; it must be in 0\.\.100"),
        ({"trials": 0}, r"trials: 0; it must be in 1\.\.1000000"),
        ({"least_bits": 9}, r"least_bits: 9; it must be in 2\.\.8"),
        ({"seed": -1}, r"seed: -1; it must be in 0\.\.4294967295"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        SearchSettings(**setting)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for path in (DIGITS / "model.safetensors", tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="it is not the folder of a training run"):
            search(path, out, TPE)
    shutil.copytree(DIGITS, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"there is no model\.safetensors in it"):
        search(tmp_path / "unfinished", out, TPE)
    shutil.copytree(DIGITS, tmp_path / "changed")
    recipe = tmp_path / "changed" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("validation = 0.1", "validation = 0.2"))
    with pytest.raises(DataError, match=r"it was trained by another recipe than the recipe\.toml beside it"):
        search(tmp_path / "changed", out, TPE)
    through = made_run(tmp_path / "through", chain(), recipe_text() + 'method = "quantize"\n[quantize]\nweight_bits = 2\n')
    with pytest.raises(DataError, match="it was trained through the fold"):
        search(through, out, TPE)
    with pytest.raises(DataError, match="samples: 145; training held back 144, and at least 1 is needed"):
        search(DIGITS, out, SearchSettings(samples=145))
    with pytest.raises(ChipError, match="hidden"):
        search(DIGITS, out, TPE, chip=chip_of(neurons_per_core=3))
    assert not out.exists()


def test_other_folders_are_left_alone(found: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it exists already; go on with it by --resume, or choose another name"):
        search(DIGITS, found[0], TPE)
    (tmp_path / "mine").write_text("mine")
    for resume in (False, True):
        with pytest.raises(DataError, match=r"it is not the folder of a search \(it has no trials\.jsonl\)"):
            search(DIGITS, tmp_path, TPE, resume=resume)
        with pytest.raises(DataError, match="it is a file; a folder's name is needed"):
            search(DIGITS, tmp_path / "mine", TPE, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_log_of_other_evaluations_is_refused(found: tuple[Path, dict[str, Any]]) -> None:
    before = (found[0] / LOG).read_bytes()
    with pytest.raises(DataError, match=r"trials\.jsonl: samples: 60; here it is 61"):
        search(DIGITS, found[0], SearchSettings(samples=61), resume=True)
    with pytest.raises(DataError, match=r"trials\.jsonl: gain_bits: 12; here it is 8"):
        search(DIGITS, found[0], SearchSettings(samples=60, gain_bits=8), resume=True)
    assert (found[0] / LOG).read_bytes() == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nothing", "not a log of lines of JSON"),
        ("[" * 100_000, "not a log of lines of JSON"),
        ("9" * 5000, "not a log of lines of JSON"),
        ("\udcff", "not a log of lines of JSON"),
        ("[]", "line 2: .*it must hold the weight_bits of hidden, readout"),
        ('{"weight_bits": {"hidden": 4}, "correct": 3}', "line 2: .*it must hold the weight_bits of hidden, readout"),
        ('{"weight_bits": {"hidden": 4, "readout": 9}, "correct": 3}', r"line 2: weight_bits of 'readout': 9; it must be an integer in 2\.\.8"),
        ('{"weight_bits": {"hidden": true, "readout": 4}, "correct": 3}', "line 2: weight_bits of 'hidden': True"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "correct": 61}', "line 2: .*how many are correct"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "correct": 3.0}', "line 2: .*how many are correct"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}}', "line 2: .*how many are correct"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "correct": "no"}', "line 2: .*how many are correct"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "correct": 3, "more": 1}', "line 2: .*how many are correct"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "correct": 3, "impossible": "no"}', "line 2: .*or in one line why they are impossible"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "impossible": ""}', "line 2: .*or in one line why they are impossible"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "impossible": 3}', "line 2: .*or in one line why they are impossible"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "impossible": null}', "line 2: .*or in one line why they are impossible"),
        ('{"weight_bits": {"hidden": 4, "readout": 4}, "impossible": ["no"]}', "line 2: .*or in one line why they are impossible"),
        (r'{"weight_bits": {"hidden": 4, "readout": 4}, "impossible": "no\nno"}', "line 2: .*or in one line why they are impossible"),
        (f'{{"weight_bits": {{"hidden": 4, "readout": 4}}, "impossible": "{"no" * 9999}"}}', "line 2: .*or in one line why they are impossible"),
        ('{"weight_bits": {"hidden": 4, "readout": 9}, "impossible": "no"}', r"line 2: weight_bits of 'readout': 9; it must be an integer in 2\.\.8"),
        ('{"weight_bits": [4, 4], "impossible": "no"}', "line 2: .*it must hold the weight_bits of hidden, readout"),
        ('{"impossible": "no", "correct": 3}', "line 2: .*it must hold the weight_bits of hidden, readout"),
    ],
)
def test_a_damaged_log_is_refused(line: str, words: str, found: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    header = (found[0] / LOG).read_text().splitlines()[0]
    (tmp_path / LOG).write_bytes(f"{header}\n{line}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=words):
        search(DIGITS, tmp_path, TPE, resume=True)


def test_a_log_without_a_whole_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"format_ver')
    assert len(search(DIGITS, tmp_path, SearchSettings(trials=1, samples=5), resume=True)["tried"]) == 1
