"""The run's memory: one SQLite file, append-only, one transaction a round.

Every row carries its round. Nothing is ever updated: a problem's zone is its newest row in `zones`.
So going back to a round is deleting the rows after it, and what happened stays readable.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.records import Attempt, Completion, Failure, PreferencePair, Proposal, Ruling
from coevo.clock import Cost
from environments import Malformed, Problem, Verdict

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rounds (round INTEGER PRIMARY KEY, metrics TEXT NOT NULL, seconds TEXT NOT NULL);
CREATE TABLE problems (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, round INTEGER NOT NULL,
    domain TEXT NOT NULL, family TEXT NOT NULL, statement TEXT NOT NULL, answer TEXT, solution TEXT,
    difficulty TEXT NOT NULL, parent_id TEXT, author TEXT NOT NULL, author_version INTEGER NOT NULL,
    strategy TEXT NOT NULL);
CREATE TABLE batches (
    round INTEGER NOT NULL, position INTEGER NOT NULL, problem_id TEXT NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY (round, position));
CREATE TABLE attempts (
    id TEXT PRIMARY KEY, round INTEGER NOT NULL, problem_id TEXT NOT NULL, sample INTEGER NOT NULL,
    policy_version INTEGER NOT NULL, text TEXT NOT NULL, prompt_ids BLOB NOT NULL,
    token_ids BLOB NOT NULL, logprobs BLOB NOT NULL, finish_reason TEXT NOT NULL,
    status TEXT NOT NULL, answer TEXT, detail TEXT NOT NULL);
CREATE INDEX attempts_of_problem ON attempts (problem_id, policy_version, sample);
CREATE TABLE zones (
    round INTEGER NOT NULL, problem_id TEXT NOT NULL, policy_version INTEGER NOT NULL,
    correct INTEGER NOT NULL, attempts INTEGER NOT NULL, zone TEXT NOT NULL);
CREATE INDEX zones_of_problem ON zones (problem_id);
CREATE TABLE pairs (
    id TEXT NOT NULL, round INTEGER NOT NULL, problem_id TEXT NOT NULL, chosen_id TEXT NOT NULL,
    rejected_id TEXT NOT NULL, PRIMARY KEY (round, id));
CREATE INDEX pairs_of_problem ON pairs (problem_id);
CREATE TABLE proposals (
    round INTEGER NOT NULL, author TEXT NOT NULL, position INTEGER NOT NULL,
    source_id TEXT NOT NULL, attempt_id TEXT NOT NULL, attempt_text TEXT NOT NULL,
    text TEXT NOT NULL, problem_id TEXT, strategy TEXT NOT NULL, valid INTEGER NOT NULL,
    status TEXT NOT NULL, success REAL, utility REAL NOT NULL, tokens INTEGER NOT NULL,
    cost REAL NOT NULL, PRIMARY KEY (round, author, position));
CREATE INDEX proposals_of_problem ON proposals (problem_id);
CREATE TABLE updates (
    round INTEGER NOT NULL, role TEXT NOT NULL, version INTEGER NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (round, role));
CREATE TABLE costs (
    round INTEGER NOT NULL, role TEXT NOT NULL, task TEXT NOT NULL, calls INTEGER NOT NULL,
    cached INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL);
CREATE TABLE judgements (
    round INTEGER NOT NULL, attempt_id TEXT NOT NULL, problem_id TEXT NOT NULL, exact TEXT,
    model TEXT NOT NULL, verdict TEXT NOT NULL, disagrees INTEGER NOT NULL, reply TEXT NOT NULL);
CREATE TABLE failures (
    round INTEGER NOT NULL, role TEXT NOT NULL, task TEXT NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE TABLE alarms (round INTEGER NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE evaluations (
    round INTEGER NOT NULL, benchmark TEXT NOT NULL, problem_id TEXT NOT NULL,
    family TEXT NOT NULL, level INTEGER NOT NULL, gold TEXT, correct INTEGER NOT NULL,
    answers TEXT NOT NULL, PRIMARY KEY (round, benchmark, problem_id));
"""

TABLES_BY_ROUND = (
    "rounds", "problems", "batches", "attempts", "zones", "pairs", "proposals", "updates",
    "costs", "alarms", "evaluations", "judgements", "failures",
)  # fmt: skip


class StoreError(RuntimeError):
    """The database cannot be used; the message says why and what to do."""


def _ints(values: Sequence[int]) -> bytes:
    return array("i", values).tobytes()


def _doubles(values: Sequence[float]) -> bytes:
    return array("d", values).tobytes()


def _unpack(kind: str, blob: bytes) -> tuple[Any, ...]:
    values = array(kind)
    values.frombytes(blob)
    return tuple(values)


class Store:
    """Opens `run.db`, creating it if asked to; raises `StoreError` on a file that is not one."""

    def __init__(self, path: Path, create: bool = False, read_only: bool = False):
        if not create and not path.exists():
            raise StoreError(f"{path} does not exist: is {path.parent} the folder of a run?")
        try:
            if read_only:
                self.db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            else:
                self.db = sqlite3.connect(path, isolation_level=None)
                self.db.execute("PRAGMA journal_mode=WAL")
                self.db.execute("PRAGMA synchronous=FULL")
            self.db.row_factory = sqlite3.Row
            if create:
                self.db.executescript(SCHEMA)
                self.set_meta("schema", str(SCHEMA_VERSION))
            found = self.meta("schema")
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} is not a run's database ({error})") from error
        if found != str(SCHEMA_VERSION):
            raise StoreError(
                f"{path} has schema {found}, this version of coevo reads schema {SCHEMA_VERSION}: "
                "use the version of coevo that wrote it, or start a new run"
            )

    def close(self) -> None:
        self.db.close()

    def settle(self) -> None:
        """Moves what the write-ahead log holds into the file, so that a copy of it is whole."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside happens whole or not at all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    # -- writing ------------------------------------------------------------------------------

    def set_meta(self, key: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def add_round(
        self, round: int, metrics: Mapping[str, float], seconds: Mapping[str, float]
    ) -> None:
        row = (round, json.dumps(dict(metrics)), json.dumps(dict(seconds)))
        self.db.execute("INSERT INTO rounds VALUES (?, ?, ?)", row)

    def add_problems(self, problems: Iterable[Problem]) -> None:
        self.db.executemany(
            "INSERT INTO problems VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (p.id, p.round, p.domain, p.family, p.statement, p.answer, p.solution,
                 json.dumps(dict(p.difficulty)), p.parent_id, p.author, p.author_version, p.strategy)
                for p in problems
            ],
        )  # fmt: skip

    def add_batch(self, round: int, batch: Iterable[tuple[Problem, str]]) -> None:
        rows = [(round, i, problem.id, kind) for i, (problem, kind) in enumerate(batch)]
        self.db.executemany("INSERT INTO batches VALUES (?, ?, ?, ?)", rows)

    def add_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Attempts that are already there are left as they are."""
        self.db.executemany(
            "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (a.id, a.round, a.problem_id, a.sample, a.completion.policy_version,
                 a.completion.text, _ints(a.completion.prompt_ids), _ints(a.completion.token_ids),
                 _doubles(a.completion.logprobs), a.completion.finish_reason,
                 a.verdict.status, a.verdict.answer, a.verdict.detail)
                for a in attempts
            ],
        )  # fmt: skip

    def add_zones(self, rows: Iterable[tuple[int, str, int, int, int, str]]) -> None:
        """Rows (round, problem id, policy version, correct, attempts, zone)."""
        self.db.executemany("INSERT INTO zones VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_pairs(self, round: int, pairs: Iterable[PreferencePair]) -> None:
        self.db.executemany(
            "INSERT INTO pairs VALUES (?, ?, ?, ?, ?)",
            [(p.id, round, p.problem_id, p.chosen_id, p.rejected_id) for p in pairs],
        )

    def add_proposals(self, proposals: Iterable[Proposal]) -> None:
        self.db.executemany(
            "INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (p.round, p.author, p.index, p.source_id, p.attempt_id, p.attempt_text, p.text,
                 None if isinstance(p.result, Malformed) else p.result.id,
                 p.strategy, p.valid, p.status, p.success, p.utility, cost.tokens, cost.cost)
                for p, cost in ((p, Cost.of(p.author, "", p.asked)) for p in proposals)
            ],
        )  # fmt: skip

    def add_update(self, round: int, role: str, version: int, metrics: Mapping[str, float]) -> None:
        row = (round, role, version, json.dumps(dict(metrics)))
        self.db.execute("INSERT INTO updates VALUES (?, ?, ?, ?)", row)

    def add_costs(self, round: int, costs: Iterable[Cost]) -> None:
        rows = [
            (round, c.role, c.task, c.calls, c.cached, c.prompt_tokens, c.completion_tokens, c.cost)
            for c in costs
        ]
        self.db.executemany("INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_judgements(self, rulings: Iterable[tuple[Attempt, Ruling]]) -> None:
        """Every ruling for which a model was asked, or that differs from the exact verdict."""
        self.db.executemany(
            "INSERT INTO judgements VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (attempt.round, attempt.id, attempt.problem_id, ruling.exact, ruling.model,
                 ruling.verdict.status, ruling.disagrees, ruling.reply)
                for attempt, ruling in rulings
                if ruling.asked or ruling.model or ruling.disagrees
            ],
        )  # fmt: skip

    def add_failures(self, round: int, failures: Iterable[Failure]) -> None:
        rows = [(round, f.role, f.task, f.kind, f.text) for f in failures]
        self.db.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", rows)

    def add_alarms(self, round: int, alarms: Iterable[tuple[str, str]]) -> None:
        rows = [(round, kind, message) for kind, message in alarms]
        self.db.executemany("INSERT INTO alarms VALUES (?, ?, ?)", rows)

    def add_evaluation(
        self, round: int, benchmark: str, rows: Iterable[tuple[Problem, int, Sequence[str | None]]]
    ) -> None:
        """Rows (problem, correct completions, the answer of each completion)."""
        self.db.executemany(
            "INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    round,
                    benchmark,
                    p.id,
                    p.family,
                    p.level,
                    p.answer,
                    correct,
                    json.dumps(list(answers)),
                )
                for p, correct, answers in rows
            ],
        )

    def forget_after(self, round: int) -> None:
        """Deletes every row of later rounds."""
        with self.transaction():
            for table in TABLES_BY_ROUND:
                self.db.execute(f"DELETE FROM {table} WHERE round > ?", (round,))

    # -- reading ------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row["value"]

    def last_round(self) -> int:
        """The newest whole round; -1 if not even the set-up is."""
        return self.db.execute("SELECT coalesce(max(round), -1) FROM rounds").fetchone()[0]

    def rounds(self) -> list[dict[str, Any]]:
        """Every round's number, metrics and seconds, in order."""
        return [
            {
                "round": r["round"],
                "metrics": json.loads(r["metrics"]),
                "seconds": json.loads(r["seconds"]),
            }
            for r in self.db.execute("SELECT * FROM rounds ORDER BY round")
        ]

    def problems(self) -> list[Problem]:
        """The pool, in order of admission."""
        rows = self.db.execute("SELECT * FROM problems ORDER BY position")
        return [_problem(row) for row in rows]

    def batches(self) -> list[tuple[int, str, str]]:
        """(round, problem id, kind) of all batches, in order."""
        rows = self.db.execute("SELECT * FROM batches ORDER BY round, position")
        return [(row["round"], row["problem_id"], row["kind"]) for row in rows]

    def zones(self) -> list[tuple[int, str, int, int, int, str]]:
        """All rows of `add_zones`, in order."""
        return [tuple(row) for row in self.db.execute("SELECT * FROM zones ORDER BY rowid")]

    def attempts(self, problem_id: str, policy_version: int | None = None) -> list[Attempt]:
        """Attempts at a problem, in order of policy version and sample."""
        query, values = "SELECT * FROM attempts WHERE problem_id = ?", [problem_id]
        if policy_version is not None:
            query, values = query + " AND policy_version = ?", [problem_id, policy_version]  # type: ignore[list-item]
        rows = self.db.execute(query + " ORDER BY policy_version, sample", values)
        return [_attempt(row) for row in rows]

    def evaluation(self, round: int, benchmark: str) -> list[sqlite3.Row]:
        """Rows of an evaluation with `problem_id`, `family`, `level`, `gold`, `correct`, `answers`."""
        query = "SELECT * FROM evaluations WHERE round = ? AND benchmark = ? ORDER BY rowid"
        return self.db.execute(query, (round, benchmark)).fetchall()

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of any SELECT."""
        return self.db.execute(sql, values).fetchall()


def _problem(row: sqlite3.Row) -> Problem:
    fields = {key: row[key] for key in row.keys() if key != "position"}  # noqa: SIM118
    return Problem(**{**fields, "difficulty": json.loads(row["difficulty"])})


def _attempt(row: sqlite3.Row) -> Attempt:
    return Attempt(
        problem_id=row["problem_id"],
        round=row["round"],
        sample=row["sample"],
        completion=Completion(
            text=row["text"],
            prompt_ids=_unpack("i", row["prompt_ids"]),
            token_ids=_unpack("i", row["token_ids"]),
            logprobs=_unpack("d", row["logprobs"]),
            policy_version=row["policy_version"],
            finish_reason=row["finish_reason"],
        ),
        verdict=Verdict(status=row["status"], answer=row["answer"], detail=row["detail"]),
    )
