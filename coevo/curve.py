"""The held-out learning curve: a small evaluation every few rounds, beside the full ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coevo.config import Config, ConfigError

if TYPE_CHECKING:
    from environments import Problem  # numpy, which checking a configuration does without

NAME = "curve"  # its benchmark in run.db, and what its metrics begin with


def check_curve(config: Config) -> None:
    """Raises `ConfigError` on a curve that would not be a part of the full evaluation."""
    evaluation = config.evaluation
    if not evaluation.curve_every:
        return
    for name, whole in (("curve_per_cell", "per_cell"), ("curve_k", "k")):
        small, full = getattr(evaluation, name), getattr(evaluation, whole)
        if small > full:
            raise ConfigError(
                f"evaluation.{name}={small} is more than evaluation.{whole}={full}: the curve is a small "
                f"part of the full evaluation; write evaluation.{name}={full} or less, or "
                "evaluation.curve_every=0 for no curve"
            )


def due(config: Config, t: int) -> bool:
    """Whether round t has a point: every few rounds from the base on, and the last one."""
    every = config.evaluation.curve_every
    return bool(every) and (t % every == 0 or t == config.rounds)


def problems(heldout: Sequence[Problem], per_cell: int) -> list[Problem]:
    """The first `per_cell` held-out problems of each (family, level), in their order."""
    seen: Counter[tuple[str, int]] = Counter()
    chosen = []
    for problem in heldout:
        cell = (problem.family, problem.level)
        seen[cell] += 1
        if seen[cell] <= per_cell:
            chosen.append(problem)
    return chosen


def points(rounds: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """[round, mean@k, and the ends of its 95 % interval] of each round that has a point.

    `rounds` are those of `Store.rounds`.
    """
    found = []
    for row in rounds:
        metrics = row["metrics"]
        for name in (name for name in metrics if name.startswith(f"{NAME}/mean@")):
            ends = (metrics[f"{NAME}/{end}/{name.partition('/')[2]}"] for end in ("low", "high"))
            found.append([row["round"], metrics[name], *ends])
    return found
