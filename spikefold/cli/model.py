"""The verbs about networks: quantize, info."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from spikefold.cli.output import PATH, Report, as_json, examples, note, progress_bar, read_chip, show
from spikefold.data.errors import DataError
from spikefold.data.files import MANIFEST, MODEL, RECIPE, check_output, write_text
from spikefold.data.toml import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from spikefold.chip.config import ChipConfig
    from spikefold.network.network import Network
    from spikefold.quantize.float_network import Float, FloatNetwork

__all__ = ["info", "quantize"]


class LayerBits(click.ParamType[tuple[str, int | Literal["keep"]]]):
    """``8``, for all layers, or ``conv1=4``, for one; ``keep`` in the place of a number: (layer or "", bits)."""

    name = "bits"

    def convert(
        self, value: str | tuple[str, int | Literal["keep"]], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | Literal["keep"]]:
        """Return the layer and its bits."""
        if isinstance(value, tuple):
            return value
        layer, equals, bits = value.rpartition("=")
        if bits not in {*"2345678", "keep"} or (equals and not layer):
            self.fail(f"{value!r} is neither a number in 2..8 or keep, nor LAYER= and one of these", param, ctx)
        return layer, "keep" if bits == "keep" else int(bits)


@click.command(
    epilog=examples(
        "quantize runs/digits --out net.safetensors",
        "quantize runs/digits --out net4.safetensors --weight-bits 4 --weight-bits readout=8 --form C",
        "quantize runs/digits --out shift.safetensors --gain-terms 1",
        "quantize qat.safetensors --out kept.safetensors --weight-bits keep",
    )
)
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, metavar="NET.safetensors", help="The integer network; NET.json beside it gets the report.")
@click.option(
    "--weight-bits",
    type=LayerBits(),
    multiple=True,
    metavar="BITS or LAYER=BITS",
    help="Width of the synaptic weights of all layers, or of one; may be given several times. By default 8. With keep: the fewest "
    "bits that hold weights which lie on a grid, as quantisation-aware training leaves them.",
)
@click.option("--gain-bits", type=click.IntRange(2, 16), help="Width of the gains. By default 12.")
@click.option(
    "--gain-terms",
    type=click.IntRange(0, 2),
    help="Make every gain a sum of at most so many powers of two, which takes no multiplier. By default 0: any integer.",
)
@click.option(
    "--form",
    type=click.Choice(["auto", "B", "C"]),
    help="Where the leak is kept: in hardware (B), in the schedules (C), or, by default, whichever suits each layer (auto).",
)
@click.option(
    "--timesteps",
    type=click.IntRange(min=1),
    metavar="T",
    help="End after so many timesteps, an early exit; by default after all.",
)
@click.option("--saturate-bits", type=click.IntRange(2, 32), metavar="BITS", help="Clamp potentials to this width where more would be needed.")
@click.option(
    "--calibrate",
    type=click.IntRange(min=1),
    metavar="N",
    help="Divide by PSP-LN's mean over the first N training samples, an approximation that takes one pass; by default by each sample's own, in two.",
)
@click.option(
    "--data-dir", type=PATH, metavar="DIR", help="For --calibrate: the folder of the data set's files, where they are not in their usual place."
)
@click.option("--force", is_flag=True, help="Replace the files that are there.")
@as_json
def quantize(
    run: Path,
    out: Path,
    weight_bits: "tuple[tuple[str, int | Literal['keep']], ...]",
    gain_bits: int | None,
    gain_terms: int | None,
    form: Literal["auto", "B", "C"] | None,
    saturate_bits: int | None,
    timesteps: int | None,
    calibrate: int | None,
    data_dir: Path | None,
    force: bool,
    json_only: bool,
) -> None:
    """Fold RUN (a run's folder, or a float network's file) into an integer network.

    Normalisation and biases go into per-timestep thresholds and gains. What has no exact form is refused by name. A run that was trained
    through the fold is folded as its recipe says, but for the options that are given.
    """
    from spikefold.network.files import network_file
    from spikefold.quantize.fold import fold
    from spikefold.train.recipes.recipe import trained_widths

    report_path = out.with_suffix(".json")
    if out.suffix != ".safetensors":
        raise DataError(f"{out}: the network's file name must end in .safetensors")
    for path in (out, report_path):
        check_output(path, force=force, inputs=[run / MODEL if run.is_dir() else run])
    if data_dir is not None and calibrate is None:
        raise DataError(f"--data-dir {data_dir}: it is for --calibrate, which alone reads samples")
    bits = dict(weight_bits)
    if len(bits) < len(weight_bits):
        twice = next(name for name in bits if sum(layer == name for layer, _ in weight_bits) > 1)
        raise DataError(f"--weight-bits: {f'layer {twice!r} has' if twice else 'all layers have'} bits twice; give them once")
    network, trained = read_run(run), trained_widths(run)
    if bits and "" not in bits:
        # Bits of some layers leave those of the others as they were trained.
        bits = trained.get("weight_bits", {}) | bits
    given = {"weight_bits": bits or None, "gain_bits": gain_bits, "gain_terms": gain_terms, "form": form}
    widths = trained | {name: value for name, value in given.items() if value is not None}
    if calibrate is not None:
        network = with_constant_roots(network, calibrate, data_dir)
    result = fold(network, saturate_bits=saturate_bits, timesteps=timesteps, **widths)
    report = Report(
        {
            "network": out.name,
            "source": str(run),
            "calibrated": calibrate,
            "layers": [asdict(layer) for layer in result.layers],
            "warnings": list(result.warnings),
        }
    )
    columns = ("layer", "form", "weight bits", "current bits", "gain", "leak", "potential bits", "weight error", "became 0", "why this form")
    report.table(
        str(out),
        columns,
        [
            (
                *(layer.name, layer.form, layer.weight_bits, layer.current_bits, "1" if layer.unit_gain else f"{layer.gain_bits} bits"),
                *(layer.leak_kind, f"{layer.potential_bits}{', saturating' if layer.saturate else ''}", layer.weight_error),
                *(f"{layer.weights_lost:.2%}", layer.reason),
            )
            for layer in result.layers
        ],
    )
    # The network last: where it is, its report is too.
    write_text(report_path, json.dumps(report.document, indent=2, allow_nan=False) + "\n")
    network_file.save(result.network, out)
    for warning in result.warnings:
        note(f"warning: {warning}")
    show(report, json_only)


def with_constant_roots(network: "FloatNetwork", samples: int, data_dir: Path | None) -> "FloatNetwork":
    """Return ``network`` with PSP-LN calibrated on the first training samples, in batches that fit in memory."""
    from spikefold.analysis.drift import estimate_bytes
    from spikefold.quantize.calibrated import calibrated
    from spikefold.workflow import flow

    data = flow.data_for(network, None, "train", data_dir)
    wanted = flow.sample_count(network, data, samples)
    with progress_bar() as progress:

        def batches() -> "Iterator[npt.NDArray[np.int8]]":
            for part in flow.batches(wanted, estimate_bytes(network)):
                yield flow.events_of(network, data, part)
                progress("calibrate", part.stop, wanted)

        return calibrated(network, batches())


@click.command(epilog=examples("info net.safetensors --chip examples/chips/up5k.toml", "info examples/chips/up5k.toml", "info runs/digits --json"))
@click.argument("file", type=PATH)
@click.option("--chip", "chip_path", type=PATH, metavar="CHIP.toml", help="For an integer network: estimate what each layer takes of this chip.")
@as_json
def info(file: Path, chip_path: Path | None, json_only: bool) -> None:
    """Say what is in FILE: an integer or float network, a chip, a recipe, or the folder of a run or a build."""
    report = describe(file)
    if chip_path is not None:
        if report.document["kind"] != "network":
            raise DataError(f"{file}: --chip is for an integer network; this is of the kind {report.document['kind']!r}")
        add_cores(report, file, chip_path)
    show(report, json_only)


def add_cores(report: Report, path: Path, chip_path: Path) -> None:
    """Add what each layer of the network in ``path`` takes of a chip; a ChipError says where it does not fit."""
    from spikefold.chip.placement import place
    from spikefold.chip.resources import block_rams, core_memories, multipliers
    from spikefold.network.files import network_file

    network, chip = network_file.load(path), read_chip(chip_path)
    cores: list[dict[str, Any]] = []
    for plan in place(network, chip).cores:
        memories = core_memories(network, plan, chip)
        cores.append(
            {
                "layer": plan.name,
                "neuron_words": plan.words,
                "memory_bits": sum(m.words * m.bits for m in memories),
                "block_rams": sum(block_rams(memory, chip) for memory in memories),
                "multipliers": multipliers(network, plan, chip),
            }
        )
    report.document["cores"] = cores
    total = ("all", *(sum(core[key] for core in cores) for key in ("neuron_words", "memory_bits", "block_rams", "multipliers")))
    columns = ("layer", "neuron words", "memory bits", "block RAMs, if each memory takes its own", "multipliers, if none becomes logic")
    report.table(f"on chip {chip.name!r}, estimated before synthesis", columns, [*(tuple(core.values()) for core in cores), total])


def read_run(path: Path) -> "FloatNetwork":
    """Return the float network of a run's folder or of a file."""
    from spikefold.quantize.float_file import load_float

    if path.is_dir() and not (path / RECIPE).is_file() and not (path / MODEL).is_file():
        raise DataError(f"{path}: it is neither the folder of a run (there is no {MODEL}) nor that of a build (there is no {MANIFEST})")
    if path.is_dir() and not (path / MODEL).is_file():
        raise DataError(f"{path}: there is no {MODEL} in it; is the run finished? (train --resume goes on with it)")
    return load_float(path / MODEL if path.is_dir() else path)


def describe(path: Path) -> Report:
    """Return what is in a file or folder of any kind that the verbs write or read."""
    if path.is_dir():
        if (path / MANIFEST).is_file():
            return describe_build(path)
        return describe_float(read_run(path))
    if path.suffix == ".toml":
        return describe_toml(path)
    from spikefold.network.files import network_file, tensor_file
    from spikefold.quantize import float_file

    header, tensors = tensor_file.read(path)
    if header.get("kind") == float_file.KIND:
        return describe_float(float_file.float_from_parts(header, tensors, str(path)))
    return describe_network(network_file.from_parts(header, tensors, str(path)))


def describe_network(network: "Network") -> Report:
    """Return what an integer network consists of."""
    layers = [
        {
            "name": p.name, "neuron": p.neuron, "source": c.source, "kind": c.kind, "shape": list(p.shape),
            "synapse_weights": 0 if c.kind == "identity" else network.weights_of(c).tensor.size,
            "weight_bits": 0 if c.kind == "identity" else network.weights_of(c).bits, "pool": c.pool, "unit_gain": c.unit_gain, "reset": p.reset,
            "leak": p.leak_kind, "potential_bits": p.potential_bits, "current_bits": c.current_bits, "saturate": p.saturate,
        }
        for index, p in enumerate(network.populations)
        for c in network.into(index)
    ]  # fmt: skip
    report = Report(
        {
            "kind": "network", "format_version": network.format_version, "timesteps": network.timesteps, "input": asdict(network.input),
            "class_names": list(network.class_names), "readout": network.readout.decode, "provenance": dict(network.provenance), "layers": layers,
        }
    )  # fmt: skip
    _network_tables(report, "integer network", layers)
    return report


def describe_float(network: "FloatNetwork") -> Report:
    """Return what a float network consists of."""
    layers = [
        {
            "name": layer.name, "kind": layer.kind, "shape": list(shape), "synapse_weights": layer.weights.size, "pool": layer.pool,
            "norm": layer.norm.kind, "bias": layer.bias is not None, "neuron": layer.neuron, "reset": layer.reset, "leak": _range(layer.leak),
            "threshold": _range(layer.threshold), "shared": layer.shared, "add": layer.add,
        }
        for layer, shape in zip(network.layers, network.shapes(), strict=True)
    ]  # fmt: skip
    report = Report(
        {
            "kind": "float_network", "timesteps": network.timesteps, "input": asdict(network.input), "class_names": list(network.class_names),
            "readout": network.readout, "provenance": dict(network.provenance), "layers": layers,
        }
    )  # fmt: skip
    _network_tables(report, "float network", layers)
    return report


def _range(values: "Float") -> float | list[float]:
    """Return the one value, or the least and the greatest."""
    low, high = float(values.min()), float(values.max())
    return low if low == high else [low, high]


def _network_tables(report: Report, title: str, layers: list[dict[str, Any]]) -> None:
    document = report.document
    coding = document["input"]
    rows: list[tuple[str, object]] = [
        ("timesteps", document["timesteps"]),
        ("input", f"{' x '.join(map(str, coding['shape']))}, {coding['coding']} coding"),
        ("readout", document["readout"]),
        ("classes", ", ".join(document["class_names"])),
    ]
    report.table(title, ("field", "value"), [*rows, *document["provenance"].items()])
    # A vertical list of shapes reads better than Python's brackets.
    shown = [{**layer, "shape": " x ".join(map(str, layer["shape"]))} for layer in layers]
    report.table("layers", [key.replace("_", " ") for key in shown[0]], [tuple(layer.values()) for layer in shown])


def describe_toml(path: Path) -> Report:
    """Return a chip's limits or a recipe's settings; a recipe is what has layers."""
    if "layers" not in read_toml(path):
        from spikefold.chip.config import load_chip

        return _describe_chip(load_chip(path))
    from spikefold.train.recipes.recipe import load_recipe

    recipe = asdict(load_recipe(path))
    report = Report({"kind": "recipe", **recipe})
    flat = [(key, value) for key, value in recipe.items() if not isinstance(value, (dict, tuple))]
    nested = [(f"{section} {key}", str(value)) for section, values in recipe.items() if isinstance(values, dict) for key, value in values.items()]
    report.table("recipe", ("field", "value"), [*flat, *nested])
    report.table("layers", list(recipe["layers"][0]), [tuple(layer.values()) for layer in recipe["layers"]])
    return report


def _describe_chip(chip: "ChipConfig") -> Report:
    report = Report({"kind": "chip", **chip.to_dict()})
    report.table("chip", ("limit", "value"), chip.to_dict().items())
    return report


def describe_build(folder: Path) -> Report:
    """Return a build's manifest."""
    from spikefold.workflow.verification import read_manifest

    manifest = read_manifest(folder)
    report = Report({"kind": "build", **manifest})
    network, chip, hashes, layers = (manifest.get(key) for key in ("network", "chip", "sha256", "layers"))
    rows = [(key, value) for key, value in manifest.items() if isinstance(value, (int, str))]
    if isinstance(network, dict) and isinstance(chip, dict) and isinstance(hashes, dict):
        rows += [("chip", str(chip.get("name"))), ("timesteps", str(network.get("timesteps"))), ("files", len(hashes))]
        classes = network.get("class_names")
        if isinstance(classes, list):
            rows.append(("classes", ", ".join(map(str, classes))))
    report.table(str(folder), ("field", "value"), rows)
    if isinstance(layers, list) and layers and all(isinstance(layer, dict) and layer.keys() == layers[0].keys() for layer in layers):
        keys = sorted((key for key in layers[0] if key != "memories"), key=lambda key: (key != "name", key))
        report.table("layers", [key.replace("_", " ") for key in keys], [[layer[key] for key in keys] for layer in layers])
    return report
