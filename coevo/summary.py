"""`summary.json`: what a run came to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from coevo import curve, failing, frontier, training
from coevo.clock import PARTS
from coevo.config import Config
from coevo.curriculum import Curriculum
from coevo.evaluate import Score, bounded, difference, wilson
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
    seconds = {
        part: round(sum(row["seconds"].get(part, 0.0) for row in rounds), 3)
        for part in ("total", *PARTS)
    }
    benchmarks = {}
    base: list[Score] = []
    final: list[Score] = []
    evaluated = [row["round"] for row in rounds if store.evaluation(row["round"], "heldout")]
    if evaluated:
        base, final = scores(store, evaluated[0]), scores(store, evaluated[-1])
        benchmarks["heldout"] = difference(base, final)
    return {
        "schema": 1,
        "name": config.name,
        "seed": config.seed,
        "experiment": config.experiment,
        "rounds": rounds[-1]["round"],
        "seconds": seconds,
        "benchmarks": benchmarks,
        "curriculum": {"problems": len(curriculum.problems), **curriculum.zone_counts()},
        "generator": _generator(store, rounds),
        "curve": curve.points(rounds),
        "frontier": frontier.block(rounds, base, final),
        "training": training.figures(rounds),
        "all_failed": failing.summary(
            (row["round"], row["kind"], row["message"])
            for row in store.query("SELECT round, kind, message FROM alarms ORDER BY rowid")
        ),
        "digest": digest,
    }


def _generator(store: Store, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Its proposals, and first and last round's valid rate and mean utility, each with its interval.

    None where there is nothing to count: a rate of 0 of 0 is no number.
    """
    metrics = {row["round"]: row["metrics"] for row in rounds if row["round"] > 0}

    def ends(name: str) -> list[int]:
        found = [t for t, own in metrics.items() if f"generator/{name}" in own]
        return [found[0], found[-1]] if found else []

    def values(name: str) -> list[float | None]:
        return [metrics[t][f"generator/{name}"] for t in ends(name)] or [None, None]

    def valid(t: int) -> list[float] | None:
        count = int(metrics[t]["generator/proposals"])
        return wilson(round(metrics[t]["generator/valid_rate"] * count), count)

    def worth(t: int) -> list[float] | None:
        rows = store.query(
            "SELECT utility FROM proposals WHERE round = ? AND author = 'generator' "
            "AND (success IS NOT NULL OR NOT valid)",
            t,
        )
        return bounded([row["utility"] for row in rows], 0.0)[1] if rows else None

    return {
        "proposals": int(sum(own.get("generator/proposals", 0) for own in metrics.values())),
        "valid_rate": values("valid_rate"),
        "valid_rate_ci95": [valid(t) for t in ends("valid_rate")] or [None, None],
        "mean_utility": values("mean_utility"),
        "mean_utility_ci95": [worth(t) for t in ends("mean_utility")] or [None, None],
    }
