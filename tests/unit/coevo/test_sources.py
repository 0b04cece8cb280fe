"""Which attempts new problems are made from."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from agents.records import Attempt, Completion
from coevo.config import LoopConfig, UtilityConfig
from coevo.sources import Source, attempts_to_imitate, attempts_to_refine
from environments import Problem, Verdict

PATTERNS = {"learning": "+--+", "mastered": "++++", "hard": "----"}
PROBLEMS = [Problem(domain="d", family="f", statement=name, id=name) for name in PATTERNS]
ROLLOUTS = {
    name: [
        Attempt(
            problem_id=name,
            round=1,
            sample=i,
            completion=Completion(text=f"{name} {i}"),
            verdict=Verdict(status="correct" if mark == "+" else "wrong"),
        )
        for i, mark in enumerate(pattern)
    ]
    for name, pattern in PATTERNS.items()
}


def refine(count: int = 24, seed: int = 0, **changes: object) -> list[Source]:
    rng = np.random.default_rng(seed)
    return attempts_to_refine(PROBLEMS, ROLLOUTS, LoopConfig(**changes), count, rng)


def imitate(proposals: int = 24, **changes: object) -> list[Source]:
    config = LoopConfig(proposals=proposals, **changes)
    return attempts_to_imitate(
        PROBLEMS, ROLLOUTS, config, UtilityConfig(), np.random.default_rng(0)
    )


def by_problem(sources: list[Source]) -> dict[str, tuple[str, set[int]]]:
    """problem -> (direction, samples used)."""
    found: dict[str, tuple[str, set[int]]] = {}
    for source in sources:
        assert source.attempt.problem_id == source.problem.id
        direction, samples = found.setdefault(source.problem.id, (source.direction, set()))
        assert direction == source.direction
        samples.add(source.attempt.sample)
    return found


def test_refining_by_zone() -> None:
    """Learning: the weakness, from a failure. Mastered: harder, from a success. Too hard: not."""
    assert by_problem(refine()) == {
        "learning": ("weakness", {1, 2}),
        "mastered": ("harder", {0, 1, 2, 3}),
    }


def test_mastered_can_be_left() -> None:
    assert by_problem(refine(mastered="leave")).keys() == {"learning"}


def test_too_hard_can_be_refined_to_easier_ones() -> None:
    found = by_problem(refine(too_hard="refine"))
    assert found["hard"] == ("easier", {0, 1, 2, 3})
    assert "hard" not in by_problem(refine(too_hard="drop"))


def test_imitation_takes_failures_in_the_learning_zone() -> None:
    assert by_problem(imitate()) == {"learning": ("similar", {1, 2})}


def test_imitation_takes_the_too_hard_where_they_are_refined() -> None:
    assert by_problem(imitate(too_hard="refine")).keys() == {"learning", "hard"}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_as_many_as_asked_in_turn(count: int) -> None:
    """No problem is used again before every other one was."""
    sources = refine(count)
    assert len(sources) == count
    times = Counter(source.problem.id for source in sources)
    assert (
        not times
        or max(times.values()) - min(times.get(n, 0) for n in ("learning", "mastered")) <= 1
    )
    assert len(imitate(count)) == count


def test_nothing_to_refine_gives_nothing() -> None:
    config = LoopConfig(mastered="leave")
    mastered = [p for p in PROBLEMS if p.id != "learning"]
    assert attempts_to_refine(mastered, ROLLOUTS, config, 8, np.random.default_rng(0)) == []


def test_sources_depend_on_the_generator_alone() -> None:
    assert refine(seed=1) == refine(seed=1)
    assert any(refine(seed=1) != refine(seed=seed) for seed in range(2, 6))


def test_imitating_by_utility_prefers_the_middle_and_repeats_sources() -> None:
    """Success 1/2 is worth 1, success 0 (under `refine`) exp(-0.25 / 0.08) = 0.044: 23 to 1."""
    drawn = imitate(480, imitate="utility", too_hard="refine")
    counts = Counter(source.problem.id for source in drawn)
    assert len(drawn) == 480
    assert 2 <= counts["hard"] <= 60 and counts["mastered"] == 0


def test_hardening_from_a_success_rate() -> None:
    """With half of the rollouts right, a threshold of one half makes the problem harder."""
    found = by_problem(refine(harden_from=0.5))
    assert found["learning"] == ("harder", {0, 3})
