"""What wraps a module without changing what it computes is taken away, and weights that are computed become plain ones.

Wrappers are torch.compile and DataParallel. Weights are computed by subclasses, parametrizations, hooks (weight norm,
pruning), torch's and brevitas's quantisers. They are read as the framework uses them, in its own type of numbers, and
each layer is held against the plain one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.kinds import class_of, own_methods, type_name

__all__ = ["settle_hooks", "unwrapped"]

WRAPPERS = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod", "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
}  # fmt: skip
"""The attribute that has what is wrapped."""
QAT = ("torch.ao.nn.qat.modules.linear.Linear", "torch.ao.nn.qat.modules.conv.Conv2d")
BREVITAS = ("brevitas.QuantLinear", "brevitas.QuantConv2d")
PLAIN = ("torch.Linear", "torch.Conv2d", "spikingjelly.Linear", "spikingjelly.Conv2d")
QUANTISERS = {"input_quant": "what it receives", "output_quant": "what it sends", "bias_quant": "its bias"}


def settle_hooks(module: nn.Module) -> None:
    """Let the hooks by which torch computes weights do so now.

    What they computed in a training step is part of a graph and cannot be copied.
    """
    with torch.no_grad():
        for part in module.modules():
            for hook in part._forward_pre_hooks.values():
                if type(hook).__module__.startswith("torch.nn.utils."):
                    hook(part, None)


def unwrapped(module: nn.Module) -> nn.Module:
    """Return ``module``, in evaluation mode and changed in place, as one of plain weights without wrappers.

    What quantises more than weights, or whose weights change from call to call, is a SourceError with its path.
    """
    with torch.no_grad():
        return _unwrapped(module, "", {})


def _unwrapped(module: nn.Module, name: str, done: dict[int, nn.Module]) -> nn.Module:
    while (kind := type_name(module)) in WRAPPERS:
        module = getattr(module, WRAPPERS[kind])
    if id(module) in done:
        return done[id(module)]
    if isinstance(module, torch.jit.ScriptModule):
        words = "it is compiled by torch.jit, which says nothing of its parts; import the module that it was compiled from"
        raise SourceError(f"{name or 'network'} ({module.original_name}): {words}")
    found = module
    if isinstance(module, nn.Linear | nn.Conv2d) and (compute := _computed(module)) is not None:
        found = _plain(f"{name or type(module).__name__} ({type_name(module)})", module, compute)
    else:
        for key, child in module.named_children():
            module._modules[key] = _unwrapped(child, f"{name}.{key}" if name else key, done)
    done[id(module)] = found
    return found


def _computed(module: nn.Module) -> Callable[[str, Any], torch.Tensor] | None:
    """Return what gives the weights of a layer that computes them.

    None if they are plain, or if it is not known what the layer does.
    """
    kind = type_name(module)
    if kind in BREVITAS:
        return _brevitas
    if kind in QAT:
        return _fake_quantised
    if own_methods(module, PLAIN):
        return None
    hooked = any(type(hook).__module__.startswith("torch.nn.utils.") for hook in module._forward_pre_hooks.values())
    return None if kind in PLAIN and not hooked else _as_it_is


def _as_it_is(place: str, module: Any) -> torch.Tensor:
    return torch.as_tensor(module.weight)


def _brevitas(place: str, module: Any) -> torch.Tensor:
    for name, what in QUANTISERS.items():
        if getattr(module, name).is_quant_enabled:
            words = f"it quantises {what}, for which a float network has no place; it must be None"
            raise SourceError(f"{place} {name}: {words}")
    return _values(module.quant_weight())


def _values(found: Any) -> torch.Tensor:
    """Return a tensor, or the one in a tensor of brevitas with its scale."""
    return torch.as_tensor(getattr(found, "value", found))


def _fake_quantised(place: str, module: Any) -> torch.Tensor:
    first, second = module.weight_fake_quant(module.weight), module.weight_fake_quant(module.weight)
    if not torch.equal(first, second):
        words = "its observer still runs, and its weights change with every call; call torch.ao.quantization.disable_observer"
        raise SourceError(f"{place} weight_fake_quant: {words}")
    return torch.as_tensor(second)


def _plain(place: str, module: Any, compute: Callable[[str, Any], torch.Tensor]) -> nn.Module:
    """Return the plain layer, once both gave the same for the same input."""
    shape = (2, module.in_features) if isinstance(module, nn.Linear) else (2, module.in_channels, *(max(9, 2 * k) for k in module.kernel_size))
    probe = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(module.weight.dtype)
    step_mode = getattr(module, "step_mode", None)
    if step_mode is not None:
        module.step_mode = "s"
    expected = _values(module(probe))
    weight, bias = compute(place, module), module.bias
    base: Any = class_of(module, PLAIN)
    if issubclass(base, nn.Linear):
        made = base(module.in_features, module.out_features, bias is not None)
    else:
        made = base(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding, module.dilation, module.groups,
            bias is not None, module.padding_mode,
        )  # fmt: skip
    made.to(weight.dtype).eval()
    made.weight.copy_(weight)
    if bias is not None:
        made.bias.copy_(bias)
    if not torch.equal(made(probe), expected):
        if hasattr(module, "activation_post_process"):
            words = "it quantises what it sends, for which a float network has no place; use torch.nn.Identity in the qconfig"
            raise SourceError(f"{place} activation_post_process: {words}")
        words = "it sends something else than its weights and bias make of its input; take away the hook that does so"
        raise SourceError(f"{place}: {words}")
    if step_mode is not None:
        made.step_mode = step_mode
    plain: nn.Module = made
    return plain
