"""How the step size and β change over a run: warm-up by steps, decay by rounds."""

from __future__ import annotations

import math
from typing import Any


def progress(settings: Any, updates: int, share: float) -> float:
    """How far the schedule is, 0 to 1: after `updates` whole rounds and a `share` of the next.

    Counted in `schedule_rounds` and not in the run's rounds, so that a run that is given more
    rounds goes on as it would have.
    """
    if not settings.schedule_rounds:
        return 0.0
    return min(1.0, (updates + share) / settings.schedule_rounds)


def step_size(settings: Any, steps: int, done: float) -> float:
    """The step size after `steps` optimizer steps, at progress `done`.

    A linear warm-up over `warmup_steps` (the first step already moves), times 1, or a decay to
    `lr_final` that is linear or half a cosine (SGDR, arXiv 1608.03983, eq. 5).
    """
    warm = min(1.0, (steps + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    left = {
        "constant": 1.0,
        "linear": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
    }[settings.schedule]
    return settings.lr * warm * (settings.lr_final + (1 - settings.lr_final) * left)


def beta(settings: Any, done: float) -> float:
    """β at progress `done`: from `beta` to `beta_final` in a straight line, if there is one."""
    if settings.beta_final is None:
        return settings.beta
    return settings.beta + (settings.beta_final - settings.beta) * done
