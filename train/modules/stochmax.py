"""Stochmax: a classifier that, in training, drops classes at random in place of the plain softmax.

Panda, Aketi and Roy 2020 (section 5, eq. 7) give the classifier and its place: each class k is kept with a probability
rho_k = sigmoid(W h + b) learned from the same features h as its logit o_k, h being what the last spiking layer sent,
accumulated over the timesteps; ``p(t | x) = (z_t + eps) exp(o_t) / sum_k (z_k + eps) exp(o_k)`` with z_k ~ Bernoulli(rho_k).
How rho is learned is DropMax's (Lee et al. 2018, and its public code): a second branch r that leads to the posterior q,
relaxed samples of z from q with the target always kept, three more loss terms, and ``(rho + eps) exp(o)`` to evaluate.
Whether Panda et al. keep the three terms is not known; so each has a weight, and DropMax's (1) is the default.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from spikefold.train.errors import TrainError

__all__ = ["EPS", "TEMPERATURE", "Stochmax", "StochmaxLoss", "StochmaxOutput", "stochmax_loss", "stochmax_scores"]

EPS = 1e-20
TEMPERATURE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StochmaxOutput:
    """What the classifier says of N samples; every tensor is [N, classes].

    ``logits`` are the o of the softmax. A class is kept with the probability ``sigmoid(p_logits)`` (DropMax's p, the prior; Panda's
    rho), and with ``q = sigmoid(p_logits + r_logits)`` (the posterior) while training.
    """

    logits: torch.Tensor
    p_logits: torch.Tensor
    r_logits: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class StochmaxLoss:
    """The loss of a batch, scalars: ``total`` is the weighted sum of the others, which are unweighted."""

    total: torch.Tensor
    cross_entropy: torch.Tensor
    kl: torch.Tensor
    auxiliary: torch.Tensor
    entropy: torch.Tensor


class Stochmax(nn.Module):
    """A readout: three dense branches on the features h, to a ``StochmaxOutput`` of [N, classes].

    h is what the last spiking layer sent, [T, N, C, H, W] with C*H*W ``features``, averaged over the timesteps. Weights start
    Xavier-uniform and biases at 0, as DropMax's. DropMax's weight decay spares ``retain`` and ``posterior``.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        if features < 1 or classes < 2:
            raise TrainError(f"Stochmax: {features} features, {classes} classes; there must be at least 1 and 2")
        self.classify = nn.Linear(features, classes)
        self.retain = nn.Linear(features, classes)
        self.posterior = nn.Linear(features, classes)
        for branch in (self.classify, self.retain, self.posterior):
            nn.init.xavier_uniform_(branch.weight)
            nn.init.zeros_(branch.bias)

    def forward(self, spikes: torch.Tensor) -> StochmaxOutput:
        """Return the logits of every class and of its being kept."""
        if spikes.ndim != 5 or spikes[0, 0].numel() != self.classify.in_features:
            raise TrainError(f"Stochmax input: shape {list(spikes.shape)}; [T, N, C, H, W] with {self.classify.in_features} features is expected")
        features = spikes.mean(0).flatten(1)
        return StochmaxOutput(logits=self.classify(features), p_logits=self.retain(features), r_logits=self.posterior(features))


def stochmax_scores(output: StochmaxOutput, *, eps: float = EPS) -> torch.Tensor:
    """Return ``log((p + eps) exp(o))``, [N, classes], to evaluate: its softmax is the prediction, and nothing is random.

    (Lee et al. 2018, code.)
    """
    return output.logits + _log_kept(output.p_logits, eps)


def stochmax_loss(
    output: StochmaxOutput, labels: torch.Tensor, *, eps: float = EPS, temperature: float = TEMPERATURE, kl_weight: float = 1.0,
    auxiliary_weight: float = 1.0, entropy_weight: float = 1.0, noise: torch.Tensor | None = None,
) -> StochmaxLoss:  # fmt: skip
    """Return the loss of a batch with the classes ``labels``, int64 [N]; each term is a mean over N, the last three sums over the classes.

    - ``cross_entropy``: of Panda's eq. 7, with ``z = sigmoid((logit q + logit U) / temperature)`` and the target's z = 1. p's branch
      takes no gradient from it.
    - ``kl``: KL(q || p), where the target's q is 1: ``-log p`` for the target, ``q log(q/p) + (1-q) log((1-q)/(1-p))`` for the others.
    - ``auxiliary``: the binary cross-entropy of ``r = sigmoid(r_logits)`` against "is the target".
    - ``entropy``: ``p log p + (1-p) log(1-p)``, the negative entropy of p: it keeps p away from 0 and 1.

    U is uniform on [0, 1): ``noise`` [N, classes], or drawn from torch's global generator. (Lee et al. 2018, code.)
    """
    if not 0 < temperature < math.inf:
        raise TrainError(f"Stochmax temperature: {temperature}; it must be above 0 and finite")
    if labels.shape != output.logits.shape[:1]:
        raise TrainError(f"Stochmax labels: shape {list(labels.shape)}; there are {len(output.logits)} samples")
    target = functional.one_hot(labels, output.logits.shape[1]).bool()
    uniform = torch.rand_like(output.logits) if noise is None else noise
    q_logits = output.p_logits.detach() + output.r_logits
    log_z = _log_kept((q_logits + torch.logit(uniform)) / temperature, eps).masked_fill(target, math.log1p(eps))
    cross_entropy = functional.cross_entropy(output.logits + log_z, labels)

    log_p, log_not_p = functional.logsigmoid(output.p_logits), functional.logsigmoid(-output.p_logits)
    log_q, log_not_q = functional.logsigmoid(q_logits), functional.logsigmoid(-q_logits)
    q, p = torch.sigmoid(q_logits), torch.sigmoid(output.p_logits)
    kl = _per_sample(torch.where(target, -log_p, q * (log_q - log_p) + (1 - q) * (log_not_q - log_not_p)))
    auxiliary = _per_sample(functional.binary_cross_entropy_with_logits(output.r_logits, target.to(output.r_logits.dtype), reduction="none"))
    entropy = _per_sample(p * log_p + (1 - p) * log_not_p)
    total = cross_entropy + kl_weight * kl + auxiliary_weight * auxiliary + entropy_weight * entropy
    return StochmaxLoss(total=total, cross_entropy=cross_entropy, kl=kl, auxiliary=auxiliary, entropy=entropy)


def _log_kept(logits: torch.Tensor, eps: float) -> torch.Tensor:
    """Return ``log(sigmoid(logits) + eps)`` without leaving the logarithms, where nothing underflows."""
    if not 0 < eps < 1:
        raise TrainError(f"Stochmax eps: {eps}; it must be above 0 and below 1")
    return torch.logaddexp(functional.logsigmoid(logits), logits.new_tensor(math.log(eps)))


def _per_sample(term: torch.Tensor) -> torch.Tensor:
    return term.sum(1).mean()
