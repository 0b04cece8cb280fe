"""`coevo compare`: runs side by side, experiment by experiment, with intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coevo import compose, training
from coevo.config import ConfigError, changed_fields, nearest
from coevo.damage import check
from coevo.evaluate import Score, estimates, interval
from coevo.program import command
from coevo.run_folder import find_run, read_summary
from coevo.screen import plain, points, share
from coevo.seed_intervals import Bounds, over_seeds, spread, welch
from coevo.store import Store
from coevo.summary import scores
from environments.printable import in_cell

BENCHMARK = "heldout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished run, as far as it is compared."""

    path: Path
    label: str
    seed: int
    rounds: int
    block: dict[str, Any]  # the benchmark's of summary.json
    training: training.Figures  # likewise; empty for a run of before
    frontier: list[int | None]  # likewise, of the benchmark: base, final
    config: dict[str, Any]

    @property
    def levels(self) -> dict[str, float]:
        """Level -> change in mean@k."""
        return {level: final - base for level, (base, final) in self.block["by_level"].items()}

    def delta(self, level: str | None) -> float:
        return self.block["delta"] if level is None else self.levels[level]

    def evaluations(self, level: str | None) -> tuple[list[Score], list[Score]]:
        """Base and final scores of the run's own evaluation, at one level or all."""
        with closing(Store(self.path / "run.db", read_only=True)) as store:
            check(store)
            rounds = [row["round"] for row in store.rounds()]
            found = [own for own in (scores(store, t, BENCHMARK) for t in rounds) if own]
            first, last = (
                [s for s in own if level is None or str(s.level) == level]
                for own in (found[0] if found else [], found[-1] if found else [])
            )
            if not first or [s.problem_id for s in first] != [s.problem_id for s in last]:
                raise store.damaged("it lacks evaluations that summary.json has")
        return first, last

    def changes(self, level: str | None) -> dict[str, float]:
        """Problem id -> change in its success rate."""
        base, final = self.evaluations(level)
        return {b.problem_id: f.correct / f.k - b.correct / b.k
                for b, f in zip(base, final, strict=True)}  # fmt: skip


# -- statistics -----------------------------------------------------------------------------------


def change(results: Sequence[Result], level: str | None) -> tuple[float, Bounds | None]:
    """The change in mean@k over seeds; one seed alone has the interval over its problems."""
    if len(results) > 1:
        return over_seeds([result.delta(level) for result in results])
    mean, (low, high) = interval(list(results[0].changes(level).values()))
    return mean, (low, high) if math.isfinite(low) else None


def standing(results: Sequence[Result], name: str, end: str) -> tuple[float, list[float] | None]:
    """Base or final value of mean@k or pass@k, over seeds where it differs between them.

    One seed alone, and a base that is the same in all, have the interval over their problems.
    """
    blocks = [result.block for result in results]
    values = [(block if name == block["metric"] else block[name])[end] for block in blocks]
    mean, bounds = over_seeds(values)
    if bounds is not None and min(values) < max(values):
        return mean, [max(0.0, bounds[0]), min(1.0, bounds[1])]
    scored = results[0].evaluations(None)[0 if end == "base" else 1]
    return mean, estimates(scored)[name]["ci95"]


def versus(
    a: Sequence[Result], b: Sequence[Result], level: str | None
) -> tuple[float, Bounds | None]:
    """Change of `a` less change of `b`: paired by seed where the seeds match, else Welch.

    One seed each, and the same one: paired by problem.
    """
    if [r.seed for r in a] != [r.seed for r in b]:
        return welch([r.delta(level) for r in a], [r.delta(level) for r in b])
    if len(a) > 1:
        return over_seeds([x.delta(level) - y.delta(level) for x, y in zip(a, b, strict=True)])
    own, other = a[0].changes(level), b[0].changes(level)
    if own.keys() != other.keys():
        raise ConfigError(f"{a[0].path} and {b[0].path} were not measured on the same problems")
    mean, (low, high) = interval([own[i] - other[i] for i in own])
    return mean, (low, high) if math.isfinite(low) else None


# -- the runs -------------------------------------------------------------------------------------


def read(names: Sequence[str], by: str) -> dict[str, list[Result]]:
    """Finished runs by the value of a configuration key, each group in order of seed.

    Raises `ConfigError` if they cannot be compared: unfinished, measured in different ways, or the
    same seed twice in a group.
    """
    results = [_result(name, by) for name in dict.fromkeys(names)]
    for other in results[1:]:
        _same_measure(results[0], other)
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.label, []).append(result)
    for label, own in groups.items():
        own.sort(key=lambda result: result.seed)
        for one, two in pairwise(own):
            if one.seed == two.seed:
                raise ConfigError(
                    f"{one.path} and {two.path} are both {by}={label} with seed {one.seed}: an "
                    "interval over seeds needs different seeds; leave one out, or tell them apart "
                    "by another key with --by"
                )
    return groups


def _result(name: str, by: str) -> Result:
    path = find_run(name)
    summary = read_summary(path)
    if summary is None:
        raise ConfigError(f"{path} has not finished: {command('resume', path)} goes on with it")
    if BENCHMARK not in summary["benchmarks"]:
        raise ConfigError(f"{path} was not evaluated on {BENCHMARK}")
    config = compose.to_plain(compose.from_plain(compose.load(path / "config.yaml")))
    value: Any = config
    for part in by.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"--by {by}: there is no such key{nearest(by, compose.all_keys())}")
        value = value[part]
    return Result(
        path=path,
        label=str(value),
        seed=summary["seed"],
        rounds=summary["rounds"],
        block=summary["benchmarks"][BENCHMARK],
        training=summary.get("training", {}),
        frontier=summary.get("frontier", {}).get("heldout", [None, None]),
        config=config,
    )


def _same_measure(one: Result, two: Result) -> None:
    """Raises `ConfigError` if two runs were not measured alike."""

    def measure(result: Result) -> dict[str, Any]:
        evaluation = {
            key: value
            for key, value in result.config["evaluation"].items()
            if key != "every" and not key.startswith("curve_")  # when and what else, not how
        }
        return {"environment": result.config["environment"], "evaluation": evaluation}

    if differ := changed_fields(measure(one), measure(two)):
        raise ConfigError(
            f"{one.path} and {two.path} were measured differently: {'; '.join(differ)}"
        )


# -- the table ------------------------------------------------------------------------------------


def table(groups: dict[str, list[Result]]) -> tuple[list[list[str]], list[str]]:
    """Rows of cells, the headings first, and notes. Each group is a column; then come the
    differences of the first group to each other one."""
    labels, members = list(groups), list(groups.values())
    others = list(zip(labels[1:], members[1:], strict=True))
    metric = members[0][0].block["metric"]
    levels = [
        level
        for level in members[0][0].levels
        if all(level in r.levels for g in members for r in g)
    ]
    rows = [["", *labels, *(f"{labels[0]} - {label}" for label, _ in others)]]
    rows.append(["seeds", *(_seeds(own) for own in members), *("" for _ in others)])
    passes = [
        key
        for key in members[0][0].block
        if key.startswith("pass@") and all(key in r.block for g in members for r in g)
    ]
    for name in (metric, *passes):
        for end in ("base", "final"):
            cells = []
            for own in members:
                cells.append(f"{share(*standing(own, name, end))} %")
            rows.append([f"{name} {end}", *cells, *("" for _ in others)])
    for number, end in enumerate(("base", "final")):
        reached = [[at for r in own if (at := r.frontier[number]) is not None] for own in members]
        if any(reached):
            cells = [
                spread(found, 1) if len(found) == len(own) else "-"
                for found, own in zip(reached, members, strict=True)
            ]
            rows.append([f"frontier {end} (level)", *cells, *("" for _ in others)])
    for level in (None, *levels):
        cells = [points(*change(own, level)) for own in members]
        cells += [points(*versus(members[0], own, level)) for _, own in others]
        rows.append(["change" if level is None else f"change, level {level}", *cells])
    trained = {label: [result.training for result in own] for label, own in groups.items()}
    rows += [[*row, *("" for _ in others)] for row in training.rows(trained)]
    return rows, notes(groups) + training.notes(trained)


def notes(groups: dict[str, list[Result]]) -> list[str]:
    """What the intervals are."""
    single = [label for label, own in groups.items() if len(own) == 1]
    told = ["± and brackets: 95 % intervals, changes in points"]
    if len(single) < len(groups):
        told.append("over seeds by Student's t")
    if single:
        told.append(f"{', '.join(single)}: one seed, interval over its problems, not over seeds")
    labels = list(groups)
    first = groups[labels[0]]
    for label in labels[1:]:
        how = "Welch's interval, the seeds differ"
        if [r.seed for r in first] == [r.seed for r in groups[label]]:
            how = "paired by seed" if len(first) > 1 else "one seed, paired by problem"
        elif min(len(first), len(groups[label])) < 2:
            how = "no interval: one seed, and not the other's"
        told.append(f"{labels[0]} - {label}: {how}")
    rounds = sorted({result.rounds for own in groups.values() for result in own})
    if len(rounds) > 1:
        told.append(f"the runs have different numbers of rounds: {', '.join(map(str, rounds))}")
    return told


def _seeds(results: Sequence[Result]) -> str:
    return f"{len(results)} ({', '.join(str(result.seed) for result in results)})"


def main(names: Sequence[str], by: str, markdown: bool) -> int:
    """Prints the comparison."""
    rows, told = table(read(names, by))
    if markdown:
        lines = [f"| {' | '.join(map(in_cell, row))} |" for row in rows]
        lines.insert(1, f"|{' --- |' * len(rows[0])}")
        print("\n".join([*lines, "", in_cell("; ".join(told)) + "."]))
        return 0
    shown = Table(box=None, pad_edge=False, show_edge=False)
    for index, heading in enumerate(rows[0]):
        shown.add_column(plain(heading), justify="right" if index else "left", overflow="fold")
    for row in rows[1:]:
        shown.add_row(*map(plain, row))
    console = Console(highlight=False)
    console.print(shown)
    for note in told:
        console.print(plain(note, "dim"), soft_wrap=True)
    return 0
