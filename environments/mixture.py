"""A weighted set of environments in place of one: its families are `part/family` of each part."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import environments
from environments.base import Diagnosis, Direction, Environment, Malformed, Problem, Verdict
from environments.benchmark import heldout

EXPECTED = "expected parts such as {sums: {name: arithmetic, weight: 2}, words: {name: math_text}}"
FIELDS = ("name", "weight", "options")


@dataclass(frozen=True, slots=True)
class Part:
    environment: Environment
    weight: float


class Mixture(Environment):
    """`parts` by the user's own names, each {name, weight (1), options ({})} of an environment.

    Weights are shares of the seeds and of what `sample` draws without a family; within a part its
    cells share evenly. A problem belongs to the part that its family names, which states, judges and
    varies it as it would alone. A new text belongs to the part that can read it and knows its
    answer; where several do and disagree, it is no problem. Raises `ValueError` on parts that make
    no sense.
    """

    name = "mixture"

    def __init__(self, parts: Any):
        if not isinstance(parts, Mapping) or not parts:
            raise ValueError(f"parts={parts!r}: {EXPECTED}")
        self.parts = {key: _part(key, given) for key, given in parts.items()}
        self.families = tuple(
            f"{key}/{family}"
            for key, part in self.parts.items()
            for family in part.environment.families
        )
        self.levels: Sequence[int] = sorted({level for _, level in self.cells()})
        self.left_out = tuple(
            one for part in self.parts.values() for one in part.environment.left_out
        )

    def cells(self) -> list[tuple[str, int]]:
        return [
            (f"{key}/{family}", level)
            for key, part in self.parts.items()
            for family, level in part.environment.cells()
        ]

    def shares(self, cells: Sequence[tuple[str, int]]) -> list[float]:
        """Each part's weight, spread evenly over those of its cells that are given."""
        keys = [family.split("/", 1)[0] for family, _ in cells]
        weights = [self.parts[key].weight / keys.count(key) for key in keys]
        return [weight / sum(weights) for weight in weights]

    def heldout(self, per_cell: int) -> list[Problem]:
        return [
            self._outer(key, problem)
            for key, part in self.parts.items()
            for problem in heldout(part.environment, per_cell)
        ]

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        """Without a family, a part is drawn by weight among those that have the level."""
        if family is None:
            cells = [cell for cell in self.cells() if cell[1] == int(difficulty["level"])]
            if not cells:
                raise ValueError(f"no part has level {difficulty['level']}: {list(self.levels)}")
            family = cells[rng.choice(len(cells), p=self.shares(cells))][0]
        key, inner = family.split("/", 1)
        return self._outer(key, self.parts[key].environment.sample(rng, difficulty, inner))

    def prompt(self, problem: Problem) -> str:
        environment, inner = self._inner(problem)
        return environment.prompt(inner)

    def parse_problem(self, text: str) -> Problem | Malformed:
        read = {key: part.environment.parse_problem(text) for key, part in self.parts.items()}
        found = [
            self._outer(key, problem)
            for key, problem in read.items()
            if isinstance(problem, Problem)
        ]
        if not found:
            reasons = [one for one in read.values() if isinstance(one, Malformed)]
            return reasons[0] if len(reasons) == 1 else _no_part(read)
        answered = [problem for problem in found if problem.answer is not None]
        if len({problem.answer for problem in answered}) > 1:
            return Malformed(reason="ambiguous", detail=f"{len(answered)} parts read it otherwise")
        return (answered or found)[0]

    def verify(self, problem: Problem, text: str) -> Verdict:
        environment, inner = self._inner(problem)
        return environment.verify(inner, text)

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        environment, inner = self._inner(problem)
        varied = environment.vary(inner, rng, direction, diagnosis)
        return self._outer(problem.family.split("/", 1)[0], varied)

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        environment, inner = self._inner(problem)
        return environment.difficulty(inner)

    def solve(self, problem: Problem) -> str | None:
        environment, inner = self._inner(problem)
        return environment.solve(inner)

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        environment, inner = self._inner(problem)
        return environment.diagnose(inner, text)

    def only_completion(self, problem: Problem) -> str | None:
        environment, inner = self._inner(problem)
        return environment.only_completion(inner)

    def beyond(self) -> list[Problem]:
        return [
            self._outer(key, problem)
            for key, part in self.parts.items()
            for problem in part.environment.beyond()
        ]

    def read_answer(self, problem: Problem, text: str) -> str | None:
        environment, inner = self._inner(problem)
        return environment.read_answer(inner, text)

    def reference(self, problem: Problem, answer: str) -> str:
        environment, inner = self._inner(problem)
        return environment.reference(inner, answer)

    def conclude(self, problem: Problem, solution: str, answer: str) -> str:
        environment, inner = self._inner(problem)
        return environment.conclude(inner, solution, answer)

    def signature(self, problem: Problem) -> str:
        environment, inner = self._inner(problem)
        return environment.signature(inner)

    def _outer(self, key: str, problem: Problem) -> Problem:
        family = f"{key}/{problem.family}"
        return dataclasses.replace(problem, domain=self.name, family=family, id="")

    def _inner(self, problem: Problem) -> tuple[Environment, Problem]:
        key, family = problem.family.split("/", 1)
        environment = self.parts[key].environment
        return environment, dataclasses.replace(
            problem, domain=environment.name, family=family, id=""
        )


def _part(key: str, given: Any) -> Part:
    where = f"parts.{key}"
    if "/" in key:
        raise ValueError(f"{where}: a part's own name has no /")
    if not isinstance(given, Mapping) or "name" not in given:
        raise ValueError(f"{where}={given!r}: {EXPECTED}")
    for name in given:
        if name not in FIELDS:
            near = difflib.get_close_matches(str(name), FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(FIELDS)}"
            raise ValueError(f"{where}: unknown field {name!r}; {hint}")
    weight = given.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e9:
        raise ValueError(f"{where}.weight={weight!r}: expected a number above 0")
    try:
        environment = environments.make(given["name"], **(given.get("options") or {}))
    except environments.BadOption as error:
        raise environments.BadOption(f"{where}.options.{error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    return Part(environment, float(weight))


def _no_part(read: Mapping[str, Problem | Malformed]) -> Malformed:
    told = [f"{key}: {one.reason}" for key, one in read.items() if isinstance(one, Malformed)]
    return Malformed(reason="no_part", detail="; ".join(told)[:200])
