"""`summary.json`: what a run came to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from coevo.clock import PARTS
from coevo.config import Config
from coevo.curriculum import Curriculum
from coevo.evaluate import Score, difference
from coevo.rows import strings
from coevo.store import Store


def digest(weights: Mapping[str, bytes], curriculum: Curriculum) -> str:
    """sha256 over the trained weights by role and the pool in order: equal runs have equal digests."""
    total = hashlib.sha256()
    for role in sorted(weights):
        total.update(role.encode() + hashlib.sha256(weights[role]).digest())
    for problem in curriculum.problems.values():
        total.update(f"{problem.id} {problem.answer}\n".encode())
    return total.hexdigest()


def scores(store: Store, round: int, benchmark: str = "heldout") -> list[Score]:
    """An evaluation as the store has it; empty if there was none in that round."""
    rows = store.evaluation(round, benchmark)
    with store.explained():
        return [
            Score(
                problem_id=row["problem_id"],
                family=row["family"],
                level=row["level"],
                gold=row["gold"],
                correct=row["correct"],
                answers=tuple(strings(row["answers"])),
            )
            for row in rows
        ]


def summarize(config: Config, store: Store, curriculum: Curriculum, digest: str) -> dict[str, Any]:
    """The summary of a finished run; pairs of numbers are first and last round."""
    rounds = store.rounds()
    metrics = [row["metrics"] for row in rounds if row["round"] > 0]
    seconds = {
        part: round(sum(row["seconds"].get(part, 0.0) for row in rounds), 3)
        for part in ("total", *PARTS)
    }
    benchmarks = {}
    evaluated = [row["round"] for row in rounds if store.evaluation(row["round"], "heldout")]
    if evaluated:
        benchmarks["heldout"] = difference(
            scores(store, evaluated[0]), scores(store, evaluated[-1])
        )
    proposed = [m for m in metrics if "generator/proposals" in m]

    def first_and_last(name: str) -> list[float]:
        values = [m[name] for m in proposed if name in m]
        return [values[0], values[-1]] if values else [0.0, 0.0]

    return {
        "schema": 1,
        "name": config.name,
        "seed": config.seed,
        "experiment": config.experiment,
        "rounds": rounds[-1]["round"],
        "seconds": seconds,
        "benchmarks": benchmarks,
        "curriculum": {"problems": len(curriculum.problems), **curriculum.zone_counts()},
        "generator": {
            "proposals": int(sum(m["generator/proposals"] for m in proposed)),
            "valid_rate": first_and_last("generator/valid_rate"),
            "mean_utility": first_and_last("generator/mean_utility"),
        },
        "digest": digest,
    }
