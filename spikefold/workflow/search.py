"""The fewest bits of weights within an accuracy budget: Optuna proposes the bits of each layer, the simulated chip says what they cost.

All is decided on samples of the training split that training held back; the test split is not read. Every evaluation is kept in a log, and
the proposals depend on the seed and on the results alone: a search that goes on from its log proposes what it would have proposed.
Bits that cannot be folded, or whose network the chip does not take, are a result too: beyond every budget.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeGuard

import optuna

import spikefold
from spikefold.chip.config import ChipConfig
from spikefold.chip.placement import place
from spikefold.data.coding import encode
from spikefold.data.datasets import Dataset
from spikefold.data.errors import ChipError, DataError, FoldError, NetworkError
from spikefold.data.files import MODEL, RECIPE, SUMMARY, read_whole, write_text
from spikefold.data.provenance import versions
from spikefold.data.shown import shortened, shown
from spikefold.data.toml import read_toml_text
from spikefold.network.fields import Int
from spikefold.network.files import network_file
from spikefold.quantize.float_file import load_float
from spikefold.quantize.float_network import FloatNetwork
from spikefold.quantize.fold import fold
from spikefold.quantize.fold_result import FoldResult
from spikefold.sim.engine import Chip
from spikefold.train.methods.training import split
from spikefold.train.recipes.recipe import Recipe, parse_recipe
from spikefold.train.runs.run import load_data
from spikefold.workflow.batches import Progress, batch_size, batches

__all__ = ["LOG", "NETWORK", "SearchSettings", "search"]

NETWORK, LOG = "network.safetensors", "trials.jsonl"
MOST_BITS = 8
SAMPLES = 1000
LOG_FORMAT = 1
LOG_BYTES_MAX = 1 << 26
IMPOSSIBLE_POINTS = 1000.0
"""How far beyond the budget Optuna takes bits that are impossible to be: further than any loss, which is at most 100 points."""
Bits = tuple[int, ...]
"""The bits of every layer that has weights of its own, in the order of the layers."""
Result = int | str
"""How many samples were put in their class, or in one line why there is no such network, or why the chip does not take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What is searched for: ``budget_points`` is how many percentage points of accuracy may be lost against 8 bits in all layers.

    ``samples`` is how many of the held-back samples are used, from the first (None: 1,000, or all where there are fewer).
    """

    budget_points: float = 0.5
    trials: int = 50
    least_bits: int = 2
    samples: int | None = None
    seed: int = 1
    gain_bits: int = 12
    gain_terms: int = 0

    def __post_init__(self) -> None:
        limits = {"budget_points": (0, 100), "trials": (1, 10**6), "least_bits": (2, MOST_BITS), "seed": (0, 2**32 - 1)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            # Not value < low or value > high, which lets pass what is not a number.
            if not low <= value <= high:
                raise DataError(f"{name}: {value}; it must be in {low}..{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """Bits that were tried: the memory that all weights take, and how many samples were put in their class; ``repeats`` an earlier trial.

    ``impossible`` is why no sample could be ("" where they could).
    """

    number: int
    bits: Bits
    memory_bits: int
    correct: int
    impossible: str
    within_budget: bool
    repeats: int | None


def search(
    run: Path, out: Path, settings: SearchSettings, *, chip: ChipConfig | None = None, resume: bool = False, data_dir: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Choose the bits of each layer's weights for the network of the finished run in the folder ``run``, and fill the folder ``out``.

    Of the trials that lose at most the budget, the one with the least weight memory is chosen, of several the most accurate, of these the
    first. Bits that cannot be folded or placed on the chip are trials beyond the budget; only where 8 bits in all layers cannot, that is
    an error. ``trials.jsonl`` gets a line an evaluation; ``network.safetensors`` and at the end ``summary.json``, which is
    returned, come when all trials are done. ``out`` may not exist already, but with ``resume``: what its log holds is not evaluated again,
    and the result is that of a search that was never interrupted. Bad input is a SpikefoldError.
    """
    recipe, network = _load(run)
    data = load_data(recipe, "train", data_dir)
    held = split(len(data), recipe.train.validation, recipe.seed, recipe.train.subset)[1]
    count = min(SAMPLES, len(held)) if settings.samples is None else settings.samples
    if not 1 <= count <= len(held):
        raise DataError(f"samples: {count}; training held back {len(held)}, and at least 1 is needed")
    model_sha256 = hashlib.sha256((run / MODEL).read_bytes()).hexdigest()
    evaluate = _Evaluator(network, data, held[:count], settings, chip or ChipConfig(), progress)
    header = {
        "format_version": LOG_FORMAT, "spikefold": spikefold.__version__, "model_sha256": model_sha256, "data": data.name, "samples": count,
        "gain_bits": settings.gain_bits, "gain_terms": settings.gain_terms,
    }  # fmt: skip
    # Before anything is written: what cannot be folded, or is on no chip, leaves no folder.
    evaluate.placed(evaluate.uniform)
    results = _open_log(out, header, evaluate.names, count, resume=resume)
    trials = _propose(evaluate, results, settings, out / LOG)
    kept = [trial for trial in trials if trial.within_budget]
    chosen = min(kept, key=lambda trial: (trial.memory_bits, -trial.correct, trial.number))
    folded = evaluate.fold(chosen.bits)
    summary = _summary(evaluate, settings, trials, chosen) | {
        "run": str(run), "data": data.name, "split": "held back from training", "model_sha256": model_sha256,
        "layers": [asdict(layer) for layer in folded.layers],
    }  # fmt: skip
    network_file.save(folded.network, out / NETWORK)
    write_text(out / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def _load(run: Path) -> tuple[Recipe, FloatNetwork]:
    """Return the recipe of a finished run and its float network."""
    if not run.is_dir() or not (run / RECIPE).is_file():
        raise DataError(f"{run}: it is not the folder of a training run (with {RECIPE}), which says what samples training held back; name one")
    if not (run / MODEL).is_file():
        raise DataError(f"{run}: there is no {MODEL} in it; is the run finished, and its network one that quantize knows?")
    text = read_toml_text(run / RECIPE)
    recipe, network = parse_recipe(text, str(run / RECIPE)), load_float(run / MODEL)
    if network.provenance.get("recipe_sha256") != hashlib.sha256(text.encode()).hexdigest():
        raise DataError(f"{run / MODEL}: it was trained by another recipe than the {RECIPE} beside it (recipe_sha256 differs)")
    if recipe.quantize is not None:
        raise DataError(f"{run}: it was trained through the fold, for the bits in its recipe; quantize takes those, and there is nothing to search")
    return recipe, network


class _Evaluator:
    """Folds a network with given bits, and counts the held-back samples that the simulated chip then puts in their class."""

    def __init__(
        self, network: FloatNetwork, data: Dataset, samples: Int, settings: SearchSettings, chip: ChipConfig, progress: Progress | None
    ) -> None:  # fmt: skip
        self.data, self.samples, self.chip, self.progress = data, samples, chip, progress
        # Of weights that layers share, the first of these layers says the bits.
        layers = [layer for layer in network.layers if not layer.shared]
        self.names, self.sizes = tuple(layer.name for layer in layers), tuple(layer.weights.size for layer in layers)
        self.uniform: Bits = (MOST_BITS,) * len(layers)
        self._fold = partial(fold, network, gain_bits=settings.gain_bits, gain_terms=settings.gain_terms)

    def fold(self, bits: Bits) -> FoldResult:
        """Return the integer network with ``bits``."""
        return self._fold(weight_bits=dict(zip(self.names, bits, strict=True)))

    def placed(self, bits: Bits) -> Chip:
        """Return the simulated chip with the network with ``bits``; where there is none, a FoldError, NetworkError or ChipError."""
        return Chip(place(self.fold(bits).network, self.chip, untimed=True))

    def memory_bits(self, bits: Bits) -> int:
        """Return how many bits all weights take together; those that layers share count once."""
        return sum(size * each for size, each in zip(self.sizes, bits, strict=True))

    def correct(self, virtual: Chip) -> int:
        """Return how many samples a placed network puts in their class; events are keyed by their index, as in training."""
        network, count, found = virtual.network, len(self.samples), 0
        for part in batches(count, batch_size(virtual.estimate_bytes(1, timing=False)), "evaluate", self.progress):
            batch = self.samples[part.start : part.stop]
            events = encode(self.data.images[batch], network.input, network.timesteps, batch)
            found += int((virtual.run(events, timing=False).predictions == self.data.labels[batch]).sum())
        return found

    def report(self, what: str, done: int, total: int) -> None:
        """Say how far it is."""
        if self.progress is not None:
            self.progress(what, done, total)


def _propose(evaluate: _Evaluator, results: dict[Bits, Result], settings: SearchSettings, log: Path) -> list[_Trial]:
    """Return the trials, in their order; ``results`` and the log get what is new."""
    names, trials, first = evaluate.names, list[_Trial](), dict[Bits, int]()
    samples, planned = len(evaluate.samples), min(settings.trials, _combinations(names, settings))

    def keep(bits: Bits, found: Result) -> None:
        results[bits] = found
        _append(log, _entry(names, bits, found))

    def count(bits: Bits, virtual: Chip) -> int:
        known = results.get(bits)
        if not isinstance(known, int):
            known = evaluate.correct(virtual)
            keep(bits, known)
        return known

    @cache
    def result(bits: Bits) -> Result:
        # Never from the log: every chip that has room gives the same count, but another chip may have none, or have it where this one has not.
        try:
            virtual = evaluate.placed(bits)
        except (FoldError, NetworkError, ChipError) as error:
            reason = shortened(" ".join(str(error).split()))
            if not isinstance(known := results.get(bits), int) and known != reason:
                keep(bits, reason)
            return reason
        return count(bits, virtual)

    def objective(proposal: optuna.Trial) -> float:
        bits = tuple(proposal.suggest_int(name, settings.least_bits, MOST_BITS) for name in names)
        found = result(bits)
        correct, impossible = (0, found) if isinstance(found, str) else (found, "")
        # Divided last, so that it rounds once and a loss of exactly the budget is within it.
        excess = IMPOSSIBLE_POINTS if impossible else 100 * (uniform - correct) / samples - settings.budget_points
        proposal.set_constraint("budget", excess)
        memory, repeats = evaluate.memory_bits(bits), first.setdefault(bits, len(trials))
        trials.append(
            _Trial(
                number=len(trials), bits=bits, memory_bits=memory, correct=correct, impossible=impossible, within_budget=excess <= 0,
                repeats=None if repeats == len(trials) else repeats,
            )
        )  # fmt: skip
        evaluate.report("search", len(trials), planned)
        return float(memory)

    uniform = count(evaluate.uniform, evaluate.placed(evaluate.uniform))
    evaluate.report("search", 0, planned)
    with _quiet():
        _study(names, settings).optimize(objective, n_trials=planned)
    return trials


def _combinations(names: tuple[str, ...], settings: SearchSettings) -> int:
    """Return how many ways there are to give each layer its bits."""
    return int((MOST_BITS + 1 - settings.least_bits) ** len(names))


def _study(names: tuple[str, ...], settings: SearchSettings) -> optuna.Study:
    """Return what proposes bits: all there are where the trials suffice for them, in a shuffled order; else TPE, from equal bits in all layers."""
    if _combinations(names, settings) <= settings.trials:
        choices = list(range(settings.least_bits, MOST_BITS + 1))
        return optuna.create_study(sampler=optuna.samplers.GridSampler(dict.fromkeys(names, choices), seed=settings.seed))
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    for bits in sorted({MOST_BITS, max(4, settings.least_bits), settings.least_bits}, reverse=True):
        study.enqueue_trial(dict.fromkeys(names, bits))
    return study


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's lines from stderr: one a trial, and a traceback for what is raised in it and reported by others."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _summary(evaluate: _Evaluator, settings: SearchSettings, trials: list[_Trial], chosen: _Trial) -> dict[str, Any]:
    """Return the figures as JSON has them. No time is among them: they are the same for the same search."""
    samples, different = len(evaluate.samples), [trial for trial in trials if trial.repeats is None]
    # There is one: of a grid it is a part, and TPE begins with it.
    uniform = next(trial for trial in different if trial.bits == evaluate.uniform)

    def figures(trial: _Trial) -> dict[str, Any]:
        bits = {"weight_bits": dict(zip(evaluate.names, trial.bits, strict=True)), "memory_bits": trial.memory_bits}
        if trial.impossible:
            return {**bits, "impossible": trial.impossible}
        return {
            **bits, "correct": trial.correct, "accuracy": trial.correct / samples, "lost_points": 100 * (uniform.correct - trial.correct) / samples
        }  # fmt: skip

    return {
        **asdict(settings), "samples": samples,
        "sampler": "grid" if _combinations(evaluate.names, settings) <= settings.trials else "tpe",
        "weights": dict(zip(evaluate.names, evaluate.sizes, strict=True)),
        "eight_bits": figures(uniform),
        "chosen": {"trial": chosen.number, **figures(chosen)},
        "different_trials": len(different), "impossible_trials": sum(bool(trial.impossible) for trial in different),
        "tried": [{"trial": trial.number, **figures(trial), "within_budget": trial.within_budget, "repeats": trial.repeats} for trial in trials],
        "versions": versions("spikefold", "python", "numpy", "optuna"),
    }  # fmt: skip


def _open_log(out: Path, header: Mapping[str, object], names: tuple[str, ...], samples: int, *, resume: bool) -> dict[Bits, Result]:
    """Make ``out`` the folder of a search: a new one, or the one to go on with, whose results are returned."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: it is a file; a folder's name is needed")
    results: dict[Bits, Result] = {}
    if out.is_dir() and any(out.iterdir()):
        if not (out / LOG).is_file():
            raise DataError(f"{out}: it is not the folder of a search (it has no {LOG}), so it is left alone; choose another name")
        if not resume:
            raise DataError(f"{out}: it exists already; go on with it by --resume, or choose another name")
        results = _read_log(out / LOG, header, names, samples)
    out.mkdir(parents=True, exist_ok=True)
    entries = [header, *(_entry(names, bits, result) for bits, result in results.items())]
    # Anew, since an interrupt may have left half a line.
    write_text(out / LOG, "".join(json.dumps(entry) + "\n" for entry in entries))
    return results


def _entry(names: tuple[str, ...], bits: Bits, result: Result) -> dict[str, object]:
    """Return a result as the log has it."""
    return {"weight_bits": dict(zip(names, bits, strict=True)), "impossible" if isinstance(result, str) else "correct": result}


def _append(log: Path, entry: Mapping[str, object]) -> None:
    """Add a line to the log, so that it is there whatever comes next."""
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read_log(log: Path, header: Mapping[str, object], names: tuple[str, ...], samples: int) -> dict[Bits, Result]:
    """Return the results in a log of the same evaluations; of another one, or a damaged one, is a DataError."""
    try:
        text = read_whole(log, LOG_BYTES_MAX).decode("utf-8")
        # What is behind the last line's end is empty, or a line that an interrupt cut off.
        entries = [json.loads(line) for line in text.split("\n")[:-1]]
    except OSError as error:
        raise DataError(f"{log}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{log}: not a log of lines of JSON: {shortened(' '.join(str(error).split()))}") from error
    if not entries:
        return {}
    found = entries[0] if isinstance(entries[0], dict) else {}
    for key, value in header.items():
        if found.get(key) != value:
            raise DataError(f"{log}: {key}: {shown(found.get(key))}; here it is {shown(value)}, and its results are of no use; choose another name")
    results: dict[Bits, Result] = {}
    for number, entry in enumerate(entries[1:], 2):
        bits, kind, result = _parts(entry)
        known = _whole(result, 0, samples) if kind == "correct" else kind == "impossible" and _reason(result)
        if not isinstance(bits, dict) or bits.keys() != set(names) or not known:
            raise DataError(
                f"{log}: line {number}: {shown(entry)}; it must hold the weight_bits of {', '.join(names)}, and how many are correct in 0..{samples} "
                "or in one line why they are impossible"
            )
        if bad := next((name for name in names if not _whole(bits[name], 2, MOST_BITS)), None):
            raise DataError(f"{log}: line {number}: weight_bits of {bad!r}: {shown(bits[bad])}; it must be an integer in 2..{MOST_BITS}")
        results[tuple(bits[name] for name in names)] = result
    return results


def _parts(entry: object) -> tuple[object, object, Any]:
    """Return the bits of a line of the log, and the kind and value of its other field; None of each where there are not these two."""
    if not isinstance(entry, dict) or len(entry) != 2 or "weight_bits" not in entry:
        return None, None, None
    [(kind, result)] = (item for item in entry.items() if item[0] != "weight_bits")
    return entry["weight_bits"], kind, result


def _reason(value: object) -> bool:
    """Return whether ``value`` is a reason as the log has it: a line that is not empty, and no longer than :func:`shortened` leaves it."""
    return isinstance(value, str) and value == shortened(" ".join(value.split())) != ""


def _whole(value: object, low: int, high: int) -> TypeGuard[int]:
    return type(value) is int and low <= value <= high
