"""How much a role was trained: sums over rounds, and arms side by side."""

from __future__ import annotations

from typing import Any

import pytest

from coevo.training import Figures, figures, notes, rows


def rounds(*metrics: dict[str, float]) -> list[dict[str, Any]]:
    return [{"round": t, "metrics": own} for t, own in enumerate(metrics)]


def test_sums_over_rounds_with_the_initial_sft() -> None:
    """Steps that were left out, as their loss was not finite, moved nothing."""
    found = figures(
        rounds(
            {"solver/steps": 3.0, "solver/trained_tokens": 100.0},
            {"solver/steps": 2.0, "solver/skipped_steps": 1.0, "solver/trained_tokens": 40.0,
             "generator/steps": 0.0, "generator/trained_tokens": 0.0},
            {"curriculum/problems": 4.0},
        )
    )  # fmt: skip
    assert found == {"solver": {"steps": 4, "tokens": 140}, "generator": {"steps": 0, "tokens": 0}}
    assert figures(rounds({}, {})) == {}


def test_a_figure_that_a_round_of_before_lacks_is_left_out() -> None:
    found = figures(
        rounds({}, {"solver/steps": 2.0}, {"solver/steps": 2.0, "solver/trained_tokens": 9.0})
    )
    assert found == {"solver": {"steps": 4}}


def arm(*figures: tuple[int, int]) -> list[Figures]:
    return [{"solver": {"steps": steps, "tokens": tokens}} for steps, tokens in figures]


def test_arms_side_by_side() -> None:
    """Tokens 1000, 1200, 1400: mean 1200, deviation 200, t(2) = 4.3027, half = 496.8."""
    arms = {"default": arm((178, 1000), (178, 1200), (178, 1400)), "static": arm((16, 1180))}
    assert rows(arms) == [
        ["optimizer steps (Solver)", "178", "16"],
        ["trained tokens (Solver)", "1,200 ±497", "1,180"],
    ]
    told = ["the arms differ in optimizer steps of the Solver: default 178, static 16"]
    assert notes(arms) == told  # tokens within a few per cent are alike


def test_arms_of_which_one_does_not_know() -> None:
    old: list[Figures] = [{"solver": {"steps": 178}}]
    assert rows({"old": old, "new": arm((178, 900))}) == [
        ["optimizer steps (Solver)", "178", "178"],
        ["trained tokens (Solver)", "-", "900"],
    ]
    assert notes({"old": old, "new": arm((178, 900))}) == []
    assert rows({"old": [{}], "older": [{}]}) == []


@pytest.mark.parametrize("idle", [0, 1])
def test_an_arm_that_made_no_step_is_told(idle: int) -> None:
    assert bool(notes({"a": arm((idle, 5)), "b": arm((1, 5))})) == (idle == 0)
