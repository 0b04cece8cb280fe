"""The frontier: of what was tried in a round, and of an evaluation."""

from __future__ import annotations

import pytest

from coevo.evaluate import Score
from coevo.frontier import block, frontier, of_scores


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        ([], None),
        ([(3, 8, 8), (3, 8, 8), (4, 4, 8), (4, 4, 8), (5, 3, 8), (5, 4, 8)], 4),  # a half is enough
        ([(3, 8, 8), (3, 8, 8), (9, 8, 8)], 3),  # one problem alone is not
        ([(3, 0, 8), (3, 0, 8), (5, 8, 8), (5, 0, 8)], 5),  # what lies below is not looked at
        ([(4, 1, 4), (4, 4, 4), (4, 3, 8)], 4),  # 8 of 16, over completions
        ([(3, 3, 8), (3, 4, 8)], None),
        ([(3, 0, 0), (3, 0, 0)], None),  # nothing was drawn
    ],
)
def test_the_highest_level_with_half_of_its_attempts_right(
    tried: list[tuple[int, int, int]], expected: int | None
) -> None:
    assert frontier(tried) == expected
    assert frontier(reversed(tried)) == expected


def score(level: int, correct: int, family: str = "sums") -> Score:
    answers = ("7",) * correct + ("1",) * (4 - correct)
    return Score(
        problem_id=f"{family}{level}", family=family, level=level, gold="7", correct=correct,
        answers=answers,
    )  # fmt: skip


def test_an_evaluation_pools_families() -> None:
    """Level 3: 1 and 3 of 4 right; level 4: 0 and 3."""
    scores = [score(3, 1), score(4, 0), score(3, 3, "chains"), score(4, 3, "chains")]
    assert of_scores(scores) == 3
    assert of_scores([]) is None


def test_the_block_of_a_summary() -> None:
    rounds = [
        {"round": 0, "metrics": {}},
        {"round": 1, "metrics": {"curriculum/frontier": 3.0}},
        {"round": 2, "metrics": {}},  # there was none
        {"round": 3, "metrics": {"curriculum/frontier": 4.0}},
    ]
    assert block(rounds, [score(3, 1)], [score(3, 2)]) == {
        "by_round": [[1, 3], [3, 4]],
        "heldout": [None, 3],
    }
