"""Advantage estimators against numbers derived by hand."""

from __future__ import annotations

import math

import pytest

from agents.learners.advantages import ADVANTAGES, mean, mean_std


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


@pytest.mark.parametrize("name", ADVANTAGES)
@pytest.mark.parametrize("rewards", [[1.0] * 8, [0.0] * 8, [0.3, 0.3], [1.0]])
def test_equal_rewards_give_no_advantage(name: str, rewards: list[float]) -> None:
    assert ADVANTAGES[name](rewards) == [0.0] * len(rewards)


@pytest.mark.parametrize("name", ADVANTAGES)
def test_advantages_sum_to_zero_in_the_order_of_the_rewards(name: str) -> None:
    rewards = [0.0, 1.0, 0.5, 0.0, 1.0]
    got = ADVANTAGES[name](rewards)
    assert sum(got) == pytest.approx(0.0, abs=1e-12)
    assert [a > b for a in got for b in got] == [a > b for a in rewards for b in rewards]


def test_mean_std_does_not_depend_on_the_scale() -> None:
    small, large = mean_std([0.0, 1.0, 1.0]), mean_std([0.0, 100.0, 100.0])
    assert small == pytest.approx(large, rel=1e-3)
