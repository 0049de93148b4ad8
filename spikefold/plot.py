"""Pictures of what networks do, as SVG files of their own."""

import html
import io
from collections.abc import Sequence
from typing import Any

from spikefold.quantize.network import Int, Network

__all__ = ["evaluation_svg", "firing_svg"]

WIDTH, HEIGHT, LEFT, TOP, GAP = 640, 90, 60, 24, 46


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
            parts.append(f'<rect x="{LEFT + t * step:.2f}" y="{top + HEIGHT - bar:.2f}" width="{step * 0.8:.2f}" height="{bar:.2f}" fill="#31688e"/>')
        parts.append(f'<line x1="{LEFT}" y1="{top + HEIGHT}" x2="{LEFT + WIDTH}" y2="{top + HEIGHT}" stroke="black"/>')
        parts.append(f'<text x="{LEFT}" y="{top + HEIGHT + 14}">t = 0</text>')
        parts.append(f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 14}" text-anchor="end">t = {network.timesteps - 1}</text>')
    return "\n".join([*parts, "</svg>", ""])


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
