"""Advantage estimators against numbers derived by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from agents.learners.advantages import (
    ADVANTAGES,
    BY_BATCH,
    BY_GROUP,
    batch,
    ema,
    estimate,
    group_batch,
    leave_one_out,
    mean,
    mean_std,
    none,
    task,
)

GROUPS = [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.5]]
TASKS = ["solve", "propose"]


def flat(groups: Sequence[Sequence[float]]) -> list[float]:
    return [value for group in groups for value in group]


# -- within a group -------------------------------------------------------------------------------


def test_mean_std_by_hand() -> None:
    """Rewards 1, 0, 0, 0: mean 1/4; sample variance (9/16 + 3/16) / 3 = 1/4, deviation 1/2.

    Advantages: 0.75 / 0.5001 and -0.25 / 0.5001.
    """
    got = mean_std([1.0, 0.0, 0.0, 0.0])
    assert got == pytest.approx([0.75 / 0.5001] + [-0.25 / 0.5001] * 3, rel=1e-12)


def test_mean_std_of_an_even_split() -> None:
    """Four of eight right: centred ±1/2, sample deviation √(8/4 / 7) = √(2/7)."""
    got = mean_std([1.0] * 4 + [0.0] * 4)
    size = 0.5 / (math.sqrt(2 / 7) + 1e-4)
    assert got == pytest.approx([size] * 4 + [-size] * 4, rel=1e-12)


def test_mean_by_hand() -> None:
    """Rewards 1, 0, 0, 0 minus their mean 1/4, not divided by anything."""
    assert mean([1.0, 0.0, 0.0, 0.0]) == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_leave_one_out_by_hand() -> None:
    """Rewards 1, 0, 0.5: the others' means are 0.25, 0.75 and 0.5."""
    assert leave_one_out([1.0, 0.0, 0.5]) == pytest.approx([0.75, -0.75, 0.0])


def test_leave_one_out_is_the_mean_scaled() -> None:
    """n / (n - 1) times r - mean: RLOO's baseline leaves out the completion's own share."""
    rewards = [1.0, 0.0, 0.5, 0.25, 1.0]
    assert leave_one_out(rewards) == pytest.approx([value * 5 / 4 for value in mean(rewards)])


def test_none_is_the_reward() -> None:
    assert none([1, 0.5, -2.0]) == [1.0, 0.5, -2.0]


@pytest.mark.parametrize("name", ["mean_std", "mean", "leave_one_out"])
def test_advantages_sum_to_zero_in_the_order_of_the_rewards(name: str) -> None:
    rewards = [0.0, 1.0, 0.5, 0.0, 1.0]
    got = BY_GROUP[name](rewards)
    assert sum(got) == pytest.approx(0.0, abs=1e-12)
    assert [a > b for a in got for b in got] == [a > b for a in rewards for b in rewards]


def test_mean_std_does_not_depend_on_the_scale() -> None:
    small, large = mean_std([0.0, 1.0, 1.0]), mean_std([0.0, 100.0, 100.0])
    assert small == pytest.approx(large, rel=1e-3)


# -- over the batch -------------------------------------------------------------------------------


def test_batch_by_hand() -> None:
    """Rewards 1, 0 and 1, 0, 0, 1 in groups of unequal size: mean 1/2, sample variance 6/4 / 5 = 0.3.

    Each is 0.5 / (√0.3 + 1e-4) from it, whatever its group and its task.
    """
    size = 0.5 / (math.sqrt(0.3) + 1e-4)
    got = batch([[1.0, 0.0], [1.0, 0.0, 0.0, 1.0]], TASKS)
    assert got == [pytest.approx([size, -size]), pytest.approx([size, -size, -size, size])]


def test_batch_gives_groups_of_equal_rewards_an_advantage() -> None:
    """Rewards 1, 1 and 0, 0: variance 1 / 3, so ±0.5 / √(1/3)."""
    size = 0.5 / (math.sqrt(1 / 3) + 1e-4)
    got = batch([[1.0, 1.0], [0.0, 0.0]], TASKS)
    assert got == [pytest.approx([size, size]), pytest.approx([-size, -size])]


def test_group_batch_by_hand() -> None:
    """1, 0 and 4, 4: centred within groups ±1/2 and 0, 0; over the batch of four their sample variance is
    (1/4 + 1/4) / 3 = 1/6."""
    size = 0.5 / (math.sqrt(1 / 6) + 1e-4)
    got = group_batch([[1.0, 0.0], [4.0, 4.0]], TASKS)
    assert got == [pytest.approx([size, -size]), [0.0, 0.0]]


def test_task_by_hand() -> None:
    """Solve: 1, 0 and 1, 0 in two groups, variance 1 / 3. Propose: 9 and 7, variance 2."""
    got = task([[1.0, 0.0], [9.0, 7.0], [1.0, 0.0]], ["solve", "propose", "solve"])
    solve, propose = 0.5 / (math.sqrt(1 / 3) + 1e-4), 1 / (math.sqrt(2) + 1e-4)
    assert got == [
        pytest.approx([solve, -solve]),
        pytest.approx([propose, -propose]),
        pytest.approx([solve, -solve]),
    ]


def test_tasks_are_kept_apart() -> None:
    """What one task earns does not move the advantages of another; over the whole batch it does."""
    low = task([[1.0, 0.0], [0.0, 2.0]], TASKS)
    high = task([[1.0, 0.0], [0.0, 200.0]], TASKS)
    assert low[0] == high[0]
    assert batch([[1.0, 0.0], [0.0, 2.0]], TASKS)[0] != batch([[1.0, 0.0], [0.0, 200.0]], TASKS)[0]


def test_ema_over_two_rounds_by_hand() -> None:
    """α = 0.9, from 0. First round, mean 3/4 of 1, 1, 1, 0: b = 0.075. Second, mean 1/2: b = 0.0675 + 0.05 =
    0.1175. The rewards less b, after its step."""
    baselines: dict[str, float] = {}
    first = ema([[1.0, 1.0], [1.0, 0.0]], ["solve", "solve"], baselines, 0.9)
    assert first == [pytest.approx([0.925, 0.925]), pytest.approx([0.925, -0.075])]
    assert baselines == pytest.approx({"solve": 0.075})
    second = ema([[1.0, 0.0]], ["solve"], baselines, 0.9)
    assert second == [pytest.approx([0.8825, -0.1175])]
    assert baselines == pytest.approx({"solve": 0.1175})


def test_ema_keeps_tasks_apart() -> None:
    """Solve, mean 1: b = 0.1; propose, mean -4, from -1: -0.9 - 0.4 = -1.3; a third stays untouched."""
    baselines = {"propose": -1.0, "other": 5.0}
    got = ema([[1.0], [-4.0, -4.0]], TASKS, baselines, 0.9)
    assert got == [pytest.approx([0.9]), pytest.approx([-2.7, -2.7])]
    assert baselines == pytest.approx({"solve": 0.1, "propose": -1.3, "other": 5.0})


def test_ema_counts_completions_and_not_groups() -> None:
    """One of 1 and three of 0 in two groups: mean 1/4."""
    baselines: dict[str, float] = {}
    ema([[1.0], [0.0, 0.0, 0.0]], ["solve", "solve"], baselines, 0.0)
    assert baselines == {"solve": 0.25}


# -- by name --------------------------------------------------------------------------------------


def test_every_name_is_known_once() -> None:
    assert len(set(ADVANTAGES)) == len(ADVANTAGES)
    assert {*BY_GROUP, *BY_BATCH, "ema"} == set(ADVANTAGES)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_estimate_keeps_the_shape(name: str) -> None:
    got = estimate(name, GROUPS, TASKS, {})
    assert [len(group) for group in got] == [4, 3]
    if name in BY_GROUP:
        assert got == [BY_GROUP[name](group) for group in GROUPS]
    elif name in BY_BATCH:
        assert got == BY_BATCH[name](GROUPS, TASKS)
    else:
        assert got == ema(GROUPS, TASKS, {}, 0.95)


def test_estimate_hands_on_the_decay_and_the_baselines() -> None:
    """b = 0.5 · 2 + 0.5 · 1 = 1.5."""
    baselines = {"solve": 2.0}
    assert estimate("ema", [[1.0]], ["solve"], baselines, 0.5) == [[-0.5]]
    assert baselines == {"solve": 1.5}


@pytest.mark.parametrize("name", sorted({*ADVANTAGES} - {"none", "ema"}))
@pytest.mark.parametrize("rewards", [[[1.0] * 8], [[0.0] * 8], [[0.3, 0.3], [0.3]], [[1.0]]])
def test_equal_rewards_give_no_advantage(name: str, rewards: list[list[float]]) -> None:
    tasks = ["solve"] * len(rewards)
    assert estimate(name, rewards, tasks, {}) == [[0.0] * len(group) for group in rewards]


@pytest.mark.parametrize("name", ["mean_std", "mean", "leave_one_out", "group_batch"])
def test_a_group_of_one_has_nothing_to_compare_with(name: str) -> None:
    assert estimate(name, [[0.7], [1.0, 0.0]], TASKS, {})[0] == [0.0]


@pytest.mark.parametrize("name", ["mean_std", "mean", "leave_one_out", "group_batch", "batch"])
def test_a_constant_added_to_all_rewards_changes_nothing(name: str) -> None:
    raised = [[reward + 3.5 for reward in group] for group in GROUPS]
    got = flat(estimate(name, raised, TASKS, {}))
    assert got == pytest.approx(flat(estimate(name, GROUPS, TASKS, {})), abs=1e-12)
    assert any(got)


@pytest.mark.parametrize("name", ["mean_std", "mean", "leave_one_out", "group_batch"])
def test_a_constant_added_to_one_group_changes_nothing(name: str) -> None:
    raised = [[reward + 3.5 for reward in GROUPS[0]], GROUPS[1]]
    got = flat(estimate(name, raised, TASKS, {}))
    assert got == pytest.approx(flat(estimate(name, GROUPS, TASKS, {})), abs=1e-12)


def test_empty_groups_are_passed_over() -> None:
    """A group of which nothing was left has no advantages, and no part in those of the others."""
    for function in (batch, task):
        assert function([[], [1.0, 0.0]], TASKS) == [[], function([[1.0, 0.0]], TASKS[1:])[0]]
    baselines: dict[str, float] = {}
    assert ema([[], [1.0]], TASKS, baselines, 0.5) == [[], [0.5]]
    assert baselines == {"propose": 0.5}


@pytest.mark.parametrize("name", ["", "gae", "default"])
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(KeyError):
        estimate(name, GROUPS, TASKS, {})
