"""The held-out curve: when, on what, and what is refused."""

from __future__ import annotations

import pytest

from coevo import compose, curve
from coevo.config import Config, ConfigError
from environments import Problem
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout


def configured(*overrides: str) -> Config:
    return compose.compose(["experiment=arithmetic", *overrides])


@pytest.mark.parametrize(("every", "expected"), [(0, []), (3, [0, 3, 6, 7]), (20, [0, 7])])
def test_from_the_base_on_and_the_last_round(every: int, expected: list[int]) -> None:
    config = configured("rounds=7", f"evaluation.curve_every={every}")
    assert [t for t in range(8) if curve.due(config, t)] == expected


def test_the_first_problems_of_each_cell() -> None:
    assert curve.problems(heldout(Arithmetic(), 3), 2) == heldout(Arithmetic(), 2)
    few = [
        Problem(domain="d", family="f", statement=str(n), answer="1", difficulty={"level": level})
        for n, level in enumerate((1, 2, 1, 1, 3))
    ]
    assert curve.problems(few, 2) == [few[i] for i in (0, 1, 2, 4)]  # a cell may have fewer


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["evaluation.per_cell=1"],
            r"evaluation\.curve_per_cell=2 is more than evaluation\.per_cell=1: ",
        ),
        (
            ["evaluation.k=2"],
            r"evaluation\.curve_k=4 is more than evaluation\.k=2: .*curve_k=2 or less",
        ),
        (["evaluation.curve_k=0"], "out of range|write a whole number"),
    ],
)
def test_what_is_no_part_of_the_evaluation_is_refused(overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        configured("evaluation.curve_every=2", *overrides)


def test_without_a_curve_its_size_is_nobodys_affair() -> None:
    assert configured("evaluation.per_cell=1", "evaluation.k=1").evaluation.curve_every == 0


def test_points_are_read_from_the_rounds() -> None:
    values = {"curve/mean@4": 0.5, "curve/low/mean@4": 0.4, "curve/high/mean@4": 0.6}
    rounds = [
        {"round": 0, "metrics": values | {"heldout/mean@8": 0.1}},
        {"round": 1, "metrics": {}},
    ]
    assert curve.points(rounds) == [[0, 0.5, 0.4, 0.6]]
