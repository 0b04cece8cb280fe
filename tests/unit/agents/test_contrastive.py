"""One chosen completion against all that are rejected for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from agents.learners.preference import contrastive, dpo
from tests.unit.agents.loss_cases import Case, assert_follows, draw, evaluate, settings

# Log ratios 0.4 for the chosen, -0.5 and 0.1 for the rejected.
CASE = Case(
    rows=[[-1.0, -0.5], [-2.0], [-0.9]],
    ref=[[-1.2, -0.7], [-1.5], [-1.0]],
    pairs=[(0, 1), (0, 2)],
)


def test_by_hand() -> None:
    """β = 0.5: gaps -0.45 and -0.15; log(e^-0.45 + e^-0.15) = log(0.637628 + 0.860708) = 0.404355.

    Loss = log(1 + e^0.404355) = log 2.498336 = 0.915625. Its derivative by the pooled gap is
    σ(0.404355) = 0.599734, shared as 0.637628 / 1.498336 = 0.425558 and 0.574442, times β.
    """
    got = evaluate(contrastive, settings("contrastive", beta=0.5), CASE)
    assert got.loss == pytest.approx(0.915625, abs=1e-6)
    assert got.gradient[0] == pytest.approx([-0.299867] * 2, abs=1e-6)
    assert got.gradient[1] == pytest.approx([0.127611], abs=1e-6)
    assert got.gradient[2] == pytest.approx([0.172256], abs=1e-6)
    assert got.metrics["margin"] == pytest.approx(0.3)
    assert got.metrics["accuracy"] == 1.0


def test_with_one_rejected_it_is_dpo() -> None:
    case = dataclasses.replace(draw(5), pairs=[(0, 1), (3, 2)])
    got = evaluate(contrastive, settings("contrastive", nll_weight=0.3), case)
    wanted = evaluate(dpo, settings("dpo", nll_weight=0.3), case)
    assert got.loss == pytest.approx(wanted.loss, abs=1e-12)
    for one, other in zip(got.gradient, wanted.gradient, strict=True):
        assert one == pytest.approx(other, abs=1e-12)


def test_no_pairs_weigh_nothing() -> None:
    """As in the batch of a rank that stands by while another works."""
    case = dataclasses.replace(draw(5), pairs=[])
    counts = dataclasses.replace(case.counts, pairs=1.0, chosen=1.0)
    got = evaluate(contrastive, settings("contrastive"), case, counts)
    assert got.loss == 0.0
    assert set(got.flat) == {0.0}


def by_definition(config: Any, case: Case, rows: list[torch.Tensor], _: Any) -> torch.Tensor:
    assert case.ref is not None and case.pairs is not None
    ratios = []
    for row, ref in zip(rows, case.ref, strict=True):
        ratio = sum(row) - sum(ref)
        ratios.append(ratio / len(row) if config.length_normalised else ratio)
    chosen = {w for w, _ in case.pairs}
    total = torch.zeros((), dtype=torch.double)
    for w in chosen:
        pooled = torch.zeros((), dtype=torch.double)
        for owner, rejected in case.pairs:
            if owner == w:
                pooled = pooled + torch.exp(config.beta * (ratios[rejected] - ratios[w]))
        total = total - torch.log(1 / (1 + pooled))
        total = total - config.nll_weight * sum(rows[w]) / len(rows[w])
    return total / len(chosen)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_token", [False, True])
def test_loss_and_gradient_follow_the_definition(per_token: bool, seed: int) -> None:
    config = settings("contrastive", beta=0.3, nll_weight=0.4, length_normalised=per_token)
    assert_follows(contrastive, by_definition, config, draw(seed))
