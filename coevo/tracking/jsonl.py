"""`metrics.jsonl`: one JSON object a round, on disk before the next round starts."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any, TextIO

from coevo.tracking.records import RoundReport, RunInfo

FILE_NAME = "metrics.jsonl"


class JsonlTracker:
    """Appends `{"round": t, "<metric>": value, …}` for each round; not-a-number becomes null.

    A resumed run drops what it is about to write again, so each round stands there once.
    Every error of the disk is raised: this file is part of the run, not an ornament.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._file: TextIO | None = None

    def start(self, info: RunInfo) -> None:
        if self.path.exists():
            _keep_rounds_before(self.path, info.first_round)
        self._file = self.path.open("a", encoding="utf-8")

    def phase(self, round: int, phase: str) -> None:
        pass

    def log_round(self, report: RoundReport) -> None:
        if self._file is None:
            raise RuntimeError("log_round before start: metrics.jsonl is not open")
        line = {"round": report.round} | {
            name: float(value) if math.isfinite(value) else None
            for name, value in report.metrics.items()
        }
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self, summary: dict[str, Any]) -> None:
        pass

    def log_artifact(self, name: str, kind: str, path: Path) -> None:
        pass

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Every line was synced when it was logged; one that failed was raised there.
            with contextlib.suppress(OSError):
                file.close()


def _keep_rounds_before(path: Path, first_round: int) -> None:
    """Rewrites the file without lines of `first_round` or later, and without unreadable ones.

    A line is unreadable when the process was killed while it wrote it. The old file stays
    whole until the new one is on disk.
    """
    old = path.read_bytes()
    rounds = [(line, _round_of(line)) for line in old.splitlines()]
    new = b"".join(line + b"\n" for line, t in rounds if t is not None and t < first_round)
    if new == old:
        return
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(new)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _round_of(line: bytes) -> int | None:
    try:
        number = json.loads(line)["round"]
    except (ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, int) else None
