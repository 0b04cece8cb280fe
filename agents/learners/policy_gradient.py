"""Objectives on rewards: surrogates of the policy gradient.

Pure functions `(inputs, settings) -> (loss, metrics)`. A is a sequence's advantage, `ρ_t = π/π_old` a token's
probability ratio. π_old is the policy that drew the completion, as its engine states it; or, with a
`correction`, the learner's own weights as the update began, times `w = π_old/π_sampling` for what
the engine computes otherwise and for weights that are older.
"""

from __future__ import annotations

import torch

from agents.learners.inputs import (
    LossInputs,
    Metrics,
    Settings,
    reduced,
    sequence_mean,
    totals,
)

Result = tuple[torch.Tensor, Metrics]


def grpo(inputs: LossInputs, settings: Settings) -> Result:
    """`-min(ρ_t A, clip(ρ_t, 1-ε_low, 1+ε_high) A)`: GRPO (arXiv 2402.03300), eq. 3.

    With other reductions and advantages also Dr. GRPO (arXiv 2503.20783), REINFORCE++ (arXiv
    2501.03262) and DAPO (arXiv 2503.14476), whose ε_high is above ε_low.
    """
    ratio = _log_ratio(inputs).exp()
    clipped = _clip(ratio, settings)
    advantage = _advantage(inputs)
    terms = -torch.minimum(ratio * advantage, clipped * advantage)
    return _loss(terms, ratio, clipped, inputs, settings)


def gspo(inputs: LossInputs, settings: Settings) -> Result:
    """The same with one ratio a sequence, `s = exp(mean_t log ρ_t)`: GSPO (arXiv 2507.18071), eq. 5 and 7."""
    means = totals(_log_ratio(inputs), inputs) / inputs.lengths
    return _by_sequence(means.exp(), inputs, settings)


def rloo(inputs: LossInputs, settings: Settings) -> Result:
    """The same with the ratio of whole sequences, `Π_t ρ_t`, whose gradient on fresh samples is REINFORCE's,
    `-A ∇ log π(y)`: RLOO (arXiv 2402.14740), with A from the others of the group."""
    return _by_sequence(totals(_log_ratio(inputs), inputs).exp(), inputs, settings)


def cispo(inputs: LossInputs, settings: Settings) -> Result:
    """`-sg(clip(ρ_t, 1-ε_low, 1+ε_high)) A log π_t`: no token loses its gradient. CISPO (arXiv
    2506.13585), eq. 4.

    With ε_low = 1 there is no lower bound, as in the paper's runs.
    """
    ratio = _log_ratio(inputs).detach().exp()
    clipped = _clip(ratio, settings)
    terms = -clipped * _advantage(inputs) * inputs.logprobs
    return _loss(terms, ratio, clipped, inputs, settings)


def oreal(inputs: LossInputs, settings: Settings) -> Result:
    """`-log π_t` on right completions, `η (1 - p) log(π_t/π_old,t)` on wrong ones, p the group's success:
    OREAL (arXiv 2502.06781), §2.3 and eq. 11, every token weighted alike (no token-level reward model).

    Behaviour cloning on best-of-n positives; the reward of negatives is reshaped by 1 - p. η is
    `negative_weight`. A completion is right where its weight is above 0.
    """
    assert inputs.weights is not None and inputs.success is not None
    log_ratio = _log_ratio(inputs)
    right = (inputs.weights > 0)[:, None]
    push = settings.negative_weight * (1 - inputs.success)[:, None] * log_ratio
    terms = torch.where(right, -inputs.logprobs, push)
    ratio = log_ratio.exp()
    return _loss(terms, ratio, ratio, inputs, settings)


def divergence(logprobs: torch.Tensor, ref_logprobs: torch.Tensor, estimator: str) -> torch.Tensor:
    """Estimates of KL(π ‖ π_ref) on tokens drawn from π, with d = log π - log π_ref: k1 is d, k2 is
    d²/2, k3 is `exp(-d) + d - 1` (Schulman, "Approximating KL divergence", 2020).

    As a loss k1 has a gradient of zero mean and does nothing but add noise; that of k2 is the
    divergence's own.
    """
    gap = logprobs - ref_logprobs
    if estimator == "k1":
        return gap
    if estimator == "k2":
        return gap.square() / 2
    return (-gap).exp() + gap - 1


def correction_weights(inputs: LossInputs, settings: Settings) -> torch.Tensor | None:
    """(b, t): w = π_old/π_sampling, without gradient; of each token, or the product of each sequence.

    `truncate`: min(w, cap), truncated importance sampling (Yao et al., "Your efficient RL framework
    secretly brings you off-policy RL training", 2025). `mask`: 0 outside [1/cap, cap], as in IcePop
    (arXiv 2510.18855). None without a correction.
    """
    if settings.correction == "none":
        return None
    assert inputs.old_logprobs is not None and inputs.sampling_logprobs is not None
    gap = _masked(inputs.old_logprobs - inputs.sampling_logprobs, inputs).detach()
    if settings.correction_level == "sequence":
        gap = gap.sum(-1, keepdim=True).expand_as(gap)
    weights, cap = gap.exp(), settings.correction_cap
    if settings.correction == "truncate":
        return weights.clamp(max=cap)
    return weights.masked_fill((weights > cap) | (weights < 1 / cap), 0.0)


def _log_ratio(inputs: LossInputs) -> torch.Tensor:
    """(b, t): log ρ_t, zero on padding."""
    old = inputs.old_logprobs if inputs.old_logprobs is not None else inputs.sampling_logprobs
    assert old is not None
    return _masked(inputs.logprobs - old, inputs)


def _masked(values: torch.Tensor, inputs: LossInputs) -> torch.Tensor:
    """(b, t) values, zero on padding: what stands there reaches neither a sum nor a gradient."""
    return values.masked_fill(inputs.loss_mask == 0, 0.0)


def _advantage(inputs: LossInputs) -> torch.Tensor:
    assert inputs.weights is not None
    return inputs.weights[:, None]


def _clip(ratio: torch.Tensor, settings: Settings) -> torch.Tensor:
    return ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)


def _by_sequence(ratio: torch.Tensor, inputs: LossInputs, settings: Settings) -> Result:
    """The clipped surrogate of (b,) ratios, one term a sequence."""
    assert inputs.weights is not None
    clipped = _clip(ratio, settings)
    losses = -torch.minimum(ratio * inputs.weights, clipped * inputs.weights)
    spread = (
        inputs.loss_mask / inputs.lengths[:, None]
    )  # so that a sequence's tokens sum to its term
    terms = losses[:, None] * spread
    weights = correction_weights(inputs, settings)
    if weights is not None:
        terms = terms * weights
    loss = reduced(terms, inputs, "sum")
    wide = ratio[:, None].expand_as(inputs.logprobs)
    return _finish(loss, wide, clipped[:, None].expand_as(wide), weights, inputs, settings)


def _loss(
    terms: torch.Tensor,
    ratio: torch.Tensor,
    clipped: torch.Tensor,
    inputs: LossInputs,
    settings: Settings,
) -> Result:
    weights = correction_weights(inputs, settings)
    if weights is not None:
        terms = terms * weights
    loss = reduced(terms, inputs, settings.reduction)
    return _finish(loss, ratio, clipped, weights, inputs, settings)


def _finish(
    loss: torch.Tensor,
    ratio: torch.Tensor,
    clipped: torch.Tensor,
    weights: torch.Tensor | None,
    inputs: LossInputs,
    settings: Settings,
) -> Result:
    """Adds `kl_weight` times the divergence from the reference, and the metrics."""
    metrics: Metrics = {}
    if settings.kl_weight:
        assert inputs.ref_logprobs is not None
        current, reference = _masked(inputs.logprobs, inputs), _masked(inputs.ref_logprobs, inputs)
        kl = divergence(current, reference, settings.kl_estimator)
        loss = loss + settings.kl_weight * reduced(kl, inputs, settings.reduction)
        metrics["ref_kl"] = sequence_mean(kl, inputs)
    metrics["clip_share"] = sequence_mean((ratio != clipped).to(ratio.dtype), inputs)
    if weights is not None:
        metrics["correction"] = sequence_mean(weights, inputs)
    return loss, metrics
