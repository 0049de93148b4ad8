"""The verb count: the operations and memory of an inference."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from spikefold.cli.options import PATH, as_json, data_options, examples, force_file_option
from spikefold.cli.progress import progress_bar
from spikefold.cli.tables import Report, Share, show_and_write
from spikefold.data.files import check_output

__all__ = ["count"]

SAMPLES = 100
SCHEDULES = {"gain": "gains", "gain_shift": "shifts of gains", "threshold": "thresholds", "decrement": "decrements", "load": "loads"}


@click.command(epilog=examples("count net.safetensors", "count net.safetensors --data digits --samples 360 --out counts.json"))
@click.argument("net", type=PATH)
@data_options(f"How many samples, from the first; by default {SAMPLES}, or all where there are fewer.")
@click.option("--out", type=PATH, metavar="RESULT.json", help="Write the result there too.")
@force_file_option
@as_json
def count(
    net: Path, data_name: str | None, split: str, data_dir: Path | None, samples: int | None, out: Path | None, force: bool, json_only: bool
) -> None:  # fmt: skip
    """Count what an inference of the integer network NET takes, by NeuroBench's definitions.

    Footprint, sparsity of connections and activations, synaptic operations and membrane updates; beside them the chip's own operations and
    memory, and the cost of normalisation, which NeuroBench leaves out. Needs no extra.
    """
    from spikefold.analysis.counts import count as find
    from spikefold.analysis.sample_bytes import sample_bytes
    from spikefold.network.files import network_file
    from spikefold.workflow.batches import batch_size, event_batches
    from spikefold.workflow.samples import data_for, sample_count

    if out is not None:
        check_output(out, force=force, inputs=[net])
    network = network_file.load(net)
    data = data_for(network, data_name, split, data_dir)
    wanted = sample_count(network, data, min(SAMPLES, len(data)) if samples is None else samples)
    size = batch_size(sample_bytes(network, "count"))
    with progress_bar() as progress:
        result = find(network, event_batches(network, data, wanted, size, "count", progress))
    document = {"data": data.name, "split": split, "accuracy": result.accuracy(data.labels[:wanted]), **result.to_dict()}
    content = json.dumps(document, indent=2, allow_nan=False) + "\n"
    show_and_write(count_tables(document, str(net)), json_only, out, content, force=force)


def count_tables(document: dict[str, Any], title: str) -> Report:
    """Return the tables of the counts as JSON has them."""
    report, layers = Report(document), document["layers"]
    found, chip, norm = (document[key] for key in ("neurobench", "chip", "normalisation"))
    operations, memory = found["SynapticOperations"], chip["memory_bits"]
    rows: list[tuple[str, object]] = [
        ("data", f"{document['data']}, {document['samples']:,} samples of the {document['split']} split"),
        ("accuracy", Share(document["accuracy"])),
        ("footprint in bytes, as stored", found["Footprint"]),
        ("parameters (weights)", found["ParameterCount"]),
        ("connection sparsity", _share(found["ConnectionSparsity"])),
        ("activation sparsity", Share(found["ActivationSparsity"])),
        ("synaptic operations, dense", operations["Dense"]),
        ("synaptic operations, effective MACs", operations["Effective_MACs"]),
        ("synaptic operations, effective ACs", operations["Effective_ACs"]),
        ("membrane updates", found["MembraneUpdates"]),
    ]
    report.table(f"{title}: NeuroBench's figures, of an inference", ("figure", "value"), rows)
    rows = [
        ("footprint in bits, at the network's own widths", memory["all"]),
        ("of these, weights", memory["weights"]),
        ("of these, potentials and states", memory["potentials"] + memory["states"]),
        ("of these, schedules that hold normalisation", norm["schedule_bits"]["all"]),
        ("synaptic operations on the chip, an event each", chip["synaptic_operations"]),
        ("of these, multiplications by graded payloads", chip["multiplications"]),
        ("multiply-adds of normalisation in floats", norm["float_multiply_adds"]),
        ("what remains: multiplications by gains", norm["gain_multiplications"]),
        ("or, in their place, shifts and additions", norm["gain_terms"]),
    ]
    roots = {"root_multiplications": "for and by roots"} if norm["root_multiplications"] else {}
    if roots:
        rows.append(("of PSP-LN: multiplications of the first pass and by its root", norm["root_multiplications"]))
    report.table("what NeuroBench leaves out, of an inference", ("figure", "value"), rows)
    report.table(
        "layers: synaptic operations and updates of an inference",
        ("layer", "neurons", "weights", "zeros of them", "zeros sent", "dense", "MACs", "ACs", "on the chip", "membrane updates"),
        [_layer_row(layer) for layer in layers],
    )
    report.table(
        "layers: what normalisation takes, and what remains of it",
        ("layer", "in floats: multiply-adds", "by gains: multiplications", *roots.values(), *(f"{name}: bits" for name in SCHEDULES.values())),
        [_norm_row(layer["name"], layer["normalisation"], roots) for layer in layers],
    )
    return report


def _layer_row(layer: dict[str, Any]) -> tuple[object, ...]:
    found, chip = layer["neurobench"], layer["chip"]
    operations = [found["SynapticOperations"][kind] for kind in ("Dense", "Effective_MACs", "Effective_ACs")]
    sparsity = _share(found["ConnectionSparsity"]), Share(found["ActivationSparsity"])
    return layer["name"], layer["neurons"], found["ParameterCount"], *sparsity, *operations, chip["synaptic_operations"], found["MembraneUpdates"]


def _norm_row(name: str, norm: dict[str, Any], roots: Iterable[str]) -> tuple[object, ...]:
    operations = (norm[kind] for kind in ("float_multiply_adds", "gain_multiplications", *roots))
    return (name, *operations, *(norm["schedule_bits"].get(kind, 0) for kind in SCHEDULES))


def _share(value: float | None) -> object:
    return "-" if value is None else Share(value)
