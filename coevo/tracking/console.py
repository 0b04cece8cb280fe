"""The run as people watch it: a line a round, a live bar on a terminal, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from coevo.screen import percent, plain
from coevo.tracking.final_tables import print_summary
from coevo.tracking.records import RoundReport, RunInfo

WIDE = 80  # columns from which the long headings fit
LEGEND = (
    "new: success on this round's new problems; valid: the Generator's problems that are "
    "sound; front(ier): highest level at which at least half of this round's attempts are right; "
    "held-out: accuracy on problems that no role sees (~: of a few of them; in parentheses: of an "
    "earlier round); left: time left"
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
        if any("/mean@" in name for name in report.metrics):  # newer than what was measured before
            self._seen = {k: v for k, v in self._seen.items() if "/mean@" not in k}
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


def _held_out(report: RoundReport, seen: Mapping[str, float]) -> str:
    """Of this round, the full evaluation before the curve's point; else the newest there is."""
    for metrics in (report.metrics, seen):
        for prefix, mark in (("heldout/mean@", ""), ("curve/mean@", "~")):
            if name := next((name for name in metrics if name.startswith(prefix)), None):
                accuracy = f"{mark}{percent(metrics[name], 1)}"
                return accuracy if metrics is report.metrics else f"({accuracy})"
    return "-"


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
