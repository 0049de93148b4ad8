"""Tables that describe a file or folder of any kind that the verbs write or read."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikefold.cli.inputs import read_run
from spikefold.cli.tables import Report
from spikefold.data.files import MANIFEST
from spikefold.data.toml import read_toml

if TYPE_CHECKING:
    from spikefold.chip.config import ChipConfig
    from spikefold.network.network import Network
    from spikefold.quantize.float_network import Float, FloatNetwork

__all__ = ["describe", "describe_build"]


def describe(path: Path) -> Report:
    """Return the description of a file or folder of any kind that the verbs write or read."""
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
    """Return the description of an integer network: its layers, widths and schedules."""
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
    """Return the description of a float network: its layers, neurons and normalisations."""
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
    report.table("chip", ("limit", "value"), {"name": chip.name, **asdict(chip.architecture), **asdict(chip.device)}.items())
    return report


def describe_build(folder: Path) -> Report:
    """Return a build's manifest."""
    from spikefold.workflow.build import read_manifest

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
