"""The run as people watch it: a line a round, a live bar on a terminal, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from coevo.level_table import level_tables, of_block
from coevo.program import command
from coevo.screen import plain, points, share
from coevo.tracking.records import RoundReport, RunInfo

WIDE = 80  # columns from which the long headings fit
LEGEND = (
    "new: success on this round's new problems; valid: the Generator's problems that are "
    "sound; front(ier): highest level at which at least half of this round's attempts are right; "
    "held-out: accuracy on problems that no role sees (in parentheses: of an earlier "
    "round); left: time left"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the line that each round prints; `value` gets the latest of each metric too."""

    narrow: tuple[str, int] | None  # heading and width below 80 columns; None: not shown there
    wide: tuple[str, int]
    value: Callable[[RoundReport, Mapping[str, float]], str]


class ConsoleTracker:
    """Prints to `console` (standard output by default); animated only on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._seen: dict[str, float] = {}  # latest value of every metric
        self._progress: Progress | None = None
        self._example = "PROBLEM"

    def start(self, info: RunInfo) -> None:
        self._info = info
        last = f", from round {info.first_round}" if info.first_round > 1 else ""
        rounds = f"{info.rounds} round{'s' * (info.rounds != 1)}"
        self._print(Text.assemble(
            plain(info.name, "bold"),
            plain(f": {info.experiment} on {info.environment}"), f", seed {info.seed}, {rounds}{last}",
        ))  # fmt: skip
        self._print(plain(info.folder, "dim"))
        self._console.print(Text(LEGEND, style="dim"))
        self._print(Text(self._row(lambda column, heading: heading), style="bold"))
        if self._console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("round {task.fields[round]}/{task.total}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.description}", markup=False),
                _TimeLeft(),
                console=self._console,
                transient=True,
                expand=True,
                refresh_per_second=4,
            )
            self._task = self._progress.add_task(
                "starting",
                total=info.rounds,
                completed=max(0, info.first_round - 1),
                round=info.first_round,
                ends=None,
            )
            self._progress.start()

    def phase(self, round: int, phase: str) -> None:
        if self._progress is not None:
            self._progress.update(self._task, description=phase, round=round, refresh=True)

    def log_round(self, report: RoundReport) -> None:
        self._seen |= report.metrics
        for problem in report.problems:
            if problem.get("author") == "generator" and problem.get("problem"):
                self._example = str(problem["problem"])
        self._print(Text(self._row(lambda column, _: column.value(report, self._seen))))
        for told in report.failing:
            self._print(plain(f"round {report.round}: {told}", "yellow"))
        if self._progress is not None:
            left = report.seconds_left
            self._progress.update(
                self._task,
                completed=report.round,
                description="",
                ends=None if left is None else time.monotonic() + left,
                refresh=True,
            )

    def finish(self, summary: dict[str, Any]) -> None:
        self.close()
        print_summary(self._console, summary, self._info.name, self._info.folder, self._example)

    def log_artifact(self, name: str, kind: str, path: Path) -> None:
        pass

    def close(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.stop()

    def _row(self, cell: Callable[[Column, str], str]) -> str:
        wide = self._console.width >= WIDE
        cells = []
        for column in COLUMNS:
            if (shown := column.wide if wide else column.narrow) is not None:
                heading, width = shown
                cells.append(f"{cell(column, heading):>{width}}")
        return "".join(cells)

    def _print(self, text: Text) -> None:
        """One line, never wrapped or cut: it may be read by a program or copied."""
        self._console.print(text, soft_wrap=True)


class _TimeLeft(ProgressColumn):
    """The latest estimate of the time left, counted down between rounds."""

    def render(self, task: Task) -> Text:
        ends = task.fields["ends"]
        left = "" if ends is None else f"{clock(max(0.0, ends - time.monotonic()))} left"
        return Text(left, style="cyan")


def clock(seconds: float | None) -> str:
    """`1:05`, `2:03:00`, or `-` for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None or share != share else f"{100 * share:.{digits}f}%"


def _held_out(report: RoundReport, seen: Mapping[str, float]) -> str:
    name = next((name for name in seen if name.startswith("heldout/mean@")), None)
    if name is None:
        return "-"
    accuracy = percent(seen[name], 1)
    return accuracy if name in report.metrics else f"({accuracy})"


def _count(name: str) -> Callable[[RoundReport, Mapping[str, float]], str]:
    return lambda report, seen: f"{report.metrics[name]:.0f}" if name in report.metrics else "-"


COLUMNS = (
    Column(("round", 5), ("round", 6), lambda report, seen: str(report.round)),
    Column(None, ("pool", 7), _count("curriculum/problems")),
    Column(("mast.", 7), ("mastered", 9), _count("zones/mastered")),
    Column(("learn", 6), ("learning", 9), _count("zones/learning")),
    Column(("hard", 6), ("too hard", 9), _count("zones/too_hard")),
    Column(("new", 6), ("new", 6), lambda report, seen: percent(
        report.metrics.get("curriculum/new_success"))),
    Column(("valid", 6), ("valid", 6), lambda report, seen: percent(
        report.metrics.get("generator/valid_rate"))),
    Column(("front", 6), ("frontier", 9), _count("curriculum/frontier")),
    Column(("held-out", 10), ("held-out", 10), _held_out),
    Column(("left", 8), ("left", 9), lambda report, seen: clock(report.seconds_left)),
)  # fmt: skip


def print_summary(
    console: Console, summary: dict[str, Any], name: str, folder: Path, example: str = "PROBLEM"
) -> None:
    """The tables that end a run, from `summary.json`'s content, and what to try next.

    `example` is a problem's id for the suggested `coevo explain`. Parts that the summary
    lacks are left out.
    """
    for benchmark, result in summary.get("benchmarks", {}).items():
        reached = summary.get("frontier", {}).get("heldout") if benchmark == "heldout" else None
        _show(console, _benchmark_table(benchmark, result, reached))
        for table in level_tables(benchmark, of_block(result), console):
            _show(console, table)
    for failed in summary.get("all_failed", []):
        rounds = ", ".join(map(str, failed["rounds"]))
        told = f"round{'s' * (len(failed['rounds']) > 1)} {rounds}: {failed['message']}"
        console.print(Padding(plain(told, "yellow"), (1, 0, 0, 0), expand=False))
    if "generator" in summary:
        _show(console, _generator_table(summary["generator"]))
    if summary.get("training"):
        _show(console, _training_table(summary["training"]))
    if "curriculum" in summary:
        counts = dict(summary["curriculum"])
        total = counts.pop("problems", sum(counts.values()))
        if untried := total - sum(counts.values()):
            counts["untried"] = untried
        _show(console, _share_table("curriculum", "problems", counts, total))
    if "seconds" in summary:
        seconds = dict(summary["seconds"])
        total = seconds.pop("total", sum(seconds.values()))
        _show(console, _share_table("time", "seconds", seconds, total, digits=1))
    run = name if folder == Path("runs") / name else str(folder)
    lines = [
        ("\nThe run is in ", str(folder)),
        ("Next: ", command("eval", run)),
        ("      ", command("explain", run, example)),
        ("      ", command("export", run, "--what", "model", "--to", f"{name}-model")),
    ]
    for label, content in lines:  # not wrapped, so that they can be copied
        console.print(Text.assemble(label, plain(content, "bold")), soft_wrap=True)


def _show(console: Console, table: Table) -> None:
    console.print(Padding(table, (1, 0, 0, 0), expand=False))


def _table(title: str, *headings: str, width: int = 16) -> Table:
    """The first column, of this width at least, names the row; the others are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(plain(title), min_width=width)
    for heading in headings:
        table.add_column(heading, justify="right", min_width=8, no_wrap=True)
    return table


def _benchmark_table(
    benchmark: str, result: dict[str, Any], reached: Sequence[int | None] | None = None
) -> Table:
    """`reached`: the frontier of base and final, a level each.

    Every figure has its interval, `44.8 ±2.1` or in brackets; the table fits in 60 columns."""
    bounds = result.get("ci95", {})
    metric = result.get("metric", "accuracy")
    table = _table(benchmark, "base, %", "final, %", "change, points", width=9)
    rows = [(metric, result["base"], result["final"], bounds.get(metric, {}))]
    rows += [
        (key, pair["base"], pair["final"], bounds.get(key, {}))
        for key, pair in result.items()
        if "@" in key
    ]
    for number, (label, base, final, own) in enumerate(rows):
        delta = own.get("delta") or (None if number else result.get("delta_ci95"))
        table.add_row(
            plain(label),
            share(base, own.get("base")),
            share(final, own.get("final")),
            points(final - base, delta),
            style="" if number else "bold",
        )
    if reached is not None and any(level is not None for level in reached):
        base, final = reached
        change = "" if base is None or final is None else f"{final - base:+d}"
        table.add_row(
            "frontier", *("-" if level is None else f"{level}" for level in reached), change
        )
    if bounds:
        table.caption = "± and brackets: 95 % intervals, over problems"
        table.caption_justify = "left"
    return table


def _generator_table(generator: dict[str, Any]) -> Table:
    table = _table("generator", "first", "last", width=13)
    for key, label, show in (
        ("valid_rate", "valid rate, %", _rate),
        ("mean_utility", "mean utility", _worth),
    ):
        if key in generator:
            bounds = generator.get(f"{key}_ci95", (None, None))
            table.add_row(label, *map(show, generator[key], bounds))
    if "proposals" in generator:
        table.add_row("proposals", "", f"{generator['proposals']}")
    return table


def _training_table(training: dict[str, dict[str, int]]) -> Table:
    """What each role's updates were made of; a figure that the run does not know is a dash."""
    table = _table("training", "steps", "tokens", width=13)
    for role, own in training.items():
        cells = (f"{own[key]:,}" if key in own else "-" for key in ("steps", "tokens"))
        table.add_row(plain(role.capitalize()), *cells)
    return table


def _rate(value: float | None, bounds: Sequence[float] | None) -> str:
    if value is None or bounds is None:
        return "-" if value is None else f"{100 * value:.0f}"
    return f"{100 * value:.0f} [{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]"


def _worth(value: float | None, bounds: Sequence[float] | None) -> str:
    if value is None or bounds is None:
        return "-" if value is None else f"{value:.2f}"
    return f"{value:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def _share_table(
    title: str, heading: str, parts: dict[str, float], total: float, digits: int = 0
) -> Table:
    table = _table(title, heading, "share")
    for part, amount in parts.items():
        share = percent(amount / total) if total else "-"
        table.add_row(plain(part.replace("_", " ")), f"{amount:.{digits}f}", share)
    table.add_row("total", f"{total:.{digits}f}", "", style="bold")
    return table
