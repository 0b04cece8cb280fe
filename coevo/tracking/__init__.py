"""Following a run: `metrics.jsonl` always, the console and W&B if configured."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coevo.config import TrackerConfig
from coevo.tracking.jsonl import JsonlTracker
from coevo.tracking.records import RoundReport, RunInfo, Tracker
from environments.printable import printable

__all__ = ["RoundReport", "RunInfo", "Tracker", "Trackers", "make_tracker"]


class Trackers:
    """Several trackers as one.

    An error of a `required` tracker is raised. An `optional` one that fails (by its name) is
    reported once on standard error and switched off; the run goes on.
    """

    def __init__(self, required: list[Tracker], optional: dict[str, Tracker]) -> None:
        self._required = required
        self._optional = dict(optional)

    def start(self, info: RunInfo) -> None:
        self._each(lambda tracker: tracker.start(info))

    def phase(self, round: int, phase: str) -> None:
        self._each(lambda tracker: tracker.phase(round, phase))

    def log_round(self, report: RoundReport) -> None:
        self._each(lambda tracker: tracker.log_round(report))

    def finish(self, summary: dict[str, Any]) -> None:
        self._each(lambda tracker: tracker.finish(summary))

    def log_artifact(self, name: str, kind: str, path: Path) -> None:
        self._each(lambda tracker: tracker.log_artifact(name, kind, path))

    def close(self) -> None:
        with contextlib.ExitStack() as stack:  # the optional ones even if a required one raises
            stack.callback(self._each_optional, lambda tracker: tracker.close())
            for tracker in self._required:
                stack.callback(tracker.close)

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for tracker in self._required:
            call(tracker)
        self._each_optional(call)

    def _each_optional(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._optional.items()):
            try:
                call(tracker)
            except Exception as error:
                del self._optional[name]
                with contextlib.suppress(Exception):
                    tracker.close()
                reason = printable(" ".join(str(error).split())) or "no reason given"
                with contextlib.suppress(OSError):
                    print(
                        f"warning: {name} failed and is off for the rest of this run "
                        f"({type(error).__name__}: {reason}); metrics.jsonl goes on",
                        file=sys.stderr,
                        flush=True,
                    )


def make_tracker(config: TrackerConfig, folder: Path) -> Trackers:
    """The trackers of a run that lives in `folder`; imports rich and wandb only if used."""
    optional: dict[str, Tracker] = {}
    if config.wandb.mode != "disabled":
        from coevo.tracking.wandb import WandbTracker

        optional["W&B"] = WandbTracker(config.wandb)
    if config.console:  # after W&B, so that the final table is the last thing printed
        from coevo.tracking.console import ConsoleTracker

        optional["console"] = ConsoleTracker()
    return Trackers([JsonlTracker(folder)], optional)
