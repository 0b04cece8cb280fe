"""Objectives on preferences: pairs of a chosen and a rejected completion, or labelled completions.

Pure functions `(inputs, settings) -> (loss, metrics)`. `r(y) = log π(y|x) - log π_ref(y|x)`, the sum over the
tokens of y (their mean with `length_normalised`). `m = β (r(y_w) - r(y_l))` is a pair's margin.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from agents.learners.inputs import LossInputs, Metrics, Settings, totals

Result = tuple[torch.Tensor, Metrics]


def dpo(inputs: LossInputs, settings: Settings) -> Result:
    """`-log σ(m)`: DPO (arXiv 2305.18290), eq. 7."""
    margins = settings.beta * _difference(_log_ratios(inputs, settings.length_normalised), inputs)
    return _loss(-logsigmoid(margins), margins, inputs, settings)


def cdpo(inputs: LossInputs, settings: Settings) -> Result:
    """`-(1 - ε) log σ(m) - ε log σ(-m)`, ε the share of pairs that are the wrong way round: conservative
    DPO (Mitchell, "A note on DPO with noisy preferences", 2023), eq. 3."""
    margins = settings.beta * _difference(_log_ratios(inputs, settings.length_normalised), inputs)
    noise = settings.label_smoothing
    losses = -(1 - noise) * logsigmoid(margins) - noise * logsigmoid(-margins)
    return _loss(losses, margins, inputs, settings)


def robust(inputs: LossInputs, settings: Settings) -> Result:
    """`(-(1 - ε) log σ(m) + ε log σ(-m)) / (1 - 2ε)`, unbiased under flips: robust DPO (arXiv
    2403.00409)."""
    margins = settings.beta * _difference(_log_ratios(inputs, settings.length_normalised), inputs)
    noise = settings.label_smoothing
    losses = (-(1 - noise) * logsigmoid(margins) + noise * logsigmoid(-margins)) / (1 - 2 * noise)
    return _loss(losses, margins, inputs, settings)


def hinge(inputs: LossInputs, settings: Settings) -> Result:
    """`max(0, 1 - m)`: SLiC-HF's loss (arXiv 2305.10425), eq. 1, on DPO's margin (RSO, arXiv 2309.06657)."""
    margins = settings.beta * _difference(_log_ratios(inputs, settings.length_normalised), inputs)
    return _loss(torch.relu(1 - margins), margins, inputs, settings)


def ipo(inputs: LossInputs, settings: Settings) -> Result:
    """`(r(y_w) - r(y_l) - 1 / (2β))²`, r being means over tokens: IPO (arXiv 2310.12036), eq. 17.

    The paper leaves the length open; means keep β comparable between lengths, as in TRL.
    """
    differences = _difference(_log_ratios(inputs, True), inputs)
    losses = (differences - 1 / (2 * settings.beta)) ** 2
    return _loss(losses, settings.beta * differences, inputs, settings)


def apo_zero(inputs: LossInputs, settings: Settings) -> Result:
    """`1 - σ(β r(y_w)) + σ(β r(y_l))`: APO-zero (arXiv 2408.06266), eq. 7."""
    ratios = _log_ratios(inputs, settings.length_normalised)
    chosen, rejected = _sides(settings.beta * ratios, inputs)
    losses = 1 - chosen.sigmoid() + rejected.sigmoid()
    return _loss(losses, chosen - rejected, inputs, settings)


def simpo(inputs: LossInputs, settings: Settings) -> Result:
    """`-log σ(β (log π(y_w)/|y_w| - log π(y_l)/|y_l|) - γ)`, without a reference: SimPO (arXiv
    2405.14734), eq. 6.

    γ is `target_margin`.
    """
    means = totals(inputs.logprobs, inputs) / inputs.lengths
    margins = settings.beta * _difference(means, inputs)
    return _loss(-logsigmoid(margins - settings.target_margin), margins, inputs, settings)


def redi(inputs: LossInputs, settings: Settings) -> Result:
    """`-log π(y_w)/|y_w| + α log π(y_l)/|y_l|`, without a reference: REDI (arXiv 2505.24850).

    α is `rejected_weight`: below 1, so that negative traces teach without destroying.
    """
    means = totals(inputs.logprobs, inputs) / inputs.lengths
    chosen, rejected = _sides(means, inputs)
    losses = -chosen + settings.rejected_weight * rejected
    return _loss(losses, chosen - rejected, inputs, settings)


def contrastive(inputs: LossInputs, settings: Settings) -> Result:
    """`-log σ(-log Σ_l exp(β (r(y_l) - r(y_w))))`, one chosen against all that are rejected for it, mean over
    the chosen: softmax DPO (arXiv 2406.09215), which with one rejected is DPO.

    With `loop.negatives` the rejected are those of earlier iterations: QCRD's idea (arXiv 2405.13014).
    """
    assert inputs.pairs is not None
    gaps = -settings.beta * _difference(_log_ratios(inputs, settings.length_normalised), inputs)
    owners, of_owner = inputs.pairs[:, 0].unique(return_inverse=True)
    table = gaps.new_full((len(owners), len(gaps)), -torch.inf)
    table[of_owner, torch.arange(len(gaps), device=gaps.device)] = gaps
    losses = -logsigmoid(-table.logsumexp(-1)) if len(gaps) else gaps
    _, metrics = _loss(gaps, -gaps, inputs, settings)
    nll = -(totals(inputs.logprobs, inputs) / inputs.lengths)[owners]
    return (losses + settings.nll_weight * nll).sum() / inputs.counts.chosen, metrics


def kto(inputs: LossInputs, settings: Settings) -> Result:
    """`λ_D (1 - σ(β (r - z)))` for a desirable completion, `λ_U (1 - σ(β (z - r)))` for another: KTO
    (arXiv 2402.01306), eq. 7.

    z is `baseline`: the mean r of completions on prompts that they do not belong to, not below 0.
    A completion is desirable where its weight is above 0.
    """
    assert inputs.weights is not None
    ratios = _log_ratios(inputs, settings.length_normalised)
    desirable = inputs.weights > 0
    signs = desirable.to(ratios.dtype) * 2 - 1
    scale = ratios.new_full(ratios.shape, settings.undesirable_weight)
    scale = scale.masked_fill(desirable, settings.desirable_weight)
    losses = scale * (1 - (settings.beta * signs * (ratios - inputs.baseline)).sigmoid())
    n = inputs.counts.sequences
    return losses.sum() / n, {
        "desirable": desirable.sum().item() / n,
        "log_ratio": ratios.sum().item() / n,
    }


def _log_ratios(inputs: LossInputs, length_normalised: bool) -> torch.Tensor:
    """(b,): r of each completion."""
    assert inputs.ref_logprobs is not None
    ratios = totals(inputs.logprobs, inputs) - totals(inputs.ref_logprobs, inputs)
    return ratios / inputs.lengths if length_normalised else ratios


def _sides(values: torch.Tensor, inputs: LossInputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Of (b,) values, those of the chosen and those of the rejected: (p,) each."""
    assert inputs.pairs is not None
    chosen, rejected = inputs.pairs.unbind(-1)
    return values[chosen], values[rejected]


def _difference(values: torch.Tensor, inputs: LossInputs) -> torch.Tensor:
    chosen, rejected = _sides(values, inputs)
    return chosen - rejected


def _loss(
    losses: torch.Tensor, margins: torch.Tensor, inputs: LossInputs, settings: Settings
) -> Result:
    """The mean over the step's pairs. With `nll_weight` w, plus `w · -log π(y_w)/|y_w|` on each: RPO
    (arXiv 2404.19733), eq. 1."""
    nll = -totals(inputs.logprobs, inputs) / inputs.lengths
    chosen, rejected = _sides(nll, inputs)
    if settings.nll_weight:
        losses = losses + settings.nll_weight * chosen
    n = inputs.counts.pairs
    return losses.sum() / n, {
        "margin": margins.sum().item() / n,
        "accuracy": (margins > 0).sum().item() / n,
        "chosen_nll": chosen.sum().item() / n,
        "rejected_nll": rejected.sum().item() / n,
    }
