"""The optimisers that recipes name: PyTorch's, and AdaBelief, which it has not."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from spikefold.train.recipes.recipe import TrainSettings

__all__ = ["AdaBelief", "make_optimizer"]


class AdaBelief(torch.optim.Optimizer):
    """Adam with the step divided by how far the gradient is from its own mean (Zhuang et al. 2020, algorithm 2).

    ``m = b1 m + (1 - b1) g``, ``s = b2 s + (1 - b2) (g - m)^2 + eps``, and the step is ``lr m' / (sqrt(s') + eps)`` with both corrected for
    their start at 0. ``weight_decay`` is added to the gradient, as PyTorch's Adam does.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make one step."""
        value = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return value

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2), eps = self.state[parameter], group["betas"], group["eps"]
        if not state:
            state.update(step=torch.zeros(()), mean=torch.zeros_like(parameter), belief=torch.zeros_like(parameter))
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state["step"] += 1
        mean, belief, step = state["mean"], state["belief"], float(state["step"])
        mean.lerp_(gradient, 1 - beta1)
        distance = gradient - mean
        belief.mul_(beta2).addcmul_(distance, distance, value=1 - beta2).add_(eps)
        spread = (belief / (1 - beta2**step)).sqrt_().add_(eps)
        parameter.addcdiv_(mean, spread, value=-group["lr"] / (1 - beta1**step))


def make_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return the optimiser of ``settings`` for all parameters of ``module``."""
    parameters, rate, decay = module.parameters(), settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, amsgrad=settings.amsgrad)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, amsgrad=settings.amsgrad)
    if settings.optimizer == "adabelief":
        return AdaBelief(parameters, lr=rate, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=decay)
