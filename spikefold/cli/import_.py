"""The verb import: a network of another library, or a NIR graph, as a float network."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from spikefold.cli.options import PATH, as_json, data_dir_option, examples
from spikefold.cli.progress import note
from spikefold.cli.tables import Report, show
from spikefold.data.errors import DataError
from spikefold.data.files import check_output, write_text
from spikefold.data.info import PAYLOAD_BITS_MAX, Coding

if TYPE_CHECKING:
    from spikefold.data.coding import InputCoding
    from spikefold.data.datasets import Dataset
    from spikefold.quantize.float_network import FloatNetwork
    from spikefold.train.importers.modules import Imported

__all__ = ["import_"]


@click.command(
    name="import",
    epilog=examples(
        "import model.py:net --data digits --std 16 --scale 16 --timesteps 8 --out net.safetensors",
        "import model.py:make_net --shape 2 34 34 --coding frames --timesteps 10 --out net.safetensors",
        "import theirs.nir --dt 1e-4 --reset hard --compare above --shape 1 8 8 --timesteps 8 --out net.safetensors",
        "import exported.nir --out net.safetensors",
    ),
)
@click.argument("source", metavar="FILE.py:NAME|FILE.nir")
@click.option("--out", type=PATH, required=True, metavar="NET.safetensors", help="The float network; NET.json beside it gets the report.")
@click.option("--timesteps", type=click.IntRange(min=1), metavar="T", help="How many timesteps an inference takes.")
@click.option("--data", "data_name", metavar="NAME", help="The data set that it was trained on: the shape, the classes, and events to compare on.")
@data_dir_option
@click.option("--samples", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Test samples to compare on, at most.")
@click.option("--shape", type=click.IntRange(min=1), nargs=3, metavar="C H W", help="Without --data: the shape of the input.")
@click.option("--coding", type=click.Choice(get_args(Coding)), default="direct", show_default=True, help="How pixels become events.")
@click.option("--mean", type=float, default=0.0, show_default=True, help="A pixel p is normalised to x = (p - mean) / std.")
@click.option("--std", type=float, default=1.0, show_default=True, help="See --mean.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="direct, sequence: a payload is round(x scale), the input payload / scale.")
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
@click.option("--dt", type=float, help="NIR: the length of a timestep, in the unit of the graph's time constants.")
@click.option("--reset", type=click.Choice(["hard", "soft"]), help="NIR: whether a spike loads v_reset or subtracts v_threshold.")
@click.option("--compare", type=click.Choice(["above", "at"]), help="NIR: whether neurons fire above the threshold alone, or at it too.")
@click.option(
    "--discretisation", type=click.Choice(["euler", "exponential"]), default="euler", show_default=True,
    help="NIR: a leak of 1 - dt / tau, or of exp(-dt / tau).",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace the files that are there.")
@as_json
@click.pass_context
def import_(context: click.Context, /, source: str, out: Path, force: bool, json_only: bool, **options: Any) -> None:
    """Make a float network of a trained network of snnTorch or SpikingJelly, spike for spike the same, or of a NIR graph.

    FILE.py is EXECUTED, as Python would: import only what you trust. NAME in it is the network, weights loaded, or a function or class that
    gives it when called without arguments. It is run in float64 on random events, and on test samples of --data, and must spike in
    every layer as the float network does.

    A NIR graph leaves open how time is stepped, so --dt, --reset and --compare are needed; one that 'spikefold export' wrote says all
    itself and takes no options. There is nothing to run it in, and nothing to compare with. Options that would change nothing are refused.

    What cannot be carried over exactly is refused by name; docs/importing.md says what can be. Needs the extra 'train', and 'nir' for NIR.
    """
    path, _, name = source.rpartition(":")
    module = path.endswith(".py")
    report_path = _check_out(out, force, Path(path if module else source))
    given = _given(context)
    if module:
        report, network = _from_module(Path(path), name, out.name, options, given)
    elif source.endswith(".py"):
        raise click.UsageError(f"{source}: the name of the network in it is missing; FILE.py:NAME")
    else:
        report, network = _from_nir(Path(source), out.name, options, given)
    # The network last: where it is, its report is too.
    write_text(report_path, json.dumps(report.document, indent=2, allow_nan=False) + "\n")
    from spikefold.quantize.float_file import save_float

    save_float(network, out)
    show(report, json_only)


def _given(context: click.Context) -> dict[str, str]:
    """Return of the options that were given, not left at their defaults, the names as a user knows them; what every import takes is left out."""
    return {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in (None, "source", "out", "force", "json_only")
        and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
    }


def _refuse(place: str, given: dict[str, str], names: Iterable[str], why: str) -> None:
    """Refuse those of the options that were given but would change nothing."""
    for name in names:
        if name in given:
            raise click.UsageError(f"{place}: {why}; {given[name]} is not taken")


def _from_module(path: Path, name: str, out: str, options: dict[str, Any], given: dict[str, str]) -> tuple[Report, "FloatNetwork"]:
    """Import a live module."""
    from spikefold.data.coding import encode
    from spikefold.train.importers.loading import load_module
    from spikefold.train.importers.modules import import_module

    _refuse(f"{path}:{name}", given, ("dt", "reset", "compare", "discretisation"), "a module says itself what NIR graphs leave open")
    _refuse_without_data(f"{path}:{name}", given)
    code, data = _input(options)
    count = min(options["samples"], len(data or ()))
    events = None if data is None else encode(data.images[:count], code, options["timesteps"], range(count))
    imported = import_module(
        load_module(path, name), coding=code, timesteps=options["timesteps"], class_names=None if data is None else data.class_names,
        forward=options["forward"], readout=options["readout"], events=events, provenance=_provenance(f"{path.name}:{name}", data),
    )  # fmt: skip
    for layer, rate in zip(imported.network.layers, imported.rates, strict=False):
        if rate == 0:
            note(f"layer {layer.name!r} fired in no sample, so its equality says little")
    return _import_report(imported, out, f"{path}:{name}"), imported.network


def _from_nir(path: Path, out: str, options: dict[str, Any], given: dict[str, str]) -> tuple[Report, "FloatNetwork"]:
    """Import a NIR graph."""
    from spikefold.train.importers.nir_export import exported_network
    from spikefold.train.importers.nir_graph import read_chain
    from spikefold.train.importers.nir_import import NirRules, network_of

    chain = read_chain(path)
    if chain.metadata:
        _refuse(str(path), given, given, "spikefold export wrote it, and it says all itself")
        network = exported_network(chain, str(path))
    else:
        _refuse(str(path), given, ("forward", "readout", "samples"), "a NIR graph is not run, and says itself what it reads out")
        _refuse_without_data(str(path), given)
        missing = [f"--{name}" for name in ("dt", "reset", "compare") if options[name] is None]
        if missing:
            raise click.UsageError(f"{path}: {', '.join(missing)} must say what a NIR graph does not; docs/importing.md has those of each framework")
        rules = NirRules(dt=options["dt"], reset=options["reset"], compare=options["compare"], discretisation=options["discretisation"])
        code, data = _input(options)
        names = None if data is None else data.class_names
        network = network_of(chain, code, options["timesteps"], rules, names, _provenance(path.name, data))
    layers = [
        {
            "name": layer.name, "kind": layer.kind, "shape": list(shape), "norm": layer.norm.kind, "reset": layer.reset, "leak": layer.leak.tolist(),
            "threshold": layer.threshold.tolist(),
        }
        for layer, shape in zip(network.layers, network.shapes(), strict=True)
    ]  # fmt: skip
    report = Report({"network": out, "source": str(path), "nir": chain.version, "timesteps": network.timesteps, "layers": layers})
    report.table(
        out,
        tuple(layers[0]),
        [(layer["name"], layer["kind"], _by(layer["shape"]), *(_short(v) for v in list(layer.values())[3:])) for layer in layers],
    )
    return report, network


def _refuse_without_data(place: str, given: dict[str, str]) -> None:
    if "data_name" not in given:
        _refuse(place, given, ("data_dir", "samples"), "no --data is given")


def _short(value: Any) -> object:
    """Return a cell of a table: of several numbers the least and the largest."""
    if not isinstance(value, list):
        return value
    return f"{value[0]:.6g}" if len(set(value)) == 1 else f"{min(value):.4g}..{max(value):.4g}"


def _by(shape: Any) -> str:
    return " x ".join(map(str, shape))


def _provenance(source: str, data: "Dataset | None") -> dict[str, str]:
    return {"imported": source} | ({} if data is None else {"data": data.name})


def _input(options: dict[str, Any]) -> "tuple[InputCoding, Dataset | None]":
    """Return the input coding, and the test split of the data set if one is given."""
    from spikefold.data.coding import InputCoding
    from spikefold.data.datasets import load_dataset

    if options["timesteps"] is None:
        raise click.UsageError("--timesteps is missing")
    if (options["data_name"] is None) == (options["shape"] is None):
        raise click.UsageError("one of --data and --shape is needed")
    data = None if options["data_name"] is None else load_dataset(options["data_name"], "test", options["data_dir"], timesteps=options["timesteps"])
    fields = {name: options[name] for name in ("coding", "mean", "std", "scale", "payload_bits", "seed")}
    return InputCoding(shape=_shape(data, options["shape"], options["coding"], options["timesteps"]), **fields), data


def _check_out(out: Path, force: bool, source: Path) -> Path:
    """Return the path of the report beside ``out``; said before the work, not after it."""
    if out.suffix != ".safetensors":
        raise DataError(f"{out}: the network's file name must end in .safetensors")
    report_path = out.with_suffix(".json")
    for path in (out, report_path):
        check_output(path, force=force, inputs=[source])
    return report_path


def _shape(data: "Dataset | None", shape: tuple[int, int, int] | None, coding: str, timesteps: int) -> tuple[int, int, int]:
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
            (layer["name"], layer["kind"], _by(layer["shape"]), layer["norm"], layer["reset"], *(layer.get(key, "") for key in keys))
            for layer in layers
        ],
    )  # fmt: skip
    return report
