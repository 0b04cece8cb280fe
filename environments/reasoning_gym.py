"""Exact families of the reasoning-gym package: drawn by the package, solved and judged by us.

A statement is the package's question without its words on the answer's format; its family's
template and solver (`environments.reasoning`) read it back, and the answer is the solver's. The
package's own scoring is never used: it evaluates answers, and pays for parts of them.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np

from environments.base import Diagnosis, Direction, Environment, Malformed, Problem, Verdict
from environments.reasoning import source
from environments.reasoning.answers import read
from environments.reasoning.families import FAMILIES
from environments.reasoning.family import LONGEST_STATEMENT
from environments.reasoning.reading import Reading
from environments.reasoning.refused import REFUSED
from environments.verification import verify
from environments.verification.extract import final_answer
from environments.verification.kinds import Kind

NUMBERS: dict[str, Kind] = {"integer": "integer", "number": "decimal"}  # judged by `verification`
DRAWS = 500  # before it is said that a family has no problem left


class ReasoningGym(Environment):
    """The chosen families, all by default; each has levels of its own from 1.

    A difficulty is the level and the measures of a family's attributes; a variation moves one
    attribute by one step of its curriculum. Raises `ValueError` on a family that does not exist,
    with the nearest name, or that is refused, with the reason; and where the package is not installed.
    """

    name = "reasoning_gym"

    def __init__(self, families: Sequence[str] | None = None):
        if importlib.util.find_spec("reasoning_gym") is None:
            raise ValueError(
                "the package reasoning-gym is not here; write pip install 'coevo[reasoning]'"
            )
        chosen = [families] if isinstance(families, str) else list(families or FAMILIES)
        for family in chosen:
            _check(family)
        self.families = tuple(dict.fromkeys(chosen))
        self.levels = range(1, 1 + max(FAMILIES[family].levels[-1] for family in self.families))

    def cells(self) -> list[tuple[str, int]]:
        return [(family, level) for family in self.families for level in FAMILIES[family].levels]

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        level = int(difficulty["level"])
        there = [name for name in self.families if level in FAMILIES[name].levels]
        if (family or there) not in (there, *there) or not there:
            raise ValueError(f"no family {family!r} at level {level}: choose from {self.cells()}")
        family = family or there[rng.integers(len(there))]
        return self._draw(rng, family, (level - 1,) * len(FAMILIES[family].attributes))

    def prompt(self, problem: Problem) -> str:
        return f"{problem.statement}\n{FAMILIES[problem.family].instruction}"

    def parse_problem(self, text: str) -> Problem | Malformed:
        found = self._find(text.strip())
        return found if isinstance(found, Malformed) else self._problem(*found, text.strip())

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Exactly right or not: no credit for parts, and nothing in an answer is evaluated."""
        kind = FAMILIES[problem.family].kind
        if kind in NUMBERS and problem.answer is not None:
            return verify(problem.answer, text, NUMBERS[kind], problem.statement)
        found = final_answer(text)
        if found is None:
            return Verdict(status="unparseable", detail="no single final answer")
        answer = read(kind, found)
        if answer is None:
            return Verdict(status="unparseable", detail=f"cannot be read: {found[:40]!r}")
        return Verdict(status="correct" if answer == problem.answer else "wrong", answer=answer)

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        """`harder` and `easier` move one attribute by one step, if one of them can still move;
        `similar` and `weakness` ask anew at the same attributes."""
        found = self._find(problem.statement)
        if isinstance(found, Malformed):
            raise ValueError(f"cannot vary what is no {self.name} problem: {problem.statement!r}")
        name, reading = found
        steps = list(FAMILIES[name].steps(reading))
        shift = {"easier": -1, "harder": 1}.get(direction, 0)
        last = FAMILIES[name].levels[-1] - 1
        movable = [i for i, step in enumerate(steps) if 0 <= step + shift <= last]
        if movable:
            steps[movable[rng.integers(len(movable))]] += shift
        return self._draw(rng, name, tuple(steps), problem.id)

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        found = self._find(problem.statement)
        if isinstance(found, Malformed):
            return {"level": 0}
        return FAMILIES[found[0]].difficulty(found[1])

    def solve(self, problem: Problem) -> str | None:
        """The solver's steps and the boxed answer."""
        found = self._find(problem.statement)
        return None if isinstance(found, Malformed) else _solution(found[1])

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        """`format` where no answer can be read, `answer` where it is wrong, at the last line."""
        verdict = self.verify(problem, text)
        if verdict.correct:
            return None
        step = max(sum(bool(line.strip()) for line in text.splitlines()) - 1, 0)
        if verdict.status == "unparseable":
            return Diagnosis(step=step, kind="format", detail=verdict.detail[:80])
        return Diagnosis(step=step, kind="answer", detail=f"answered {verdict.answer}"[:80])

    def signature(self, problem: Problem) -> str:
        """The bag of words and numbers; of a matrix the statement, for there order is all."""
        if FAMILIES[problem.family].ordered:
            return problem.statement
        return super().signature(problem)

    def _find(self, statement: str) -> tuple[str, Reading] | Malformed:
        """The family of a statement and what it says."""
        if len(statement) > LONGEST_STATEMENT:
            return Malformed(reason="length", detail=f"{len(statement)} characters")
        refused: list[Malformed] = []
        for family in self.families:
            reading = FAMILIES[family].read(statement)
            if isinstance(reading, Reading):
                return family, reading
            refused += [reading] if reading else []
        return refused[0] if refused else Malformed(reason="format", detail=statement[:80])

    def _draw(
        self, rng: np.random.Generator, name: str, steps: tuple[int, ...], other_than: str = ""
    ) -> Problem:
        """A problem of exactly these steps; the few others that the package draws are left out."""
        family = FAMILIES[name]
        for _ in range(DRAWS):
            entry = source.question(name, steps, int(rng.integers(source.SEEDS)))
            statement = family.statement(entry["question"])
            reading = family.read(statement)
            if isinstance(reading, Reading) and family.steps(reading) == steps:
                problem = self._problem(name, reading, statement)
                if problem.id != other_than:
                    return problem
        raise ValueError(f"{name}: {DRAWS} draws at steps {steps} gave no (other) problem")

    def _problem(self, name: str, reading: Reading, statement: str) -> Problem:
        return Problem(
            domain=self.name,
            family=name,
            statement=statement,
            answer=reading.answer,
            solution=_solution(reading),
            difficulty=FAMILIES[name].difficulty(reading),
        )


def _solution(reading: Reading) -> str:
    return "\n".join([*reading.steps, f"\\boxed{{{reading.answer}}}"])


def _check(family: str) -> None:
    if family in REFUSED:
        raise ValueError(f"family {family!r} is refused: {REFUSED[family]}")
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, [*FAMILIES, *REFUSED], 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"family {family!r} does not exist: {hint}choose from {', '.join(FAMILIES)}"
        )
