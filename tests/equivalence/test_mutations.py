"""The list of mutations is complete and fresh, and its runner tells noticed, unnoticed, stale and broken ones apart."""

import pickle
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import spikefold
from tests.cases import CASES
from tests.equivalence.mutate import CHECK_OF_TARGET, RTL_CASES, cases_for, main, run_mutation
from tests.equivalence.mutations import GRAPH_TAGS, MUTATIONS, TAGS, Mutation

PACKAGE = Path(spikefold.__file__).parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_each_mutation_applies_once_and_compiles(mutation: Mutation):
    text = (PACKAGE / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    assert mutation.old != mutation.new
    compile(text.replace(mutation.old, mutation.new), mutation.file, "exec")


def test_names_differ():
    assert max(Counter(m.name for m in MUTATIONS).values()) == 1


@pytest.mark.parametrize("target", ["reference", "kernel", "rtl"])
def test_every_tagged_line_of_every_execution_is_mutated(target: str):
    tags = {m.tag for m in MUTATIONS if m.target == target and m.equivalent is None}
    assert set(TAGS if target == "rtl" else TAGS + GRAPH_TAGS) <= tags
    assert sum(m.target == target and m.equivalent is None for m in MUTATIONS) >= 10
    # A mutation of a tagged line is on that line, or on what feeds it.
    lines = {"reference": "network/reference.py", "kernel": "sim/kernels.py", "rtl": "hw/gateware/neuron.py"}
    for tag in TAGS:
        text = (PACKAGE / lines[target]).read_text(encoding="utf-8")
        tagged = next(line for line in text.splitlines() if line.endswith(f"# [{tag}]"))
        found = [m for m in MUTATIONS if m.target == target and m.tag == tag and m.file == lines[target]]
        assert any(m.old.splitlines()[-1] in tagged for m in found)


@pytest.mark.parametrize("test", sorted({m.test for m in MUTATIONS if m.test}))
def test_the_test_of_a_mutation_is_there(test: str):
    file, *names = test.split("::")
    text = (PACKAGE.parent / file).read_text(encoding="utf-8")
    assert all(re.search(rf"^ *(def|class) {name}\b", text, re.MULTILINE) for name in names)


def test_equivalent_mutations_say_why():
    assert all(m.equivalent is None or len(m.equivalent) > 20 for m in MUTATIONS)


@pytest.fixture(scope="module")
def cases_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "cases"
    path.write_bytes(pickle.dumps(list(CASES[:4])))
    return path


def mutation(**fields: str) -> Mutation:
    given = {
        "name": "m",
        "target": "reference",
        "file": "network/reference.py",
        "tag": "LIF.4",
        "old": "summed >= threshold  # [LIF.4]",
        "why": "a test",
    }
    return Mutation(**{**given, "new": "summed > threshold  # [LIF.4]", **fields})  # type: ignore[arg-type]


def test_a_mutation_that_is_noticed(cases_file: Path):
    outcome = run_mutation(mutation(), cases_file)
    assert (outcome.result, outcome.good) == ("killed", True)
    assert outcome.detail.startswith(
        "case 'threshold -1, 0, +1, soft': spikes: sample 0, timestep 0, layer 'only', neuron (1, 0, 0): expected 1, got 0"
    )


def test_a_mutation_that_is_not_noticed(cases_file: Path):
    outcome = run_mutation(mutation(new="threshold <= summed"), cases_file)
    assert (outcome.result, outcome.good) == ("survived", False)
    assert run_mutation(mutation(new="threshold <= summed", equivalent="the same test, turned round"), cases_file).good


def test_a_crash_is_not_a_kill(cases_file: Path):
    outcome = run_mutation(mutation(new="summed >= thresholds"), cases_file)
    assert (outcome.result, outcome.good) == ("invalid", False)
    assert outcome.detail.startswith("exit status 1: NameError")
    assert (
        run_mutation(mutation(old="from spikefold.data.errors import DataError", new="import nothing_of_that_name"), cases_file).result == "invalid"
    )


def test_a_mutation_that_a_test_must_notice():
    given = next(m for m in MUTATIONS if m.name == "coding-key-swapped")
    killed = run_mutation(given)
    assert (killed.result, killed.good) == ("killed", True)
    assert killed.detail.startswith("test_a_seed_gives_the_same_randomness_in_every_version: AssertionError: assert [['0x")
    assert run_mutation(replace(given, new="key=np.array((seed, sample)")).result == "survived"
    for crash in ("key=np.array([seed, samples]", "kea=np.array([seed, sample]"):
        outcome = run_mutation(replace(given, new=crash))
        assert (outcome.result, outcome.good) == ("invalid", False), outcome.detail


def test_a_stale_mutation(cases_file: Path):
    assert run_mutation(mutation(old="summed >> threshold"), cases_file).result == "stale"
    assert run_mutation(mutation(old="summed"), cases_file).result == "stale"


def test_the_command_fails_when_one_survives(capsys: pytest.CaptureFixture[str]):
    same = mutation(name="same", new="threshold <= summed")
    assert main(["--only", "same"], [same]) == 1
    printed = capsys.readouterr().out
    assert "0 of 1 mutations killed" in printed
    assert "FAILED: same survived: no difference" in printed
    assert main(["--only", "m"], [mutation()]) == 0
    assert "1 of 1 mutations killed" in capsys.readouterr().out
    assert main(["--only", "absent"]) == 2
    assert main(["--target", "kernel", "--list"]) == 0
    assert "kernel-strict" in capsys.readouterr().out


def test_the_hardware_cases_exist():
    assert set(RTL_CASES) <= {case.name for case in CASES}


SAMPLE = {
    "reference": ("reference-drive-half-down", "reference-strict", "reference-schedule", "reference-sum-not-clamped"),
    "kernel": ("kernel-strict", "kernel-not-cleared", "kernel-payload-sign", "kernel-soft-threshold"),
    "rtl": ("rtl-strict", "rtl-bank-stuck"),
}


@pytest.mark.parametrize("name", [name for names in SAMPLE.values() for name in names])
def test_a_sample_of_the_mutations_is_killed(name: str, tmp_path: Path):
    chosen = next(m for m in MUTATIONS if m.name == name)
    cases = tmp_path / "cases"
    cases.write_bytes(pickle.dumps(cases_for(chosen.check or CHECK_OF_TARGET[chosen.target])))
    outcome = run_mutation(chosen, cases)
    assert outcome.good, outcome.detail
