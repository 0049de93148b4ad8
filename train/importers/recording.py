"""What every part of a module of another framework receives and sends in a run: its order, and which entry of a BNTT is whose, need no guess."""

import contextlib
import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from spikefold.train.importers.errors import SourceError
from spikefold.train.importers.kinds import framework_of, kind_of, type_name
from spikefold.train.importers.loading import reason
from spikefold.train.importers.parts import Float
from spikefold.train.importers.readers import READERS, check_known, is_part
from spikefold.train.importers.slots import Slot
from spikefold.train.importers.unwrapping import settle_hooks, unwrapped

__all__ = ["Forward", "Recording", "choose_forward", "prepared", "record"]

Forward = Literal["step", "sequence", "image"]
BATCH_NORMS = ("torch.BatchNorm1d", "torch.BatchNorm2d")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """The slots in the order of their first calls, and the tensors that the module returned; those of single timesteps are stacked, [T, N, ...]."""

    slots: tuple[Slot, ...]
    returned: tuple[Float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Call:
    """One call of a part."""

    name: str
    module: nn.Module
    received: Float
    sent: Float
    potential: Float | None
    unread: tuple[str, ...]


def _leaves(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts within ``module`` by name, and those modules of the user's that have none.

    What these do shows in what parts receive.
    """
    if is_part(module) or not any(True for _ in module.children()):
        yield name or type(module).__name__, module
        return
    for key, child in module.named_children():
        yield from _leaves(child, f"{name}.{key}" if name else key)


def _reset(module: nn.Module) -> None:
    """Drop the states that neurons keep."""
    for part in module.modules():
        state, reset = getattr(part, "mem", None), getattr(part, "reset", None)
        if framework_of(part) == "snntorch" and isinstance(state, torch.Tensor):
            part.mem = torch.zeros(0, dtype=state.dtype)
        elif framework_of(part) == "spikingjelly" and callable(reset):
            reset()


def prepared(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a copy of ``module`` in evaluation mode, of ``dtype``, on the CPU, without what only wraps it.

    The states that its neurons keep are dropped first. Weights that are computed, such as those that are quantised, are
    what they are in the type that they have now.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise SourceError(f"{name}: it has no values yet; a lazy module must have been called, or its weights loaded")
    _reset(module)
    settle_hooks(module)
    try:
        copied = copy.deepcopy(module).cpu().eval()
    except Exception as error:
        raise SourceError(f"{type(module).__name__}: it cannot be copied: {reason(error)}") from error
    return unwrapped(copied).to(dtype)


def choose_forward(module: nn.Module) -> Forward:
    """Return how ``module`` is called, as far as its parts say it: ``step`` where all its neurons keep their states, else ``sequence``."""
    parts = [part for _, part in _leaves(module) if is_part(part)]
    together = any(getattr(part, "step_mode", "s") == "m" for part in parts)
    told = any(getattr(part, "init_hidden", None) is False for part in parts)
    return "sequence" if together or told else "step"


def record(module: nn.Module, x: Float, forward: Forward, dtype: torch.dtype) -> Recording:
    """Run a ``prepared`` module on inputs [T, N, C, H, W] and return what its parts received and sent.

    ``step`` calls it once a timestep with [N, C, H, W], ``sequence`` once with all of the input, ``image`` once with the first timestep alone.
    The number of samples must be above 1 and not T, so that a shape tells what its axes are.
    """
    calls: list[_Call] = []
    unread: list[str] = []
    inputs = torch.from_numpy(np.ascontiguousarray(x)).to(dtype)
    default = torch.get_default_dtype()
    _reset(module)
    try:
        # What the module makes for itself, such as first potentials, is of this type too.
        torch.set_default_dtype(dtype)
        with contextlib.ExitStack() as hooks, torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
            for name, part in _leaves(module):
                hooks.callback(part.register_forward_pre_hook(_before(name, dtype)).remove)
                after = _note(name, calls, unread, dtype) if is_part(part) else _note_unread(name, unread)
                hooks.callback(part.register_forward_hook(after).remove)
            results = [module(step) for step in inputs] if forward == "step" else [module(inputs if forward == "sequence" else inputs[0])]
    except SourceError:
        raise
    except Exception as error:
        given = list(inputs.shape if forward == "sequence" else inputs.shape[1:])
        raise SourceError(
            f"{type(module).__name__}: its forward failed on an input of {given} (forward {forward!r}; --forward says what it takes, and one "
            f"that takes flat images needs an nn.Flatten in front): {reason(error)}"
        ) from error
    finally:
        torch.set_default_dtype(default)
    lists = [f"{name}." for name, part in module.named_modules() if _is_norm_list(part)]
    steps, samples = x.shape[:2]
    return Recording(slots=tuple(_slots(calls, lists, steps, samples)), returned=tuple(_returned(results, forward)))


def _before(name: str, dtype: torch.dtype) -> Any:
    """Return a hook that refuses a part that cannot be read, and gives a module inputs of its own type."""

    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if is_part(module):
            check_known(name, module)
        return tuple(_cast(argument, dtype) for argument in arguments)

    return hook


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _note(name: str, calls: list[_Call], unread: list[str], dtype: torch.dtype) -> Any:
    """Return a hook that adds a call of a part, and makes numbers of ``dtype`` of what it sent.

    snnTorch's spikes are float32 in any case.
    """

    def hook(part: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        sent = output[0] if isinstance(output, tuple) and output else output
        if not arguments or not isinstance(arguments[0], torch.Tensor) or not isinstance(sent, torch.Tensor):
            raise SourceError(f"{name} ({type_name(part)}): its input or output is no tensor; it must be called with its input as first argument")
        potential = _copied(part.mem) if kind_of(part, READERS) == "snntorch.Leaky" else None
        received = _copied(arguments[0])
        calls.append(_Call(name=name, module=part, received=received, sent=_copied(sent), potential=potential, unread=tuple(unread)))
        unread.clear()
        return tuple(_cast(item, dtype) for item in output) if isinstance(output, tuple) else _cast(output, dtype)

    return hook


def _note_unread(name: str, unread: list[str]) -> Any:
    """Return a hook that adds a call of what the user wrote and holds no part."""

    def hook(module: nn.Module, *_: Any) -> None:
        unread.append(f"{name} ({type_name(module)})")

    return hook


def _copied(tensor: Any) -> Float:
    return np.array(tensor.detach().double().numpy())


def _is_norm_list(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList) and len(module) > 0 and all(kind_of(child, BATCH_NORMS) in BATCH_NORMS for child in module)


def _slots(calls: Sequence[_Call], lists: Sequence[str], steps: int, samples: int) -> Iterator[Slot]:
    """Yield what was called, grouped: by the module, and where the entries of a list of norms took their turns, by the list."""
    by_module: dict[str, list[_Call]] = {}
    for call in calls:
        by_module.setdefault(call.name, []).append(call)
    turns = {
        prefix for prefix in lists
        if any(len(group) < steps and len(group[0].received) == samples for name, group in by_module.items() if name.startswith(prefix))
    }  # fmt: skip
    grouped: dict[str, list[_Call]] = {}
    for call in calls:
        prefix = next((p for p in turns if call.name.startswith(p)), None)
        grouped.setdefault(call.name if prefix is None else prefix.removesuffix("."), []).append(call)
    for name, group in grouped.items():
        if len(group) not in (1, steps):
            raise SourceError(
                f"{name} ({type_name(group[0].module)}): it was called {len(group)} times in {steps} timesteps; once a timestep, or once for all, "
                "is expected, and each part stands in one place"
            )
        received, held = _over_time(name, [call.received for call in group], steps, samples)
        sent, _ = _over_time(name, [call.sent for call in group], steps, samples)
        kept = [call.potential for call in group if call.potential is not None]
        yield Slot(
            name=name, modules=tuple(call.module for call in group) if len({id(call.module) for call in group}) > 1 else (group[0].module,),
            received=received, sent=sent, potentials=np.stack(kept) if len(kept) == steps else None, held=held,
            unread=group[0].unread,
        )  # fmt: skip


def _over_time(name: str, tensors: Sequence[Float], steps: int, samples: int) -> tuple[Float, bool]:
    """Return what several calls, or one, had in all timesteps, [T, N, ...], and whether it was that of one timestep."""
    first = tensors[0]
    if len(tensors) == steps and all(tensor.shape == first.shape and len(tensor) == samples for tensor in tensors):
        return np.stack(tensors), False
    if len(tensors) == 1 and first.shape[:2] == (steps, samples):
        return first, False
    if len(tensors) == 1 and first.shape[0] == steps * samples:
        return first.reshape(steps, samples, *first.shape[1:]), False
    if len(tensors) == 1 and first.shape[0] == samples:
        return np.broadcast_to(first, (steps, *first.shape)), True
    shapes = sorted({str(list(tensor.shape)) for tensor in tensors})
    raise SourceError(
        f"{name}: tensors of {', '.join(shapes)} for {steps} timesteps of {samples} samples; [N, ...], [T, N, ...] or [T N, ...] is expected"
    )


def _returned(results: Sequence[Any], forward: Forward) -> Iterator[Float]:
    """Yield the tensors that the module returned."""
    flat = [[item for item in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(item, torch.Tensor)] for result in results]
    for items in zip(*flat, strict=False):
        if all(item.shape == items[0].shape for item in items):
            yield np.stack([_copied(item) for item in items]) if forward == "step" else _copied(items[0])
