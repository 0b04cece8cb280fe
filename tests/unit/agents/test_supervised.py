"""Objectives of imitation against numbers derived by hand and against their formulas in float64."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from agents.learners.inputs import Counts, reduced, sequence_mean, totals
from agents.learners.objectives import OBJECTIVES
from agents.learners.preference import dpo
from agents.learners.supervised import distill, rehearse, sft, token_divergence
from coevo.config import SUPERVISED
from tests.unit.agents.loss_cases import (
    Case,
    assert_follows,
    by_reduction,
    draw,
    evaluate,
    inputs_of,
    padded,
    settings,
)

WEIGHTED = Case(rows=[[-1.0, -0.5], [-2.0]], weights=[0.5, 2.0], divergences=[[0.3, 0.1], [0.6]])


# -- by hand --------------------------------------------------------------------------------------


def test_sft_by_hand() -> None:
    """Weights 0.5 and 2: -(0.5 · -1.5 + 2 · -2.0) / 2 = 2.375; the gradient of each token is
    -w / 2: -0.25 and -1. The nll is per token: (0.75 + 2) / 2; the mean weight 1.25."""
    got = evaluate(sft, settings("sft"), WEIGHTED)
    assert got.loss == pytest.approx(2.375)
    assert got.gradient == [[-0.25, -0.25], [-1.0]]
    assert got.metrics == pytest.approx({"nll": 1.375, "mean_weight": 1.25})


@pytest.mark.parametrize(
    ("reduction", "loss", "first", "second"),
    [
        ("sum", 2.375, -0.25, -1.0),  # (0.75 + 4) / 2
        ("mean", 2.1875, -0.125, -1.0),  # (0.375 + 4) / 2
        ("token", 4.75 / 3, -0.5 / 3, -2 / 3),  # (0.75 + 4) / 3
        ("constant", 0.296875, -0.03125, -0.125),  # (0.75 + 4) / (2 · 8)
    ],
)
def test_reductions_by_hand(reduction: str, loss: float, first: float, second: float) -> None:
    """w · -log π: 0.5 and 0.25 in the first row, 4 in the second; completions may have 8 tokens."""
    got = evaluate(sft, settings("sft", reduction=reduction), WEIGHTED)
    assert got.loss == pytest.approx(loss)
    assert got.gradient[0] == pytest.approx([first, first])
    assert got.gradient[1] == pytest.approx([second])


def test_rft_weighs_all_tokens_alike() -> None:
    """By default a mean over tokens: weights 1, (1 + 0.5 + 2) / 3."""
    case = Case(rows=WEIGHTED.rows, weights=[1.0, 1.0])
    got = evaluate(OBJECTIVES["rft"].loss, settings("rft"), case)
    assert got.loss == pytest.approx(3.5 / 3)
    assert got.flat == pytest.approx([-1 / 3] * 3)


def test_distill_by_hand() -> None:
    """Divergences 0.3, 0.1 of weight 0.5 and 0.6 of weight 2: (0.2 + 1.2) / 3 tokens.

    What is minimised is the divergence: log π itself has no gradient.
    """
    got = evaluate(distill, settings("distill"), WEIGHTED)
    assert got.loss == pytest.approx(1.4 / 3)
    assert got.gradient == [[0.0, 0.0], [0.0]]
    assert got.of_divergences[0] == pytest.approx([0.5 / 3, 0.5 / 3])
    assert got.of_divergences[1] == pytest.approx([2 / 3])
    assert got.metrics == pytest.approx({"nll": 1.375, "teacher_divergence": 0.4})


def test_totals_and_means_leave_padding_out() -> None:
    """Sums over tokens -1.5 and -2; means -0.75 and -2, of the two rows -1.375."""
    inputs = inputs_of(WEIGHTED)
    assert totals(inputs.logprobs, inputs).tolist() == [-1.5, -2.0]
    assert inputs.lengths.tolist() == [2.0, 1.0]
    assert sequence_mean(inputs.logprobs, inputs) == pytest.approx(-1.375)


def test_an_unknown_reduction_is_an_error() -> None:
    with pytest.raises(KeyError):
        reduced(padded(WEIGHTED.rows), inputs_of(WEIGHTED), "median")


# -- rehearsal ------------------------------------------------------------------------------------


def rehearsing(inputs: Any, config: Any) -> Any:
    """dpo, and beside it right completions."""
    loss, metrics = dpo(inputs, config)
    loss, own = rehearse(loss, inputs, config)
    return loss, metrics | own


RIGHT = Case(rows=WEIGHTED.rows, ref=WEIGHTED.rows, pairs=[], right=[1.0, 1.0])


@pytest.mark.parametrize(
    ("right", "nll", "first", "second"),
    [
        ([1.0, 1.0], 1.375, -0.1, -0.2),  # (0.75 + 2) / 2: a completion counts once, long or short
        ([1.0, 0.0], 0.75, -0.2, 0.0),
        ([0.0, 1.0], 2.0, 0.0, -0.4),
        ([0.0, 0.0], 0.0, 0.0, 0.0),
    ],
)
def test_rehearsal_by_hand(right: list[float], nll: float, first: float, second: float) -> None:
    """Log-probabilities a token -0.75 and -2; weight 0.4, no pairs. The gradient of each of the first's two
    tokens is -0.4 / 2 divided by the number of right completions."""
    case = dataclasses.replace(RIGHT, right=right)
    got = evaluate(rehearsing, settings("dpo", rft_weight=0.4), case, Counts(right=sum(right) or 1))
    assert got.loss == pytest.approx(0.4 * nll)
    assert got.gradient[0] == pytest.approx([first, first])
    assert got.gradient[1] == pytest.approx([second])
    assert got.metrics["right_nll"] == pytest.approx(nll)


def test_rehearsal_is_added_to_the_loss() -> None:
    """-(0.5 · -1.5 + 2 · -2) / 2 = 2.375, and 2 · 1.375; without references nothing asks for them."""
    case = dataclasses.replace(WEIGHTED, right=[1.0, 1.0])

    def beside(inputs: Any, config: Any) -> Any:
        return rehearse(sft(inputs, config)[0], inputs, config)

    got = evaluate(beside, settings("sft", rft_weight=2.0), case)
    assert got.loss == pytest.approx(2.375 + 2.75)
    assert got.metrics == pytest.approx({"right_nll": 1.375})


def rehearsed(config: Any, case: Case, rows: list[torch.Tensor], _: Any) -> torch.Tensor:
    assert case.ref is not None and case.pairs is not None and case.right is not None
    ratios = [sum(row) - sum(ref) for row, ref in zip(rows, case.ref, strict=True)]
    margins = [config.beta * (ratios[w] - ratios[l]) for w, l in case.pairs]  # noqa: E741
    own = sum(torch.log(1 + torch.exp(-margin)) for margin in margins) / len(margins)
    right = [
        -sum(row) / len(row) for row, is_right in zip(rows, case.right, strict=True) if is_right
    ]
    return own + config.rft_weight * sum(right) / len(right)


@pytest.mark.parametrize("seed", range(3))
def test_rehearsal_follows_the_definition(seed: int) -> None:
    assert_follows(rehearsing, rehearsed, settings("dpo", rft_weight=0.6), draw(seed))


def test_rehearsal_of_micro_batches_adds_up_and_reads_no_padding() -> None:
    config, case = (
        settings("dpo", rft_weight=0.6),
        dataclasses.replace(draw(4), pairs=[(0, 1), (3, 2)]),
    )
    whole = evaluate(rehearsing, config, case)
    parts = [
        evaluate(rehearsing, config, case.part(rows), case.counts) for rows in ([0, 1], [2, 3])
    ]
    assert sum(part.loss for part in parts) == pytest.approx(whole.loss, abs=1e-12)
    assert [value for part in parts for value in part.flat] == pytest.approx(whole.flat, abs=1e-12)
    nlls = [part.metrics["right_nll"] for part in parts]
    assert sum(nlls) == pytest.approx(whole.metrics["right_nll"], abs=1e-12)
    for garbage in (1e30, math.nan, -math.inf):
        assert evaluate(rehearsing, config, case, garbage=garbage) == whole


# -- from logits to divergences -------------------------------------------------------------------

TEACHER, LEARNER = [0.5, 0.5], [0.25, 0.75]


@pytest.mark.parametrize(
    ("kind", "mix", "expected"),
    [
        ("forward", 0.5, 0.143841),
        ("reverse", 0.5, 0.130812),
        ("js", 0.5, 0.033822),
        ("js", 0.25, 0.026049),
    ],
)
def test_token_divergence_by_hand(kind: str, mix: float, expected: float) -> None:
    """P = (1/2, 1/2) of the teacher, Q = (1/4, 3/4).

    KL(P ‖ Q) = log 2 / 2 + log(2/3) / 2 = 0.346574 - 0.202733.
    KL(Q ‖ P) = log(1/2) / 4 + 3 log(3/2) / 4 = -0.173287 + 0.304099.
    js, half: M = (3/8, 5/8); KL(P ‖ M) = 0.032269, KL(Q ‖ M) = 0.035375, their mean.
    js, P a quarter: M = (5/16, 11/16); 0.25 · 0.075775 + 0.75 · 0.009473.
    """
    logits, teacher = torch.tensor([LEARNER]).log(), torch.tensor([TEACHER]).log()
    got = token_divergence(logits + 3.0, teacher - 1.0, kind, mix)  # logits are up to a constant
    assert got.tolist() == pytest.approx([expected], abs=2e-6)


@pytest.mark.parametrize("mix", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["forward", "reverse", "js"])
def test_token_divergence_follows_the_definition(kind: str, mix: float) -> None:
    random = torch.Generator().manual_seed(1)
    table = torch.randn((5, 6), generator=random, dtype=torch.double).requires_grad_()
    taught = torch.randn((5, 6), generator=random, dtype=torch.double)
    expected = []
    for line, teacher in zip(table, taught, strict=True):
        q = [torch.exp(value) / torch.exp(line).sum() for value in line]
        p = [torch.exp(value) / torch.exp(teacher).sum() for value in teacher]
        total = torch.zeros((), dtype=torch.double)
        for a, b in zip(p, q, strict=True):
            middle = mix * a + (1 - mix) * b
            if kind == "forward":
                total = total + a * torch.log(a / b)
            elif kind == "reverse":
                total = total + b * torch.log(b / a)
            else:
                total = total + mix * a * torch.log(a / middle)
                total = total + (1 - mix) * b * torch.log(b / middle)
        expected.append(total)
    wanted = torch.stack(expected)
    got = token_divergence(table, taught, kind, mix)
    assert torch.allclose(got, wanted, rtol=0, atol=1e-12)
    weights = torch.arange(1.0, 6.0, dtype=torch.double)
    (slope,) = torch.autograd.grad((weights * got).sum(), table)
    (slope_wanted,) = torch.autograd.grad((weights * wanted).sum(), table)
    assert torch.allclose(slope, slope_wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["forward", "reverse", "js"])
def test_equal_distributions_are_not_apart(kind: str) -> None:
    table = torch.randn((4, 9), generator=torch.Generator().manual_seed(2), dtype=torch.double)
    assert torch.allclose(token_divergence(table, table + 1, kind), torch.zeros(4).double())


def test_far_distributions_stay_finite() -> None:
    """js of two distributions without a common token is log 2."""
    logits, teacher = torch.tensor([[80.0, -80.0]]), torch.tensor([[-80.0, 80.0]])
    got = token_divergence(logits, teacher, "js")
    assert got.item() == pytest.approx(math.log(2), abs=1e-6)


# -- the formulas, token by token -----------------------------------------------------------------


def by_definition(
    config: Any, case: Case, rows: list[torch.Tensor], divergences: list[torch.Tensor]
) -> torch.Tensor:
    assert case.weights is not None
    if config.objective == "distill":
        terms = [[w * t for t in line] for line, w in zip(divergences, case.weights, strict=True)]
    else:
        terms = [[-w * t for t in line] for line, w in zip(rows, case.weights, strict=True)]
    return by_reduction(terms, config.reduction)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reduction", ["default", "sum", "mean", "token", "constant"])
@pytest.mark.parametrize("name", SUPERVISED)
def test_loss_and_gradient_follow_the_definition(name: str, reduction: str, seed: int) -> None:
    config = settings(name, reduction=reduction)
    assert_follows(OBJECTIVES[name].loss, by_definition, config, draw(seed))
