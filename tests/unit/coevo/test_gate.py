"""Which new problems may enter the pool."""

from __future__ import annotations

import pytest

from coevo.gate import Gate
from environments import Problem
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout

ENVIRONMENT = Arithmetic()


def problems(*statements: str) -> list[Problem]:
    return [ENVIRONMENT.parse_problem(statement) for statement in statements]


def screen(gate: Gate, *statements: str) -> list[str | None]:
    return gate.screen(problems(*statements))


def test_a_new_problem_passes() -> None:
    assert screen(Gate(ENVIRONMENT, []), "7+5", "9-4") == [None, None]


def test_exact_and_near_duplicates_within_a_batch() -> None:
    """The first of them enters; a near duplicate has the same numbers and signs in another order."""
    gate = Gate(ENVIRONMENT, [])
    assert screen(gate, "7+5", "7+5", "5+7", "7+6") == [None, "duplicate", "near_duplicate", None]


def test_what_was_remembered_does_not_enter_again() -> None:
    gate = Gate(ENVIRONMENT, [])
    gate.remember(problems("7+5")[0])
    assert screen(gate, "7+5", "5+7", "7+6") == ["duplicate", "near_duplicate", None]


def test_screening_alone_remembers_nothing() -> None:
    gate = Gate(ENVIRONMENT, [])
    assert screen(gate, "7+5") == [None]
    assert screen(gate, "7+5") == [None]


def test_a_refused_problem_blocks_no_other() -> None:
    """ "5+7" is refused for a held-out set; its signature is not counted as taken by it."""
    gate = Gate(ENVIRONMENT, problems("5+7"))
    assert screen(gate, "5+7", "5+8", "8+5") == ["heldout", None, "near_duplicate"]


def test_near_duplicates_enter_where_they_may() -> None:
    gate = Gate(ENVIRONMENT, [], near_duplicates=True)
    assert screen(gate, "7+5", "5+7", "5+7") == [None, None, "duplicate"]


@pytest.mark.parametrize("near_duplicates", [False, True])
def test_held_out_problems_never_enter(near_duplicates: bool) -> None:
    """Neither they nor a reordering of theirs, whatever the pool allows of its own."""
    reserved = heldout(ENVIRONMENT, 4)
    gate = Gate(ENVIRONMENT, reserved, near_duplicates)
    assert set(gate.screen(reserved)) == {"heldout"}
    sums = next(p for p in reserved if p.family == "sums" and p.level == 3)
    turned = "+".join(reversed(sums.statement.split("+")))
    assert screen(gate, turned) == ["heldout"]


def test_held_out_comes_before_duplicate() -> None:
    gate = Gate(ENVIRONMENT, problems("7+5"))
    gate.remember(problems("7+5")[0])
    assert screen(gate, "7+5") == ["heldout"]
