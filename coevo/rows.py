"""Records as they stand in a row of `run.db`, and back; `ValueError` where a value cannot be one."""

from __future__ import annotations

import json
import math
import sqlite3
from array import array
from collections.abc import Sequence
from typing import Any

from agents.records import Attempt, Completion
from environments import Problem, Verdict

LARGEST = 2**53  # of a difficulty: what a float counts exactly


def ints(values: Sequence[int]) -> bytes:
    return array("i", values).tobytes()


def doubles(values: Sequence[float]) -> bytes:
    return array("d", values).tobytes()


def _unpack(kind: str, blob: bytes) -> tuple[Any, ...]:
    values = array(kind)
    values.frombytes(blob)
    return tuple(values)


def numbers(text: str) -> dict[str, Any]:
    """A JSON object of numbers."""
    found = json.loads(text)
    if not isinstance(found, dict) or not all(
        isinstance(value, (int, float)) for value in found.values()
    ):
        raise ValueError(f"{text[:40]!r} is no JSON object of numbers")
    return found


def strings(text: str) -> list[str | None]:
    """A JSON list of strings and nulls, of at least one."""
    found = json.loads(text)
    if (
        not isinstance(found, list)
        or not found
        or not all(value is None or isinstance(value, str) for value in found)
    ):
        raise ValueError(f"{text[:40]!r} is no JSON list of answers")
    return found


def problem_of(row: sqlite3.Row) -> Problem:
    difficulty = numbers(row["difficulty"])
    if not all(math.isfinite(value) and abs(value) < LARGEST for value in difficulty.values()):
        raise ValueError(f"the difficulty of problem {row['id']} is out of range")
    fields = {key: row[key] for key in row.keys() if key != "position"}  # noqa: SIM118
    return Problem(**{**fields, "difficulty": difficulty})


def attempt_of(row: sqlite3.Row) -> Attempt:
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
