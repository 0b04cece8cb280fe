"""How far readings of the same tokens may be apart, by hand."""

from __future__ import annotations

import math

import pytest

from agents.parity import ACROSS, PRECISE, WITHIN, Reading, furthest, refusal


def read(
    *lines: tuple[float, ...], by: str = "x", process: str = "policy", precise: bool = True
) -> Reading:
    return Reading(by=by, process=process, lines=lines, precise=precise)


def test_one_token_decides_in_float32() -> None:
    """Of three tokens one is 2e-4 off: the mean, 6.7e-5, is within 1e-4, the token is not."""
    found = furthest([read((-1.0, -2.0), (-3.0,)), read((-1.0, -2.0), (-3.0002,), by="y")])
    assert found is not None and found.beyond
    assert (found.completion, found.token) == (1, 0)
    assert found.largest == pytest.approx(2e-4, rel=1e-6)
    assert found.tolerance == PRECISE == 1e-4


def test_the_mean_decides_in_bfloat16() -> None:
    """0.12 off at one of four tokens is 0.03 in the mean: within 0.05."""
    one = read((-1.0,) * 4, precise=False)
    assert not furthest_of(one, read((-1.12, -1.0, -1.0, -1.0), precise=False)).beyond
    assert furthest_of(one, read((-1.24, -1.0, -1.0, -1.0), precise=False)).beyond
    assert furthest_of(one, read((-1.0,) * 4, precise=True)).tolerance == WITHIN


def test_two_processes_may_have_rounded_weights_differently() -> None:
    one = read((-1.0,), precise=False)
    assert not furthest_of(one, read((-1.2,), process="learner")).beyond
    found = furthest_of(one, read((-1.3,), process="learner"))
    assert found.beyond and found.tolerance == ACROSS


def furthest_of(*readings: Reading):  # type: ignore[no-untyped-def]
    found = furthest(readings)
    assert found is not None
    return found


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("precise", [True, False])
def test_what_is_no_number_is_beyond(bad: float, precise: bool) -> None:
    found = furthest_of(read((-1.0, -2.0), precise=precise), read((-1.0, bad), precise=precise))
    assert found.beyond and found.token == 1


def test_nothing_to_compare() -> None:
    assert furthest([]) is None
    assert furthest([read((-1.0,))]) is None
    assert furthest([read((), ()), read((), ())]) is None


def test_the_pair_that_exceeds_its_own_tolerance_by_most() -> None:
    """0.2 across processes in bfloat16 is within, 0.001 in float32 is ten times too much."""
    policy = read((-1.0,), by="policy hf", precise=False)
    learner = read((-1.2,), by="the learner", process="learner")
    own = read((-1.201,), by="own", process="learner")
    found = furthest_of(policy, learner, own)
    assert {found.one.by, found.other.by} == {"the learner", "own"}


def test_the_refusal_names_all_that_matters() -> None:
    readings = [read((-1.0, -1.5), by="policy vllm"), read((-1.0, -4.95), by="the learner")]
    told = refusal("solver", "model", "org/name", "gemma2", furthest_of(*readings), readings)
    for part in (
        "agents.solver.model=org/name", "family gemma2", "policy vllm and the learner", "3.45 nats",
        "0.0001", "token 2 of completion 1", "policy vllm: -1.5", "the learner: -4.95",
        "policy@agents.solver.policy=hf",
    ):  # fmt: skip
        assert part in told
