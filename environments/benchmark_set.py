"""Published evaluation sets as environments: they state and judge, and are never trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
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
from environments.benchmark_rows import File, Reader, Row, read_file
from environments.math_text import INSTRUCTION
from environments.verification.extract import final_answer
from environments.verification.verify import verify

# Answers in words, which would be read as products of letters: `\text{odd}`, `not a square`.
_PHRASE = re.compile(
    r"\\text\{[A-Za-z][A-Za-z0-9 ,-]{1,40}\}|(?=.*[A-Za-z]{2}.*[ -].*[A-Za-z]{2})[A-Za-z][A-Za-z -]{3,40}"
)
_WORD = re.compile(r"[A-Za-z]{2,40}")
_PADDED = re.compile(r"0[0-9]{1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A set as it was published: dataset and file on the Hugging Face hub, how many rows it has."""

    dataset: str
    file: str
    rows: int
    reader: Reader


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
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unscorable:
    """A problem whose reference answer cannot be read: no completion on it can be correct."""

    problem_id: str
    where: str
    answer: str


class BenchmarkSet(Environment):
    """The problems of one published set, from the user's copy of it.

    `benchmark` is a key of `PUBLISHED`, `path` the file, or several with commas between them (AIME is
    also published in two halves). `sha256` is what the files must have, with commas likewise; `rows`
    how many rows: None for the published number, `any`, or a number. `tolerance` is that of numbers
    whose row gives none (`0.01`, or `1%`), `seconds` the deadline of one symbolic comparison.

    `problems` are all of the file's, in its order; `unscorable` those that nothing can be paid on,
    which stay in; `repeated` names the places of statements that are there twice, which only a file
    of exactly the published size may have. Raises `ValueError` that says what is wrong with a file.
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
        self.files, read = _read(PUBLISHED[benchmark].reader, path, sha256)
        self.repeated = _check(benchmark, path, read, rows)
        self._rows: dict[str, Row] = {}
        self._scorable: dict[str, bool] = {}
        self.tolerance = tolerance
        self.problems = [self._problem(row) for row in read]
        self.families = tuple(dict.fromkeys(problem.family for problem in self.problems))
        self.levels = tuple(sorted({problem.level for problem in self.problems}))

    @property
    def unscorable(self) -> list[Unscorable]:
        return [
            Unscorable(problem_id=key, where=row.where, answer=row.answer)
            for key, row in self._rows.items()
            if not self._scorable[key]
        ]

    def _problem(self, row: Row) -> Problem:
        key = problem_id(self.name, row.statement)
        if key in self._rows:
            key = problem_id(self.name, f"{row.statement}\n({row.where})")
        phrase = row.kind is None and _PHRASE.fullmatch(row.answer)
        if phrase or (_WORD.fullmatch(row.answer) and not self._can_pay(row)):
            row = replace(row, kind="string")
        self._rows[key], self._scorable[key] = row, self._can_pay(row)
        return Problem(
            domain=self.name,
            family=row.subject or self.name,
            statement=row.statement,
            answer=row.answer if self._scorable[key] else None,
            solution=row.solution,
            difficulty={"level": row.level or 0},
            id=key,
        )

    def _can_pay(self, row: Row) -> bool:
        return self._judge(row, f"\\boxed{{{row.answer}}}", statement="").correct

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
        if not self._scorable[problem.id]:
            return Verdict(status="wrong", detail="the reference answer cannot be read")
        verdict = self._judge(row, text, row.statement)
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


def _read(reader: Reader, path: str, sha256: str | None) -> tuple[list[File], list[Row]]:
    paths = [path] if Path(path).expanduser().exists() else path.split(",")
    expected = sha256.lower().split(",") if sha256 else [None] * len(paths)
    if len(expected) != len(paths):
        raise ValueError(f"sha256: expected one for each of {len(paths)} files")
    files, read = [], []
    for one, digest in zip(paths, expected, strict=True):
        file, own = read_file(one, reader)
        if digest not in (None, file.sha256):
            raise ValueError(f"{one}: expected sha256 {digest}, found {file.sha256}")
        files.append(file)
        read += own
    return files, read


def _check(name: str, path: str, read: Sequence[Row], rows: str | int | None) -> list[str]:
    """The places of repeated statements; raises `ValueError` for a wrong count or what explains it."""
    first: dict[str, str] = {}
    repeated = [
        f"{row.where} repeats {first[row.key]}"
        for row in read
        if first.setdefault(row.key, row.where) != row.where
    ]
    published = PUBLISHED[name].rows
    if rows is None and len(read) != published:
        twice = f" ({repeated[0]})" if repeated else ""
        raise ValueError(
            f"{path}: {name} was published with {published} problems, found {len(read)}{twice}; "
            "write rows=any to measure a part of it or another split"
        )
    if rows is not None and rows != "any":
        if not str(rows).isascii() or not str(rows).isdigit():
            raise ValueError(f"rows={rows}: write any, or a number")
        if len(read) != int(rows):
            raise ValueError(f"{path}: expected {rows} rows, found {len(read)}")
    if len(read) != published and repeated:
        raise ValueError(f"{repeated[0]}: remove one")
    return repeated
