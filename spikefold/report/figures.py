"""Pictures of what networks do, as SVG files of their own."""

import html
import io
from collections.abc import Sequence
from typing import Any

from spikefold.analysis.drift_report import DriftReport, LayerDrift, SpikeDrift
from spikefold.data.shown import percent
from spikefold.network.fields import Int
from spikefold.network.network import Network

__all__ = ["drift_svg", "evaluation_svg", "firing_svg", "search_svg"]

WIDTH, HEIGHT, LEFT, TOP, GAP = 640, 90, 60, 24, 46
BIT, RULE = 10, 22
"""The side of a bit in a bar of widths, and the height that such a bar takes with what is around it."""
DARK, LIGHT = "#31688e", "#a9cbdf"


def firing_svg(network: Network, spikes: Sequence[Int], samples: int) -> str:
    """Return a bar a timestep for every layer that fires: spikes per neuron, from ``spikes`` int64 [T] summed over ``samples`` and neurons."""
    layers = [(p, s / (samples * p.size)) for p, s in zip(network.populations, spikes, strict=True) if not p.never_fires]
    height = TOP + len(layers) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDTH + 20}" height="{height}" fill="white"/>',
    ]
    for i, (population, rates) in enumerate(layers):
        top, most = TOP + i * (HEIGHT + GAP), float(rates.max())
        step = WIDTH / network.timesteps
        parts.append(f'<text x="{LEFT}" y="{top - 8}">{html.escape(population.name)}: spikes per neuron in each timestep</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.3f}</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>')
        for t, rate in enumerate(rates):
            bar = HEIGHT * float(rate) / most if most else 0.0
            parts.append(f'<rect x="{LEFT + t * step:.2f}" y="{top + HEIGHT - bar:.2f}" width="{step * 0.8:.2f}" height="{bar:.2f}" fill="{DARK}"/>')
        parts.append(f'<line x1="{LEFT}" y1="{top + HEIGHT}" x2="{LEFT + WIDTH}" y2="{top + HEIGHT}" stroke="black"/>')
        parts.append(f'<text x="{LEFT}" y="{top + HEIGHT + 14}">t = 0</text>')
        parts.append(f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 14}" text-anchor="end">t = {network.timesteps - 1}</text>')
    return "\n".join([*parts, "</svg>", ""])


def drift_svg(report: DriftReport) -> str:
    """Return the share of flips in each timestep for every layer that fires, and for every layer the bits that its potential used."""
    legend = (
        f"neurons whose spike flips, in each timestep: {_box(LIGHT)} in the whole network, {_box(DARK)} where the layer is fed as the float one",
        "below, the bits that its potential used of those that it has",
    )
    parts = [f'<text x="{LEFT}" y="{TOP - 6 + 16 * i}">{line}</text>' for i, line in enumerate(legend)]
    top = TOP + 16 + GAP
    for layer in report.layers:
        parts.append(f'<text x="{LEFT}" y="{top - 8}">{html.escape(layer.name)}: {_drift_words(report, layer)}</text>')
        if layer.spikes is not None:
            parts += _flip_bars(layer.spikes, report.samples * layer.neurons, top)
            top += HEIGHT + RULE
        parts += _width_bar(layer, top)
        top += RULE + GAP
    size = f'width="{LEFT + WIDTH + 20}" height="{top - TOP}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([opening, f'<rect {size} fill="white"/>', *parts, "</svg>", ""])


def _box(colour: str) -> str:
    """Return a square of ``colour`` within a line of text."""
    return f'<tspan fill="{colour}">\u25a0</tspan>'


def _drift_words(report: DriftReport, layer: LayerDrift) -> str:
    error = f"own potential error {percent(layer.own_potential_error)} of the {layer.error_unit}"
    if layer.spikes is None:
        return error
    each = report.samples * layer.neurons * report.timesteps
    first = layer.spikes.first_flip
    return (
        f"{percent(layer.spikes.flips.sum() / each, 3)} flip, {percent(layer.spikes.own_flips.sum() / each, 3)} on its own"
        f"{'' if first is None else f', the first in t = {first}'}; {error}"
    )


def _flip_bars(spikes: SpikeDrift, neurons: int, top: float) -> list[str]:
    """Draw a wide bar a timestep for the flips and a narrow one for the layer's own."""
    step = WIDTH / len(spikes.flips)
    most = max(int(spikes.flips.max()), int(spikes.own_flips.max()))
    parts = [
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{percent(most / neurons)}</text>',
        f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>',
    ]
    for flips, colour, wide in ((spikes.flips, LIGHT, 0.8), (spikes.own_flips, DARK, 0.4)):
        for t, count in enumerate(flips.tolist()):
            bar, left = HEIGHT * count / max(most, 1), LEFT + (t + 0.4 - wide / 2) * step
            parts.append(f'<rect x="{left:.2f}" y="{top + HEIGHT - bar:.2f}" width="{step * wide:.2f}" height="{bar:.2f}" fill="{colour}"/>')
    return [
        *parts,
        f'<line x1="{LEFT}" y1="{top + HEIGHT}" x2="{LEFT + WIDTH}" y2="{top + HEIGHT}" stroke="black"/>',
        f'<text x="{LEFT}" y="{top + HEIGHT + 14}">t = 0</text>',
        f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 14}" text-anchor="end">t = {len(spikes.flips) - 1}</text>',
    ]


def _width_bar(layer: LayerDrift, top: float) -> list[str]:
    """Draw the bits of the potential, the used ones filled."""
    seen = layer.potential
    words = f"{seen.used_bits} of {seen.bits} bits used, {seen.least:,} to {seen.greatest:,}, {layer.clamps:,} clamps"
    if layer.spikes is not None:
        words += f"; {layer.spikes.dead[1]:,} dead, {layer.spikes.saturated[1]:,} saturated"
    return [
        f'<rect x="{LEFT}" y="{top}" width="{seen.used_bits * BIT}" height="{BIT}" fill="{DARK}"/>',
        f'<rect x="{LEFT}" y="{top}" width="{seen.bits * BIT}" height="{BIT}" fill="none" stroke="black"/>',
        f'<text x="{LEFT + seen.bits * BIT + 8}" y="{top + BIT}">{words}</text>',
    ]


def evaluation_svg(found: dict[str, Any]) -> str:
    """Return accuracy over timesteps, firing rates, confusion and, where there are any, BNTT's gammas, from an evaluation as JSON has it.

    The same bytes for the same figures. Needs matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    leaving, names = found["early_exit"], found["class_names"]
    with matplotlib.rc_context({"svg.hashsalt": "spikefold", "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 8), layout="constrained")
        (accuracy, rates), (confusion, gammas) = figure.subplots(2, 2)
        over_time = found["accuracy_after_timesteps"]
        accuracy.plot(found["timesteps"], [100 * a for a in over_time], marker="o")
        accuracy.set(title=f"{found['data']}, {found['split']} split", xlabel="timesteps", ylabel="accuracy, %")
        if leaving is not None:
            accuracy.axvline(leaving["timesteps"], linestyle="--", color="grey", label=f"early exit after {leaving['timesteps']}")
            accuracy.legend()
        layers = found["measures"]["neurons"]
        rates.bar([f"{i + 1} {layer['name']}" for i, layer in enumerate(layers)], [layer["firing_rate"] for layer in layers])
        rates.tick_params(axis="x", rotation=90)
        rates.set(title="spikes per neuron and timestep")
        confusion.imshow(found["confusion"], cmap="Blues")
        confusion.set(title="taken for (columns)", xticks=range(len(names)), yticks=range(len(names)), yticklabels=names)
        confusion.set_xticklabels(names, rotation=90)
        if leaving is None:
            gammas.set_axis_off()
        else:
            image = gammas.imshow(leaving["mean_gammas"], aspect="auto", interpolation="none")
            gammas.set(title="mean gamma", xlabel="timestep", ylabel="layer")
            figure.colorbar(image, ax=gammas)
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": "spikefold"})
    return content.getvalue()


def search_svg(found: dict[str, Any]) -> str:
    """Return accuracy over weight memory of all trials of a search for weight bits, from its summary as JSON has it.

    The same bytes for the same figures. Needs matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    chosen, eight = found["chosen"], found["eight_bits"]
    # What is impossible has no accuracy to be drawn.
    tried = [trial for trial in found["tried"] if "impossible" not in trial]
    with matplotlib.rc_context({"svg.hashsalt": "spikefold", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        for within, colour, label in ((True, DARK, "within the budget"), (False, LIGHT, "beyond it")):
            shown = [trial for trial in tried if trial["within_budget"] is within]
            axes.scatter([t["memory_bits"] / 1000 for t in shown], [100 * t["accuracy"] for t in shown], color=colour, label=label)
        least = 100 * eight["accuracy"] - found["budget_points"]
        axes.axhline(least, linestyle="--", color="grey", label=f"8 bits less {found['budget_points']:g} points")
        bits = ", ".join(map(str, chosen["weight_bits"].values()))
        axes.scatter(
            [chosen["memory_bits"] / 1000], [100 * chosen["accuracy"]], s=160, facecolors="none", edgecolors="black", label=f"chosen: {bits} bits"
        )  # fmt: skip
        axes.set(
            title=f"{found['data']}, {found['samples']:,} samples that training held back", xlabel="memory of all weights, thousands of bits",
            ylabel="accuracy, %",
        )  # fmt: skip
        axes.legend(loc="best")
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": "spikefold"})
    return content.getvalue()
