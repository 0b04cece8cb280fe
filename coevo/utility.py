"""Utilities: what a new problem is worth, from the Solver's success rate on it.

Each takes the success rate `s` in [0, 1] and the utility block of the configuration.
A malformed or unsolvable problem is worth 0 whatever the function: validity multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from coevo.config import UtilityConfig


def gaussian(s: float, config: UtilityConfig) -> float:
    """`exp(-(s - μ)² / 2σ²)`: Socratic-Zero (arXiv 2509.24726), §3.3, μ = 0.5, σ = 0.2."""
    return math.exp(-((s - config.mu) ** 2) / (2 * config.sigma**2))


def constant(s: float, config: UtilityConfig) -> float:
    """1 for every valid problem: Socratic-Zero's ablation."""
    return 1.0


def success(s: float, config: UtilityConfig) -> float:
    """`s`: easy problems are worth most."""
    return s


def failure(s: float, config: UtilityConfig) -> float:
    """`1 - s`: hard problems are worth most (Absolute Zero, arXiv 2505.03335, for s > 0)."""
    return 1.0 - s


def parabola(s: float, config: UtilityConfig) -> float:
    """`4 s (1 - s)`: the variance of a Bernoulli reward, scaled to [0, 1]."""
    return 4.0 * s * (1.0 - s)


def tent(s: float, config: UtilityConfig) -> float:
    """`min(s, 1 - s)`: Agent0's shape."""
    return min(s, 1.0 - s)


def variance(s: float, config: UtilityConfig) -> float:
    """`s (1 - s)`: the variance of a Bernoulli reward."""
    return s * (1.0 - s)


UTILITIES: dict[str, Callable[[float, UtilityConfig], float]] = {
    "gaussian": gaussian,
    "constant": constant,
    "success": success,
    "failure": failure,
    "parabola": parabola,
    "tent": tent,
    "variance": variance,
}
