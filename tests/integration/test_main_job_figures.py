"""The figures of docs/results.md, from a finished run, against a count of their own."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from statistics import fmean

import pytest

from scripts import main_job_figures
from scripts.main_job_figures import COLUMNS, far_half, figures


def test_as_counted_by_hand(finished_run: Path) -> None:
    found = dict(zip(COLUMNS, figures(finished_run), strict=True))
    summary = json.loads((finished_run / "summary.json").read_text())
    levels = summary["benchmarks"]["heldout"]["by_level"]
    top, frontiers = max(map(int, levels)), dict(summary["frontier"]["by_round"])
    with closing(sqlite3.connect(finished_run / "run.db")) as db:
        rows = db.execute("SELECT round, author, text, valid FROM proposals").fetchall()
    written = [row for row in rows if row[1] == "generator"]
    assert written and frontiers
    last = [valid for t, _, _, valid in written if t == 2]  # of two rounds
    assert found["valid, last third, %"] == pytest.approx(100 * fmean(last))
    beyond = [
        len(text.split(" ")[-1]) >= min(top, frontiers[t])
        for t, _, text, valid in written
        if valid and t in frontiers
    ]
    own = "Generator at or beyond the frontier, %"
    assert found[own] == pytest.approx(100 * fmean(beyond))
    assert 0 < found["at random, %"] <= 100
    assert found["seconds"] == summary["seconds"]["total"]
    far = [final for level, (_, final) in levels.items() if int(level) > fmean(map(int, levels))]
    assert found["far half, %"] == far_half(finished_run) == pytest.approx(100 * fmean(far))


def test_a_lead_over_oneself_is_none(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(finished_run)
    monkeypatch.setattr(sys, "argv", ["figures", run, "--against", run])
    main_job_figures.main()
    heading, _, row, _, lead = capsys.readouterr().out.splitlines()
    assert heading.count("|") == row.count("|") == len(COLUMNS) + 2
    assert lead == "lead on the far half: +0.0 points"
