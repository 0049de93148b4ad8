"""A picture of how much each layer fires over time, as an SVG file of its own."""

import html
from collections.abc import Sequence

from spikefold.quantize.network import Int, Network

__all__ = ["firing_svg"]

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
