"""Where the time goes, read off a clock that the test turns."""

from __future__ import annotations

import dataclasses

import pytest

from agents.records import Completion, Usage
from coevo import clock
from coevo.clock import PARTS, Clock, Cost


class Hand:
    """The time of day, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(clock, "time", hand)
    return hand


def test_parts_add_up_to_the_total(hand: Hand) -> None:
    """2 s of rollout in two pieces, 3 s of learning and 1 s between: total 6, other 1."""
    watch = Clock()
    with watch.part("rollout"):
        hand.now += 1.5
    hand.now += 1
    with watch.part("learn"):
        hand.now += 3
    with watch.part("rollout"):
        hand.now += 0.5
    seconds, _ = watch.lap()
    assert seconds == {
        "rollout": 2.0, "verify": 0.0, "learn": 3.0, "evaluate": 0.0, "other": 1.0, "total": 6.0,
    }  # fmt: skip
    assert set(seconds) == {*PARTS, "total"}


def test_a_lap_starts_anew(hand: Hand) -> None:
    watch = Clock()
    with watch.part("verify"):
        hand.now += 2
    watch.cost("solver", "attempt", [Completion(text="a")])
    watch.detail("hand_over", 1.0)
    assert watch.lap()[0]["hand_over"] == 1.0
    hand.now += 5
    seconds, costs = watch.lap()
    assert seconds["verify"] == 0.0
    assert seconds["other"] == seconds["total"] == 5.0
    assert costs == []


def test_inside_a_part_the_outer_one_is_booked(hand: Hand) -> None:
    watch = Clock()
    with watch.part("evaluate"):
        hand.now += 1
        with watch.part("verify"):
            hand.now += 2
        hand.now += 4
    seconds, _ = watch.lap()
    assert seconds["evaluate"] == 7.0
    assert seconds["verify"] == 0.0


def test_a_part_that_raises_is_booked_and_closed(hand: Hand) -> None:
    watch = Clock()
    with pytest.raises(KeyError), watch.part("learn"):
        hand.now += 1
        raise KeyError
    with watch.part("rollout"):
        hand.now += 2
    seconds, _ = watch.lap()
    assert (seconds["learn"], seconds["rollout"]) == (1.0, 2.0)


def test_costs_count_tokens() -> None:
    """Two completions on a prompt of three tokens: 2 calls, 6 prompt tokens, 2 + 1 drawn."""
    watch = Clock()
    drawn = [
        Completion(text="ab", prompt_ids=(1, 2, 3), token_ids=(4, 5)),
        Completion(text="c", prompt_ids=(1, 2, 3), token_ids=(6,)),
    ]
    watch.cost("solver", "attempt", drawn)
    watch.cost("teacher", "verify", [])  # nothing was asked: nothing is booked
    _, (cost,) = watch.lap()
    assert cost == Cost(
        role="solver", task="attempt", calls=2, cached=0, prompt_tokens=6, completion_tokens=3,
        cost=0.0,
    )  # fmt: skip
    assert cost.tokens == 9


def test_an_endpoints_own_count_comes_first() -> None:
    usage = Usage(prompt_tokens=30, completion_tokens=5, cost=0.25)
    drawn = [
        Completion(text="ab", token_ids=(4, 5), usage=usage),
        Completion(text="ab", usage=dataclasses.replace(usage, cached=True)),
    ]
    cost = Cost.of("teacher", "solve", drawn)
    assert (cost.calls, cost.cached, cost.tokens, cost.cost) == (2, 1, 70, 0.5)
