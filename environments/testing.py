"""The contract that every environment passes: call `check_environment(env)` in a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from environments.base import (
    DIRECTIONS,
    STATUSES,
    Diagnosis,
    Environment,
    Malformed,
    Problem,
    Verdict,
)

JUNK = [
    "",
    " ",
    "#",
    "#1",
    "??",
    "0" * 5000,
    "()" * 500,
    "é½٣",
    "\x00",
    "import os",
    "{}",
    "\\boxed{}",
]

Result = TypeVar("Result")


class ContractError(AssertionError):
    """An environment broke its contract; the message says which clause, and on what."""


def _require(condition: bool, clause: str, evidence: object = "") -> None:
    if not condition:
        raise ContractError(f"{clause} (seen: {evidence!r:.300})")


def _survive(function: Callable[..., Result], *arguments: object) -> Result:
    try:
        return function(*arguments)
    except Exception as error:
        clause = f"`{function.__name__}` never raises"
        raise ContractError(f"{clause} (seen: {error!r:.300} on {arguments[-1]!r:.300})") from error


def check_environment(environment: Environment, samples: int = 8, seed: int = 0) -> None:
    """Holds an environment to its contract; raises `ContractError` naming the clause it breaks."""
    _require(bool(environment.name), "`name` is not empty")
    _require(len(environment.families) > 0, "`families` names at least one family")
    cells = environment.cells()
    _require(len(cells) == len(set(cells)) > 0, "`cells()` lists each (family, level) once", cells)
    for family, level in cells:
        _require(family in environment.families, "each cell's family is in `families`", family)
        _require(level in environment.levels, "each cell's level is in `levels`", level)
    for family, level in cells:
        rng, twin = np.random.default_rng(seed), np.random.default_rng(seed)
        for _ in range(samples):
            problem = environment.sample(rng, {"level": level}, family)
            same = environment.sample(twin, {"level": level}, family)
            _require(problem == same, "`sample` draws the same problem from the same rng", problem)
            _require(problem.family == family, "`sample` keeps to the family", problem)
            _require(problem.level == level, "`sample` keeps to the level", problem)
            _check_problem(environment, problem)
            _check_variations(environment, problem, seed)
    for problem in environment.beyond():
        _require(problem.level > max(environment.levels), "`beyond` is above `levels`", problem)
        _check_problem(environment, problem)
    for text in JUNK:
        found = _survive(environment.parse_problem, text)
        _require(
            isinstance(found, Malformed | Problem),
            "`parse_problem` returns a Problem or a Malformed",
            found,
        )


def _check_problem(environment: Environment, problem: Problem) -> None:
    _require(problem.domain == environment.name, "a problem's `domain` is the environment", problem)
    _require(bool(environment.prompt(problem)), "`prompt` is not empty", problem)
    _require(bool(environment.signature(problem)), "`signature` is not empty", problem)
    measured = environment.difficulty(problem)
    _require(dict(measured) == dict(problem.difficulty), "`difficulty` agrees", measured)
    _require("level" in measured, "`difficulty` has a `level`", measured)

    again = _survive(environment.parse_problem, problem.statement)
    _require(isinstance(again, Problem), "`parse_problem` reads a statement it wrote", again)
    assert isinstance(again, Problem)
    _require(
        (again.id, again.family, again.answer) == (problem.id, problem.family, problem.answer),
        "`parse_problem` reads back the same problem",
        again,
    )
    solution = environment.solve(problem)
    if solution is not None:
        verdict = _judge(environment, problem, solution)
        _require(verdict.correct, "`verify` calls the solution of `solve` correct", solution)
        _require(verdict.answer == problem.answer, "the verdict carries the answer", verdict)
        diagnosis = _survive(environment.diagnose, problem, solution)
        _require(diagnosis is None, "`diagnose` finds nothing wrong in a solution", diagnosis)
    only = _survive(environment.only_completion, problem)
    if only is not None:
        clause = "the text of `only_completion` alone is correct"
        _require(_judge(environment, problem, only).correct, clause, only)
        for other in (f"{only}\n", f" {only}", f"{only}.", only[:-1], f"{only}{only}"):
            _require(not _judge(environment, problem, other).correct, clause, other)
    echo = _judge(environment, problem, environment.prompt(problem))
    _require(not echo.correct, "restating the question is never correct", echo)
    for text in JUNK:
        verdict = _judge(environment, problem, text)
        if text != f"#{problem.answer}":
            _require(not verdict.correct, "junk is never correct", text)
        found = _survive(environment.diagnose, problem, text)
        _require(
            found is None or isinstance(found, Diagnosis),
            "`diagnose` returns a Diagnosis or None",
            found,
        )


def _judge(environment: Environment, problem: Problem, text: str) -> Verdict:
    verdict = _survive(environment.verify, problem, text)
    _require(isinstance(verdict, Verdict), "`verify` returns a Verdict", verdict)
    _require(verdict.status in STATUSES, "`verify` uses a known status", verdict)
    return verdict


def _check_variations(environment: Environment, problem: Problem, seed: int) -> None:
    for direction in DIRECTIONS:
        rng, twin = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 1])
        variant = environment.vary(problem, rng, direction)
        same = environment.vary(problem, twin, direction)
        _require(variant == same, "`vary` draws the same problem from the same rng", variant)
        _require(variant.id != problem.id, f"`vary` {direction} makes another problem", variant)
        again = _survive(environment.parse_problem, variant.statement)
        _require(isinstance(again, Problem), "`parse_problem` reads what `vary` made", again)
        lowest, highest = min(environment.levels), max(environment.levels)
        _require(lowest <= variant.level <= highest, "`vary` stays within `levels`", variant)
        if direction == "harder":
            _require(variant.level >= problem.level, "`vary` harder is no easier", variant)
        if direction == "easier":
            _require(variant.level <= problem.level, "`vary` easier is no harder", variant)
