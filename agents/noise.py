"""Simulated errors of a Teacher: to ask how good it must be, with a rate that is known.

Whether a verdict or a reference is wrong depends on the configured seed and on the problem and text
alone, so it is the same in a resumed run and whichever worker judges.
"""

from __future__ import annotations

import dataclasses

from agents.hashing import number
from environments import Problem, Verdict
from environments.base import Status


def _roll(seed: int, *words: str) -> float:
    """A number in [0, 1) for these words."""
    return number(seed, *words) / 2**62


def noisy_verdict(verdict: Verdict, problem: Problem, text: str, rate: float, seed: int) -> Verdict:
    """The verdict, turned round between correct and wrong at the given rate.

    An unreadable attempt stays unreadable: no Teacher sees an answer in it.
    """
    if (
        verdict.status not in ("correct", "wrong")
        or _roll(seed, "verdict", problem.id, text) >= rate
    ):
        return verdict
    status: Status = "wrong" if verdict.correct else "correct"
    return dataclasses.replace(verdict, status=status, detail="simulated error")


def noisy_reference(problem: Problem, rate: float, seed: int) -> Problem:
    """The problem, at the given rate with another answer, also where its solution ends in it."""
    if problem.answer is None or _roll(seed, "reference", problem.id) >= rate:
        return problem
    shift = 1 + int(9 * _roll(seed, "shift", problem.id))
    try:
        wrong = str(int(problem.answer) + shift)
    except ValueError:
        wrong = f"{problem.answer}{shift}"
    solution = problem.solution
    if solution is not None:
        head, found, tail = solution.rpartition(problem.answer)
        solution = f"{head}{wrong}{tail}" if found else solution
    return dataclasses.replace(problem, answer=wrong, solution=solution)
