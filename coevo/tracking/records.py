"""What the loop tells its trackers, and what a tracker is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run as it starts. `first_round` is above 1 when the run is resumed.

    `config` is the resolved configuration as plain values; `wandb_id` is made by the run and
    kept in its checkpoints, so that a resumed run goes on in the same W&B run. `past` has the metrics
    of each round before `first_round`, as `RoundReport.metrics` has them.
    """

    name: str
    folder: Path
    seed: int
    experiment: str
    rounds: int
    first_round: int
    config: dict[str, Any]
    wandb_id: str
    environment: str
    families: tuple[str, ...]
    levels: tuple[int, ...]
    past: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """One whole round.

    `metrics` is flat, `"<role or part>/<name>"`: `solver/success`, `generator/valid_rate`,
    `curriculum/problems`, `zones/mastered` (a count), `heldout/pass@8`, `seconds/rollout`, …
    `problems` are those admitted or moved to another zone, each with problem, statement, parent,
    author, family, level, zone, success and utility. `success_map` holds, for each (family, level)
    tried, the success rate and the number of attempts. `seconds_left` is None while unknown.
    `failing` says of which role all calls failed, and which learnt nothing.
    """

    round: int
    rounds: int
    metrics: dict[str, float]
    problems: list[dict[str, Any]] = field(default_factory=list)
    success_map: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    seconds_left: float | None = None
    failing: list[str] = field(default_factory=list)


class Tracker(Protocol):
    """Something that follows a run. Calls come from one thread, in the order below."""

    def start(self, info: RunInfo) -> None:
        """The run begins, or goes on."""

    def phase(self, round: int, phase: str) -> None:
        """What the round is doing now (`rollout`, `verify`, `learn`, …), for live display only."""

    def log_round(self, report: RoundReport) -> None:
        """A round is over."""

    def finish(self, summary: dict[str, Any]) -> None:
        """The run is over; `summary` is the content of `summary.json`."""

    def log_artifact(self, name: str, kind: str, path: Path) -> None:
        """A file or folder worth keeping; `kind` is `dataset` or `checkpoint`."""

    def close(self) -> None:
        """Lets go of everything; always called, after an error or Ctrl-C too, and maybe twice."""
