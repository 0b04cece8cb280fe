"""Published evaluation sets as environments: they state and judge, and are never trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from environments import benchmark_rows as rows
from environments.base import (
    Diagnosis,
    Direction,
    Environment,
    Malformed,
    Problem,
    Verdict,
    problem_id,
)
from environments.benchmark_files import check_count, read_set, without_repeated
from environments.benchmark_rows import Reader, Row
from environments.data_files import checked, summary
from environments.math_text import INSTRUCTION
from environments.references import is_words, misread
from environments.verification.extract import final_answer
from environments.verification.verify import read, verify

_PADDED = re.compile(r"0[0-9]{1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A set as it was published: dataset and file on the Hugging Face hub, how many rows it has.

    `other_sizes` are those of other copies that are in use.
    """

    dataset: str
    file: str
    rows: int
    reader: Reader
    other_sizes: tuple[int, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.rows, *self.other_sizes)


PUBLISHED = {
    "gsm8k": Published(
        dataset="openai/gsm8k",
        file="main/test-00000-of-00001.parquet",
        rows=1319,
        reader=rows.gsm8k,
    ),
    "math500": Published(
        dataset="HuggingFaceH4/MATH-500", file="test.jsonl", rows=500, reader=rows.plain
    ),
    "amc23": Published(
        dataset="math-ai/amc23", file="test-00000-of-00001.parquet", rows=40, reader=rows.plain
    ),
    "aime24": Published(
        dataset="math-ai/aime24", file="test-00000-of-00001.parquet", rows=30, reader=rows.integer
    ),
    "aime25": Published(dataset="math-ai/aime25", file="test.jsonl", rows=30, reader=rows.integer),
    "minerva": Published(
        dataset="math-ai/minervamath", file="test.jsonl", rows=272, reader=rows.plain
    ),
    "olympiadbench": Published(
        dataset="Hothan/OlympiadBench",
        file="OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet",
        rows=674,
        reader=rows.olympiadbench,
        other_sizes=(675,),  # as evaluation harnesses carry it, such as that of Qwen2.5-Math
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unscorable:
    """A problem whose reference answer cannot be read: no completion on it can be correct."""

    problem_id: str
    where: str
    answer: str
    reason: str = ""


class BenchmarkSet(Environment):
    """The problems of one published set, from the user's copy of it.

    `benchmark` is a key of `PUBLISHED`, `path` the file, or several with commas between them (AIME is
    also published in two halves). `sha256` is what the files must have, with commas likewise; `rows`
    how many rows: None for a published number, a number, or `any`, with which rows that cannot be
    used are left out. `tolerance` is that of numbers whose row gives none (`0.01`, or `1%`),
    `seconds` the deadline of one symbolic comparison.

    `problems` are all of the file's, in its order, but those that are `left_out`; `unscorable` those
    that nothing can be paid on, which stay in; `in_words` those whose answers are compared as words;
    `repeated` names the places of statements that are there twice, which only a file of exactly a
    published size may have. Raises `ValueError` that says what is wrong with a file.
    """

    def __init__(
        self,
        benchmark: str,
        path: str,
        sha256: str | None = None,
        rows: str | int | None = None,
        tolerance: str | None = None,
        seconds: float = 5.0,
    ):
        if benchmark not in PUBLISHED:
            raise ValueError(f"there is no set {benchmark!r}; one of {', '.join(PUBLISHED)}")
        if tolerance is not None and not re.fullmatch(r"[0-9]*\.?[0-9]+%?", tolerance):
            raise ValueError(f"tolerance={tolerance}: write a number such as 0.01, or 1%")
        self.name, self.seconds = benchmark, seconds
        published = PUBLISHED[benchmark]
        self.files, read, left_out = read_set(published.reader, path, sha256)
        total = sum(file.rows for file in self.files)
        check_count(benchmark, published.sizes, path, total, read, rows)
        read, self.repeated, doubled = without_repeated(read, total in published.sizes)
        self.left_out = (*left_out, *doubled)
        if rows != "any":
            checked(self.left_out, path, total, "write rows=any to leave it out")
        if not read:
            raise ValueError(f"{path}: no row can be used ({summary(self.left_out)})")
        self._rows: dict[str, Row] = {}
        self._lost: dict[str, str] = {}
        self.tolerance = tolerance
        self.problems = [self._problem(row) for row in read]
        self.families = tuple(dict.fromkeys(problem.family for problem in self.problems))
        self.levels = tuple(sorted({problem.level for problem in self.problems}))

    @property
    def unscorable(self) -> list[Unscorable]:
        return [
            Unscorable(
                problem_id=key,
                where=self._rows[key].where,
                answer=self._rows[key].answer,
                reason=reason,
            )
            for key, reason in self._lost.items()
        ]

    @property
    def in_words(self) -> list[str]:
        return [key for key, row in self._rows.items() if row.kind == "string"]

    def _problem(self, row: Row) -> Problem:
        key = problem_id(self.name, row.statement)
        if key in self._rows:
            key = problem_id(self.name, f"{row.statement}\n({row.where})")
        if row.kind is None and is_words(row.answer, row.statement):
            row = replace(row, kind="string")
        self._rows[key] = row
        if reason := self._unpayable(row):
            self._lost[key] = reason
        return Problem(
            domain=self.name,
            family=row.subject or self.name,
            statement=row.statement,
            answer=None if reason else row.answer,
            solution=row.solution,
            difficulty={"level": row.level or 0},
            id=key,
        )

    def _unpayable(self, row: Row) -> str:
        """Why nothing can be paid on a row, or an empty string.

        A reference that would be read as something else than it is must not pay those who repeat it.
        """
        if row.for_people:
            return "the set leaves its answers to people to judge"
        verdict = self._judge(row, f"\\boxed{{{row.answer}}}", statement="")
        if not verdict.correct:
            return verdict.detail or verdict.status
        kind: Any = row.kind
        return misread(row.answer, read(row.answer, kind=kind))

    def _judge(self, row: Row, text: str, statement: str) -> Verdict:
        tolerance = row.tolerance or self.tolerance
        kind: Any = row.kind
        if kind == "integer" and _PADDED.fullmatch(found := final_answer(text) or ""):
            text = f"\\boxed{{{int(found)}}}"  # 025 at the AIME
        return verify(row.answer, text, kind, statement, tolerance, self.seconds)

    def prompt(self, problem: Problem) -> str:
        """The statement, what the set says about the form of its answer, and the instruction."""
        row = self._rows.get(problem.id)
        hint = f"\n{row.hint}" if row and row.hint else ""
        return INSTRUCTION.format(statement=problem.statement + hint)

    def verify(self, problem: Problem, text: str) -> Verdict:
        """By `verification.verify`; a problem without a readable reference answer is never paid."""
        row = self._rows.get(problem.id)
        if row is None:
            return Verdict(status="wrong", detail=f"no problem of {self.name}")
        if problem.id in self._lost:
            return Verdict(status="wrong", detail="the reference answer cannot be read")
        verdict = self._judge(row, text, row.judged)
        answer = problem.answer if verdict.correct else verdict.answer
        return Verdict(status=verdict.status, answer=answer, detail=verdict.detail)

    def solve(self, problem: Problem) -> str | None:
        """The reference answer in a box; None where it cannot be read."""
        return None if problem.answer is None else f"\\boxed{{{problem.answer}}}"

    def parse_problem(self, text: str) -> Problem | Malformed:
        key = problem_id(self.name, text.strip())
        known = next((problem for problem in self.problems if problem.id == key), None)
        return known or Malformed(reason="unknown", detail=f"no problem of {self.name}")

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        return problem.difficulty

    def heldout(self, per_cell: int) -> list[Problem]:
        return self.problems

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        raise ValueError(self._refusal())

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        raise ValueError(self._refusal())

    def _refusal(self) -> str:
        return f"{self.name} is an evaluation set: it is measured (coevo eval), never trained on"
