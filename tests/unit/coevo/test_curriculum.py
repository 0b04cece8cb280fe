"""Zones, the queue, replay and backlog."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from coevo.config import CurriculumConfig, UtilityConfig
from coevo.curriculum import Curriculum, Standing, zone_of
from environments import Problem


def problems(count: int, first: int = 0) -> list[Problem]:
    return [
        Problem(domain="d", family="f", statement=str(n), id=str(n))
        for n in range(first, first + count)
    ]


def curriculum(new: int = 8, **shares: float) -> Curriculum:
    return Curriculum(CurriculumConfig(**shares), new_problems=new)


def draw(of: Curriculum, seed: int = 0) -> tuple[list[str], list[str]]:
    batch = of.draw(np.random.default_rng(seed))
    return [problem.id for problem, _ in batch], [kind for _, kind in batch]


def attempted(of: Curriculum, correct: dict[int, int], k: int = 4) -> None:
    for problem, right in correct.items():
        of.record(str(problem), Standing(right, k, 0))


@pytest.mark.parametrize(
    ("correct", "zone"), [(0, "too_hard"), (1, "learning"), (7, "learning"), (8, "mastered")]
)
def test_zones(correct: int, zone: str) -> None:
    assert zone_of(correct, 8) == zone
    assert Standing(correct, 8, 3).zone == zone
    assert Standing(correct, 8, 3).success == correct / 8


@pytest.mark.parametrize(("correct", "attempts"), [(0, 0), (-1, 4), (5, 4)])
def test_what_is_no_success_rate_has_no_zone(correct: int, attempts: int) -> None:
    with pytest.raises(ValueError, match="not a success rate"):
        zone_of(correct, attempts)


def test_batch_size_leaves_room_for_replay_and_backlog() -> None:
    """64 new ones are what 0.25 + 0.05 leave: 64 / 0.7 = 91.4."""
    assert curriculum(64, replay_share=0.25, backlog_share=0.05).batch_size == 91
    assert curriculum(64, replay_share=0.0, backlog_share=0.0).batch_size == 64
    assert curriculum(60, replay_share=0.25, backlog_share=0.0).batch_size == 80


def test_new_problems_come_in_order_of_admission_and_once() -> None:
    pool = curriculum(3)
    pool.admit(problems(5))
    assert draw(pool) == (["0", "1", "2"], ["new"] * 3)
    pool.admit(problems(2, first=5))
    assert draw(pool)[0] == ["3", "4", "5"]
    assert draw(pool)[0] == ["6"]
    assert draw(pool)[0] == []


def test_shares_of_a_full_batch() -> None:
    """Batch 20 of 10 new ones: 2 from the backlog (0.1), 8 replayed (0.4)."""
    pool = curriculum(10, replay_share=0.4, backlog_share=0.1)
    pool.admit(problems(60))
    for _ in range(4):
        draw(pool)
    attempted(pool, {n: 0 if n < 20 else 2 for n in range(40)})
    ids, kinds = draw(pool)
    assert Counter(kinds) == {"new": 10, "backlog": 2, "replay": 8}
    assert len(set(ids)) == 20
    by_kind = dict(zip(ids, kinds, strict=True))
    assert all((int(i) < 20) == (kind == "backlog") for i, kind in by_kind.items() if int(i) < 40)
    assert [i for i, kind in by_kind.items() if kind == "new"] == [str(n) for n in range(40, 50)]


def test_a_problem_of_this_batch_is_not_replayed_in_it() -> None:
    """Newly admitted problems have a standing already, from the trial by the updated Solver."""
    pool = curriculum(4, replay_share=0.5, backlog_share=0.0)
    pool.admit(problems(4))
    attempted(pool, dict.fromkeys(range(4), 2))
    assert draw(pool) == (["0", "1", "2", "3"], ["new"] * 4)
    assert sorted(draw(pool)[0]) == ["0", "1", "2", "3"]


def test_what_waits_in_the_queue_is_not_replayed() -> None:
    pool = curriculum(2, replay_share=0.5, backlog_share=0.1)
    pool.admit(problems(6))
    attempted(pool, {n: 1 + n % 3 for n in range(6)})
    assert draw(pool) == (["0", "1"], ["new"] * 2)


def test_a_new_problem_that_proves_too_hard_leaves_the_queue_for_the_backlog() -> None:
    pool = curriculum(2, replay_share=0.25, backlog_share=0.25)
    pool.admit(problems(4))
    attempted(pool, {0: 0, 1: 2, 2: 2, 3: 2})
    assert draw(pool) == (["1", "2", "0"], ["new", "new", "backlog"])


def test_mastered_and_learning_are_replayed_too_hard_is_not() -> None:
    pool = curriculum(4, replay_share=0.5, backlog_share=0.0)
    pool.admit(problems(9))
    for _ in range(3):
        draw(pool)
    attempted(pool, {0: 0, 1: 0, 2: 0, 3: 4, 4: 4, 5: 1, 6: 2, 7: 3, 8: 4})
    seen = {i for seed in range(20) for i in draw(pool, seed)[0]}
    assert seen == {"3", "4", "5", "6", "7", "8"}


def test_replay_fills_where_new_problems_are_missing() -> None:
    pool = curriculum(4, replay_share=0.5, backlog_share=0.0)
    pool.admit(problems(20))
    for _ in range(5):
        draw(pool)
    attempted(pool, dict.fromkeys(range(20), 2))
    assert draw(pool)[1] == ["replay"] * 8
    pool.admit(problems(1, first=20))
    assert Counter(draw(pool)[1]) == {"new": 1, "replay": 7}


def test_no_replay_share_no_replay() -> None:
    pool = curriculum(4, replay_share=0.0, backlog_share=0.0)
    pool.admit(problems(6))
    draw(pool)
    attempted(pool, dict.fromkeys(range(4), 2))
    assert draw(pool) == (["4", "5"], ["new"] * 2)
    assert draw(pool) == ([], [])


def test_a_zone_is_estimated_anew() -> None:
    pool = curriculum(4)
    pool.admit(problems(3))
    attempted(pool, {0: 0, 1: 2, 2: 4})
    assert pool.zone_counts() == {"mastered": 1, "learning": 1, "too_hard": 1}
    attempted(pool, {0: 4})
    assert pool.zone_counts() == {"mastered": 2, "learning": 1, "too_hard": 0}


def test_draws_depend_on_the_generator_alone() -> None:
    def fresh() -> Curriculum:
        pool = curriculum(4, replay_share=0.5, backlog_share=0.1)
        pool.admit(problems(40))
        for _ in range(10):
            draw(pool)
        attempted(pool, {n: n % 4 for n in range(40)})
        return pool

    assert draw(fresh(), 1) == draw(fresh(), 1)
    assert draw(fresh(), 1) != draw(fresh(), 2)


def test_replay_is_steered_to_cells_by_the_utility_of_their_mean_success() -> None:
    """Two cells with means 1/2 and 7/8 under a Gaussian: exp(0) to exp(-(0.375/0.2)²/2) = 0.1724.

    The second has twice as many problems, which share its worth.
    """
    config = CurriculumConfig(replay_share=0.5, backlog_share=0.0, replay="utility")
    steered = Curriculum(config, 1, UtilityConfig(mu=0.5, sigma=0.2))
    learning = [dataclasses.replace(p, family="a") for p in problems(10)]
    nearly = [dataclasses.replace(p, family="b") for p in problems(20, first=10)]
    steered.admit([*learning, *nearly])
    attempted(steered, {n: 4 for n in range(10)} | {n: 7 for n in range(10, 30)}, k=8)
    for number in range(30):
        steered.queue.pop(str(number))
    drawn = Counter()
    for seed in range(3000):
        for problem, kind in steered.draw(np.random.default_rng(seed)):
            assert kind == "replay"
            drawn[problem.family] += 1
    assert drawn.total() == 6000
    first = Counter()
    for seed in range(3000):  # the first of the two is drawn in proportion
        problem, _ = steered.draw(np.random.default_rng(seed))[0]
        first[problem.family] += 1
    assert first["b"] / first["a"] == pytest.approx(0.1724, abs=0.03)


def test_replay_without_worth_is_uniform() -> None:
    config = CurriculumConfig(replay_share=0.5, backlog_share=0.0, replay="utility")
    steered = Curriculum(config, 4, UtilityConfig(name="variance"))  # 0 where all are solved
    steered.admit(problems(20))
    attempted(steered, {n: 4 for n in range(20)})
    for number in range(20):
        steered.queue.pop(str(number))
    ids, kinds = draw(steered)
    assert len(set(ids)) == 8
    assert set(kinds) == {"replay"}


def replaying(counts: dict[tuple[str, int], int], new: int, **changes: object) -> Curriculum:
    """So many attempted problems of each (family, level), half solved, and a batch of twice `new`."""
    config = CurriculumConfig(replay_share=0.5, backlog_share=0.0, **changes)
    pool = Curriculum(config, new)
    for (family, level), count in counts.items():
        own = [
            dataclasses.replace(p, family=family, difficulty={"level": level})
            for p in problems(count, first=len(pool.problems))
        ]
        pool.admit(own)
    attempted(pool, dict.fromkeys(range(len(pool.problems)), 2))
    pool.queue.clear()
    return pool


def replayed(of: Curriculum, draws: int, first: bool = False) -> Counter[tuple[str, int]]:
    """How often each (family, level) is replayed in so many batches; or is the first of them."""
    drawn: Counter[tuple[str, int]] = Counter()
    for seed in range(draws):
        batch = of.draw(np.random.default_rng(seed))
        assert {kind for _, kind in batch} == {"replay"}
        assert len({problem.id for problem, _ in batch}) == len(batch)
        drawn.update(
            (problem.family, problem.level) for problem, _ in batch[: 1 if first else None]
        )
    return drawn


def test_levels_are_replayed_alike_whatever_their_problems() -> None:
    """One cell has a hundred times the problems of another; families have levels of their own."""
    counts = {("f", 3): 5, ("f", 4): 500, ("g", 3): 50}
    drawn = replayed(replaying(counts, 1, replay="levels"), 600, first=True)
    assert drawn.keys() == counts.keys()
    assert all(number == pytest.approx(200, abs=40) for number in drawn.values())  # 3.5 deviations
    uniform = replayed(replaying(counts, 1), 600, first=True)
    assert uniform["f", 4] > 500 and uniform["f", 3] < 25


def test_a_level_does_not_count_for_more_where_more_of_it_is_solved() -> None:
    pool = replaying({("f", 3): 10, ("f", 4): 10}, 1, replay="levels")
    attempted(pool, dict.fromkeys(range(10), 4) | dict.fromkeys(range(10, 20), 1))
    drawn = replayed(pool, 600, first=True)
    assert drawn["f", 3] == pytest.approx(300, abs=50)


def test_a_level_with_fewer_problems_than_its_share_gives_them_all() -> None:
    """Of a batch of 20 a half would be 10: the two there are, and 18 of the other level."""
    pool = replaying({("f", 3): 2, ("f", 4): 100}, 10, replay="levels")
    drawn = replayed(pool, 20)
    assert drawn.total() == 400
    assert drawn["f", 3] >= 36  # each is all but sure to be among the first twenty
    assert drawn["f", 4] == 400 - drawn["f", 3]


@pytest.mark.parametrize("replay", ["uniform", "levels", "utility"])
def test_a_batch_is_smaller_only_while_the_pool_is(replay: str) -> None:
    pool = replaying({("f", 3): 2, ("g", 3): 1}, 10, replay=replay)
    assert replayed(pool, 1) == {("f", 3): 2, ("g", 3): 1}
    assert replaying({}, 10, replay=replay).draw(np.random.default_rng(0)) == []


def test_a_level_that_is_too_hard_waits_in_the_backlog() -> None:
    """Levels are shares of what is replayed, and a level without a success is not."""
    pool = replaying({("f", 3): 4, ("f", 9): 4}, 2, replay="levels")
    attempted(pool, dict.fromkeys(range(4, 8), 0))
    assert replayed(pool, 1) == {("f", 3): 4}
