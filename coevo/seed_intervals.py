"""Means over the seeds of an experiment, and differences of two, with their 95 % intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

Bounds = tuple[float, float]


def student_t(df: float, confidence: float = 0.95) -> float:
    """The two-sided quantile: P(|T| < t) = confidence with `df` ≥ 1 degrees of freedom.

    With t = √df · tan θ, P(|T| < t) is the integral of cos^(df-1) from 0 to θ, normalised.
    """
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(df / 2) - math.lgamma((df + 1) / 2)) / 2
    nodes, weights = np.polynomial.legendre.leggauss(64)

    def below(angle: float) -> float:
        points = (nodes + 1) * angle / 2
        return float(np.sum(weights * np.cos(points) ** (df - 1)) * angle / 2 / whole)

    low, high = 0.0, min(math.pi / 2, 60 / math.sqrt(df))  # the rest of the integral is nothing
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < confidence else (low, middle)
    return math.sqrt(df) * math.tan(low)


def over_seeds(values: Sequence[float]) -> tuple[float, Bounds | None]:
    """The mean of one number a seed, and its Student-t interval; None for one seed alone."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    half = student_t(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, (mean - half, mean + half)


def welch(a: Sequence[float], b: Sequence[float]) -> tuple[float, Bounds | None]:
    """mean(a) - mean(b) with Welch's interval (Biometrika 34, 1947, p. 28); None for one seed."""
    difference = statistics.fmean(a) - statistics.fmean(b)
    if min(len(a), len(b)) < 2:
        return difference, None
    parts = [statistics.variance(values) / len(values) for values in (a, b)]
    if sum(parts) == 0:
        return difference, (difference, difference)
    below = sum(part**2 / (len(v) - 1) for part, v in zip(parts, (a, b), strict=True))
    half = student_t(sum(parts) ** 2 / below) * math.sqrt(sum(parts))
    return difference, (difference - half, difference + half)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The mean over seeds as text, with half of its interval where it varies: `1,200 ±497`."""
    mean, bounds = over_seeds(values)
    told = f"{mean:,.{digits}f}"
    if bounds is None or min(values) == max(values):
        return told
    return f"{told} ±{bounds[1] - mean:,.{digits}f}"
