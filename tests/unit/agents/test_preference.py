"""Objectives on preferences against numbers derived by hand and against their formulas in float64."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from agents.learners.objectives import OBJECTIVES
from agents.learners.preference import (
    apo_zero,
    cdpo,
    dpo,
    hinge,
    ipo,
    kto,
    redi,
    robust,
    simpo,
)
from coevo.config import PREFERENCE
from tests.unit.agents.loss_cases import Case, assert_follows, draw, evaluate, settings

# Chosen: log π = -1.5, log π_ref = -1.9, so r = 0.4, a token 0.2. Rejected: -2.0 + 1.5, so r = -0.5.
PAIR = Case(
    rows=[[-1.0, -0.5], [-2.0]],
    ref=[[-1.2, -0.7], [-1.5]],
    pairs=[(0, 1)],
)
TURNED = dataclasses.replace(PAIR, pairs=[(1, 0)])


# -- by hand --------------------------------------------------------------------------------------


def test_dpo_by_hand() -> None:
    """m = 0.5 · (0.4 + 0.5) = 0.45; loss = log(1 + e^-0.45) = log 1.637628 = 0.493249.

    d loss / d m = -σ(-0.45) = -0.389361; times β = 0.5: -0.194680 on each chosen token,
    +0.194680 on the rejected one.
    """
    got = evaluate(dpo, settings("dpo", beta=0.5), PAIR)
    assert got.loss == pytest.approx(0.493249, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.194680, -0.194680], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.194680], abs=1e-6)
    assert got.metrics == pytest.approx(
        {"margin": 0.45, "accuracy": 1.0, "chosen_nll": 0.75, "rejected_nll": 2.0}
    )


def test_dpo_with_the_pair_turned_round() -> None:
    """m = -0.45: loss = log(1 + e^0.45) = 0.493249 + 0.45; the gradient's weight is σ(0.45)."""
    got = evaluate(dpo, settings("dpo", beta=0.5), TURNED)
    assert got.loss == pytest.approx(0.943249, abs=1e-6)
    assert got.gradient[0] == pytest.approx([0.305320, 0.305320], abs=1e-6)
    assert got.gradient[1] == pytest.approx([-0.305320], abs=1e-6)
    assert got.metrics == pytest.approx(
        {"margin": -0.45, "accuracy": 0.0, "chosen_nll": 2.0, "rejected_nll": 0.75}
    )


def test_dpo_a_token_by_hand() -> None:
    """Ratios a token, 0.2 and -0.5: m = 0.35, loss = log(1 + e^-0.35) = log 1.704688 = 0.533382;
    -σ(-0.35) · 0.5 = -0.206691, half of it on each of the two chosen tokens."""
    got = evaluate(dpo, settings("dpo", beta=0.5, length_normalised=True), PAIR)
    assert got.loss == pytest.approx(0.533382, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.103346, -0.103346], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.206691], abs=1e-6)


def test_dpo_nll_term_by_hand() -> None:
    """The chosen's -log π per token is 1.5 / 2 = 0.75; weight 0.2 adds 0.15 to the loss and
    -0.2 / 2 = -0.1 to the gradient of each of its two tokens, nothing to the rejected's."""
    got = evaluate(dpo, settings("dpo", beta=0.5, nll_weight=0.2), PAIR)
    assert got.loss == pytest.approx(0.643249, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.294680, -0.294680], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.194680], abs=1e-6)


@pytest.mark.parametrize("beta", [0.05, 3.0])
def test_dpo_at_the_reference_is_log_two(beta: float) -> None:
    """Policy and reference equal: m = 0, loss log 2 whatever β is, not counted as accurate."""
    got = evaluate(dpo, settings("dpo", beta=beta), dataclasses.replace(PAIR, ref=PAIR.rows))
    assert got.loss == pytest.approx(math.log(2))
    assert got.metrics["margin"] == 0.0
    assert got.metrics["accuracy"] == 0.0


def test_cdpo_by_hand() -> None:
    """ε = 0.1, m = 0.45: 0.9 · 0.493249 + 0.1 · 0.943249 = 0.538249.

    d / d m = -0.9 σ(-0.45) + 0.1 σ(0.45) = -0.350425 + 0.061064 = -0.289361; times β: -0.144680.
    """
    got = evaluate(cdpo, settings("cdpo", beta=0.5, label_smoothing=0.1), PAIR)
    assert got.loss == pytest.approx(0.538249, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.144680, -0.144680], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.144680], abs=1e-6)
    assert got.metrics["margin"] == pytest.approx(0.45)


def test_robust_by_hand() -> None:
    """ε = 0.1, m = 0.45: (0.9 · 0.493249 - 0.1 · 0.943249) / 0.8 = 0.436999.

    d / d m = (-0.9 · 0.389361 - 0.1 · 0.610639) / 0.8 = -0.514361; times β: -0.257180.
    """
    got = evaluate(robust, settings("robust", beta=0.5, label_smoothing=0.1), PAIR)
    assert got.loss == pytest.approx(0.436999, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.257180, -0.257180], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.257180], abs=1e-6)
    assert got.metrics["margin"] == pytest.approx(0.45)


def test_robust_is_dpo_in_the_mean_over_flips() -> None:
    """Of pairs turned round with probability ε, the expected loss is DPO's on the true ones."""
    config = settings("robust", beta=0.5, label_smoothing=0.2)
    true, flipped = evaluate(robust, config, PAIR).loss, evaluate(robust, config, TURNED).loss
    expected = evaluate(dpo, settings("dpo", beta=0.5), PAIR).loss
    assert 0.8 * true + 0.2 * flipped == pytest.approx(expected, abs=1e-12)


def test_hinge_by_hand() -> None:
    """m = 0.45 leaves 1 - 0.45 = 0.55, gradient -β on chosen tokens; with β = 2, m = 1.8 is beyond 1:
    neither loss nor gradient."""
    got = evaluate(hinge, settings("hinge", beta=0.5), PAIR)
    assert got.loss == pytest.approx(0.55)
    assert got.gradient == [[-0.5, -0.5], [0.5]]
    assert got.metrics["margin"] == pytest.approx(0.45)
    beyond = evaluate(hinge, settings("hinge", beta=2.0), PAIR)
    assert beyond.loss == 0.0
    assert beyond.gradient == [[0.0, 0.0], [0.0]]


def test_ipo_by_hand() -> None:
    """Ratios a token: 0.2 + 0.5 = 0.7, aimed at 1 / (2 · 0.5) = 1: loss 0.3² = 0.09.

    d / d difference = -0.6: on the two chosen tokens -0.3 each, +0.6 on the rejected one.
    """
    got = evaluate(ipo, settings("ipo", beta=0.5), PAIR)
    assert got.loss == pytest.approx(0.09)
    assert got.gradient[0] == pytest.approx([-0.3, -0.3])
    assert got.gradient[1] == pytest.approx([0.6])
    assert got.metrics["margin"] == pytest.approx(0.35)


def test_apo_zero_by_hand() -> None:
    """β r: 0.2 and -0.25. 1 - σ(0.2) + σ(-0.25) = 1 - 0.549834 + 0.437823 = 0.887989.

    σ' is 0.247517 and 0.246134; times β: -0.123758 on chosen tokens, +0.123067 on the rejected.
    """
    got = evaluate(apo_zero, settings("apo_zero", beta=0.5), PAIR)
    assert got.loss == pytest.approx(0.887989, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.123758, -0.123758], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.123067], abs=1e-6)
    assert got.metrics["margin"] == pytest.approx(0.45)


def test_simpo_by_hand() -> None:
    """Log-probabilities a token -0.75 and -2: 2 · 1.25 = 2.5, less γ = 0.5: -log σ(2) = 0.126928.

    -σ(-2) · 2 = -0.238406, half of it on each chosen token. No reference is needed.
    """
    got = evaluate(
        simpo, settings("simpo", beta=2.0, target_margin=0.5), dataclasses.replace(PAIR, ref=None)
    )
    assert got.loss == pytest.approx(0.126928, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.119203, -0.119203], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.238406], abs=1e-6)
    assert got.metrics["margin"] == pytest.approx(2.5)


def test_redi_by_hand() -> None:
    """0.75 + 0.8 · -2 = -0.85; gradients -1/2 on each chosen token and +0.8 on the rejected one. No
    reference is needed."""
    config = settings("redi", rejected_weight=0.8)
    got = evaluate(redi, config, dataclasses.replace(PAIR, ref=None))
    assert got.loss == pytest.approx(-0.85)
    assert got.gradient == [[-0.5, -0.5], [0.8]]
    assert got.metrics["margin"] == pytest.approx(1.25)


def test_kto_by_hand() -> None:
    """z = 0.1, β = 0.5. Desirable, r = 0.4: 1 - σ(0.15) = 0.462570. Undesirable, r = -0.5, λ_U = 1.5:
    1.5 (1 - σ(0.3)) = 1.5 · 0.425557 = 0.638336. Mean 0.550453.

    Gradients: -σ'(0.15) · 0.5 / 2 = -0.0621498 and 1.5 · σ'(0.3) · 0.5 / 2 = 0.0916719.
    """
    case = dataclasses.replace(PAIR, pairs=None, weights=[1.0, 0.0], baseline=0.1)
    got = evaluate(kto, settings("kto", beta=0.5, undesirable_weight=1.5), case)
    assert got.loss == pytest.approx(0.550453, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.0621498, -0.0621498], abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.0916719], abs=1e-6)
    assert got.metrics == pytest.approx({"desirable": 0.5, "log_ratio": -0.05})


def test_kto_desirable_weight_by_hand() -> None:
    """λ_D = 3 on the desirable completion alone: 3 · 0.462570 = 1.387710."""
    case = dataclasses.replace(PAIR.part([0]), weights=[1.0], baseline=0.1)
    got = evaluate(kto, settings("kto", beta=0.5, desirable_weight=3.0), case)
    assert got.loss == pytest.approx(1.387710, abs=1e-6)


def test_several_pairs_are_averaged() -> None:
    """The pair and the pair turned round: (0.493249 + 0.943249) / 2, half of them accurate."""
    case = dataclasses.replace(PAIR, pairs=[(0, 1), (1, 0)])
    got = evaluate(dpo, settings("dpo", beta=0.5), case)
    assert got.loss == pytest.approx(0.718249, abs=1e-6)
    assert got.metrics["accuracy"] == 0.5
    assert got.metrics["margin"] == pytest.approx(0.0)
    assert got.metrics["chosen_nll"] == pytest.approx(1.375)


# -- the formulas, token by token -----------------------------------------------------------------


def probability(value: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-value))


def log_pi(row: Sequence[Any]) -> Any:
    total = torch.zeros((), dtype=torch.double)
    for token in row:
        total = total + token
    return total


def by_definition_pair(
    config: Any, chosen: Any, rejected: Any, ref_chosen: Any, ref_rejected: Any
) -> torch.Tensor:
    beta, noise, name = config.beta, config.label_smoothing, config.objective
    mean_w, mean_l = log_pi(chosen) / len(chosen), log_pi(rejected) / len(rejected)
    if name == "simpo":
        return -torch.log(probability(beta * mean_w - beta * mean_l - config.target_margin))
    if name == "redi":
        return -mean_w + config.rejected_weight * mean_l
    ratio_w, ratio_l = log_pi(chosen) - log_pi(ref_chosen), log_pi(rejected) - log_pi(ref_rejected)
    if config.length_normalised or name == "ipo":
        ratio_w, ratio_l = ratio_w / len(chosen), ratio_l / len(rejected)
    if name == "ipo":
        return (ratio_w - ratio_l - 1 / (2 * beta)) ** 2
    if name == "apo_zero":
        return 1 - probability(beta * ratio_w) + probability(beta * ratio_l)
    if name == "hinge":
        return torch.clip(1 - beta * (ratio_w - ratio_l), min=0)
    right = torch.log(probability(beta * ratio_w - beta * ratio_l))
    wrong = torch.log(probability(beta * ratio_l - beta * ratio_w))
    if name == "cdpo":
        return -(1 - noise) * right - noise * wrong
    if name == "robust":
        return (-(1 - noise) * right + noise * wrong) / (1 - 2 * noise)
    assert name == "dpo"
    return -right


def by_definition(config: Any, case: Case, rows: list[torch.Tensor], _: Any) -> torch.Tensor:
    assert case.ref is not None and case.pairs is not None and case.weights is not None
    total = torch.zeros((), dtype=torch.double)
    if config.objective == "kto":
        for row, ref, label in zip(rows, case.ref, case.weights, strict=True):
            ratio = log_pi(row) - log_pi(ref)
            if config.length_normalised:
                ratio = ratio / len(row)
            gain = config.beta * (ratio - case.baseline)
            if label > 0:
                total = total + config.desirable_weight * (1 - probability(gain))
            else:
                total = total + config.undesirable_weight * (1 - probability(-gain))
        return total / len(rows)
    for w, l in case.pairs:  # noqa: E741
        total = total + by_definition_pair(config, rows[w], rows[l], case.ref[w], case.ref[l])
        total = total - config.nll_weight * log_pi(rows[w]) / len(rows[w])
    return total / len(case.pairs)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("name", [name for name in PREFERENCE if name != "contrastive"])
def test_loss_and_gradient_follow_the_definition(name: str, per_token: bool, seed: int) -> None:
    config = settings(
        name,
        beta=0.3,
        nll_weight=0.4,
        length_normalised=per_token,
        label_smoothing=0.2,
        target_margin=0.6,
        desirable_weight=0.75,
        undesirable_weight=1.25,
        rejected_weight=0.6,
    )
    assert_follows(OBJECTIVES[name].loss, by_definition, config, draw(seed))


# -- properties -----------------------------------------------------------------------------------


def test_swapping_chosen_and_rejected_mirrors_the_gradient_of_dpo() -> None:
    """Gradients weigh σ(-m) and -σ(m): they point opposite ways and differ by β in size."""
    case = draw(3).part([0, 1])
    beta = 0.3
    config = settings("dpo", beta=beta)
    there = evaluate(dpo, config, dataclasses.replace(case, pairs=[(0, 1)]))
    back = evaluate(dpo, config, dataclasses.replace(case, pairs=[(1, 0)]))
    for one, other in zip(there.flat, back.flat, strict=True):
        assert one * other < 0
        assert abs(one) + abs(other) == pytest.approx(beta, abs=1e-12)
    assert there.metrics["margin"] == pytest.approx(-back.metrics["margin"], abs=1e-12)
    assert there.loss - back.loss == pytest.approx(-there.metrics["margin"], abs=1e-12)


def test_swapping_at_the_reference_turns_the_gradient_round() -> None:
    """Where m = 0 both weigh 1/2: exactly the opposite gradient."""
    case = dataclasses.replace(draw(3).part([0, 1]), pairs=[(0, 1)])
    case = dataclasses.replace(case, ref=case.rows)
    there = evaluate(dpo, settings("dpo"), case)
    back = evaluate(dpo, settings("dpo"), dataclasses.replace(case, pairs=[(1, 0)]))
    assert there.gradient == [[-value for value in row] for row in back.gradient]


@pytest.mark.parametrize("name", ["cdpo", "robust"])
def test_without_noise_it_is_dpo(name: str) -> None:
    case = draw(5)
    got = evaluate(OBJECTIVES[name].loss, settings(name, label_smoothing=0.0), case)
    wanted = evaluate(dpo, settings("dpo"), case)
    assert got.loss == pytest.approx(wanted.loss, abs=1e-12)
    for one, other in zip(got.gradient, wanted.gradient, strict=True):
        assert one == pytest.approx(other, abs=1e-12)
