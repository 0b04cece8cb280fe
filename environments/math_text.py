"""Free-text mathematics from the user's files, judged exactly, or by a sandboxed symbolic judge.

Problems come from a JSONL or parquet file (`math_rows`); without one, from a hundred grade-school
problems that ship with the package. An answer is read off `\\boxed{...}` (`verification.extract`)
and compared exactly where it is a number; only where two expressions remain is computer algebra
asked, in a process of its own.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from environments.base import Diagnosis, Direction, Environment, Malformed, Problem, Verdict
from environments.data_files import LeftOut
from environments.math_questions import count_numbers, measured_level, refusal
from environments.math_rows import Row, Table, read_table, settled, without_repeated
from environments.references import reference
from environments.verification.answers import Answer, Kind
from environments.verification.extract import final_answer, unboxed
from environments.verification.verify import read, verify

SEEDS = Path(__file__).parent / "data" / "math_seeds.jsonl"
SEEDS_SHA256 = "281b6596efe6dc85b2e66b36d9e9f3803f0583e3566d0346000f0993abf81b6e"

INSTRUCTION = "{statement}\nReason step by step, and put the final answer in \\boxed{{}}."
OTHER = "other"  # the family of rows without family or tags, and of new problems


class MathText(Environment):
    """Problems of one file; a part of them, or a second file, is held out.

    `path` is the file (None: the shipped one), `sha256` and `rows` what it must have; `heldout` is
    a file of held-out problems. Without it, each problem is held out with probability
    `heldout_share`, decided by a hash of its words, so that near duplicates are on the same side
    and adding rows moves none. `seconds` is the deadline of one symbolic comparison. A variation is
    another row of the file, for nothing here can write problems. `rows` and `sha256` are then what
    was found. With `rows="any"`, rows that cannot be used are `left_out`; else they raise
    `ValueError`, as a file does that is none: it says what is wrong, and on which line.
    """

    name = "math_text"

    def __init__(
        self,
        path: str | Path | None = None,
        sha256: str | None = None,
        rows: int | str | None = None,
        heldout: str | Path | None = None,
        heldout_share: float = 0.3,
        seconds: float = 5.0,
    ):
        if not 0 <= heldout_share < 1:
            raise ValueError(f"heldout_share={heldout_share}: expected at least 0 and less than 1")
        if seconds <= 0:
            raise ValueError(f"seconds={seconds}: expected more than 0")
        self.seconds = seconds
        table = read_table(path or SEEDS, sha256 or (None if path else SEEDS_SHA256), rows)
        self.path, self.rows, self.sha256 = table.file.path, table.file.rows, table.file.sha256
        tables = [table]
        if heldout is not None:
            second = read_table(heldout)
            kept, doubled = without_repeated(second.rows, before=table.rows)
            left_out = (*second.left_out, *doubled)
            tables.append(Table(file=second.file, rows=tuple(kept), left_out=left_out))
        self.left_out = ()
        self._levels: dict[str, int] = {}
        self._by_key: dict[str, Problem] = {}
        problems = [self._problems(one, rows == "any") for one in tables]
        self.levels = tuple(sorted(set(self._levels.values())))
        self.families = tuple(sorted({OTHER, *(p.family for one in problems for p in one)}))
        self._split(problems[0], problems[1] if heldout is not None else None, heldout_share)

    def _problems(self, table: Table, any_rows: bool) -> list[Problem]:
        """The problems of a table's rows, without those that cannot be used."""
        usable, left_out = [], list(table.left_out)
        for row in table.rows:
            self._levels[row.key] = row.level or measured_level(row.statement)
            try:
                self._by_key[row.key] = self._problem(row)
                usable.append(row)
            except ValueError as error:
                del self._levels[row.key]
                left_out.append(LeftOut.of(row.where, error))
        found = Table(file=table.file, rows=tuple(usable), left_out=tuple(left_out))
        self.left_out += settled(found, "any" if any_rows else None).left_out
        return [self._by_key[row.key] for row in usable]

    def _split(self, problems: list[Problem], second: list[Problem] | None, share: float) -> None:
        if second is None:
            kept = [problem for problem in problems if self._lot(problem) >= share]
            held = [problem for problem in problems if self._lot(problem) < share]
        else:
            kept, held = problems, second
        if len(kept) < 2 or not held:
            raise ValueError(
                f"{self.path}: {len(kept) + len(held)} problems leave {len(kept)} to train on and "
                f"{len(held)} held out (heldout_share={share}); expected at least 2 and 1: write more "
                "problems, or heldout=FILE"
            )
        self._training = kept
        self._heldout = sorted(held, key=self._lot)
        self._cells: dict[tuple[str, int], list[Problem]] = defaultdict(list)
        for problem in kept:
            self._cells[problem.family, problem.level].append(problem)

    def cells(self) -> list[tuple[str, int]]:
        return sorted(self._cells)

    def heldout(self, per_cell: int) -> list[Problem]:
        """Up to `per_cell` held-out problems of each cell: a small file has fewer in some."""
        chosen: dict[tuple[str, int], dict[str, Problem]] = defaultdict(dict)
        for problem in self._heldout:
            cell = chosen[problem.family, problem.level]
            if len(cell) < per_cell:
                cell.setdefault(self.signature(problem), problem)
        return [problem for cell in sorted(chosen) for problem in chosen[cell].values()]

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        level = int(difficulty["level"])
        if family is None:
            families = [known for known, at in self.cells() if at == level]
            family = families[rng.integers(len(families))] if families else None
        rows = self._cells.get((family, level), []) if family else []
        if not rows:
            raise ValueError(
                f"{self.path} has no problem of family {family!r} at level {level}: "
                f"choose from {self.cells()[:20]}"
            )
        return rows[rng.integers(len(rows))]

    def prompt(self, problem: Problem) -> str:
        return INSTRUCTION.format(statement=problem.statement)

    def parse_problem(self, text: str) -> Problem | Malformed:
        """A statement of the file is that problem; any other question has no answer yet.

        What a new question must have is for `math_questions.refusal` to say. Its family is
        `other`, its level the measured one, brought to the nearest that the file has.
        """
        text = text.strip()
        if known := self._by_key.get(" ".join(text.split())):
            return known
        if refused := refusal(text):
            return refused
        problem = Problem(domain=self.name, family=OTHER, statement=text)
        return Problem(
            domain=self.name,
            family=OTHER,
            statement=text,
            difficulty=self.difficulty(problem),
        )

    def verify(self, problem: Problem, text: str) -> Verdict:
        """The verdict on the one final answer of a completion, by `verification.verify`.

        Without a reference answer nothing is correct, but the verdict carries the answer read.
        """
        if problem.answer is not None:
            return verify(problem.answer, text, statement=problem.statement, seconds=self.seconds)
        found = final_answer(text)
        answer = None if found is None else read(found, problem.statement)
        if answer is None:
            return Verdict(status="unparseable", detail="no single final answer")
        return Verdict(status="wrong", answer=answer.text, detail="no reference answer")

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        """Another training row: of the nearest level below or above, or of the same level.

        Where the file has nothing in that direction it is a row of the same level, and where this
        is the only one the nearest on the other side; of equally near rows, one of the same family.
        """
        shift = {"easier": -1, "harder": 1}.get(direction, 0)

        def far(row: Problem) -> tuple[int, int, bool]:
            step = row.level - problem.level
            side = 0 if step * shift > 0 or not shift else 1 if step == 0 else 2
            return side, abs(step), row.family != problem.family

        rows = [row for row in self._training if row.id != problem.id]
        nearest = min(map(far, rows))
        rows = [row for row in rows if far(row) == nearest]
        return rows[rng.integers(len(rows))]

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        """`level`: the file's, else measured; `numbers` and `words` in the statement."""
        level = self._levels.get(" ".join(problem.statement.split()))
        if level is None:
            measured = measured_level(problem.statement)
            level = min(self.levels, key=lambda known: abs(known - measured))
        return {
            "level": level,
            "numbers": count_numbers(problem.statement),
            "words": len(problem.statement.split()),
        }

    def solve(self, problem: Problem) -> str | None:
        """The reference solution, ending in its boxed answer; None if the file has none."""
        if problem.solution is None or not self.verify(problem, problem.solution).correct:
            return None
        return problem.solution

    def reference(self, problem: Problem, answer: str) -> str:
        return reference(answer, problem.statement)[0]

    def conclude(self, problem: Problem, solution: str, answer: str) -> str:
        """The solution with its boxes opened, and the answer in a box at its end."""
        return f"{unboxed(solution)}\n\\boxed{{{answer}}}"

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        """`format` where no answer can be read, `answer` where it is wrong, at the last line."""
        verdict = self.verify(problem, text)
        if verdict.status not in ("wrong", "unparseable"):
            return None
        step = max(sum(bool(line.strip()) for line in text.splitlines()) - 1, 0)
        if verdict.status == "unparseable":
            return Diagnosis(step=step, kind="format", detail=verdict.detail[:80])
        detail = verdict.detail or f"answered {verdict.answer}"
        return Diagnosis(step=step, kind="answer", detail=detail[:80])

    def _problem(self, row: Row) -> Problem:
        try:
            answer, gold = reference(row.answer, row.statement)
        except ValueError as error:
            raise ValueError(f"{row.where}: {error}") from error
        bare = Problem(domain=self.name, family=row.family, statement=row.statement, answer=answer)
        if self.verify(bare, self.prompt(bare)).correct:
            raise ValueError(f'{row.where}: "statement" gives its answer away ({answer})')
        return Problem(
            domain=bare.domain,
            family=bare.family,
            statement=bare.statement,
            answer=bare.answer,
            solution=self._solution(bare, row, gold),
            difficulty=self.difficulty(bare),
        )

    def _solution(self, bare: Problem, row: Row, gold: Answer) -> str | None:
        """The row's solution, ending in its one answer; raises if it comes to another number."""
        if row.solution is None:
            return None
        stated = final_answer(row.solution)
        kind: Kind | None = "string" if gold.kind == "string" else None
        found = None if stated is None else read(stated, row.statement, kind)
        if found == gold and self.verify(bare, row.solution).correct:
            return row.solution
        if found is not None and found.value is not None and found.text != gold.text:
            raise ValueError(
                f'{row.where}: "solution" comes to {stated!r}, but "answer" is {row.answer!r}'
            )
        return self.conclude(bare, row.solution, bare.answer or gold.text)

    def _lot(self, problem: Problem) -> float:
        """A number from 0 to 1 that near duplicates share."""
        digest = hashlib.sha256(self.signature(problem).encode()).hexdigest()
        return int(digest[:12], 16) / 16**12
