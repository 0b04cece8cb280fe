"""Objectives on rewards against numbers derived by hand and against their formulas in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from agents.learners.inputs import Counts
from agents.learners.objectives import OBJECTIVES
from agents.learners.policy_gradient import (
    cispo,
    grpo,
    gspo,
    oreal,
    rloo,
)
from coevo.config import POLICY_GRADIENT
from tests.unit.agents.loss_cases import (
    LONGEST,
    Case,
    assert_follows,
    by_reduction,
    draw,
    evaluate,
    settings,
)

CLIP = {"clip_low": 0.2, "clip_high": 0.28}


def moved(ratios: list[list[float]], advantages: list[float]) -> Case:
    """Tokens that were drawn at log-probability -1 and have since moved by these ratios."""
    return Case(
        rows=[[-1.0 + math.log(ratio) for ratio in row] for row in ratios],
        sampling=[[-1.0] * len(row) for row in ratios],
        weights=advantages,
        success=[0.5] * len(ratios),
    )


# -- by hand --------------------------------------------------------------------------------------


def test_grpo_clipping_regions_by_hand() -> None:
    """Ratios 1.5 and 0.5 in both rows, ε_low 0.2, ε_high 0.28, advantages +1 and -2.

    A = +1: min(1.5, 1.28) = 1.28 (clipped, no gradient); min(0.5, 0.8) = 0.5 (gradient r·A = 0.5).
    A = -2: min(-3, -2.56) = -3 (gradient r·A = -3); min(-1, -1.6) = -1.6 (clipped, no gradient).
    Row means: 0.89 and -2.3; loss = -(0.89 - 2.3) / 2 = 0.705.
    Gradient of the loss: -r·A / (2 tokens · 2 sequences): -0.125 and +0.75.
    """
    got = evaluate(grpo, settings("grpo", **CLIP), moved([[1.5, 0.5], [1.5, 0.5]], [1.0, -2.0]))
    assert got.loss == pytest.approx(0.705)
    assert got.gradient[0] == pytest.approx([0.0, -0.125])
    assert got.gradient[1] == pytest.approx([0.75, 0.0])
    assert got.metrics == {"clip_share": 1.0}


def test_grpo_clip_bounds_are_not_swapped() -> None:
    """Ratio 1.25 lies inside [0.8, 1.28] and ratio 0.75 outside: -1.25 and -0.75 for A = 1,
    both with their gradient; half of the tokens count as clipped."""
    got = evaluate(grpo, settings("grpo", **CLIP), moved([[1.25, 0.75]], [1.0]))
    assert got.loss == pytest.approx(-1.0)
    assert got.gradient[0] == pytest.approx([-0.625, -0.375])
    assert got.metrics["clip_share"] == 0.5


def test_grpo_kl_is_k3_by_hand() -> None:
    """One token, ratio 1, A = 0; ref - log π = log 2: k3 = 2 - log 2 - 1 = 0.306853, and its
    gradient 1 - e^(log 2) = -1 pulls log π up towards the reference; both times 0.1."""
    case = Case(rows=[[-1.0]], sampling=[[-1.0]], ref=[[-1.0 + math.log(2)]], weights=[0.0])
    got = evaluate(grpo, settings("grpo", kl_weight=0.1), case)
    assert got.metrics["ref_kl"] == pytest.approx(0.306853, abs=1e-6)
    assert got.loss == pytest.approx(0.0306853, abs=1e-7)
    assert got.gradient[0] == pytest.approx([-0.1])


@pytest.mark.parametrize(
    ("name", "loss", "first", "second"),
    [
        ("grpo", 1.0, -0.25, 1.5),  # row means 1 and -3, so (-1 + 3) / 2
        ("dapo", 1 / 3, -1 / 3, 1.0),  # of the three tokens: (-1 - 1 + 3) / 3
        ("reinforce_pp", 1 / 3, -1 / 3, 1.0),
        ("dr_grpo", 1 / 16, -1 / 16, 3 / 16),  # (-2 + 3) / (2 rows · 8 tokens allowed)
        ("gspo", 1.0, -0.25, 1.5),  # a row's ratio moves by half of each of its two tokens
        ("cispo", 2 / 3, -1 / 3, 1.0),  # -1 · (-1 - 2) + 3 · -1 = 0, over three tokens: see below
        ("rloo", 1.0, -0.5, 1.5),  # the row's ratio moves with all of every token
    ],
)
def test_on_policy_by_hand(name: str, loss: float, first: float, second: float) -> None:
    """Rows of two tokens and one, all ratios 1, advantages 1 and -3, by each objective's reduction.

    CISPO's loss is that of log π: (1 · (1 + 2) - 3 · 1 / 3) / 3 = 2 / 3 with log π = -1, -2 and -1/3.
    """
    rows = [[-1.0, -2.0], [-1 / 3]]
    case = Case(rows=rows, sampling=rows, weights=[1.0, -3.0])
    got = evaluate(OBJECTIVES[name].loss, settings(name), case)
    assert got.loss == pytest.approx(loss)
    assert got.gradient[0] == pytest.approx([first, first])
    assert got.gradient[1] == pytest.approx([second])
    assert got.metrics["clip_share"] == 0.0


def test_gspo_ratio_is_the_geometric_mean() -> None:
    """Ratios 1.5 and 0.96: s = √1.44 = 1.2, inside the bounds though 1.5 is not. A = 2: loss -2.4,
    gradient -s · A / 2 on each token."""
    got = evaluate(gspo, settings("gspo", **CLIP), moved([[1.5, 0.96]], [2.0]))
    assert got.loss == pytest.approx(-2.4)
    assert got.gradient[0] == pytest.approx([-1.2, -1.2])
    assert got.metrics["clip_share"] == 0.0


def test_gspo_clips_whole_sequences() -> None:
    """s = √(1.5 · 1.5) = 1.5 beyond 1.28: A = 2 gives -2.56 and no gradient, A = -1 gives +1.5 and 0.75 a
    token. A mean over the two rows: -0.53; both are clipped."""
    got = evaluate(gspo, settings("gspo", **CLIP), moved([[1.5, 1.5], [1.5, 1.5]], [2.0, -1.0]))
    assert got.loss == pytest.approx((-2.56 + 1.5) / 2)
    assert got.gradient[0] == [0.0, 0.0]
    assert got.gradient[1] == pytest.approx([0.375, 0.375])
    assert got.metrics["clip_share"] == 1.0


def test_rloo_ratio_is_the_product() -> None:
    """Ratios 1.5 and 0.8: 1.2, A = 2: loss -2.4 and gradient -2.4 on each token. Ratios 1.5 and 0.96: 1.44,
    clipped to 1.28: A = 2 gives -2.56 without a gradient, A = -1 gives 1.44 with it."""
    config = settings("rloo", **CLIP)
    inside = evaluate(rloo, config, moved([[1.5, 0.8]], [2.0]))
    assert inside.loss == pytest.approx(-2.4)
    assert inside.gradient[0] == pytest.approx([-2.4, -2.4])
    clipped = evaluate(rloo, config, moved([[1.5, 0.96]], [2.0]))
    assert clipped.loss == pytest.approx(-2.56)
    assert clipped.gradient[0] == [0.0, 0.0]
    worse = evaluate(rloo, config, moved([[1.5, 0.96]], [-1.0]))
    assert worse.loss == pytest.approx(1.44)
    assert worse.gradient[0] == pytest.approx([1.44, 1.44])


def test_cispo_keeps_the_gradient_of_clipped_tokens() -> None:
    """Ratio 1.5 is clipped to 1.28, 0.5 to 0.8. A = 1: loss (1.28 · (1 - log 1.5) + 0.8 (1 - log 0.5)) / 2 =
    (0.761005 + 1.354518) / 2, gradients -1.28 / 2 and -0.8 / 2: the ratio itself has none."""
    got = evaluate(cispo, settings("cispo", **CLIP), moved([[1.5, 0.5]], [1.0]))
    assert got.loss == pytest.approx(1.057761, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.64, -0.4])
    assert got.metrics["clip_share"] == 1.0


def test_cispo_without_a_lower_bound() -> None:
    """ε_low = 1 bounds by 0, which no ratio reaches: a ratio of 0.01 stays."""
    got = evaluate(cispo, settings("cispo", clip_low=1.0), moved([[0.01]], [1.0]))
    assert got.gradient[0] == pytest.approx([-0.01])
    assert got.metrics["clip_share"] == 0.0


def test_oreal_by_hand() -> None:
    """A right row with log π -1 and -0.5: mean of -log π 0.75. A wrong one with log ratio -0.2, p = 0.75,
    η = 0.6: 0.6 · 0.25 · -0.2 = -0.03. Loss (0.75 - 0.03) / 2 = 0.36.

    Gradients: -1 / (2 tokens · 2 rows) = -0.25, and 0.15 / 2 = 0.075.
    """
    case = Case(
        rows=[[-1.0, -0.5], [-2.0]],
        sampling=[[-1.3, -0.3], [-1.8]],
        weights=[1.0, 0.0],
        success=[0.5, 0.75],
    )
    got = evaluate(oreal, settings("oreal", negative_weight=0.6), case)
    assert got.loss == pytest.approx(0.36)
    assert got.gradient[0] == pytest.approx([-0.25, -0.25])
    assert got.gradient[1] == pytest.approx([0.075])


# -- the formulas, token by token -----------------------------------------------------------------


def by_definition_weights(config: Any, old: Any, sampling: Any) -> list[float]:
    """w of each token of a sequence."""
    ratios = [math.exp(o - s) for o, s in zip(old, sampling, strict=True)]
    if config.correction_level == "sequence":
        ratios = [math.prod(ratios)] * len(ratios)
    cap = config.correction_cap
    if config.correction == "truncate":
        return [min(ratio, cap) for ratio in ratios]
    return [ratio if 1 / cap <= ratio <= cap else 0.0 for ratio in ratios]


def by_definition_divergence(config: Any, token: torch.Tensor, ref: float) -> torch.Tensor:
    if config.kl_estimator == "k1":
        return token - ref
    if config.kl_estimator == "k2":
        return (token - ref) ** 2 / 2
    return torch.exp(ref - token) - (ref - token) - 1


def by_definition(config: Any, case: Case, rows: list[torch.Tensor], _: Any) -> torch.Tensor:
    assert case.weights is not None and case.success is not None
    assert case.sampling is not None and case.ref is not None
    name, low, high = config.objective, 1 - config.clip_low, 1 + config.clip_high
    surrogates, divergences = [], []
    for i, (row, advantage) in enumerate(zip(rows, case.weights, strict=True)):
        corrected = config.correction != "none"
        before = case.old[i] if corrected else case.sampling[i]  # type: ignore[index]
        weights = [1.0] * len(row)
        if corrected:
            weights = by_definition_weights(config, before, case.sampling[i])
        ratios = [torch.exp(token - old) for token, old in zip(row, before, strict=True)]
        whole = torch.exp(sum(row) - sum(before))  # type: ignore[arg-type]
        if name == "gspo":
            whole = whole ** (1 / len(row))
        bounded = torch.clip(whole, low, high)
        line = []
        for token, old, ratio, weight in zip(row, before, ratios, weights, strict=True):
            clipped = torch.clip(ratio, low, high)
            if name in ("gspo", "rloo"):
                gain = torch.minimum(whole * advantage, bounded * advantage) / len(row)
            elif name == "cispo":
                gain = clipped.item() * advantage * token
            elif name == "oreal":
                failure = config.negative_weight * (1 - case.success[i])
                gain = token if advantage > 0 else -failure * (token - old)
            else:
                gain = torch.minimum(ratio * advantage, clipped * advantage)
            line.append(-weight * gain)
        surrogates.append(line)
        divergences.append(
            [
                config.kl_weight * by_definition_divergence(config, token, ref)
                for token, ref in zip(row, case.ref[i], strict=True)
            ]
        )
    reduction = "sum" if name in ("gspo", "rloo") else config.reduction
    return by_reduction(surrogates, reduction) + by_reduction(divergences, config.reduction)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"kl_weight": 0.05},
    {"kl_weight": 0.05, "kl_estimator": "k2", "reduction": "sum"},
    {"kl_weight": 0.05, "kl_estimator": "k1", "reduction": "token"},
    {"kl_weight": 0.05, "reduction": "constant"},
    {"kl_weight": 0.05, "reduction": "mean"},
    {"correction": "truncate"},
    {"correction": "mask", "kl_weight": 0.05},
    {"correction": "truncate", "correction_level": "sequence"},
    {"correction": "mask", "correction_level": "sequence"},
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variant", range(len(VARIANTS)))
@pytest.mark.parametrize("name", POLICY_GRADIENT)
def test_loss_and_gradient_follow_the_definition(name: str, variant: int, seed: int) -> None:
    changes = {**CLIP, "correction_cap": 1.5, "negative_weight": 0.6, **VARIANTS[variant]}
    config = settings(name, **changes)
    case = draw(seed, corrected="correction" in VARIANTS[variant])
    assert_follows(OBJECTIVES[name].loss, by_definition, config, case)


def test_constant_reduction_does_not_see_the_lengths() -> None:
    """A long row's token weighs what a short one's does: A / (rows · longest)."""
    rows = [[-1.0] * 7, [-1.0]]
    got = evaluate(grpo, settings("dr_grpo"), Case(rows=rows, sampling=rows, weights=[1.0, 1.0]))
    assert got.flat == pytest.approx([-1 / (2 * LONGEST)] * 8)


def test_the_step_counts_and_not_the_micro_batch() -> None:
    """Of a step with four sequences, a micro-batch of one adds a quarter of its mean."""
    case = moved([[1.0, 1.0]], [1.0])
    counts = Counts(sequences=4, tokens=20, pairs=0, longest=LONGEST)
    assert evaluate(grpo, settings("grpo"), case, counts).loss == pytest.approx(-1 / 4)
    assert evaluate(grpo, settings("dapo"), case, counts).loss == pytest.approx(-2 / 20)
    assert evaluate(grpo, settings("dr_grpo"), case, counts).loss == pytest.approx(-2 / (4 * 8))
    assert evaluate(rloo, settings("rloo"), case, counts).loss == pytest.approx(-1 / 4)
