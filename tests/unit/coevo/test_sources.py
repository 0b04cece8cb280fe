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


def marked(name: str, marks: str) -> list[Attempt]:
    """An attempt a mark, right where that is `+`."""
    return [
        Attempt(
            problem_id=name,
            round=1,
            sample=i,
            completion=Completion(text=f"{name} {i}"),
            verdict=Verdict(status="correct" if mark == "+" else "wrong"),
        )
        for i, mark in enumerate(marks)
    ]


ROLLOUTS = {name: marked(name, pattern) for name, pattern in PATTERNS.items()}


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


@pytest.mark.parametrize(
    ("harden_from", "harder"),
    [(0.0, "abcd"), (0.25, "abcd"), (0.625, "bcd"), (0.626, "cd"), (1.0, "d")],
)
def test_hardening_begins_at_its_threshold(harden_from: float, harder: str) -> None:
    """Success 2/8, 5/8, 7/8 and 8/8; without a right attempt nothing is hardened, even from 0 on."""
    given = levels("a1 ++------ b1 +++++--- c1 +++++++- d1 ++++++++ e1 --------")
    found = by_problem(tried(given, harden_from=harden_from))
    ways = {name[0]: way for name, (way, _) in found.items()}
    assert ways == {name: "harder" if name in harder else "weakness" for name in "abcd"}


# -- sources: frontier ----------------------------------------------------------------------------

Tried = tuple[list[Problem], dict[str, list[Attempt]]]


def levels(text: str) -> Tried:
    """Problems and their attempts: `f5 +-` is one of family f and level 5, tried twice, once right."""
    problems, rollouts = [], {}
    words = text.split()
    for number, (cell, marks) in enumerate(zip(words[::2], words[1::2], strict=True)):
        name, level = f"{cell}:{number}", {"level": int(cell[1:])}
        problems.append(
            Problem(domain="d", family=cell[0], statement=name, id=name, difficulty=level)
        )
        rollouts[name] = marked(name, marks)
    return problems, rollouts


def tried(given: Tried, count: int = 60, **changes: object) -> list[Source]:
    return attempts_to_refine(*given, LoopConfig(**changes), count, np.random.default_rng(0))


def cells(sources: list[Source]) -> set[str]:
    return {source.problem.id.split(":")[0] for source in sources}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # easy replays are left alone; beyond the frontier, what is in the learning zone
        ("f3 ++++ f4 ++++ f5 +++- f6 +--- f7 ----", "f5 f6"),
        ("f3 ++++ f4 ++-- f5 +---", "f4 f5"),  # a half is enough
        ("f3 ++++ f4 ++-- f4 +--- f5 ----", "f3 f4"),  # 3 of 8 are not: of the level, not of one problem
        ("f3 ++++ f9 ++++ f5 ++--", "f9"),  # one problem of a level is enough
        ("f3 +--- f4 ++++ f4 ++++ f5 ++++", "f5"),  # lower levels are not looked at
        # each family has its own
        ("f3 ++++ f6 ++++ g3 ++++ g4 +---", "f6 g3 g4"),
        ("f3 ++++ f6 ++++ g3 +--- g4 ----", "f6 g3"),  # that of another is not taken
        # a family without a frontier: its highest that may be refined
        ("f3 +--- f4 +--- f5 ----", "f4"),
        ("f3 ---- f4 ----", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_sources_at_the_frontier(given: str, expected: str) -> None:
    assert cells(tried(levels(given), sources="frontier")) == set(expected.split())


def test_where_nothing_at_the_frontier_may_be_refined_the_next_below_is() -> None:
    """Level 5 is mastered, and left; of what is below, level 4 alone."""
    given = levels("f3 +++- f4 +++- f4 ++++ f5 ++++ g2 ++++")
    assert cells(tried(given, sources="frontier", mastered="leave")) == {"f4"}


def test_all_too_hard_can_be_refined_from_the_highest() -> None:
    given = levels("f3 ---- f4 ---- g2 ----")
    found = tried(given, sources="frontier", too_hard="refine")
    assert cells(found) == {"f4", "g2"}
    assert {source.direction for source in found} == {"easier"}
    assert cells(tried(given, too_hard="refine")) == {"f3", "f4", "g2"}


def test_the_frontier_decides_which_and_not_in_which_direction() -> None:
    given = levels("f3 ++++ f4 ++-- f5 +---")
    found = by_problem(tried(given, sources="frontier", harden_from=0.5))
    assert found == {"f4:1": ("harder", {0, 1}), "f5:2": ("weakness", {1, 2, 3})}


@pytest.mark.parametrize("imitated", ["uniform", "utility"])
def test_imitation_at_the_frontier(imitated: str) -> None:
    """What is mastered gives no failed attempt; below it, nothing is imitated."""
    given = levels("f3 +++- f4 ++++ f5 +--- f6 ----  g3 ++++ g4 +++-")
    config = LoopConfig(proposals=60, imitate=imitated, sources="frontier")
    found = attempts_to_imitate(*given, config, UtilityConfig(), np.random.default_rng(0))
    assert cells(found) == {"f5", "g4"}
    assert len(found) == 60


def test_all_sources_are_those_at_every_level() -> None:
    given = levels("f3 ++++ f4 ++-- f5 +---")
    assert cells(tried(given)) == cells(tried(given, sources="all")) == {"f3", "f4", "f5"}
