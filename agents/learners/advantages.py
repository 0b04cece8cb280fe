"""Advantage estimators: pure functions from a group's rewards to its advantages."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence


def mean_std(rewards: Sequence[float]) -> list[float]:
    """`(r - mean) / (std + 1e-4)` with the sample deviation: GRPO (arXiv 2402.03300), §4.1.2.

    Zeros where all rewards are equal.
    """
    centred = mean(rewards)
    spread = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
    return [value / (spread + 1e-4) for value in centred] if spread > 0 else [0.0] * len(rewards)


def mean(rewards: Sequence[float]) -> list[float]:
    """`r - mean`: Dr. GRPO (arXiv 2503.20783), which does not divide by the deviation."""
    baseline = statistics.fmean(rewards)
    return [reward - baseline for reward in rewards]


ADVANTAGES: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "mean_std": mean_std,
    "mean": mean,
}
