"""Which attempts new problems are made from, by the zone of their problem.

With `sources: frontier`, only from problems at or above the frontier of their family: the highest level at
which at least half of the round's attempts are right (`coevo.frontier`, one problem of a level being
enough). From all of them, easy replays included, most "harder" problems would be easier than what the
Solver can do already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.records import Attempt
from coevo.config import LoopConfig, UtilityConfig
from coevo.curriculum import zone_of
from coevo.frontier import frontier
from coevo.utility import UTILITIES
from environments import Problem
from environments.base import Direction

Eligible = tuple[Problem, list[Attempt], Direction]  # the attempts to choose from


@dataclass(frozen=True, slots=True)
class Source:
    """A problem, an attempt at it, and in which direction to go from there."""

    problem: Problem
    attempt: Attempt
    direction: Direction


def attempts_to_refine(
    problems: Sequence[Problem],
    rollouts: dict[str, list[Attempt]],
    config: LoopConfig,
    count: int,
    rng: np.random.Generator,
) -> list[Source]:
    """`count` sources for the Teacher, in turn over the problems that may be refined.

    Learning: the weakness that a failed attempt shows. Mastered (or, with `harden_from` below 1,
    solved at least that often): harder, from a successful attempt. Too hard: set aside, or easier
    under `too_hard: refine`.
    """
    eligible: list[Eligible] = []
    for problem in problems:
        attempts = rollouts[problem.id]
        right = [attempt for attempt in attempts if attempt.verdict.correct]
        wrong = [attempt for attempt in attempts if not attempt.verdict.correct]
        zone = zone_of(len(right), len(attempts))
        if (
            config.mastered == "harden"
            and right
            and len(right) / len(attempts) >= config.harden_from
        ):
            eligible.append((problem, right, "harder"))
        elif zone == "learning":
            eligible.append((problem, wrong, "weakness"))
        elif zone == "too_hard" and config.too_hard == "refine":
            eligible.append((problem, wrong, "easier"))
    if config.sources == "frontier":
        eligible = _at_the_frontier(eligible, problems, rollouts)
    return _in_turn(eligible, count, rng)


def attempts_to_imitate(
    problems: Sequence[Problem],
    rollouts: dict[str, list[Attempt]],
    config: LoopConfig,
    utility: UtilityConfig,
    rng: np.random.Generator,
) -> list[Source]:
    """`proposals` failed attempts for the Generator, at problems in the learning zone.

    Uniform: in turn over the problems. Utility: problems are drawn with replacement, in proportion
    to what a problem with their success rate is worth.
    """
    eligible: list[Eligible] = []
    for problem in problems:
        wrong = [attempt for attempt in rollouts[problem.id] if not attempt.verdict.correct]
        if wrong and (len(wrong) < len(rollouts[problem.id]) or config.too_hard == "refine"):
            eligible.append((problem, wrong, "similar"))
    if config.sources == "frontier":
        eligible = _at_the_frontier(eligible, problems, rollouts)
    worth = [
        UTILITIES[utility.name](1 - len(wrong) / len(rollouts[problem.id]), utility)
        for problem, wrong, _ in eligible
    ]
    if config.imitate == "uniform" or sum(worth) == 0:
        return _in_turn(eligible, config.proposals, rng)
    shares = np.array(worth) / sum(worth)
    drawn = rng.choice(len(eligible), size=config.proposals, p=shares)
    return [
        Source(problem, attempts[rng.integers(len(attempts))], direction)
        for problem, attempts, direction in (eligible[i] for i in drawn)
    ]


def _at_the_frontier(
    eligible: list[Eligible], problems: Sequence[Problem], rollouts: dict[str, list[Attempt]]
) -> list[Eligible]:
    """Those at or above the frontier of their family.

    Where none is (all of that level are mastered and left, say), or where the family has no frontier,
    those at the highest level that its eligible problems have.
    """
    tried: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for problem in problems:
        attempts = rollouts[problem.id]
        right = sum(attempt.verdict.correct for attempt in attempts)
        tried[problem.family].append((problem.level, right, len(attempts)))
    highest: dict[str, int] = {}
    for problem, *_ in eligible:
        highest[problem.family] = max(problem.level, highest.get(problem.family, problem.level))
    least = {}
    for family, level in highest.items():
        reached = frontier(tried[family], problems=1)
        least[family] = level if reached is None else min(reached, level)
    return [one for one in eligible if one[0].level >= least[one[0].family]]


def _in_turn(eligible: list[Eligible], count: int, rng: np.random.Generator) -> list[Source]:
    """Every eligible problem once in random order, then again with another attempt, up to `count`."""
    sources: list[Source] = []
    while eligible and len(sources) < count:
        for i in rng.permutation(len(eligible))[: count - len(sources)]:
            problem, attempts, direction = eligible[i]
            sources.append(Source(problem, attempts[rng.integers(len(attempts))], direction))
    return sources
