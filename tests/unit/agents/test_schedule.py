"""Step size and β over a run, against numbers derived by hand."""

from __future__ import annotations

from typing import Any

import pytest

from agents.learners.schedule import beta, progress, step_size
from coevo.config import LearnerConfig


def config(**changes: Any) -> LearnerConfig:
    values: dict[str, Any] = {"lr": 0.4, "schedule_rounds": 4} | changes
    return LearnerConfig(**values)


@pytest.mark.parametrize(
    ("updates", "share", "expected"),
    [(0, 0.0, 0.0), (0, 0.5, 0.125), (1, 0.0, 0.25), (3, 0.5, 0.875), (4, 0.0, 1.0), (9, 0.5, 1.0)],
)
def test_progress_by_hand(updates: int, share: float, expected: float) -> None:
    """Of four rounds: whole updates and a share of the next, over 4; never beyond 1."""
    assert progress(config(), updates, share) == expected


def test_without_rounds_there_is_no_progress() -> None:
    assert progress(config(schedule_rounds=0), 7, 0.5) == 0.0


@pytest.mark.parametrize(
    ("schedule", "at_start", "at_quarter", "at_half", "at_end"),
    [
        ("constant", 0.4, 0.4, 0.4, 0.4),
        ("linear", 0.4, 0.3, 0.2, 0.0),
        ("cosine", 0.4, 0.341421, 0.2, 0.0),  # 0.4 (1 + cos 45°) / 2 = 0.2 · 1.707107
    ],
)
def test_decay_by_hand(
    schedule: str, at_start: float, at_quarter: float, at_half: float, at_end: float
) -> None:
    got = [step_size(config(schedule=schedule), 100, done) for done in (0.0, 0.25, 0.5, 1.0)]
    assert got == pytest.approx([at_start, at_quarter, at_half, at_end], abs=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_decay_ends_at_its_final_share(schedule: str) -> None:
    """lr_final 0.1: from 0.4 to 0.04; halfway in the middle, 0.22."""
    settings = config(schedule=schedule, lr_final=0.1)
    got = [step_size(settings, 0, done) for done in (0.0, 0.5, 1.0)]
    assert got == pytest.approx([0.4, 0.22, 0.04])


def test_constant_has_no_final_share() -> None:
    assert step_size(config(schedule="constant", lr_final=0.1), 0, 1.0) == pytest.approx(0.4)


def test_warm_up_by_hand() -> None:
    """Over four steps: a quarter, a half, three quarters, then all of it."""
    got = [step_size(config(warmup_steps=4), steps, 0.0) for steps in range(6)]
    assert got == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])


def test_warm_up_and_decay_multiply() -> None:
    """Second of four steps, halfway in the schedule: 0.4 · 1/2 · 1/2."""
    got = step_size(config(warmup_steps=4, schedule="linear"), 1, 0.5)
    assert got == pytest.approx(0.1)


def test_beta_by_hand() -> None:
    """From 0.1 to 0.5: a quarter of the way 0.2. It may fall as well."""
    rising = config(beta=0.1, beta_final=0.5)
    assert [beta(rising, done) for done in (0.0, 0.25, 1.0)] == pytest.approx([0.1, 0.2, 0.5])
    assert beta(config(beta=0.5, beta_final=0.0), 0.5) == pytest.approx(0.25)


def test_beta_without_an_end_stays() -> None:
    assert beta(config(beta=0.3), 0.7) == 0.3
