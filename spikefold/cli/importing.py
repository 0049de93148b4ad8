"""The verbs that take networks from elsewhere, and hand them on: import, export."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from spikefold.cli.output import PATH, Report, as_json, examples, note, show
from spikefold.data.coding import PAYLOAD_BITS_MAX, InputCoding, encode
from spikefold.data.datasets import Dataset, load_dataset
from spikefold.data.errors import DataError
from spikefold.data.files import write_text

if TYPE_CHECKING:
    from spikefold.train.importers.modules import Imported

__all__ = ["import_network"]


@click.command(
    name="import",
    epilog=examples(
        "import model.py:net --data digits --std 16 --scale 16 --timesteps 8 --out net.safetensors",
        "import model.py:make_net --shape 2 34 34 --coding frames --timesteps 10 --out net.safetensors",
    ),
)
@click.argument("source", metavar="FILE.py:NAME")
@click.option("--out", type=PATH, required=True, metavar="NET.safetensors", help="The float network; NET.json beside it gets the report.")
@click.option("--timesteps", type=click.IntRange(min=1), required=True, metavar="T", help="How many timesteps an inference takes.")
@click.option("--data", "data_name", metavar="NAME", help="The data set that it was trained on: the shape, the classes, and events to compare on.")
@click.option("--data-dir", type=PATH, metavar="DIR", help="The folder of the data set's files, where they are not in their usual place.")
@click.option("--samples", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Test samples to compare on, at most.")
@click.option("--shape", type=click.IntRange(min=1), nargs=3, metavar="C H W", help="Without --data: the shape of the input.")
@click.option(
    "--coding", type=click.Choice(["ternary", "poisson", "direct", "frames", "sequence"]), default="direct", show_default=True,
    help="How pixels become events.",
)  # fmt: skip
@click.option("--mean", type=float, default=0.0, show_default=True, help="A pixel p is normalised to x = (p - mean) / std.")
@click.option("--std", type=float, default=1.0, show_default=True, help="See --mean.")
@click.option(
    "--scale", type=float, default=1.0, show_default=True, help="direct, sequence: the payload is round(x scale), the input payload / scale."
)
@click.option("--payload-bits", type=click.IntRange(2, PAYLOAD_BITS_MAX), default=PAYLOAD_BITS_MAX, show_default=True, help="Width of a payload.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the coding's randomness.")
@click.option(
    "--forward", type=click.Choice(["auto", "step", "sequence", "image"]), default="auto", show_default=True,
    help="What forward takes: one timestep [N, C, H, W], all [T, N, C, H, W], or an image [N, C, H, W] that it shows itself in all timesteps.",
)  # fmt: skip
@click.option(
    "--readout", type=click.Choice(["auto", "potential", "spike_count"]), default="auto", show_default=True,
    help="What the classes are told by; by default the spikes of the last neurons, or where there are none the sum of the last currents.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the files that are there.")
@as_json
def import_network(
    source: str, out: Path, timesteps: int, data_name: str | None, data_dir: Path | None, samples: int, shape: tuple[int, int, int] | None,
    coding: Literal["ternary", "poisson", "direct", "frames", "sequence"], mean: float, std: float, scale: float, payload_bits: int, seed: int,
    forward: Literal["auto", "step", "sequence", "image"], readout: Literal["auto", "potential", "spike_count"], force: bool, json_only: bool,
) -> None:  # fmt: skip
    """Make a float network of a trained network of snnTorch or SpikingJelly, spike for spike the same.

    FILE.py is EXECUTED, as Python would: import only what you trust. NAME in it is the network, weights loaded, or a function or class that
    gives it when called without arguments.

    The network is run in float64 on random events, and on test samples of --data, and must spike in every layer as the float network
    does; what cannot be carried over exactly is refused by name. docs/importing.md says what can. Needs the extra 'train'.
    """
    from spikefold.quantize.float_file import save_float
    from spikefold.train.importers.loading import load_module
    from spikefold.train.importers.modules import import_module

    path, _, name = source.rpartition(":")
    if not path or not name:
        raise click.UsageError(f"{source}: it must be a Python file and a name in it, FILE.py:NAME")
    if (data_name is None) == (shape is None):
        raise click.UsageError("one of --data and --shape is needed")
    report_path = _check_out(out, force)
    data = None if data_name is None else load_dataset(data_name, "test", data_dir, timesteps=timesteps)
    code = InputCoding(
        shape=_shape(data, shape, coding, timesteps), coding=coding, mean=mean, std=std, scale=scale, payload_bits=payload_bits, seed=seed
    )
    events = None if data is None else encode(data.images[:samples], code, timesteps, range(min(samples, len(data))))
    imported = import_module(
        load_module(Path(path), name), coding=code, timesteps=timesteps, class_names=None if data is None else data.class_names, forward=forward,
        readout=readout, events=events, provenance={"imported": f"{Path(path).name}:{name}"} | ({} if data is None else {"data": data.name}),
    )  # fmt: skip
    report = _import_report(imported, out.name, source)
    for layer, rate in zip(imported.network.layers, imported.rates, strict=False):
        if rate == 0:
            note(f"layer {layer.name!r} fired in no sample, so its equality says little")
    # The network last: where it is, its report is too.
    write_text(report_path, json.dumps(report.document, indent=2, allow_nan=False) + "\n")
    save_float(imported.network, out)
    show(report, json_only)


def _check_out(out: Path, force: bool) -> Path:
    """Return the path of the report beside ``out``; said before the work, not after it."""
    if out.suffix != ".safetensors":
        raise DataError(f"{out}: the network's file name must end in .safetensors")
    report_path = out.with_suffix(".json")
    for path in (out, report_path):
        if path.is_dir():
            raise DataError(f"{path}: it is a folder; a file's name is needed")
        if not path.parent.is_dir():
            raise DataError(f"{path}: the folder {path.parent} does not exist")
        if path.exists() and not force:
            raise DataError(f"{path}: it exists already; use --force to replace it, or another name")
    return report_path


def _shape(data: Dataset | None, shape: tuple[int, int, int] | None, coding: str, timesteps: int) -> tuple[int, int, int]:
    """Return the shape of the input: that of the data, or with sequence coding of what is shown of it in a timestep."""
    if data is None:
        return shape or (1, 1, 1)
    channels, height, width = data.shape
    return (channels, 1, max(1, height * width // timesteps)) if coding == "sequence" else data.shape


def _import_report(imported: "Imported", out: str, source: str) -> Report:
    network = imported.network
    layers: list[dict[str, Any]] = []
    for i, (layer, shape) in enumerate(zip(network.layers, network.shapes(), strict=True)):
        found: dict[str, Any] = {"name": layer.name, "kind": layer.kind, "shape": list(shape), "norm": layer.norm.kind, "reset": layer.reset}
        if i < len(imported.compared):
            flips = imported.flips[i]
            found |= {"spikes_compared": imported.compared[i], "differences": 0, "firing_rate": imported.rates[i]}
            found |= {"float32_flips": flips.flipped, "float32_margin": flips.margin}
        layers.append(found)
    document = {
        "network": out, "source": source, "forward": imported.forward, "readout": network.readout, "timesteps": network.timesteps,
        "samples_compared": imported.samples, "provenance": dict(network.provenance), "layers": layers,
    }  # fmt: skip
    report = Report(document)
    rows: list[tuple[str, object]] = [
        (key.replace("_", " "), document[key]) for key in ("source", "forward", "readout", "timesteps", "samples_compared")
    ]
    report.table(out, ("field", "value"), [*rows, *network.provenance.items()])
    columns = (
        "layer",
        "kind",
        "shape",
        "norm",
        "reset",
        "spikes compared",
        "differing",
        "firing rate",
        "flipped in float32",
        "by |u - threshold| of",
    )
    keys = ("spikes_compared", "differences", "firing_rate", "float32_flips", "float32_margin")
    report.table(
        "layers, against the source framework in float64", columns,
        [
            (layer["name"], layer["kind"], " x ".join(map(str, layer["shape"])), layer["norm"], layer["reset"], *(layer.get(key, "") for key in keys))
            for layer in layers
        ],
    )  # fmt: skip
    return report
