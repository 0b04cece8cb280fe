"""`metrics.jsonl`: one JSON object a round, on disk before the next round starts."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from coevo.tracking.records import RoundReport, RunInfo

FILE_NAME = "metrics.jsonl"


class JsonlTracker:
    """Appends `{"round": t, "<metric>": value, …}` for each round; not-a-number becomes null.

    A resumed run drops what it is about to write again, and adds a round whose line is not there, as the
    run was killed between its commit and the line. So each round stands there once.
    Every error of the disk is raised: this file is part of the run, not an ornament.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._file: TextIO | None = None

    def start(self, info: RunInfo) -> None:
        if self.path.exists() or info.past:
            _keep_rounds_before(self.path, info.first_round, info.past)
        self._file = self.path.open("a", encoding="utf-8")

    def phase(self, round: int, phase: str) -> None:
        pass

    def log_round(self, report: RoundReport) -> None:
        if self._file is None:
            raise RuntimeError("log_round before start: metrics.jsonl is not open")
        self._file.write(_line(report.round, report.metrics) + "\n")
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


def _line(t: int, metrics: Mapping[str, float]) -> str:
    values = {name: float(v) if math.isfinite(v) else None for name, v in metrics.items()}
    return json.dumps({"round": t, **values}, allow_nan=False)


def _keep_rounds_before(
    path: Path, first_round: int, past: Mapping[int, Mapping[str, float]]
) -> None:
    """Rewrites the file without lines of `first_round` or later, without unreadable ones, and with those of
    past rounds that it lacks.

    A line is unreadable when the process was killed while it wrote it. The old file stays
    whole until the new one is on disk.
    """
    old = path.read_bytes() if path.exists() else b""
    rounds = ((_round_of(line), line) for line in old.splitlines())
    lines = {t: line for t, line in rounds if t is not None and t < first_round}
    for t, metrics in past.items():
        if t < first_round:
            lines.setdefault(t, _line(t, metrics).encode())
    new = b"".join(lines[t] + b"\n" for t in sorted(lines))
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
