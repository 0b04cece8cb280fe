"""What an objective is given, and how its per-token terms become the loss of an optimizer step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

Metrics = dict[str, float]


class Settings(Protocol):
    """The part of a `LearnerConfig` that objectives read, its `default`s resolved."""

    beta: float
    nll_weight: float
    rft_weight: float
    length_normalised: bool
    label_smoothing: float
    target_margin: float
    desirable_weight: float
    undesirable_weight: float
    rejected_weight: float
    clip_low: float
    clip_high: float
    kl_weight: float
    kl_estimator: str
    correction: str
    correction_level: str
    correction_cap: float
    negative_weight: float
    reduction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Units of a whole optimizer step, over all its micro-batches and ranks.

    Losses are sums divided by these: so the gradients of micro-batches, and of ranks, add up to that of
    the step. `longest` is the number of tokens that a completion may have.
    """

    sequences: float = 1.0
    tokens: float = 1.0
    pairs: float = 1.0
    chosen: float = 1.0  # completions that are chosen in a pair
    right: float = 1.0  # right completions, each of a group once
    longest: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInputs:
    """One micro-batch. Shapes: b sequences, t tokens (the longest completion), p pairs.

    (b, t), of each completion token: `logprobs` under the learner's weights; `ref_logprobs` under the
    reference; `old_logprobs` under the learner's weights as the update began; `sampling_logprobs`
    under the policy that drew it; `divergences` from the teacher's distribution. `loss_mask` (b, t)
    is 1.0 on completion tokens. (b,), of each sequence: `weights`, its advantage, label or weight;
    `success`, its group's share of right completions; `right`, 1.0 for a right one, each once.
    `pairs` (p, 2): rows of the chosen and the rejected sequence. `baseline`: the divergence that
    KTO compares with.
    """

    logprobs: torch.Tensor
    loss_mask: torch.Tensor
    counts: Counts
    ref_logprobs: torch.Tensor | None = None
    old_logprobs: torch.Tensor | None = None
    sampling_logprobs: torch.Tensor | None = None
    divergences: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    success: torch.Tensor | None = None
    right: torch.Tensor | None = None
    pairs: torch.Tensor | None = None
    baseline: float = 0.0

    @property
    def lengths(self) -> torch.Tensor:
        """(b,): tokens of each completion, at least 1."""
        return self.loss_mask.sum(-1).clamp(min=1)


def reduced(terms: torch.Tensor, inputs: LossInputs, reduction: str) -> torch.Tensor:
    """The loss of (b, t) per-token terms.

    `sum`: summed over tokens, mean over sequences. `mean`: mean over a sequence's tokens, then over
    sequences (GRPO, arXiv 2402.03300, eq. 3). `token`: mean over all tokens of the step (DAPO, arXiv
    2503.14476, eq. 8). `constant`: summed over tokens, divided by the longest completion allowed,
    mean over sequences (Dr. GRPO, arXiv 2503.20783, §3.2).
    """
    masked = terms.masked_fill(inputs.loss_mask == 0, 0.0)
    counts = inputs.counts
    if reduction == "mean":
        return (masked.sum(-1) / inputs.lengths).sum() / counts.sequences
    divisor = {
        "sum": counts.sequences,
        "token": counts.tokens,
        "constant": counts.sequences * counts.longest,
    }[reduction]
    return masked.sum() / divisor


def sequence_mean(terms: torch.Tensor, inputs: LossInputs) -> float:
    """A metric: the mean over a sequence's tokens, averaged over the step's sequences."""
    return reduced(terms.detach(), inputs, "mean").item()


def totals(logprobs: torch.Tensor, inputs: LossInputs) -> torch.Tensor:
    """(b,): log π of each completion, the sum over its tokens."""
    return logprobs.masked_fill(inputs.loss_mask == 0, 0.0).sum(-1)
