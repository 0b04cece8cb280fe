"""mean@k, pass@k and maj@k against brute force and by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest

from agents.records import Completion, Usage
from coevo.evaluate import (
    Measured,
    Score,
    bounded,
    changes,
    difference,
    estimates,
    flat,
    interval,
    intervals,
    maj_at_k,
    metrics,
    pass_at_k,
    tally,
    wilson,
)
from environments import Problem, Verdict


def score(answers: Sequence[str | None], gold: str = "7", name: str = "p", **kind: object) -> Score:
    values = {"family": "sums", "level": 2} | kind
    return Score(
        problem_id=name,
        gold=gold,
        correct=sum(answer == gold for answer in answers),
        answers=tuple(answers),
        **values,
    )


def hits(correct: int, k: int = 4, **kind: object) -> Score:
    return score(["7"] * correct + ["1"] * (k - correct), **kind)


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_against_every_subset(n: int) -> None:
    for correct in range(n + 1):
        completions = [i < correct for i in range(n)]
        for k in range(1, n + 1):
            subsets = list(itertools.combinations(completions, k))
            expected = sum(any(subset) for subset in subsets) / len(subsets)
            assert pass_at_k(n, correct, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [0, 5, -1])
def test_pass_at_k_needs_enough_completions(k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k} needs"):
        pass_at_k(4, 2, k)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["7", "7", "1", "2"], 1.0),
        (["7", "1", "1", "2"], 0.0),
        (["7", "7", "1", "1"], 0.5),  # a tie of two
        (["7", "1", "2", "3"], 0.25),  # a tie of four
        (["1", "1", "2", "2"], 0.0),  # a tie without the right one
        ([None, None, None, "7"], 1.0),  # who says nothing does not vote
        ([None, None, None, None], 0.0),
    ],
)
def test_maj_at_k(answers: list[str | None], expected: float) -> None:
    assert maj_at_k(score(answers)) == expected


def test_maj_at_k_of_an_unknown_answer_is_zero() -> None:
    assert maj_at_k(score([None, None], gold=None)) == 0.0  # type: ignore[arg-type]


def test_interval_by_hand() -> None:
    """0, 0.5, 1, 0.5: mean 0.5, sample variance (0.25 + 0.25) / 3 = 1/6; half width
    1.959964 · √(1/6) / √4 = 0.400076."""
    mean, (low, high) = interval([0.0, 0.5, 1.0, 0.5])
    assert mean == 0.5
    assert (low, high) == pytest.approx((0.099924, 0.900076), abs=1e-6)


def test_interval_of_one_problem_is_unbounded() -> None:
    assert interval([0.5]) == (0.5, [-math.inf, math.inf])


def test_metrics_by_hand() -> None:
    """Of four completions 4, 1 and 0 right: mean@4 = 5/12; pass@4 = 2/3; maj@4 = 1/3 (the one
    right answer of the second problem loses to three wrong ones)."""
    got = metrics(
        [hits(4, level=2), hits(1, level=2, family="mixed"), hits(0, level=5, family="mixed")]
    )
    assert got["k"] == 4
    assert got["problems"] == 3
    assert got["mean@4"]["value"] == pytest.approx(5 / 12)
    assert got["pass@4"]["value"] == pytest.approx(2 / 3)
    assert got["maj@4"]["value"] == pytest.approx(1 / 3)
    assert got["by_level"] == {"2": pytest.approx(5 / 8), "5": 0.0}
    assert got["by_family"] == {"sums": 1.0, "mixed": pytest.approx(1 / 8)}


def test_one_number_a_name() -> None:
    """Problems with 2 and 1 of 2 right: mean 0.75, deviation 0.35355, half 1.96 · 0.35355 / √2 = 0.49,
    cut at 1; both have a right one among 2; the second's vote is a tie, which pays half."""
    easy = score(["7", "7"], name="a", level=2)
    hard = score(["7", "8"], name="b", level=3)
    found = flat([easy, hard])
    assert next(iter(found)) == "heldout/mean@2"
    assert found["heldout/mean@2"] == 0.75
    assert found["heldout/low/mean@2"] == pytest.approx(0.26, abs=1e-4)
    assert found["heldout/high/mean@2"] == 1.0
    assert (found["heldout/pass@2"], found["heldout/maj@2"]) == (1.0, 0.75)
    assert (found["heldout/level/2"], found["heldout/level/3"]) == (1.0, 0.5)
    assert len(found) == 11


def test_intervals_cluster_by_problem() -> None:
    """Ten times the completions of the same problems say nothing more about other problems."""
    few = metrics([hits(4), hits(0), hits(2)])["mean@4"]["ci95"]
    many = metrics([hits(40, k=40), hits(0, k=40), hits(20, k=40)])["mean@40"]["ci95"]
    assert few == pytest.approx(many)


def test_bounds_of_a_rate_stay_within_zero_and_one() -> None:
    low, high = metrics([hits(4), hits(0)])["mean@4"]["ci95"]
    assert (low, high) == (0.0, 1.0)


def test_difference_is_paired() -> None:
    """Every problem gains 1/4: the delta is 1/4 with no width at all, though scores vary widely."""
    base = [hits(0, name="a"), hits(3, name="b"), hits(1, name="c", level=4)]
    final = [hits(1, name="a"), hits(4, name="b"), hits(2, name="c", level=4)]
    got = difference(base, final)
    assert got["metric"] == "mean@4"
    assert got["base"] == pytest.approx(1 / 3)
    assert got["final"] == pytest.approx(7 / 12)
    assert got["delta"] == pytest.approx(0.25)
    assert got["delta_ci95"] == pytest.approx([0.25, 0.25])
    assert got["pass@4"] == {"base": pytest.approx(2 / 3), "final": 1.0}
    assert got["maj@4"] == {"base": pytest.approx(1 / 3), "final": pytest.approx((1 + 0.5) / 3)}
    assert got["by_level"] == {"2": [pytest.approx(3 / 8), pytest.approx(5 / 8)], "4": [0.25, 0.5]}
    assert got["pass_by_level"] == {"2": [0.5, 1.0], "4": [1.0, 1.0]}


def test_difference_by_hand_where_problems_differ() -> None:
    """Gains 1/2, 0, -1/4 and 1/4: mean 1/8, sample variance 0.3125 / 3 ... half width 0.316247."""
    names = "abcd"
    base = [hits(n, name=name) for n, name in zip((1, 2, 2, 0), names, strict=True)]
    final = [hits(n, name=name) for n, name in zip((3, 2, 1, 1), names, strict=True)]
    gains = [0.5, 0.0, -0.25, 0.25]
    variance = sum((gain - 0.125) ** 2 for gain in gains) / 3
    half = 1.959964 * math.sqrt(variance / 4)
    got = difference(base, final)
    assert got["delta"] == pytest.approx(0.125)
    assert got["delta_ci95"] == pytest.approx([0.125 - half, 0.125 + half], abs=1e-6)


def test_difference_needs_the_same_problems() -> None:
    with pytest.raises(ValueError, match="same problems"):
        difference([hits(1, name="a")], [hits(1, name="b")])


def test_estimates_of_equal_values_keep_a_width() -> None:
    """Four problems, none right: (1 - q)^4 = 0.025 gives q = 0.602365; all right mirrors it; all
    half right leaves half of that on each side."""
    none = estimates([hits(0)] * 4)["mean@4"]
    every = estimates([hits(4)] * 4)["mean@4"]
    half = estimates([hits(2)] * 4)["mean@4"]
    assert none == {"value": 0.0, "ci95": pytest.approx([0.0, 0.602365], abs=1e-6)}
    assert every == {"value": 1.0, "ci95": pytest.approx([0.397635, 1.0], abs=1e-6)}
    assert half == {"value": 0.5, "ci95": pytest.approx([0.198818, 0.801182], abs=1e-6)}
    assert estimates([hits(0)])["mean@4"] == {"value": 0.0, "ci95": None}


def test_tally_counts_verdicts_cut_off_completions_and_tokens() -> None:
    def drawn(n: int, **kind: Any) -> Completion:
        return Completion(text="", prompt_ids=(1, 2), token_ids=(7,) * n, **kind)

    asked = Completion(
        text="", finish_reason="error", usage=Usage(prompt_tokens=9, completion_tokens=5)
    )
    problem = Problem(domain="d", family="f", statement="s")
    rows = [
        Measured(
            problem=problem,
            completions=(drawn(3), drawn(4, finish_reason="length")),
            verdicts=(Verdict(status="correct"), Verdict(status="unparseable")),
        ),
        Measured(
            problem=problem,
            completions=(asked, drawn(1)),
            verdicts=(Verdict(status="wrong"), Verdict(status="timeout")),
        ),
    ]
    assert tally(rows) == {
        "completions": 4,
        "verdicts": {"correct": 1, "wrong": 1, "unparseable": 1, "timeout": 1, "crash": 0},
        "cut_off": 1,
        "failed": 1,
        "prompt_tokens": 2 + 9,
        "completion_tokens": 3 + 4 + 5 + 1,
    }


# intervals of a run's summary


def test_wilson_by_hand() -> None:
    """8 of 10: z² = 3.8415; middle (0.8 + 0.19207) / 1.38415 = 0.71674, half
    1.95996 / 1.38415 · √(0.016 + 0.0096037) = 0.22657."""
    assert wilson(8, 10) == pytest.approx([0.71674 - 0.22657, 0.71674 + 0.22657], abs=1e-4)
    assert wilson(0, 10) == pytest.approx([0.0, 3.8415 / 13.8415], abs=1e-4)
    assert wilson(0, 0) is None


def test_equal_values_are_bounded_on_both_sides() -> None:
    """Of 4 equal values a share of 1 - 0.025^(1/4) = 0.6024 may differ."""
    assert bounded([0.5] * 4, 0.0)[1] == pytest.approx([0.5 - 0.3012, 0.5 + 0.3012], abs=1e-4)
    assert bounded([0.0] * 4, -1.0)[1] == pytest.approx([-0.6024, 0.6024], abs=1e-4)
    assert bounded([0.3], 0.0) == (0.3, None)


def test_a_summary_has_an_interval_for_every_figure() -> None:
    base = [hits(n, name=f"p{i}", level=2 + i % 2) for i, n in enumerate((0, 1, 2, 3))]
    final = [hits(n, name=f"p{i}", level=2 + i % 2) for i, n in enumerate((1, 1, 4, 3))]
    found = intervals(base, final)
    assert set(found) == {"mean@4", "pass@4", "maj@4", "by_level", "pass_by_level"}
    block = difference(base, final)
    assert block["ci95"] == found
    assert found["mean@4"]["delta"] == block["delta_ci95"]
    assert found["mean@4"]["base"] == estimates(base)["mean@4"]["ci95"]
    assert found["by_level"]["3"] == {
        "base": estimates(base[1::2])["mean@4"]["ci95"],
        "final": estimates(final[1::2])["mean@4"]["ci95"],
        "delta": changes(base[1::2], final[1::2])["mean@4"]["ci95"],
    }
    assert found["pass_by_level"]["2"] == {
        "base": estimates(base[::2])["pass@4"]["ci95"],
        "final": estimates(final[::2])["pass@4"]["ci95"],
        "delta": changes(base[::2], final[::2])["pass@4"]["ci95"],
    }
    assert intervals(base[:1], final[:1])["pass@4"]["base"] is None
