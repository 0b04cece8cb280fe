"""The run's memory: one SQLite file, append-only, one transaction a round.

Every row carries its round. Nothing is ever updated: a problem's zone is its newest row in `zones`.
So going back to a round is deleting the rows after it, and what happened stays readable.

A database may be damaged, or made by a stranger. Whatever is read has the type of its column; an error
of SQLite, or a value that cannot be what it should, is a `StoreError` here, and nowhere else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agents.records import Attempt, Failure, PreferencePair, Proposal, Ruling
from coevo.clock import Cost
from coevo.failures import told
from coevo.rows import attempt_of, doubles, ints, numbers, problem_of
from coevo.schema import SCHEMA, SCHEMA_VERSION, TABLES_BY_ROUND, checked_row, expected, objects
from environments import Malformed, Problem

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StoreError(RuntimeError):
    """The database cannot be used; the message says why and what to do."""


class StoreRefused(StoreError):
    """The machine refuses to read or write it: space, permissions, a broken disk."""


class Store:
    """Opens `run.db`, creating it if asked to; raises `StoreError` on a file that is not one."""

    def __init__(self, path: Path, create: bool = False, read_only: bool = False):
        self.path = path
        if not create and not path.exists():
            raise StoreError(f"{path} does not exist: is {path.parent} the folder of a run?")
        if not create and not path.is_file():  # opening a pipe would wait for ever
            raise StoreError(f"{path} is not a run's database (it is not a file)")
        try:
            self._open(create, read_only)
            found = self.meta("schema")
        except StoreRefused:
            raise
        except (StoreError, sqlite3.Error, UnicodeDecodeError) as error:
            cause = error.__cause__ or error
            refused = self._refused(error) if isinstance(error, sqlite3.Error) else None
            raise refused or StoreError(f"{path} is not a run's database ({cause})") from error
        if found != str(SCHEMA_VERSION):
            raise StoreError(
                f"{path} has schema {found}, this version of coevo reads schema {SCHEMA_VERSION}: "
                "use the version of coevo that wrote it, or start a new run"
            )
        with self.explained():
            if strange := objects(self.db) ^ expected():
                names = ", ".join(sorted({name for _, name, _ in strange}))
                raise ValueError(f"its tables are not those of a run: {names}")

    def _open(self, create: bool, read_only: bool) -> None:
        if read_only:
            self.db = self._open_read_only()
        else:
            self.db = sqlite3.connect(self.path, isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute("PRAGMA trusted_schema=OFF")
        self.db.row_factory = checked_row
        if create:
            self.db.executescript(SCHEMA)
            self.set_meta("schema", str(SCHEMA_VERSION))

    def _open_read_only(self) -> sqlite3.Connection:
        """SQLite wants to write a file beside a database with a log. In a folder where it cannot,
        one without a log is opened as what nobody writes to."""
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        db = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            log = self.path.with_name(f"{self.path.name}-wal")
            if log.exists() and log.stat().st_size:
                raise
            db.close()
            db = sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None)
        return db

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Around what is read: says of an error what the machine refused, or that the file is
        damaged."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._refused(error) or self.damaged(str(error)) from error
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise self.damaged(str(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Around what is written: a row that the tables refuse is a defect, not damage."""
        try:
            yield
        except sqlite3.Error as error:
            if refused := self._refused(error):
                raise refused from error
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:
                raise self.damaged(str(error)) from error
            raise
        except UnicodeDecodeError as error:  # of SQLite's own message about the damage
            raise self.damaged(str(error)) from error

    def _refused(self, error: sqlite3.Error) -> StoreRefused | None:
        refused = told(error)
        return StoreRefused(f"{self.path}: {refused}") if refused else None

    def damaged(self, why: str) -> StoreError:
        """What to raise where the content cannot be what a run has written."""
        return StoreError(
            f"{self.path} is damaged ({why}): put a copy of it in its place, or start a new run; "
            f"weights are safe in {self.path.parent / 'checkpoints'}"
        )

    def close(self) -> None:
        self.db.close()

    def settle(self) -> None:
        """Moves what the write-ahead log holds into the file, so that a copy of it is whole."""
        with self._writing():
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside happens whole or not at all."""
        with self._writing():
            self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._writing():
                self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:  # SQLite itself goes back when a disk is full
                with suppress(sqlite3.Error):  # closing the file does the same
                    self.db.execute("ROLLBACK")
            raise

    def _write(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._writing():
            self.db.executemany(sql, rows)

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of any SELECT."""
        with self.explained():
            return self.db.execute(sql, values).fetchall()

    def each(self, sql: str, *values: Any) -> Iterator[sqlite3.Row]:
        """The rows of a SELECT, one at a time."""
        with self.explained():
            cursor = self.db.execute(sql, values)
        while True:
            with self.explained():
                row = cursor.fetchone()
            if row is None:
                return
            yield row

    # -- writing ------------------------------------------------------------------------------

    def set_meta(self, key: str, value: str) -> None:
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, value)])

    def add_round(
        self, round: int, metrics: Mapping[str, float], seconds: Mapping[str, float]
    ) -> None:
        row = (round, json.dumps(dict(metrics)), json.dumps(dict(seconds)))
        self._write("INSERT INTO rounds VALUES (?, ?, ?)", [row])

    def add_problems(self, problems: Iterable[Problem]) -> None:
        self._write(
            "INSERT INTO problems VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (p.id, p.round, p.domain, p.family, p.statement, p.answer, p.solution,
                 json.dumps(dict(p.difficulty)), p.parent_id, p.author, p.author_version, p.strategy)
                for p in problems
            ],
        )  # fmt: skip

    def add_batch(self, round: int, batch: Iterable[tuple[Problem, str]]) -> None:
        rows = [(round, i, problem.id, kind) for i, (problem, kind) in enumerate(batch)]
        self._write("INSERT INTO batches VALUES (?, ?, ?, ?)", rows)

    def add_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Attempts that are already there are left as they are."""
        self._write(
            "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (a.id, a.round, a.problem_id, a.sample, a.completion.policy_version,
                 a.completion.text, ints(a.completion.prompt_ids), ints(a.completion.token_ids),
                 doubles(a.completion.logprobs), a.completion.finish_reason,
                 a.verdict.status, a.verdict.answer, a.verdict.detail)
                for a in attempts
            ],
        )  # fmt: skip

    def add_zones(self, rows: Iterable[tuple[int, str, int, int, int, str]]) -> None:
        """Rows (round, problem id, policy version, correct, attempts, zone)."""
        self._write("INSERT INTO zones VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_pairs(self, round: int, pairs: Iterable[PreferencePair]) -> None:
        self._write(
            "INSERT INTO pairs VALUES (?, ?, ?, ?, ?)",
            [(p.id, round, p.problem_id, p.chosen_id, p.rejected_id) for p in pairs],
        )

    def add_proposals(self, proposals: Iterable[Proposal]) -> None:
        self._write(
            "INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (p.round, p.author, p.index, p.source_id, p.attempt_id, p.attempt_text, p.text,
                 None if isinstance(p.result, Malformed) else p.result.id,
                 p.strategy, p.valid, p.status, p.success, p.utility, cost.tokens, cost.cost)
                for p, cost in ((p, Cost.of(p.author, "", p.asked)) for p in proposals)
            ],
        )  # fmt: skip

    def add_update(self, round: int, role: str, version: int, metrics: Mapping[str, float]) -> None:
        """`version` is that of the weights which the update made, as attempts name it (`policy_version`).

        Runs of before have the round there, which after an initial SFT is one less.
        """
        row = (round, role, version, json.dumps(dict(metrics)))
        self._write("INSERT INTO updates VALUES (?, ?, ?, ?)", [row])

    def add_costs(self, round: int, costs: Iterable[Cost]) -> None:
        rows = [
            (round, c.role, c.task, c.calls, c.cached, c.prompt_tokens, c.completion_tokens, c.cost)
            for c in costs
        ]
        self._write("INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_judgements(self, rulings: Iterable[tuple[Attempt, Ruling]]) -> None:
        """Every ruling for which a model was asked, or that differs from the exact verdict."""
        self._write(
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
        self._write("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", rows)

    def add_alarms(self, round: int, alarms: Iterable[tuple[str, str]]) -> None:
        rows = [(round, kind, message) for kind, message in alarms]
        self._write("INSERT INTO alarms VALUES (?, ?, ?)", rows)

    def add_evaluation(
        self, round: int, benchmark: str, rows: Iterable[tuple[Problem, int, Sequence[str | None]]]
    ) -> None:
        """Rows (problem, correct completions, the answer of each completion)."""
        self._write(
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
                self._write(f"DELETE FROM {table} WHERE round > ?", [(round,)])

    # -- reading ------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        rows = self.query("SELECT value FROM meta WHERE key = ?", key)
        return rows[0]["value"] if rows else None

    def last_round(self) -> int:
        """The newest whole round; -1 if not even the set-up is."""
        return self.query("SELECT coalesce(max(round), -1) AS round FROM rounds")[0]["round"]

    def rounds(self) -> list[dict[str, Any]]:
        """Every round's number, metrics and seconds, in order."""
        rows = self.query("SELECT * FROM rounds ORDER BY round")
        with self.explained():
            return [
                {
                    "round": row["round"],
                    "metrics": numbers(row["metrics"]),
                    "seconds": numbers(row["seconds"]),
                }
                for row in rows
            ]

    def problems(self) -> list[Problem]:
        """The pool, in order of admission."""
        rows = self.query("SELECT * FROM problems ORDER BY position")
        with self.explained():
            return [problem_of(row) for row in rows]

    def batches(self) -> list[tuple[int, str, str]]:
        """(round, problem id, kind) of all batches, in order."""
        rows = self.query("SELECT * FROM batches ORDER BY round, position")
        return [(row["round"], row["problem_id"], row["kind"]) for row in rows]

    def zones(self) -> list[tuple[int, str, int, int, int, str]]:
        """All rows of `add_zones`, in order."""
        return [tuple(row) for row in self.query("SELECT * FROM zones ORDER BY rowid")]

    def attempts(self, problem_id: str, policy_version: int | None = None) -> list[Attempt]:
        """Attempts at a problem, in order of policy version and sample."""
        query, values = "SELECT * FROM attempts WHERE problem_id = ?", [problem_id]
        if policy_version is not None:
            query, values = query + " AND policy_version = ?", [problem_id, policy_version]  # type: ignore[list-item]
        rows = self.query(query + " ORDER BY policy_version, sample", *values)
        with self.explained():
            return [attempt_of(row) for row in rows]

    def evaluation(self, round: int, benchmark: str) -> list[sqlite3.Row]:
        """Rows of an evaluation with `problem_id`, `family`, `level`, `gold`, `correct`, `answers`."""
        query = "SELECT * FROM evaluations WHERE round = ? AND benchmark = ? ORDER BY rowid"
        return self.query(query, round, benchmark)
