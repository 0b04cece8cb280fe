"""The tables of `run.db`, and what can be said of a database that claims to have them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from typing import Any

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

# What queries call their own columns, and of what type these are.
ALIASES: dict[str, tuple[type, ...]] = {
    "count": (int,), "pairs": (int,), "judged": (int,), "tokens": (int,), "wrong": (int, type(None)),
    "chosen": (str, type(None)), "rejected": (str, type(None)),
}  # fmt: skip


def objects(db: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Type, name and SQL of every table, index, trigger and view; white space does not count."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    return {(row[0], row[1], " ".join(str(row[2]).split())) for row in rows}


@cache
def expected() -> set[tuple[str, ...]]:
    """The `objects` of a run's database."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        return objects(db)


@cache
def column_types() -> dict[str, tuple[type, ...]]:
    """The types that a column of this name may have, in whichever table."""
    python = {"INTEGER": int, "TEXT": str, "REAL": float, "BLOB": bytes}
    found: dict[str, set[type]] = {}
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        for (table,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            for _, name, kind, required, _, key in db.execute(f"PRAGMA table_info({table})"):
                types = found.setdefault(name, set())
                types |= {python[kind]} if required or key else {python[kind], type(None)}
    return {name: tuple(types) for name, types in found.items()} | ALIASES


def checked_row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
    """A row factory; raises `TypeError` on a value that its column cannot have."""
    types = column_types()
    for (name, *_), value in zip(cursor.description, values, strict=True):
        if name in types and not isinstance(value, types[name]):
            raise TypeError(f"the column {name} holds {type(value).__name__}")
    return sqlite3.Row(cursor, values)
