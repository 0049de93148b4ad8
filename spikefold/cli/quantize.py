"""The verb quantize: the fold of a float network into an integer one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from spikefold.cli.inputs import read_run
from spikefold.cli.options import PATH, as_json, examples
from spikefold.cli.progress import note, progress_bar
from spikefold.cli.tables import Report, show
from spikefold.data.errors import DataError
from spikefold.data.files import MODEL, check_output, write_text

if TYPE_CHECKING:
    from spikefold.quantize.float_network import FloatNetwork
    from spikefold.quantize.fold_result import FoldResult

__all__ = ["quantize"]


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
    bits = _bits_by_layer(weight_bits)
    network, trained = read_run(run), trained_widths(run)
    if bits and "" not in bits:
        # Bits of some layers leave those of the others as they were trained.
        bits = trained.get("weight_bits", {}) | bits
    given = {"weight_bits": bits or None, "gain_bits": gain_bits, "gain_terms": gain_terms, "form": form}
    widths = trained | {name: value for name, value in given.items() if value is not None}
    if calibrate is not None:
        network = with_constant_roots(network, calibrate, data_dir)
    result = fold(network, saturate_bits=saturate_bits, timesteps=timesteps, **widths)
    report = quantize_report(result, run, out, calibrate)
    # The network last: if it is there, its report is too.
    write_text(report_path, json.dumps(report.document, indent=2, allow_nan=False) + "\n")
    network_file.save(result.network, out)
    for warning in result.warnings:
        note(f"warning: {warning}")
    show(report, json_only)


def _bits_by_layer(weight_bits: "tuple[tuple[str, int | Literal['keep']], ...]") -> "dict[str, int | Literal['keep']]":
    """Return the bits of each layer that ``--weight-bits`` names, those of all layers as ""; bits that are given twice are refused."""
    bits = dict(weight_bits)
    if len(bits) < len(weight_bits):
        twice = next(name for name in bits if sum(layer == name for layer, _ in weight_bits) > 1)
        raise DataError(f"--weight-bits: {f'layer {twice!r} has' if twice else 'all layers have'} bits twice; give them once")
    return bits


def quantize_report(result: "FoldResult", run: Path, out: Path, calibrate: int | None) -> Report:
    """Return the fold's report: a table with a row for each layer."""
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
    return report


def with_constant_roots(network: "FloatNetwork", samples: int, data_dir: Path | None) -> "FloatNetwork":
    """Return ``network`` with PSP-LN calibrated on the first training samples, in batches that fit in memory."""
    from spikefold.analysis.sample_bytes import sample_bytes
    from spikefold.quantize.calibrated import calibrated
    from spikefold.workflow.batches import batch_size, event_batches
    from spikefold.workflow.samples import data_for, sample_count

    data = data_for(network, None, "train", data_dir)
    wanted = sample_count(network, data, samples)
    size = batch_size(sample_bytes(network, "drift"))
    with progress_bar() as progress:
        return calibrated(network, event_batches(network, data, wanted, size, "calibrate", progress))
