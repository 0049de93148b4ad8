"""Reproduced tables: what a folder holds, how it goes on after an interrupt, and rows that do not learn."""

import json
from pathlib import Path
from typing import Any

import pytest

import spikefold.train.papers.reproduce as reproducing
from spikefold.data.datasets import load_dataset
from spikefold.data.files import FINAL_EVALUATION
from spikefold.data.shown import percent
from spikefold.train.errors import DivergenceError, TrainError
from spikefold.train.papers.reproduce import reproduce
from spikefold.train.papers.results import about, result_tables
from spikefold.train.papers.tables import load_table
from spikefold.train.runs.compare import compare
from spikefold.train.runs.evaluation import evaluate, keep_evaluation
from spikefold.train.runs.run import train
from tests.train.paper_tables import RATES, write_table

Document = dict[str, Any]


def comparable(document: Document) -> Document:
    """Return a document without what differs from run to run."""
    rows = [row | {"figures": row["figures"] | {"seconds": 0}} for row in document["rows"]]
    return document | {"rows": rows}


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    folder = tmp_path_factory.mktemp("done")
    return folder / "runs" / "tiny", reproduce(load_table(write_table(folder)), folder / "runs" / "tiny")


def test_folder_and_figures(done: tuple[Path, Document]) -> None:
    out, document = done
    assert sorted(path.name for path in out.iterdir()) == ["bntt", "bntt.toml", "none-at-all", "none-at-all.toml", "results.json", "results.md"]
    assert json.loads((out / "results.json").read_text()) == document
    for name, epochs in (("bntt", 2), ("none-at-all", 1)):
        assert (out / name / "recipe.toml").read_text() == (out / f"{name}.toml").read_text()
        assert len((out / name / "log.jsonl").read_text().splitlines()) == epochs
    bntt, none = document["rows"]
    assert (bntt["labels"], bntt["state"], bntt["run"], bntt["paper"]) == (["BNTT"], "finished", "bntt", {"test_accuracy": "90.5 %"})
    assert (none["paper"], none["figures"]["early_exit"], none["figures"]["parameters"]) == ({}, None, 64 * 6 + 6 * 10)
    # The figures are those of the first 40 test samples, whoever evaluates.
    again = evaluate(out / "bntt", final=True, samples=40).to_dict()
    assert bntt["samples_tested"] == 40
    assert bntt["figures"]["test_accuracy"] == again["accuracy"]
    assert bntt["accuracy_after_timesteps"] == again["accuracy_after_timesteps"]
    assert bntt["figures"]["early_exit"] == again["early_exit"]["timesteps"]
    assert bntt["figures"]["early_exit_accuracy"] == again["early_exit"]["accuracy"]
    assert [rate["rate"] for rate in bntt["firing_rates"]] == [neuron["firing_rate"] for neuron in again["measures"]["neurons"]]
    assert bntt["figures"]["firing_rate"] == bntt["firing_rates"][0]["rate"] > 0
    efficiencies = {one["table"]["name"]: one["efficiency"] for one in again["measures"]["energy"]}
    assert (bntt["figures"]["efficiency_int32"], bntt["figures"]["efficiency_float32"]) == (efficiencies["int32"], efficiencies["float32"])
    summary = json.loads((out / "bntt" / "summary.json").read_text())
    assert bntt["figures"]["validation_accuracy"] == summary["validation_accuracy"]
    assert not (out / "bntt" / FINAL_EVALUATION).exists()


def test_what_is_shown(done: tuple[Path, Document]) -> None:
    out, document = done
    text = (out / "results.md").read_text()
    told = dict(about(document))
    assert told["scale"] == "SCALED DOWN, so not comparable with the paper in its numbers: A tenth of everything."
    assert "data set: digits" in told["settings of all rows"]
    assert "training samples with validation (0: all): 400" in told["settings of all rows"]
    assert "T: 3" in told["settings of all rows"]
    assert "epochs" not in told["settings of all rows"]
    assert all(line in text for line in ("Nobody 1999, table 7", "SCALED DOWN", "not in the paper: Everything.", "seed: 5", "torch "))
    (_, columns, rows), (_, steps, accuracies), (_, layers, rates) = result_tables(document)
    assert columns == (
        "normalisation", "paper: test accuracy", "test accuracy", "early exit after T", "EE (int32, estimated)", "parameters", "epochs",
    )  # fmt: skip
    assert [(row[0], row[1], row[5], row[6]) for row in rows] == [("BNTT", "90.5 %", "444", "2"), ("None at all", "", "444", "1")]
    assert rows[0][2] == percent(document["rows"][0]["figures"]["test_accuracy"])
    assert (steps, [row[0] for row in accuracies]) == (("T", "BNTT", "None at all"), ["1", "2", "3"])
    assert accuracies[2][1] == rows[0][2]
    assert (layers, len(rates)) == (("layer", "BNTT", "None at all"), 1)
    assert "|".join(("", *rows[0], "")) in text


def test_full_scale_is_not_called_scaled_down(tmp_path: Path) -> None:
    document = reproduce(load_table(write_table(tmp_path, changes={"epochs = 2": "epochs = 1"})), tmp_path / "full", scale="full")
    assert dict(about(document))["scale"] == "All of it."
    assert [row["samples_tested"] for row in document["rows"]] == [len(load_dataset("digits", "test"))] * 2
    with pytest.raises(TrainError, match="full: it holds 'tiny' at scale full; choose another name for 'tiny' at small"):
        reproduce(load_table(write_table(tmp_path)), tmp_path / "full")


def test_finished_rows_are_not_run_again(done: tuple[Path, Document], monkeypatch: pytest.MonkeyPatch) -> None:
    out, document = done
    monkeypatch.setattr(reproducing, "train", None)
    monkeypatch.setattr(reproducing, "evaluate", None)
    seen: list[Document] = []
    assert reproduce(load_table(write_table(out.parent.parent)), out, finished=seen.append) == document
    assert seen == []


def test_an_interrupted_table_goes_on_to_the_same_figures(done: tuple[Path, Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, out = load_table(write_table(tmp_path)), tmp_path / "tiny"
    states: list[list[str]] = []

    def stop_at_epoch(what: str, done: int, total: int) -> None:
        if what == "epochs of this row" and (done, total) == (1, 2):
            raise KeyboardInterrupt

    # In the middle of the first row's training, between its training and its evaluation, and after the first row.
    with pytest.raises(KeyboardInterrupt):
        reproduce(table, out, progress=stop_at_epoch)
    states.append([row["state"] for row in json.loads((out / "results.json").read_text())["rows"]])
    epoch = (out / "bntt" / "log.jsonl").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(reproducing, "evaluate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reproduce(table, out)
    # It went on with the second epoch.
    assert (out / "bntt" / "log.jsonl").read_text().startswith(epoch)
    calls: list[str] = []

    def counted(recipe: Path, folder: Path, **options: Any) -> Any:
        calls.append(folder.name)
        return train(recipe, folder, **options)

    monkeypatch.setattr(reproducing, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        reproduce(table, out, finished=interrupt)
    states.append([row["state"] for row in json.loads((out / "results.json").read_text())["rows"]])
    assert calls == []
    assert states == [["waiting", "waiting"], ["finished", "waiting"]]
    assert comparable(reproduce(table, out)) == comparable(done[1])
    assert calls == ["none-at-all"]


def test_a_row_whose_training_fails_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(recipe: Path, folder: Path, **options: Any) -> Any:
        if folder.name == "bntt_1000":
            folder.mkdir(parents=True)
            (folder / "recipe.toml").write_text(recipe.read_text())
            raise DivergenceError("epoch 2: the loss is nan; a lower learning_rate than 1000.0 may help")
        return train(recipe, folder, **options)

    monkeypatch.setattr(reproducing, "train", diverging)
    table, out = load_table(write_table(tmp_path, more=RATES)), tmp_path / "tiny"
    document = reproduce(table, out)
    assert [row["state"] for row in document["rows"]] == ["finished", "epoch 2: the loss is nan", "finished", "finished"]
    assert document["rows"][1]["figures"] == {}
    assert "epoch 2: the loss is nan" in (out / "results.md").read_text()
    # The best is chosen by validation, among those that have an end.
    first, second = document["best"]
    assert (first["labels"], first["best"], first["figures"]) == (["BNTT"], "0.1", document["rows"][0]["figures"])
    assert first["of"] == {"bntt_0.1": document["rows"][0]["figures"]["test_accuracy"], "bntt_1000": "epoch 2: the loss is nan"}
    best = max(document["rows"][2:], key=lambda row: row["figures"]["validation_accuracy"])
    assert (second["best"], second["figures"]) == (best["labels"][1], best["figures"])
    title, columns, rows = result_tables(document)[1]
    assert (title, columns[:3]) == ("the best learning rate by validation accuracy", ("normalisation", "best learning rate", "paper: test accuracy"))
    assert rows[0][:3] == ("BNTT", "0.1", "90.5 %")
    monkeypatch.setattr(reproducing, "train", None)
    assert reproduce(table, out) == document


def test_losses_that_really_diverge_are_recognised(tmp_path: Path) -> None:
    changes = {"learning_rate = 0.1": 'learning_rate = 1000.0\nweight_scale = 1e4\ninit = "torch"', "6-{classes}": "{32r}*12-{classes}"}
    document = reproduce(load_table(write_table(tmp_path, changes=changes)), tmp_path / "tiny")
    assert [row["state"].partition(": ")[2] for row in document["rows"]] == ["what was learned is not finite", "the loss is nan"]


def test_other_errors_stop(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path, changes={"subset = 400": "subset = 4000"}))
    with pytest.raises(TrainError, match="subset: 4000 samples"):
        reproduce(table, tmp_path / "tiny")


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    table = load_table(write_table(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("1")
    (tmp_path / "file").write_text("1")
    for name in ("mine", "file"):
        with pytest.raises(TrainError, match=f"{name}: it is not the folder of a table"):
            reproduce(table, tmp_path / name)
    (tmp_path / "broken").mkdir()
    for content in ("{", "[]"):
        (tmp_path / "broken" / "results.json").write_text(content)
        with pytest.raises(TrainError, match=r"broken/results.json: (not JSON|it must hold an object)"):
            reproduce(table, tmp_path / "broken")


def test_a_row_of_another_recipe_is_not_taken_for_this_one(done: tuple[Path, Document]) -> None:
    out, _ = done
    table = load_table(write_table(out.parent.parent, changes={"seed = 5": "seed = 6"}))
    with pytest.raises(TrainError, match=r"bntt/recipe.toml: it differs from what the table says"):
        reproduce(table, out)


def test_compare_two_runs(done: tuple[Path, Document]) -> None:
    out, _ = done
    a, b = out / "bntt", out / "none-at-all"
    found = compare(a, b)
    assert found["runs"] == [str(a), str(b)]
    assert found["settings_that_differ"] == {"norm.kind": ["bntt", "none"], "train.epochs": [2, 1]}
    for i, folder in enumerate((a, b)):
        own = evaluate(folder).to_dict()
        figures = {key: values[i] for key, values in found["figures"].items()}
        assert figures["validation_samples"] == own["samples"] == 40
        assert figures["validation_accuracy"] == own["accuracy"]
        assert figures["firing_rate"] == found["firing_rates"][i][0]["rate"] == own["measures"]["neurons"][0]["firing_rate"]
        assert figures["model_bytes"] == (folder / "model.safetensors").stat().st_size
        assert figures["parameters"] == 444
        for estimate in own["measures"]["energy"]:
            name = estimate["table"]["name"]
            assert (figures[f"energy_{name}_pj"], figures[f"efficiency_{name}"]) == (estimate["estimated_snn_pj"], estimate["efficiency"])
    assert found["figures"]["early_exit"][1] is None
    assert found["figures"]["test_accuracy"] == [None, None]
    assert compare(a, a)["settings_that_differ"] == {}
    assert compare(a, b, samples=10)["figures"]["validation_samples"] == [10, 10]
    final = evaluate(b, final=True)
    keep_evaluation(final, b)
    assert compare(a, b)["figures"]["test_accuracy"] == [None, final.accuracy]
    (b / FINAL_EVALUATION).unlink()


def test_compare_says_layers_as_one_text(done: tuple[Path, Document], tmp_path: Path) -> None:
    out, _ = done
    wider = tmp_path / "wider.toml"
    wider.write_text((out / "bntt.toml").read_text().replace("6-{classes}", "4c3-p2-{classes}"))
    train(wider, tmp_path / "wider")
    assert compare(out / "bntt", tmp_path / "wider")["settings_that_differ"] == {"layers": ["6-10", "4c3-p2-10"]}
    with pytest.raises(TrainError, match="is not the folder of a finished training run"):
        compare(out / "bntt", tmp_path)
