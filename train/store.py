"""What a finished run leaves of its network, and the way back to the module.

A chain of LIF layers is kept as a float network, the hand-over to quantisation. What that cannot express yet (SRM neurons, residual
connections, shared weights, ReLU, stochmax) is kept as the module's own tensors, named as the module names them.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from spikefold.data.files import MODEL, RECIPE, WEIGHTS
from spikefold.quantize import tensor_file
from spikefold.quantize.float_file import load_float, save_float
from spikefold.quantize.float_network import FloatLayer, FloatNetwork
from spikefold.train.errors import ExportError, TrainError
from spikefold.train.export import to_float_network
from spikefold.train.layers import Synapses
from spikefold.train.network import SpikingNetwork, build_network
from spikefold.train.neurons import LIF
from spikefold.train.norm import CurrentNorm
from spikefold.train.recipe import Recipe, load_recipe

__all__ = ["load_run", "save_network"]

KIND = "weights"
FORMAT_VERSION = 1


def save_network(module: SpikingNetwork, recipe: Recipe, folder: Path, class_names: Sequence[str], provenance: Mapping[str, str]) -> tuple[Path, str]:
    """Write the network of a run to its folder; return the file, and why it is no float network ("" where it is one)."""
    try:
        network = to_float_network(module, coding=recipe.input, class_names=class_names, provenance=provenance)
    except ExportError as error:
        return _save_weights(module, folder / WEIGHTS, provenance), str(error)
    save_float(network, folder / MODEL)
    return folder / MODEL, ""


def load_run(folder: Path) -> tuple[Recipe, SpikingNetwork]:
    """Return the recipe of a finished run and its network in evaluation mode, in float64; what is missing or does not fit is a TrainError."""
    if not (folder / RECIPE).is_file():
        raise TrainError(f"{folder}: it is not the folder of a training run (it has no {RECIPE})")
    recipe = load_recipe(folder / RECIPE)
    module = build_network(recipe).double().eval()
    sha256 = hashlib.sha256((folder / RECIPE).read_bytes()).hexdigest()
    if (folder / WEIGHTS).is_file():
        _load_weights(module, folder / WEIGHTS, sha256)
    elif (folder / MODEL).is_file():
        network = load_float(folder / MODEL)
        _check_recipe(network.provenance, sha256, folder / MODEL)
        _fill(module, network, folder / MODEL)
    else:
        raise TrainError(f"{folder}: neither {MODEL} nor {WEIGHTS} is in it; is the run finished? (train --resume goes on with it)")
    return recipe, module


def _check_recipe(provenance: Mapping[str, object], sha256: str, path: Path) -> None:
    """Raise a TrainError where a network is not that of the recipe beside it: a leak, say, is in the recipe alone."""
    if provenance.get("recipe_sha256") != sha256:
        raise TrainError(f"{path}: it was trained by another recipe than the {RECIPE} beside it (recipe_sha256 differs)")


def _save_weights(module: nn.Module, path: Path, provenance: Mapping[str, str]) -> Path:
    # Every tensor once, under its first name, however often its module stands in the network. Thresholds are set, not learned
    # (conversion finds them), so they are no tensors.
    thresholds = [float(part.threshold) for part in _lif(module)]
    tensors = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in _tensors(module).items()}
    tensor_file.write(
        path, tensors, {"kind": KIND, KIND: {"format_version": FORMAT_VERSION, "thresholds": thresholds, "provenance": dict(provenance)}}
    )
    return path


def _lif(module: nn.Module) -> list[LIF]:
    return [part for part in module.modules() if isinstance(part, LIF)]


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _load_weights(module: nn.Module, path: Path, sha256: str) -> None:
    header, tensors = tensor_file.read(path)
    body = header.get(KIND)
    if header.get("kind") != KIND or not isinstance(body, dict) or body.get("format_version") != FORMAT_VERSION:
        raise TrainError(f"{path}: it does not hold the weights of a run in format {FORMAT_VERSION}")
    provenance = body.get("provenance")
    _check_recipe(provenance if isinstance(provenance, dict) else {}, sha256, path)
    own = _tensors(module)
    if tensors.keys() != own.keys():
        odd = sorted(tensors.keys() ^ own.keys())[0]
        raise TrainError(f"{path}: the tensor {odd!r} is {'missing' if odd in own else 'unknown'}; the recipe beside it says which there are")
    thresholds, neurons = body.get("thresholds"), _lif(module)
    if not isinstance(thresholds, list) or len(thresholds) != len(neurons):
        raise TrainError(f"{path}: thresholds: {thresholds!r}; the recipe beside it has {len(neurons)} layers of LIF neurons")
    for value in thresholds:
        if type(value) is not float or not 0 < value < math.inf:
            raise TrainError(f"{path}: threshold {value!r}; it must be a number with a point, above 0")
    with torch.no_grad():
        for name, tensor in own.items():
            _copy(tensor, tensors[name], f"{path}: tensor {name!r}")
        for part, threshold in zip(neurons, thresholds, strict=True):
            part.threshold = threshold


def _fill(module: SpikingNetwork, network: FloatNetwork, path: Path) -> None:
    """Give the module, built from the recipe, the values of the float network that it once was."""
    parts = [part for part in module.chain if isinstance(part, Synapses | CurrentNorm | LIF)]
    layers = iter(network.layers)
    layer: FloatLayer | None = None
    with torch.no_grad():
        for part in parts:
            if isinstance(part, Synapses):
                layer = next(layers, None)
            if layer is None:
                raise TrainError(f"{path}: it has {len(network.layers)} layers; the recipe beside it has more")
            place = f"{path}: layer {layer.name!r}"
            if isinstance(part, Synapses):
                _copy(part.weight, layer.weights, f"{place} weights")
                if part.bias is not None and layer.bias is not None:
                    _copy(part.bias, layer.bias, f"{place} bias")
            elif isinstance(part, CurrentNorm):
                for name, tensor in (("gamma", part.gamma), ("mean", part.running_mean), ("var", part.running_var), ("beta", part.beta)):
                    if tensor is not None:
                        _copy(tensor, getattr(layer.norm, name), f"{place} norm {name}")
            else:
                part.threshold = layer.threshold
                if part.leak_logit is not None:
                    part.leak_logit.fill_(float(torch.logit(torch.tensor(layer.leak, dtype=torch.float64))))
    if next(layers, None) is not None:
        raise TrainError(f"{path}: it has {len(network.layers)} layers; the recipe beside it has fewer")


def _copy(target: torch.Tensor, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], place: str) -> None:
    if tuple(target.shape) != values.shape:
        raise TrainError(f"{place}: shape {list(values.shape)}; the recipe beside it says {list(target.shape)}")
    target.copy_(torch.from_numpy(np.array(values)))
