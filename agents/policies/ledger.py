"""What an endpoint has answered and what it was asked: two SQLite files, each shared by many workers.

Both are in WAL mode, with transactions of one statement or a few, so that processes and threads of
one machine can share them, and a killed process leaves them whole. WAL does not work over network
file systems: workers on several machines need a file each.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

BUSY_SECONDS = 60.0  # longest wait for another process's transaction

RESPONSES = """
CREATE TABLE responses (
    key TEXT PRIMARY KEY, created TEXT NOT NULL, url TEXT NOT NULL, model TEXT NOT NULL,
    request TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, estimated INTEGER NOT NULL);
"""

ATTEMPTS = """
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY, created TEXT NOT NULL, host TEXT NOT NULL, process INTEGER NOT NULL,
    expires REAL NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL, task TEXT NOT NULL,
    key TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL, seconds REAL,
    estimated INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL);
CREATE INDEX attempts_under_way ON attempts (role) WHERE status = 'sent';
CREATE TABLE spent (
    role TEXT PRIMARY KEY, requests INTEGER NOT NULL, tokens INTEGER NOT NULL, cost REAL NOT NULL);
"""


class EndpointError(RuntimeError):
    """What no retry can mend; the message says what is wrong, where, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer of a server. `estimated`: it did not say its tokens, and they were estimated."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a role's requests took; those under way count at their bounds."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0


class Database:
    """One SQLite file with the given tables, for any number of threads and processes.

    Raises `EndpointError` if the file cannot be opened or holds something else.
    """

    def __init__(self, path: Path, tables: str):
        self.path, self.lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._into_wal()
            with self.transaction() as db:
                if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    for statement in filter(str.strip, tables.split(";")):
                        db.execute(statement)
            wanted = sqlite3.connect(":memory:")
            wanted.executescript(tables)
            if _schema(self.db) != _schema(wanted):
                raise sqlite3.DatabaseError("its tables are not those of this version of coevo")
        except (OSError, sqlite3.Error) as error:
            raise EndpointError(
                f"{path} cannot be used: {error}; move the file away, or name another"
            ) from error

    def _into_wal(self) -> None:
        """Processes that open a new file at once can lock each other out: SQLite does not wait."""
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.db.execute("PRAGMA journal_mode=WAL").fetchone()
                self.db.execute("PRAGMA synchronous=NORMAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
            time.sleep(0.01)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; no other process writes meanwhile."""
        with self.lock:
            try:
                self.db.execute("BEGIN IMMEDIATE")
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.lock:
            return self.db.execute(query, values).fetchall()

    def close(self) -> None:
        self.db.close()


def _schema(db: sqlite3.Connection) -> set[str]:
    return {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class ResponseCache(Database):
    """Whole answers by the hash of the request body, with the request, for people to read."""

    def __init__(self, path: Path):
        super().__init__(path, RESPONSES)

    def get(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The answers that are there."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            for row in self.rows(
                "SELECT key, text, finish_reason, prompt_tokens, completion_tokens, estimated "
                f"FROM responses WHERE key IN ({marks})",
                part,
            ):
                found[row[0]] = _reply(row[1:])
        return found

    def put(self, key: str, url: str, request: Mapping[str, Any], reply: Reply) -> Reply:
        """Keeps an answer, and returns the one that is kept: where another worker asked the same at
        the same time, that is its answer, and both go on with what a replay will find."""
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO responses VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    key, _now(), url, request["model"], json.dumps(request, ensure_ascii=False),
                    reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens,
                    reply.estimated,
                ),
            )  # fmt: skip
            row = db.execute(
                "SELECT text, finish_reason, prompt_tokens, completion_tokens, estimated "
                "FROM responses WHERE key = ?",
                (key,),
            ).fetchone()
        return _reply(row)


def _reply(row: Sequence[Any]) -> Reply:
    text, finish_reason, prompt_tokens, completion_tokens, estimated = row
    return Reply(
        text=text,
        finish_reason=cast(Literal["stop", "length"], finish_reason),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        estimated=bool(estimated),
    )


def price(prompt_tokens: int, completion_tokens: int, prices: tuple[float, float]) -> float:
    """In the currency of the prices, which are those of a million prompt and completion tokens."""
    return (prompt_tokens * prices[0] + completion_tokens * prices[1]) / 1e6


class Ledger(Database):
    """Every attempt of a role's requests, reserved before it is sent and settled afterwards.

    `caps` are the most requests, tokens and cost of the role over the whole run, None without cap.
    An attempt counts at its bound until it is settled. If its process dies it is never settled: it
    may have been answered and charged, so it stays at its bound.
    """

    def __init__(
        self, path: Path, role: str, caps: Mapping[str, float | None], prices: tuple[float, float]
    ):
        super().__init__(path, ATTEMPTS)
        self.role, self.caps, self.prices = role, caps, prices
        self.host = socket.gethostname()

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return price(prompt_tokens, completion_tokens, self.prices)

    def reserve(
        self,
        *,
        model: str,
        task: str,
        key: str,
        attempt: int,
        prompt_tokens: int,
        completion_tokens: int,
        seconds: float,
    ) -> int | None:
        """The number of a new attempt that takes at most these tokens and seconds.

        None if there is no room for it now, but may be when attempts under way are settled for
        less than their bounds. Raises `EndpointError` if a cap leaves no room for it.
        """
        cost, now = self.cost(prompt_tokens, completion_tokens), time.time()
        bound = Spent(requests=1, tokens=prompt_tokens + completion_tokens, cost=cost)
        with self.transaction() as db:
            if not self._room(db, bound, now):
                return None
            self._add(db, 1, bound.tokens, cost)
            number = db.execute(
                "INSERT INTO attempts VALUES (NULL,?,?,?,?,?,?,?,?,?,'sent',NULL,1,?,?,?)",
                (
                    _now(), self.host, os.getpid(), now + seconds, self.role, model, task,
                    key, attempt, prompt_tokens, completion_tokens, cost,
                ),
            ).lastrowid  # fmt: skip
        return number

    def _room(self, db: sqlite3.Connection, bound: Spent, now: float) -> bool:
        spent, wait = self._spent(db), False
        for name in ("requests", "tokens", "cost"):
            cap = self.caps[name]
            used, more = getattr(spent, name), getattr(bound, name)
            if cap is None or _fits(used + more, cap):
                continue
            under_way = getattr(self._under_way(db, now), name) if name != "requests" else 0
            if not _fits(used - under_way + more, cap):
                block = f"agents.{self.role}.policy.endpoint.max_{name}"
                raise EndpointError(
                    f"the cap max_{name}={cap} of role {self.role} is reached ({round(used, 6)} "
                    f"used, and the next request may take {round(more, 6)}): raise {block} and coevo resume"
                )
            wait = True
        return not wait

    def _spent(self, db: sqlite3.Connection) -> Spent:
        query = "SELECT requests, tokens, cost FROM spent WHERE role = ?"
        row = db.execute(query, (self.role,)).fetchone() or (0, 0, 0.0)
        return Spent(requests=row[0], tokens=row[1], cost=row[2])

    def _under_way(self, db: sqlite3.Connection, now: float) -> Spent:
        """The bounds of attempts that may still be settled: not expired, their process not dead."""
        rows = db.execute(
            "SELECT host, process, prompt_tokens + completion_tokens, cost FROM attempts "
            "WHERE role = ? AND status = 'sent' AND expires > ?",
            (self.role, now),
        ).fetchall()
        rows = [row for row in rows if row[0] != self.host or _alive(row[1])]
        tokens, cost = sum(row[2] for row in rows), sum(row[3] for row in rows)
        return Spent(requests=len(rows), tokens=tokens, cost=cost)

    def settle(
        self,
        number: int,
        status: str,
        seconds: float,
        tokens: tuple[int, int] | None,
        estimated: bool = False,
    ) -> None:
        """Writes what the attempt came to. `tokens` of prompt and completion are those that it took,
        None where the server may have charged for an answer that did not arrive: it stays at its
        bound, marked as estimated."""
        with self.transaction() as db:
            query = "SELECT prompt_tokens, completion_tokens, cost FROM attempts WHERE id = ?"
            prompt, completion, cost = db.execute(query, (number,)).fetchone()
            now_prompt, now_completion = (prompt, completion) if tokens is None else tokens
            now_cost = cost if tokens is None else self.cost(*tokens)
            more = now_prompt + now_completion - prompt - completion
            self._add(db, 0, more, now_cost - cost)
            db.execute(
                "UPDATE attempts SET status = ?, seconds = ?, estimated = ?, prompt_tokens = ?, "
                "completion_tokens = ?, cost = ? WHERE id = ?",
                (
                    status, seconds, estimated or tokens is None, now_prompt, now_completion,
                    now_cost, number,
                ),
            )  # fmt: skip

    def _add(self, db: sqlite3.Connection, requests: int, tokens: int, cost: float) -> None:
        db.execute(
            "INSERT INTO spent VALUES (?,?,?,?) ON CONFLICT (role) DO UPDATE SET "
            "requests = requests + excluded.requests, tokens = tokens + excluded.tokens, "
            "cost = cost + excluded.cost",
            (self.role, requests, tokens, cost),
        )

    def spent(self) -> Spent:
        """What the role has taken so far, over the whole run."""
        with self.lock:
            return self._spent(self.db)


def _fits(amount: float, cap: float) -> bool:
    return amount <= cap or math.isclose(amount, cap, rel_tol=1e-9)  # sums of prices are rounded


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
