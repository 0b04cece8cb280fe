"""`coevo leaks`: which problems of evaluation sets a run has trained on, and which it refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from coevo import compose
from coevo.config import ConfigError
from coevo.decontamination import OWN, EvaluationSets, Match, registered
from coevo.explain import shorten
from coevo.files import write_whole
from coevo.run_folder import RunFolder, held_out, open_run
from coevo.screen import plain
from coevo.trust import confirm
from environments import Problem
from environments.printable import printable

SHOWN = 20  # leaks that are printed; the file has all


def main(name: str, words: Sequence[str], trust: bool = False) -> int:
    """Prints the report and writes `leaks.json` into the run; 1 if anything has leaked."""
    run = open_run(name, trust)
    report = inspect(run, words)
    path = run.path / "leaks.json"
    write_whole(path, [json.dumps(report, indent=1)])
    render(report, Console(highlight=False))
    print(printable(f"written: {path}"))
    return 1 if report["leaks"] else 0


def inspect(run: RunFolder, words: Sequence[str] = ()) -> dict[str, Any]:
    """The pool of a run against every set that it registered, and those that `words` add.

    `words` are of the form `gsm8k=FILE`, or `gsm8k` for the hub, and keys of `decontamination`.
    Raises `ConfigError` on a word or a set that cannot be read.
    """
    overrides = _overrides(words)
    config = compose.from_plain(compose.load(run.path / "config.yaml"), overrides)
    confirm(config, run.path, overrides, trust=run.trust, only=("environment", "decontamination"))
    reserved = held_out(config, run.environment)
    sets = registered(config, reserved)
    names = [OWN, *config.decontamination.against]
    sizes = {name: sum(entry[0] == name for entry in sets.entries) for name in names}
    leaks = _leaks(run, sets, reserved)
    refused = {
        row["status"]: row["count"]
        for row in run.store.query(
            "SELECT status, count(*) AS count FROM proposals "
            "WHERE status = ? OR status LIKE 'contaminated:%' GROUP BY status ORDER BY status",
            OWN,
        )
    }
    by_set = {
        name: {
            "problems": size,
            "leaked": len({leak["evaluation_id"] for leak in leaks if leak["set"] == name}),
            "refused": sum(n for status, n in refused.items() if _set_of(status) == name),
        }
        for name, size in sizes.items()
    }
    return {"run": run.name, "pool": len(run.store.problems()), "sets": by_set,
            "refused": refused, "leaks": leaks}  # fmt: skip


def _overrides(words: Sequence[str]) -> list[str]:
    overrides = []
    for word in words:
        key, _, value = word.partition("=")
        if key.startswith("decontamination."):
            overrides.append(word)
        elif not key.isidentifier():
            raise ConfigError(f"{word}: write NAME=FILE of an evaluation set, such as gsm8k=FILE")
        else:
            overrides.append(f"decontamination.against.{key}={value or 'null'}")
    return overrides


def _leaks(
    run: RunFolder, sets: EvaluationSets, reserved: Sequence[Problem]
) -> list[dict[str, Any]]:
    """Every problem of the pool that an evaluation set has, with the rounds that trained on it.

    As the gate does, held-out problems are also known by the environment's signature.
    """
    signatures = {run.environment.signature(problem): problem for problem in reserved}
    trained: dict[str, list[int]] = {}
    for t, problem_id, _ in run.store.batches():
        trained.setdefault(problem_id, []).append(t)
    found = []
    for problem in run.store.problems():
        match = sets.match(problem.statement)
        twin = signatures.get(run.environment.signature(problem))
        if match is None and twin is not None:
            match = Match(
                benchmark=OWN,
                problem_id=twin.id,
                statement=twin.statement,
                how="signature",
                score=1.0,
            )
        if match is not None:
            found.append(
                {
                    "set": match.benchmark,
                    "how": match.how,
                    "score": match.score,
                    "problem_id": problem.id,
                    "statement": problem.statement,
                    "author": problem.author,
                    "admitted": problem.round,
                    "trained": trained.get(problem.id, []),
                    "evaluation_id": match.problem_id,
                    "evaluation_statement": match.statement,
                }
            )
    return found


def _set_of(status: str) -> str:
    return status.split(":")[1] if ":" in status else status


def render(report: dict[str, Any], console: Console) -> None:
    table = Table(title=plain(f"{report['run']}: {report['pool']} problems in the pool"))
    table.add_column("evaluation set")
    for name in ("problems", "leaked", "refused"):
        table.add_column(name, justify="right")
    for name, row in report["sets"].items():
        table.add_row(plain(name), *(f"{row[key]:,}" for key in ("problems", "leaked", "refused")))
    console.print(table)
    for leak in report["leaks"][:SHOWN]:
        lines = [
            f"{leak['problem_id']} ({leak['author']}, round {leak['admitted']}) "
            f"{leak['how']} {leak['score']:.2f} in {leak['set']}:",
            f"  {shorten(leak['statement'], 70)}",
            f"  {shorten(leak['evaluation_statement'], 70)}",
        ]
        for line in lines:
            console.print(plain(line))
    if len(report["leaks"]) > SHOWN:
        console.print(f"and {len(report['leaks']) - SHOWN} more")
