"""The objectives, as pure functions over named tensors.

Each takes `LossInputs` and the learner's configuration, and returns the loss of one micro-batch
and its metrics. Losses are sums divided by `normaliser`, which counts the units (pairs or
sequences) of the whole optimizer step: so the gradients of micro-batches add up to that of the step.
Metrics are sums divided by the same number, and add up likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn.functional import logsigmoid

Metrics = dict[str, float]


class Objective(Protocol):
    """The part of a learner's configuration that losses read."""

    beta: float
    nll_weight: float
    clip_low: float
    clip_high: float
    kl_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInputs:
    """One micro-batch. Shapes: b sequences, t tokens (the longest completion), p pairs.

    `logprobs`, `ref_logprobs`, `sampling_logprobs`: (b, t), of each completion token under the
    learner's weights, the reference and the policy that drew it; `loss_mask`: (b, t), 1.0 on
    completion tokens. `weights`: (b,), a sequence's advantage or weight. `pairs`: (p, 2), rows of the
    chosen and the rejected sequence.
    """

    logprobs: torch.Tensor
    loss_mask: torch.Tensor
    normaliser: float
    ref_logprobs: torch.Tensor | None = None
    sampling_logprobs: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    pairs: torch.Tensor | None = None


def dpo(inputs: LossInputs, config: Objective) -> tuple[torch.Tensor, Metrics]:
    """`-log σ(β[(logπ(y_w) - logπ_ref(y_w)) - (logπ(y_l) - logπ_ref(y_l))])`, mean over pairs.

    DPO (arXiv 2305.18290), eq. 7. With `nll_weight` w, plus `w · -logπ(y_w)/|y_w|` on each pair:
    the length-normalised term of RPO (arXiv 2404.19733), eq. 1.
    """
    assert inputs.pairs is not None and inputs.ref_logprobs is not None
    chosen, rejected = inputs.pairs.unbind(-1)
    totals = (inputs.logprobs * inputs.loss_mask).sum(-1)
    log_ratios = totals - (inputs.ref_logprobs * inputs.loss_mask).sum(-1)
    margins = config.beta * (log_ratios[chosen] - log_ratios[rejected])
    losses = -logsigmoid(margins)
    nll = -totals / inputs.loss_mask.sum(-1).clamp(min=1)
    if config.nll_weight:
        losses = losses + config.nll_weight * nll[chosen]
    n = inputs.normaliser
    return losses.sum() / n, {
        "margin": margins.sum().item() / n,
        "accuracy": (margins > 0).sum().item() / n,
        "chosen_nll": nll[chosen].sum().item() / n,
        "rejected_nll": nll[rejected].sum().item() / n,
    }


def grpo(inputs: LossInputs, config: Objective) -> tuple[torch.Tensor, Metrics]:
    """The clipped surrogate with group advantages, token means averaged over sequences.

    `-1/b Σ_i 1/|o_i| Σ_t min(r A_i, clip(r, 1-ε_low, 1+ε_high) A_i) - β KL`, with
    `r = π/π_sampling` and the k3 estimate `exp(ref - logπ) - (ref - logπ) - 1` of the divergence:
    GRPO (arXiv 2402.03300), eq. 3 and 4; ε_high > ε_low is DAPO's clip-higher (arXiv 2503.14476).
    """
    assert inputs.weights is not None and inputs.sampling_logprobs is not None
    log_ratio = (inputs.logprobs - inputs.sampling_logprobs) * inputs.loss_mask
    ratio = log_ratio.exp()
    advantage = inputs.weights[:, None]
    clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    losses = -torch.minimum(ratio * advantage, clipped * advantage)
    lengths = inputs.loss_mask.sum(-1).clamp(min=1)
    metrics: Metrics = {}
    if config.kl_weight:
        assert inputs.ref_logprobs is not None
        gap = (inputs.ref_logprobs - inputs.logprobs) * inputs.loss_mask
        kl = gap.exp() - gap - 1
        losses = losses + config.kl_weight * kl
        metrics["ref_kl"] = _sequence_mean(kl, inputs, lengths)
    outside = ((ratio - clipped).abs() > 0).to(losses.dtype)
    metrics["clip_share"] = _sequence_mean(outside, inputs, lengths)
    metrics["sampling_kl"] = _sequence_mean(ratio - 1 - log_ratio, inputs, lengths)
    loss = ((losses * inputs.loss_mask).sum(-1) / lengths).sum() / inputs.normaliser
    return loss, metrics


def sft(inputs: LossInputs, config: Objective) -> tuple[torch.Tensor, Metrics]:
    """`-E[w · log π(y | x)]`, log π being the sum over the completion's tokens.

    With w the utility of a problem: Socratic-Zero's Generator (arXiv 2509.24726), §3.3.
    """
    assert inputs.weights is not None
    totals = (inputs.logprobs * inputs.loss_mask).sum(-1)
    nll = -totals / inputs.loss_mask.sum(-1).clamp(min=1)
    n = inputs.normaliser
    return -(inputs.weights * totals).sum() / n, {
        "nll": nll.sum().item() / n,
        "mean_weight": inputs.weights.sum().item() / n,
    }


def _sequence_mean(values: torch.Tensor, inputs: LossInputs, lengths: torch.Tensor) -> float:
    means = (values.detach() * inputs.loss_mask).sum(-1) / lengths
    return means.sum().item() / inputs.normaliser


LOSSES: dict[str, Callable[[LossInputs, Objective], tuple[torch.Tensor, Metrics]]] = {
    "dpo": dpo,
    "grpo": grpo,
    "sft": sft,
}
