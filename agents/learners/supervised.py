"""Objectives on completions to imitate: weighted, filtered, or with a teacher's distribution.

Pure functions `(inputs, settings) -> (loss, metrics)`.
"""

from __future__ import annotations

import torch

from agents.learners.inputs import LossInputs, Metrics, Settings, reduced, sequence_mean, totals

Result = tuple[torch.Tensor, Metrics]


def sft(inputs: LossInputs, settings: Settings) -> Result:
    """`-w log π(y | x)`, by default summed over the completion's tokens.

    With w the utility of a problem: Socratic-Zero's Generator (arXiv 2509.24726), §3.3. With w = 1 on
    right completions alone: rejection sampling fine-tuning (RFT, arXiv 2308.01825).
    """
    assert inputs.weights is not None
    loss = reduced(-inputs.weights[:, None] * inputs.logprobs, inputs, settings.reduction)
    return loss, {
        "nll": sequence_mean(-inputs.logprobs, inputs),
        "mean_weight": inputs.weights.sum().item() / inputs.counts.sequences,
    }


def rehearse(loss: torch.Tensor, inputs: LossInputs, settings: Settings) -> Result:
    """The loss plus `rft_weight` times `-log π(y) / |y|`, the mean over right completions, each once.

    Rejection fine-tuning (arXiv 2308.01825) beside another objective, as InstructGPT mixes in the loss of
    pretraining against forgetting (PPO-ptx, arXiv 2203.02155, eq. 2). A mean over tokens would forget
    short completions for long ones.
    """
    assert inputs.right is not None
    means = totals(inputs.logprobs, inputs) / inputs.lengths
    nll = -(means * inputs.right).sum() / inputs.counts.right
    return loss + settings.rft_weight * nll, {"right_nll": nll.item()}


def distill(inputs: LossInputs, settings: Settings) -> Result:
    """`w D_t`, D_t the divergence between the teacher's and the learner's distribution of token t: GKD (arXiv
    2306.13649), §3, on completions of the Solver or of others."""
    assert inputs.weights is not None and inputs.divergences is not None
    terms = inputs.weights[:, None] * inputs.divergences
    return reduced(terms, inputs, settings.reduction), {
        "nll": sequence_mean(-inputs.logprobs, inputs),
        "teacher_divergence": sequence_mean(inputs.divergences, inputs),
    }


def token_divergence(
    logits: torch.Tensor, teacher_logits: torch.Tensor, kind: str, mix: float = 0.5
) -> torch.Tensor:
    """(n,): the divergence of each of n positions, from two (n, vocabulary) tables of logits.

    With P the teacher's and Q the learner's distribution: `forward` KL(P ‖ Q), `reverse` KL(Q ‖ P), `js`
    `β KL(P ‖ M) + (1-β) KL(Q ‖ M)` with `M = β P + (1-β) Q` and β = `mix`: GKD (arXiv 2306.13649), eq. 1.
    """
    q, p = logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    if kind == "forward":
        return _kl(p, q)
    if kind == "reverse":
        return _kl(q, p)
    log_mix = torch.tensor([mix, 1 - mix], dtype=p.dtype, device=p.device).log()
    m = torch.logsumexp(torch.stack([p + log_mix[0], q + log_mix[1]]), 0)
    return mix * _kl(p, m) + (1 - mix) * _kl(q, m)


def _kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p.exp() * (p - q)).sum(-1)
