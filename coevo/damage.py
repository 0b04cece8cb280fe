"""What became of `run.db` since it was written: each round's checksum, and rows that no run writes."""

from __future__ import annotations

import hashlib

from coevo.schema import TABLES_BY_ROUND
from coevo.store import Store

SEAL = "sha256 of round {}"  # the key in `meta`

# Rows that no run writes, each with what is wrong with them.
IMPOSSIBLE = {
    **{
        f"{table} has a problem that is not in the pool": (
            f"SELECT 1 FROM {table} WHERE {column} IS NULL "
            f"OR {column} NOT IN (SELECT id FROM problems) LIMIT 1"
        )
        for table, column in (
            ("batches", "problem_id"), ("zones", "problem_id"), ("pairs", "problem_id"),
            ("proposals", "source_id"),
        )
    },
    "pairs has an attempt that is not there": (
        "SELECT 1 FROM pairs WHERE rejected_id NOT IN (SELECT id FROM attempts) LIMIT 1"
    ),
    "proposals has a refusal that is none": (
        "SELECT 1 FROM proposals WHERE status LIKE 'contaminated:%' "
        "AND status NOT LIKE 'contaminated:%:%' LIMIT 1"
    ),
    "zones has a success rate that is none": (
        "SELECT 1 FROM zones WHERE NOT (attempts > 0 AND correct BETWEEN 0 AND attempts) LIMIT 1"
    ),
    "evaluations has a success rate that is none": (
        "SELECT 1 FROM evaluations WHERE NOT (json_valid(answers) AND json_type(answers) = 'array' "
        "AND correct BETWEEN 0 AND json_array_length(answers)) LIMIT 1"
    ),
}  # fmt: skip


def seal(store: Store, round: int) -> None:
    """Notes the checksum of a round's rows: the last that its transaction writes."""
    store.set_meta(SEAL.format(round), _checksum(store, round))


def _checksum(store: Store, round: int) -> str:
    total = hashlib.sha256()
    for table in TABLES_BY_ROUND:
        for row in store.each(f"SELECT * FROM {table} WHERE round = ? ORDER BY rowid", round):
            total.update(f"{table} {tuple(row)!r}\n".encode())
    return total.hexdigest()


def check(store: Store) -> None:
    """Raises `StoreError` if rows refer to what is not there, or count what cannot be."""
    for what, sql in IMPOSSIBLE.items():
        if store.query(sql):
            raise store.damaged(what)


def whole_rounds(store: Store) -> tuple[int, str]:
    """The last round up to which every row is as it was written, and what is wrong with the next.

    Raises `StoreError` where SQLite itself finds the file damaged: nothing more must be written to
    it. A round without a checksum was written before there were any, and counts as whole.
    """
    with store.explained():
        (found,) = store.db.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise store.damaged(" ".join(str(found).split()))
    rounds = [row["round"] for row in store.query("SELECT round FROM rounds ORDER BY round")]
    for place, round in enumerate(rounds):
        if round != place:
            return place - 1, f"{store.path}: round {place} is not there"
        sum = store.meta(SEAL.format(round))
        if sum is not None and sum != _checksum(store, round):
            return place - 1, f"{store.path}: round {round} is not as it was written"
    return len(rounds) - 1, ""
