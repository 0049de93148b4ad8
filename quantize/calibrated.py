"""PSP-LN in one pass: its divisor, which each sample has for itself, replaced by the mean over some samples. It is an approximation."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikefold.data.errors import FoldError
from spikefold.quantize.float_evaluation import evaluate, psp_root
from spikefold.quantize.float_network import LN_NORMS, FloatNetwork, Norm

__all__ = ["calibrated"]


def calibrated(network: FloatNetwork, events: npt.NDArray[np.int8]) -> FloatNetwork:
    """Return ``network`` with every PSP-LN made the PSP-BN that divides all samples by the mean root of ``events`` [N, T, C, H, W].

    What a streaming chip can run: nothing waits for a sample's last timestep. Raises a FoldError where nothing is normalised by PSP-LN.
    """
    if not any(layer.norm.kind in LN_NORMS for layer in network.layers):
        raise FoldError("calibration: no layer is normalised by psp-ln; other norms divide all samples by the same already")
    trace = evaluate(network, events)
    x = events.astype(np.float64) / network.input.scale
    layers = []
    for layer, spikes, potentials in zip(network.layers, trace.spikes, trace.potentials, strict=True):
        if layer.norm.kind in LN_NORMS:
            root = float(psp_root(layer, x).mean())
            norm = layer.norm
            var = np.full_like(norm.var, max(0.0, root**2 - norm.eps))
            layers.append(replace(layer, norm=Norm(kind="psp-bn", gamma=norm.gamma, beta=norm.beta, mean=norm.mean, var=var, eps=norm.eps)))
        else:
            layers.append(layer)
        x = np.maximum(potentials, 0) if layer.neuron == "relu" else spikes.astype(np.float64)
    return replace(network, layers=tuple(layers))
