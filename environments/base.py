"""The records of a problem and its judgement, and the interface that every environment has."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from environments.data_files import LeftOut

Author = Literal["seed", "teacher", "generator"]
Direction = Literal["easier", "similar", "harder", "weakness"]
Status = Literal["correct", "wrong", "unparseable", "timeout", "crash"]

DIRECTIONS: tuple[Direction, ...] = ("easier", "similar", "harder", "weakness")
STATUSES: tuple[Status, ...] = ("correct", "wrong", "unparseable", "timeout", "crash")


def problem_id(domain: str, statement: str) -> str:
    """The 16 hexadecimal digits that name a problem: a hash of domain and statement."""
    return hashlib.sha256(f"{domain}\n{statement}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem and where it came from.

    `answer` is canonical (equal answers are equal strings) and `solution` is a worked
    solution that ends in it; both are None where nobody knows them yet.
    Example: `Problem(domain="arithmetic", family="sums", statement="7+5", answer="12",
    solution="7+5=12#12", difficulty={"level": 2})`.
    """

    domain: str
    family: str
    statement: str
    answer: str | None = None
    solution: str | None = None
    difficulty: Mapping[str, float] = field(default_factory=dict)
    parent_id: str | None = None
    author: Author = "seed"
    author_version: int = 0
    round: int = 0
    strategy: str = "seed"
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", problem_id(self.domain, self.statement))

    @property
    def level(self) -> int:
        return int(self.difficulty.get("level", 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge says of one completion; only `correct` is ever paid.

    `answer` is the canonical answer that was read off the text, if one could be.
    """

    status: Status
    answer: str | None = None
    detail: str = ""

    @property
    def correct(self) -> bool:
        return self.status == "correct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The first thing that went wrong in a failed completion.

    `step` counts the completion's steps from 0; `kind` is `calculation` (the step's result is
    wrong), `structure` (it is not the step that is due), `answer` (the steps are right, the
    answer is not theirs) or `format` (no step can be read there). `end` counts the characters of
    the completion up to and with the wrong step; None where that is not known.
    """

    step: int
    kind: Literal["calculation", "structure", "answer", "format"]
    detail: str = ""
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A text that is not a problem of the environment: `reason` is a short name to count by."""

    reason: str
    detail: str = ""


class Environment(ABC):
    """A domain of problems: it draws, states, reads, judges, varies and (where it can) solves them.

    Everything here is pure: all randomness comes from the generator passed in, and nothing a
    model wrote is ever executed. `environments.testing.check_environment` holds an
    implementation to the contract.
    """

    name: str
    families: tuple[str, ...]
    levels: Sequence[int]
    left_out: tuple[LeftOut, ...] = ()  # rows of its file that are not used

    def cells(self) -> list[tuple[str, int]]:
        """Every (family, level) that `sample` can draw."""
        return [(family, level) for family in self.families for level in self.levels]

    def shares(self, cells: Sequence[tuple[str, int]]) -> list[float]:
        """How often each of the given cells is drawn, relative to the others; here all alike."""
        return [1 / len(cells)] * len(cells)

    def heldout(self, per_cell: int) -> list[Problem] | None:
        """The environment's own held-out problems, up to `per_cell` a cell, none of which `sample`
        draws; None where problems are drawn without end and any can be held out."""
        return None

    @abstractmethod
    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        """A fresh problem of the given difficulty (`{"level": 3}`), with answer and solution."""

    @abstractmethod
    def prompt(self, problem: Problem) -> str:
        """The question as it is put to a Solver, without any role's framing."""

    @abstractmethod
    def parse_problem(self, text: str) -> Problem | Malformed:
        """The problem that `text` states, strictly read; never raises on any text."""

    @abstractmethod
    def verify(self, problem: Problem, text: str) -> Verdict:
        """The verdict on a completion; never raises on any text."""

    @abstractmethod
    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        """Another problem, made from this one: easier, similar, harder, or with the same weakness."""

    @abstractmethod
    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        """Named numbers that say how hard a problem is; `level` is always among them."""

    def solve(self, problem: Problem) -> str | None:
        """A worked solution that `verify` calls correct, or None where no exact solver exists."""
        return None

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        """The first thing wrong with a completion, or None where the environment cannot tell."""
        return None

    def only_completion(self, problem: Problem) -> str | None:
        """The one text that `verify` calls correct; None where there are others, however short.

        Where there is one, a role that cannot write it, or read it, is told before a run starts.
        """
        return None

    def beyond(self) -> list[Problem]:
        """One longest problem of each family that `parse_problem` reads though `sample` draws none so
        long: others may write such ones. None where it reads what it draws."""
        return []

    def read_answer(self, problem: Problem, text: str) -> str | None:
        """The canonical answer that a completion gives, or None if it gives no single one."""
        return self.verify(problem, text).answer

    def reference(self, problem: Problem, answer: str) -> str:
        """A reference answer from a file, in canonical form; here as it stands.

        Raises `ValueError` with the reason if it cannot be read as what it is.
        """
        return answer

    def conclude(self, problem: Problem, solution: str, answer: str) -> str:
        """A worked solution that ends in the answer, as `verify` reads it; here as it stands."""
        return solution

    def signature(self, problem: Problem) -> str:
        """A key that near-duplicates share; here the bag of words and numbers of the statement."""
        return " ".join(sorted(re.findall(r"\w+|[^\w\s]", problem.statement.lower())))
