"""PSP-LN in one pass: its divisor, which each sample has for itself, replaced by the mean over some samples. It is an approximation."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import DataError, FoldError
from spikefold.quantize.float_evaluation import evaluate, psp_root
from spikefold.quantize.float_network import LN_NORMS, FloatNetwork, Norm

__all__ = ["calibrated"]


def calibrated(network: FloatNetwork, batches: Iterable[npt.NDArray[np.int8]]) -> FloatNetwork:
    """Return ``network`` with every PSP-LN made the PSP-BN that divides all samples by the mean root of ``batches`` of events [N, T, C, H, W].

    What a streaming chip can run: nothing waits for a sample's last timestep. The provenance says of how many samples the mean is. Raises a
    FoldError where nothing is normalised by PSP-LN, and a DataError where there are no events.
    """
    roots: dict[str, list[npt.NDArray[np.float64]]] = {layer.name: [] for layer in network.layers if layer.norm.kind in LN_NORMS}
    if not roots:
        raise FoldError("calibration: no layer is normalised by psp-ln; other norms divide all samples by the same already")
    for events in batches:
        trace = evaluate(network, events)
        x = events.astype(np.float64) / network.input.scale
        for layer, spikes, potentials in zip(network.layers, trace.spikes, trace.potentials, strict=True):
            if layer.name in roots:
                roots[layer.name].append(psp_root(layer, x).ravel())
            x = np.maximum(potentials, 0) if layer.neuron == "relu" else spikes.astype(np.float64)
    if not all(roots.values()):
        raise DataError("calibration: there are no events; at least 1 sample is needed")
    every = {name: np.concatenate(found) for name, found in roots.items()}
    said = {f"calibrated {name}": f"divided by {float(found.mean())!r}, the mean of {len(found)} samples" for name, found in every.items()}
    layers = (
        replace(layer, norm=_constant(layer.norm, float(every[layer.name].mean()))) if layer.name in every else layer for layer in network.layers
    )
    return replace(network, layers=tuple(layers), provenance=dict(network.provenance) | said)


def _constant(norm: Norm, root: float) -> Norm:
    """Return the PSP-BN that divides by ``root`` where ``norm`` divides by each sample's own."""
    var = np.full_like(norm.var, max(0.0, root**2 - norm.eps))
    return Norm(kind="psp-bn", gamma=norm.gamma, beta=norm.beta, mean=norm.mean, var=var, eps=norm.eps)
