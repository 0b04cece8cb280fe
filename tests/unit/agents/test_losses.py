"""The three objectives against numbers derived by hand and against the formulas in float64.

Every padded position holds 7.7 and not 0: a mask that is off by one changes the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from agents.learners.losses import LOSSES, LossInputs, dpo, grpo, sft

GARBAGE = 7.7


def objective(**changes: float) -> Any:
    values = {"beta": 0.5, "nll_weight": 0.0, "clip_low": 0.2, "clip_high": 0.28, "kl_weight": 0.0}
    return SimpleNamespace(**(values | changes))


def padded(rows: list[list[float]], width: int = 2) -> torch.Tensor:
    filled = [row + [GARBAGE] * (width - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.double)


def mask_of(rows: list[list[float]], width: int = 2) -> torch.Tensor:
    return torch.tensor(
        [[1.0] * len(row) + [0.0] * (width - len(row)) for row in rows], dtype=torch.double
    )


def loss_and_gradient(
    function: Callable[..., Any], config: Any, rows: list[list[float]], **inputs: Any
) -> tuple[float, list[list[float]], dict[str, float]]:
    logprobs = padded(rows).requires_grad_()
    arguments = {"loss_mask": mask_of(rows), "normaliser": 1.0, **inputs}
    loss, metrics = function(LossInputs(logprobs=logprobs, **arguments), config)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return loss.item(), gradient.tolist(), metrics


# -- by hand --------------------------------------------------------------------------------------

CHOSEN, REJECTED = [-1.0, -0.5], [-2.0]
REF_CHOSEN, REF_REJECTED = [-1.2, -0.7], [-1.5]
ONE_PAIR = torch.tensor([[0, 1]])


def test_dpo_by_hand() -> None:
    """Chosen: log π = -1.5, log π_ref = -1.9, so their ratio is 0.4. Rejected: -2.0 + 1.5 = -0.5.

    margin = 0.5 · (0.4 + 0.5) = 0.45; loss = log(1 + e^-0.45) = log 1.637628 = 0.493249.
    d loss / d margin = -σ(-0.45) = -0.389361; times β = 0.5: -0.194680 on each chosen token,
    +0.194680 on the rejected one, 0 on its padding.
    """
    loss, gradient, metrics = loss_and_gradient(
        dpo,
        objective(),
        [CHOSEN, REJECTED],
        ref_logprobs=padded([REF_CHOSEN, REF_REJECTED]),
        pairs=ONE_PAIR,
    )
    assert loss == pytest.approx(0.493249, abs=1e-6)
    assert gradient[0] == pytest.approx([-0.194680, -0.194680], abs=1e-6)
    assert gradient[1] == pytest.approx([0.194680, 0.0], abs=1e-6)
    assert metrics["margin"] == pytest.approx(0.45)
    assert metrics["accuracy"] == 1.0
    assert metrics["chosen_nll"] == pytest.approx(0.75)
    assert metrics["rejected_nll"] == pytest.approx(2.0)


def test_dpo_with_the_pair_turned_round() -> None:
    """margin = -0.45: loss = log(1 + e^0.45) = 0.493249 + 0.45; the gradient's weight is σ(0.45)."""
    loss, gradient, metrics = loss_and_gradient(
        dpo,
        objective(),
        [CHOSEN, REJECTED],
        ref_logprobs=padded([REF_CHOSEN, REF_REJECTED]),
        pairs=torch.tensor([[1, 0]]),
    )
    assert loss == pytest.approx(0.943249, abs=1e-6)
    assert gradient[0] == pytest.approx([0.305320, 0.305320], abs=1e-6)
    assert gradient[1] == pytest.approx([-0.305320, 0.0], abs=1e-6)
    assert metrics["accuracy"] == 0.0


def test_dpo_nll_term_by_hand() -> None:
    """The chosen's -log π per token is 1.5 / 2 = 0.75; weight 0.2 adds 0.15 to the loss and
    -0.2 / 2 = -0.1 to the gradient of each of its two tokens, nothing to the rejected's."""
    loss, gradient, _ = loss_and_gradient(
        dpo,
        objective(nll_weight=0.2),
        [CHOSEN, REJECTED],
        ref_logprobs=padded([REF_CHOSEN, REF_REJECTED]),
        pairs=ONE_PAIR,
    )
    assert loss == pytest.approx(0.643249, abs=1e-6)
    assert gradient[0] == pytest.approx([-0.294680, -0.294680], abs=1e-6)
    assert gradient[1] == pytest.approx([0.194680, 0.0], abs=1e-6)


def test_dpo_at_the_reference_is_log_two() -> None:
    """Policy and reference equal: margin 0, loss log 2 whatever β is, not counted as accurate."""
    for beta in (0.05, 3.0):
        loss, _, metrics = loss_and_gradient(
            dpo,
            objective(beta=beta),
            [CHOSEN, REJECTED],
            ref_logprobs=padded([CHOSEN, REJECTED]),
            pairs=ONE_PAIR,
        )
        assert loss == pytest.approx(math.log(2))
        assert metrics["margin"] == 0.0
        assert metrics["accuracy"] == 0.0


def test_grpo_clipping_regions_by_hand() -> None:
    """Ratios 1.5 and 0.5 in both rows, ε_low 0.2, ε_high 0.28, advantages +1 and -2.

    A = +1: min(1.5, 1.28) = 1.28 (clipped, no gradient); min(0.5, 0.8) = 0.5 (gradient r·A = 0.5).
    A = -2: min(-3, -2.56) = -3 (gradient r·A = -3); min(-1, -1.6) = -1.6 (clipped, no gradient).
    Row means: 0.89 and -2.3; loss = -(0.89 - 2.3) / 2 = 0.705.
    Gradient of the loss: -r·A / (2 tokens · 2 sequences): -0.125 and +0.75.
    """
    up, down = math.log(1.5), math.log(0.5)
    loss, gradient, metrics = loss_and_gradient(
        grpo,
        objective(),
        [[-1.0 + up, -2.0 + down], [-0.5 + up, -1.5 + down]],
        sampling_logprobs=padded([[-1.0, -2.0], [-0.5, -1.5]]),
        weights=torch.tensor([1.0, -2.0], dtype=torch.double),
        normaliser=2.0,
    )
    assert loss == pytest.approx(0.705)
    assert gradient[0] == pytest.approx([0.0, -0.125])
    assert gradient[1] == pytest.approx([0.75, 0.0])
    assert metrics["clip_share"] == 1.0


def test_grpo_clip_bounds_are_not_swapped() -> None:
    """Ratio 1.25 lies inside [0.8, 1.28] and ratio 0.75 outside: -1.25 and -0.75 for A = 1,
    both with their gradient; half of the tokens count as clipped."""
    loss, gradient, metrics = loss_and_gradient(
        grpo,
        objective(),
        [[math.log(1.25), math.log(0.75)]],
        sampling_logprobs=padded([[0.0, 0.0]]),
        weights=torch.tensor([1.0], dtype=torch.double),
    )
    assert loss == pytest.approx(-1.0)
    assert gradient[0] == pytest.approx([-0.625, -0.375])
    assert metrics["clip_share"] == 0.5


def test_grpo_kl_is_k3_by_hand() -> None:
    """One token, ratio 1, A = 0; ref - log π = log 2: k3 = 2 - log 2 - 1 = 0.306853, and its
    gradient 1 - e^(log 2) = -1 pulls log π up towards the reference; both times 0.1."""
    loss, gradient, metrics = loss_and_gradient(
        grpo,
        objective(kl_weight=0.1),
        [[-1.0]],
        sampling_logprobs=padded([[-1.0]]),
        ref_logprobs=padded([[-1.0 + math.log(2)]]),
        weights=torch.tensor([0.0], dtype=torch.double),
    )
    assert metrics["ref_kl"] == pytest.approx(0.306853, abs=1e-6)
    assert loss == pytest.approx(0.0306853, abs=1e-7)
    assert gradient[0] == pytest.approx([-0.1, 0.0])


def test_grpo_on_policy_is_the_policy_gradient() -> None:
    """Ratio 1: the loss is -A, the gradient -A / |o| on each token; longer rows weigh no more."""
    loss, gradient, metrics = loss_and_gradient(
        grpo,
        objective(),
        [[-1.0, -2.0], [-3.0]],
        sampling_logprobs=padded([[-1.0, -2.0], [-3.0]]),
        weights=torch.tensor([1.0, -3.0], dtype=torch.double),
        normaliser=2.0,
    )
    assert loss == pytest.approx(1.0)
    assert gradient[0] == pytest.approx([-0.25, -0.25])
    assert gradient[1] == pytest.approx([1.5, 0.0])
    assert metrics["clip_share"] == 0.0
    assert metrics["sampling_kl"] == pytest.approx(0.0, abs=1e-12)


def test_sft_by_hand() -> None:
    """Weights 0.5 and 2: -(0.5 · -1.5 + 2 · -2.0) / 2 = 2.375; the gradient of each token is
    -w / 2: -0.25 and -1. The nll is per token: (0.75 + 2) / 2; the mean weight 1.25."""
    loss, gradient, metrics = loss_and_gradient(
        sft,
        objective(),
        [CHOSEN, REJECTED],
        weights=torch.tensor([0.5, 2.0], dtype=torch.double),
        normaliser=2.0,
    )
    assert loss == pytest.approx(2.375)
    assert gradient[0] == pytest.approx([-0.25, -0.25])
    assert gradient[1] == pytest.approx([-1.0, 0.0])
    assert metrics["nll"] == pytest.approx(1.375)
    assert metrics["mean_weight"] == pytest.approx(1.25)


# -- the formulas, written token by token in float64 ----------------------------------------------


def by_definition_dpo(rows: list[Any], given: Any, config: Any) -> Any:
    total = torch.zeros((), dtype=torch.double)
    for w, l in given.pairs:  # noqa: E741
        ratio_w = sum(rows[w]) - sum(given.reference[w])
        ratio_l = sum(rows[l]) - sum(given.reference[l])
        probability = 1 / (1 + torch.exp(-config.beta * (ratio_w - ratio_l)))
        total = total - torch.log(probability)
        total = total + config.nll_weight * -sum(rows[w]) / len(rows[w])
    return total / len(given.pairs)


def by_definition_grpo(rows: list[Any], given: Any, config: Any) -> Any:
    total = torch.zeros((), dtype=torch.double)
    for row, old, reference, advantage in zip(
        rows, given.sampling, given.reference, given.weights, strict=True
    ):
        for token, before, frozen in zip(row, old, reference, strict=True):
            ratio = torch.exp(token - before)
            bounded = torch.clip(ratio, 1 - config.clip_low, 1 + config.clip_high)
            gain = torch.minimum(ratio * advantage, bounded * advantage)
            kl = torch.exp(frozen - token) - (frozen - token) - 1
            total = total - (gain - config.kl_weight * kl) / len(row)
    return total / len(rows)


def by_definition_sft(rows: list[Any], given: Any, config: Any) -> Any:
    weighted = [weight * sum(row) for row, weight in zip(rows, given.weights, strict=True)]
    return -sum(weighted) / len(rows)


DEFINITIONS = {"dpo": by_definition_dpo, "grpo": by_definition_grpo, "sft": by_definition_sft}
CONFIG = objective(beta=0.3, nll_weight=0.4, kl_weight=0.05)
LENGTHS = [3, 5, 1, 4]


def draw(seed: int) -> SimpleNamespace:
    """Ragged rows of four sequences; tokens of the policy close to those of the others."""
    random = torch.Generator().manual_seed(seed)

    def rows(near: list[torch.Tensor] | None = None) -> list[torch.Tensor]:
        noise = [torch.randn(n, generator=random, dtype=torch.double) for n in LENGTHS]
        if near is None:
            return [-1.5 - value.abs() for value in noise]
        return [row + 0.4 * value for row, value in zip(near, noise, strict=True)]

    current = rows()
    return SimpleNamespace(
        rows=current,
        reference=rows(current),
        sampling=rows(current),
        weights=torch.randn(4, generator=random, dtype=torch.double),
        pairs=[(0, 1), (0, 2), (3, 1)],
    )


def inputs_of(given: Any, logprobs: torch.Tensor, wanted: list[int], normaliser: float) -> Any:
    """The `wanted` rows (and the pairs among them) as a padded micro-batch."""

    def pad(rows: list[torch.Tensor]) -> torch.Tensor:
        return padded([rows[i].tolist() for i in wanted], width=max(LENGTHS))

    place = {row: position for position, row in enumerate(wanted)}
    pairs = [tuple(place[row] for row in pair) for pair in given.pairs if set(pair) <= set(wanted)]
    return LossInputs(
        logprobs=logprobs,
        loss_mask=mask_of([given.rows[i].tolist() for i in wanted], width=max(LENGTHS)),
        normaliser=normaliser,
        ref_logprobs=pad(given.reference),
        sampling_logprobs=pad(given.sampling),
        weights=given.weights[wanted],
        pairs=torch.tensor(pairs).reshape(-1, 2),
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_loss_and_gradient_follow_the_definition(name: str, seed: int) -> None:
    given = draw(seed)
    leaves = [row.clone().requires_grad_() for row in given.rows]
    expected = DEFINITIONS[name](leaves, given, CONFIG)
    expected_gradients = torch.autograd.grad(expected, leaves)

    logprobs = padded([row.tolist() for row in given.rows], width=5).requires_grad_()
    normaliser = len(given.pairs) if name == "dpo" else len(LENGTHS)
    loss, _ = LOSSES[name](inputs_of(given, logprobs, [0, 1, 2, 3], normaliser), CONFIG)
    (gradient,) = torch.autograd.grad(loss, logprobs)

    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    for row, (length, wanted) in enumerate(zip(LENGTHS, expected_gradients, strict=True)):
        assert torch.allclose(gradient[row, :length], wanted, atol=1e-12)
        assert torch.all(gradient[row, length:] == 0)


@pytest.mark.parametrize("name", LOSSES)
def test_micro_batches_add_up_to_the_step(name: str) -> None:
    """Losses, gradients and metrics of two micro-batches sum to those of the whole."""
    given = draw(11)
    given.pairs = [(0, 1), (1, 0), (3, 2)]  # none of them between the two halves
    normaliser = len(given.pairs) if name == "dpo" else len(LENGTHS)

    def run(wanted: list[int]) -> tuple[float, torch.Tensor, dict[str, float]]:
        rows = [given.rows[i].tolist() for i in wanted]
        logprobs = padded(rows, width=5).requires_grad_()
        loss, metrics = LOSSES[name](inputs_of(given, logprobs, wanted, normaliser), CONFIG)
        return loss.item(), torch.autograd.grad(loss, logprobs)[0], metrics

    whole, gradient, metrics = run([0, 1, 2, 3])
    first, second = run([0, 1]), run([2, 3])
    assert first[0] + second[0] == pytest.approx(whole, abs=1e-12)
    assert torch.allclose(torch.cat([first[1], second[1]]), gradient, atol=1e-12)
    for key, value in metrics.items():
        assert first[2][key] + second[2][key] == pytest.approx(value, abs=1e-12)
