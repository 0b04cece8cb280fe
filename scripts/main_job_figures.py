"""What docs/results.md says of the main job beside `coevo compare`: the frontier and the Generator.

    python -m scripts.main_job_figures RUN ... [--against RUN ...]

Prints a line a run and their means with 95 % intervals over runs (Student's t):

- the final mean@k over the upper half of the levels, in %; with `--against`, a last line has the lead in
  it over other runs, paired in the order given;
- how many levels a round the frontier moves: from the base's held-out frontier to the highest level that is
  measured, by the first round that reached it (or the last round);
- the Generator's valid rate in the last third of the rounds;
- which share of the valid problems lies at or beyond the frontier of their round (at most the highest level
  that is measured): the Generator's, the Teacher's refinements, and what the Teacher would write at
  random, a problem of each level alike;
- seconds, and the share of them outside rollout, verification, learning and evaluation.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from coevo import compose
from coevo.run_folder import find_run, make_environment, read_summary
from coevo.seed_intervals import over_seeds
from coevo.store import Store
from environments import Environment, Problem

COLUMNS = {
    "far half, %": "{:.1f}",
    "levels a round": "{:.2f}",
    "valid, last third, %": "{:.1f}",
    "Generator at or beyond the frontier, %": "{:.0f}",
    "Teacher, %": "{:.0f}",
    "at random, %": "{:.0f}",
    "seconds": "{:.0f}",
    "other, %": "{:.1f}",
}


def figures(path: Path) -> list[float | None]:
    """The columns of one finished run; None where it has no such figure."""
    summary = read_summary(path)
    if summary is None:
        raise SystemExit(f"{path} has not finished")
    config = compose.from_plain(compose.load(path / "config.yaml"))
    environment = make_environment(config.environment)
    top, frontiers = max(environment.levels), dict(summary["frontier"]["by_round"])
    start, rounds = summary["frontier"]["heldout"][0] or min(environment.levels), summary["rounds"]
    reached = next((t for t, level in frontiers.items() if level >= top), rounds)
    furthest = min(top, max(frontiers.values(), default=start))
    with closing(Store(path / "run.db", read_only=True)) as store:
        rows = store.query("SELECT round, author, text, valid FROM proposals")
        last = [
            r["valid"] for r in rows if r["author"] == "generator" and r["round"] > rounds * 2 / 3
        ]
    seconds = summary["seconds"]
    return [
        far_half(path),
        (furthest - start) / reached,
        100 * sum(last) / len(last) if last else None,
        *(_beyond(rows, author, frontiers, environment) for author in ("generator", "teacher")),
        _at_random(frontiers, environment) if last else None,
        seconds["total"],
        100 * seconds["other"] / seconds["total"],
    ]


def far_half(path: Path) -> float:
    """The final mean@k over the upper half of the levels, in %."""
    summary = read_summary(path)
    if summary is None:
        raise SystemExit(f"{path} has not finished")
    levels = list(summary["benchmarks"]["heldout"]["by_level"].values())
    far = [final for _, final in levels[len(levels) // 2 :]]
    return 100 * sum(far) / len(far)


def _beyond(
    rows: list[Any], author: str, frontiers: dict[int, int], environment: Environment
) -> float | None:
    """The share in % of an author's valid problems at or beyond the frontier of their round."""
    top, found = max(environment.levels), []
    for row in rows:
        problem = environment.parse_problem(row["text"].strip()) if row["valid"] else None
        if row["author"] == author and row["round"] in frontiers and isinstance(problem, Problem):
            found.append(problem.level >= min(top, frontiers[row["round"]]))
    return 100 * sum(found) / len(found) if found else None


def _at_random(frontiers: dict[int, int], environment: Environment) -> float:
    """The same of problems drawn from all levels alike, over the rounds."""
    levels = list(environment.levels)
    shares = [
        sum(n >= min(levels[-1], frontier) for n in levels) / len(levels)
        for frontier in frontiers.values()
    ]
    return 100 * sum(shares) / len(shares)


def main() -> None:
    names, _, others = " ".join(sys.argv[1:]).partition(" --against ")
    if not names:
        raise SystemExit(__doc__)
    table = {name: figures(find_run(name)) for name in names.split(" ")}
    print(f"| run | {' | '.join(COLUMNS)} |")
    print(f"|{' --- |' * (len(COLUMNS) + 1)}")
    for name, row in table.items():
        cells = [
            "-" if value is None else shown.format(value)
            for value, shown in zip(row, COLUMNS.values(), strict=True)
        ]
        print(f"| {Path(name).name} | {' | '.join(cells)} |")
    if len(table) > 1:
        means = []
        for values, shown in zip(zip(*table.values(), strict=True), COLUMNS.values(), strict=True):
            known = [value for value in values if value is not None]
            mean, bounds = over_seeds(known) if known else (None, None)
            told = "-" if mean is None else shown.format(mean)
            if bounds:
                told += f" [{shown.format(bounds[0])}, {shown.format(bounds[1])}]"
            means.append(told)
        print(f"| mean | {' | '.join(means)} |")
    if others:
        pairs = zip(table, others.split(" "), strict=True)
        leads = [far_half(find_run(own)) - far_half(find_run(other)) for own, other in pairs]
        lead, bounds = over_seeds(leads)
        told = f" [{bounds[0]:+.1f}, {bounds[1]:+.1f}]" if bounds else ""
        print(f"\nlead on the far half: {lead:+.1f} points{told}")


if __name__ == "__main__":
    main()
