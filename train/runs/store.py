"""What a finished run leaves of its network, and the way back to the module.

What a float network can express is kept as one, the hand-over to quantisation. All but a chain of LIF layers is also kept as the
module's own tensors, named as the module names them: from them alone a module comes back.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikefold.data.errors import DataError
from spikefold.data.files import MODEL, RECIPE, WEIGHTS
from spikefold.data.shown import shown
from spikefold.data.toml import read_toml_text
from spikefold.network.files import tensor_file
from spikefold.quantize.float_file import load_float, save_float
from spikefold.quantize.float_network import FloatLayer, FloatNetwork
from spikefold.train.errors import ExportError, TrainError
from spikefold.train.modules.export import to_float_network
from spikefold.train.modules.lif_chain import LIFLayer, is_lif_chain, lif_layers
from spikefold.train.modules.network import SpikingNetwork, build_network
from spikefold.train.modules.neurons import LIF
from spikefold.train.recipes.recipe import Recipe, parse_recipe
from spikefold.train.recipes.sections import PlacedLayer, place_layers

__all__ = ["load_run", "save_network"]

KIND = "weights"
FORMAT_VERSION = 1
BODY = {"format_version", "thresholds", "provenance"}

# What a layer of a run's float network is where its recipe has no word for it: all that has a default but what is learned.
_DEFAULTS: dict[str, object] = {
    field.name: field.default if field.default_factory is MISSING else field.default_factory()
    for field in fields(FloatLayer)
    if field.name != "bias" and (field.default, field.default_factory) != (MISSING, MISSING)
}

Values = npt.NDArray[Any]


def save_network(module: SpikingNetwork, recipe: Recipe, folder: Path, class_names: Sequence[str], provenance: Mapping[str, str]) -> tuple[Path, str]:
    """Write the network of a run to its folder; return the file, and why it is no float network ("" where it is one).

    The module's own tensors are written too where a float network alone does not give the module back.
    """
    if not is_lif_chain(module):
        _save_weights(module, folder / WEIGHTS, provenance)
    try:
        network = to_float_network(module, coding=recipe.input, class_names=class_names, provenance=provenance)
    except ExportError as error:
        return folder / WEIGHTS, str(error)
    save_float(network, folder / MODEL)
    return folder / MODEL, ""


def load_run(folder: Path) -> tuple[Recipe, SpikingNetwork]:
    """Return the recipe of a finished run and its network in evaluation mode, in float64; what is missing or does not fit is a TrainError."""
    if not (folder / RECIPE).is_file():
        raise TrainError(f"{folder}: it is not the folder of a training run (it has no {RECIPE})")
    try:
        text = read_toml_text(folder / RECIPE)
    except DataError as error:
        raise TrainError(str(error)) from error
    recipe = parse_recipe(text, str(folder / RECIPE))
    fill = _filler(folder, recipe, hashlib.sha256(text.encode()).hexdigest())
    # First a network without memory: a recipe of a few lines can ask for gigabytes of weights, which must then be in the file beside it.
    with torch.device("meta"):
        shapes = build_network(recipe).double()
    fill(shapes)
    module = build_network(recipe).double().eval()
    fill(module)
    return recipe, module


def _filler(folder: Path, recipe: Recipe, sha256: str) -> Callable[[SpikingNetwork], None]:
    """Return what gives a network, built from the recipe, the values in its folder; there must be as many as the recipe has layers."""
    if (folder / WEIGHTS).is_file():
        path = folder / WEIGHTS
        header, tensors = tensor_file.read(path)
        count, fill = len(tensors), partial(_fill_tensors, header=header, tensors=tensors, path=path, sha256=sha256)
    elif (folder / MODEL).is_file():
        path = folder / MODEL
        network = load_float(path)
        _check_recipe(network.provenance, sha256, path)
        count, fill = len(network.layers), partial(_fill_layers, recipe=recipe, network=network, path=path)
    else:
        raise TrainError(f"{folder}: neither {MODEL} nor {WEIGHTS} is in it; is the run finished? (train --resume goes on with it)")
    if sum(not layer.weights for layer in recipe.layers) > count:
        raise TrainError(f"{path}: it has {count} {'tensors' if path.name == WEIGHTS else 'layers'}; the recipe beside it has more")
    return fill


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


def _fill_tensors(module: SpikingNetwork, *, header: Mapping[str, Any], tensors: Mapping[str, Values], path: Path, sha256: str) -> None:
    """Give the module, built from the recipe, its own tensors and thresholds."""
    body = header.get(KIND)
    if header.keys() != {"kind", KIND} or header["kind"] != KIND or not isinstance(body, dict) or body.keys() != BODY:
        raise TrainError(f"{path}: it does not hold the weights of a run; its header must have 'kind' and {KIND!r}, with {', '.join(sorted(BODY))}")
    if type(body["format_version"]) is not int or body["format_version"] != FORMAT_VERSION:
        raise TrainError(f"{path}: format_version: {shown(body['format_version'])}; this version of spikefold reads {FORMAT_VERSION}")
    _check_recipe(body["provenance"] if isinstance(body["provenance"], dict) else {}, sha256, path)
    own, thresholds, neurons = _tensors(module), body["thresholds"], _lif(module)
    if tensors.keys() != own.keys():
        odd = sorted(tensors.keys() ^ own.keys())[0]
        raise TrainError(f"{path}: the tensor {odd!r} is {'missing' if odd in own else 'unknown'}; the recipe beside it says which there are")
    if not isinstance(thresholds, list) or len(thresholds) != len(neurons):
        raise TrainError(f"{path}: thresholds: {shown(thresholds)}; the recipe beside it has {len(neurons)} layers of LIF neurons")
    for value in thresholds:
        if type(value) is not float or not 0 < value < math.inf:
            raise TrainError(f"{path}: threshold {shown(value)}; it must be a number with a point, above 0")
    with torch.no_grad():
        for name, tensor in own.items():
            _copy(tensor, tensors[name], f"{path}: tensor {name!r}")
        for part, threshold in zip(neurons, thresholds, strict=True):
            part.threshold = threshold


def _fill_layers(module: SpikingNetwork, *, recipe: Recipe, network: FloatNetwork, path: Path) -> None:
    """Give the module, built from the recipe, the values of the float network that it once was."""
    if not is_lif_chain(module):
        raise TrainError(f"{path}: by the recipe beside it, there is more than LIF layers in a row, so {WEIGHTS} must be there too")
    layers = iter(network.layers)
    with torch.no_grad():
        for own in lif_layers(module, "a run's float network"):
            layer = next(layers, None)
            if layer is None:
                raise TrainError(f"{path}: it has {len(network.layers)} layers; the recipe beside it has more")
            _fill_layer(own, layer, f"{path}: layer {layer.name!r}")
    if next(layers, None) is not None:
        raise TrainError(f"{path}: it has {len(network.layers)} layers; the recipe beside it has fewer")
    _check_layers(recipe, network, path)


def _fill_layer(own: LIFLayer, layer: FloatLayer, place: str) -> None:
    """Give a layer's modules the values that it has in the float network."""
    synapses, norm, neurons = own.synapses, own.norm, own.neurons
    _copy(synapses.weight, layer.weights, f"{place} weights")
    if (synapses.bias is None) != (layer.bias is None):
        found = "missing" if layer.bias is None else "there"
        raise TrainError(f"{place} bias: it is {found}; the recipe beside it says otherwise")
    if synapses.bias is not None and layer.bias is not None:
        _copy(synapses.bias, layer.bias, f"{place} bias")
    if norm is not None:
        tensors = {"gamma": norm.gamma, "mean": norm.running_mean, "var": norm.running_var, "beta": norm.beta}
        for name, tensor in tensors.items():
            if tensor is not None:
                _copy(tensor, getattr(layer.norm, name), f"{place} norm {name}")
    if neurons is not None:
        neurons.threshold = float(layer.threshold[0])
        if neurons.leak_logit is not None:
            neurons.leak_logit.fill_(float(torch.logit(torch.tensor(float(layer.leak[0]), dtype=torch.float64))))


def _check_layers(recipe: Recipe, network: FloatNetwork, path: Path) -> None:
    """Raise a TrainError where the float network says something else than the recipe beside it, of what is not learned."""
    found: dict[str, object] = {"timesteps": network.timesteps, "readout": network.readout, "input": network.input}
    _hold(f"{path}:", found, {"timesteps": recipe.timesteps, "readout": recipe.readout, "input": recipe.input})
    for i, (placed, layer) in enumerate(zip(place_layers(recipe.layers, recipe.source), network.layers, strict=False)):
        plan, place = placed.layer, f"{path}: layer {layer.name!r}"
        integrates = recipe.readout == "potential" and i == len(recipe.layers) - 1
        said = _DEFAULTS | {"name": placed.name, "kind": plan.kind, "stride": plan.stride, "padding": plan.padding, "pool": plan.pool}
        said |= _neurons(recipe, placed, layer, integrates=integrates)
        _hold(place, {key: getattr(layer, key) for key in said}, said)
        _check_norm(recipe, layer, place, normed=plan.norm and recipe.norm.kind != "none" and not integrates)


def _neurons(recipe: Recipe, placed: PlacedLayer, layer: FloatLayer, *, integrates: bool) -> dict[str, object]:
    """Return what a recipe says of a layer's LIF neurons; a leak that is learned and thresholds that conversion found must be one for all of them."""
    if integrates:
        return {"reset": "none", "leak": 1.0, "threshold": 1.0}
    neuron, own = recipe.neuron, placed.layer.threshold
    leak = layer.leak[0] if neuron.learn_leak else neuron.leak
    threshold = layer.threshold[0] if recipe.conversion else neuron.threshold if own is None else own
    return {"reset": neuron.reset, "leak": float(leak), "threshold": float(threshold)}


def _check_norm(recipe: Recipe, layer: FloatLayer, place: str, *, normed: bool) -> None:
    """Hold a layer's normalisation of the current against the recipe; where the module has no place for a part, it must change nothing."""
    norm, kind = layer.norm, "bntt" if recipe.norm.kind == "bntt" else "bn"
    said = {"kind": kind, "eps": recipe.norm.eps} if normed else {"kind": "none", "eps": 0.0}
    _hold(f"{place} norm", {"kind": norm.kind, "eps": norm.eps}, said)
    fixed = {} if normed and recipe.norm.beta else {"beta": norm.beta}
    fixed |= {} if normed else {"gamma": norm.gamma - 1, "mean": norm.mean, "var": norm.var - 1}
    for name, values in fixed.items():
        if values.any():
            raise TrainError(f"{place} norm {name}: it does something; by the recipe beside it, there is none")


def _hold(place: str, found: Mapping[str, object], said: Mapping[str, object]) -> None:
    for key, value in said.items():
        if not np.all(np.asarray(found[key] == value)):
            raise TrainError(f"{place} {key}: {shown(found[key])}; the recipe beside it says {shown(value)}")


def _copy(target: torch.Tensor, values: Values, place: str) -> None:
    if tuple(target.shape) != values.shape:
        raise TrainError(f"{place}: shape {list(values.shape)}; the recipe beside it says {list(target.shape)}")
    source = torch.from_numpy(np.array(values))
    if source.is_floating_point() != target.is_floating_point():
        raise TrainError(f"{place}: dtype {values.dtype}; the recipe beside it says {'a real' if target.is_floating_point() else 'an integer'} one")
    target.copy_(source)
