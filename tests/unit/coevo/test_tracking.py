"""Trackers: what ends up on disk, on the console and in W&B's offline folder."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
from rich.console import Console

from coevo import compose
from coevo.config import ConfigError, TrackerConfig, WandbConfig
from coevo.folder_files import check_folder
from coevo.tracking import RoundReport, RunInfo, Trackers, make_tracker
from coevo.tracking.console import ConsoleTracker, clock
from coevo.tracking.jsonl import JsonlTracker
from coevo.tracking.wandb import flat_summary, hide_secrets, success_rows, zone_shares
from coevo.wandb_variables import resolved

SUMMARY: dict[str, Any] = {
    "schema": 1,
    "name": "trial",
    "seconds": {"total": 120.0, "rollout": 60.0, "verify": 6.0, "learn": 48.0, "other": 6.0},
    "benchmarks": {
        "heldout": {
            "metric": "mean@8",
            "base": 0.412,
            "final": 0.551,
            "delta": 0.139,
            "delta_ci95": [0.108, 0.171],
            "pass@8": {"base": 0.78, "final": 0.80},
            "maj@8": {"base": 0.5, "final": 0.6},
            "by_level": {"2": [0.7, 0.79], "8": [0.0, 0.09]},
            "pass_by_level": {"2": [0.9, 1.0], "8": [0.0, 0.5]},
            "ci95": {
                "mean@8": {"base": [0.38, 0.44], "final": [0.52, 0.58], "delta": [0.108, 0.171]},
                "pass@8": {"base": [0.7, 0.86], "final": [0.73, 0.87], "delta": [-0.05, 0.09]},
                "maj@8": {"base": [0.4, 0.6], "final": [0.5, 0.7], "delta": [0.02, 0.18]},
                "by_level": {
                    "2": {"base": [0.6, 0.8], "final": [0.7, 0.88], "delta": [0.01, 0.17]},
                    "8": {"base": None, "final": None, "delta": None},
                },
                "pass_by_level": {
                    "2": {"base": [0.8, 1.0], "final": [0.8, 1.0], "delta": [-0.05, 0.25]},
                    "8": {"base": None, "final": None, "delta": None},
                },
            },
        }
    },
    "curriculum": {"problems": 868, "mastered": 217, "learning": 404, "too_hard": 217},
    "generator": {
        "proposals": 576,
        "valid_rate": [0.62, 0.94],
        "valid_rate_ci95": [[0.48, 0.75], [0.83, 0.98]],
        "mean_utility": [0.41, 0.63],
        "mean_utility_ci95": [[0.33, 0.49], None],
    },
    "frontier": {"by_round": [[1, 2], [2, 8]], "heldout": [2, 8]},
    "training": {"solver": {"steps": 178, "tokens": 1234567}, "generator": {"steps": 24}},
    "all_failed": [
        {"role": "teacher", "task": "verify", "rounds": [2, 3], "message": "all 8 calls failed"}
    ],
}


def info(folder: Path, **changes: Any) -> RunInfo:
    values: dict[str, Any] = {
        "name": "trial",
        "folder": folder,
        "seed": 3,
        "experiment": "default",
        "rounds": 12,
        "first_round": 1,
        "config": {"seed": 3},
        "wandb_id": "abcd1234",
        "environment": "arithmetic",
        "families": ("sums", "products"),
        "levels": (2, 3),
    }
    return RunInfo(**(values | changes))


def problem(name: str, success: float | None = 0.5) -> dict[str, Any]:
    return {
        "problem": name,
        "statement": "7+5",
        "parent": None,
        "author": "generator",
        "family": "sums",
        "level": 2,
        "zone": "learning",
        "success": success,
        "utility": 1.0,
    }


def report(round: int, **changes: Any) -> RoundReport:
    values: dict[str, Any] = {
        "round": round,
        "rounds": 12,
        "metrics": {
            "curriculum/new_success": 0.426,
            "generator/valid_rate": 0.63,
            "curriculum/problems": 164.0,
            "curriculum/frontier": 6.0,
            "zones/mastered": 12.0,
            "zones/learning": 60.0,
            "zones/too_hard": 8.0,
        },
        "seconds_left": 107.0,
    }
    return RoundReport(**(values | changes))


# metrics.jsonl


def test_a_line_a_round_is_on_disk_at_once(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.start(info(tmp_path))
    tracker.log_round(report(1, metrics={"solver/success": 0.5, "solver/loss": float("nan")}))
    assert json.loads(tracker.path.read_text()) == {
        "round": 1,
        "solver/success": 0.5,
        "solver/loss": None,
    }
    tracker.close()
    tracker.close()


def test_a_resumed_run_replaces_the_rounds_it_repeats(tmp_path: Path) -> None:
    first = JsonlTracker(tmp_path)
    first.start(info(tmp_path))
    for round in (1, 2, 3):
        first.log_round(report(round, metrics={"x": float(round)}))
    first.close()
    before = first.path.read_text().splitlines()

    second = JsonlTracker(tmp_path)
    second.start(info(tmp_path, first_round=3))
    assert second.path.read_text().splitlines() == before[:2]
    second.log_round(report(3, metrics={"x": 30.0}))
    second.close()
    assert second.path.read_text().splitlines() == [*before[:2], '{"round": 3, "x": 30.0}']
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_half_written_last_line_goes_on_resume(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"round": 1, "x": 1.0}\n{"round": 2, "x"')
    tracker = JsonlTracker(tmp_path)
    tracker.start(info(tmp_path, first_round=3))
    tracker.log_round(report(3, metrics={"x": 3.0}))
    tracker.close()
    assert path.read_text() == '{"round": 1, "x": 1.0}\n{"round": 3, "x": 3.0}\n'


def test_a_round_that_was_committed_but_not_written_is_made_up_for(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"round": 1, "x": 1.0}\n{"round": 2, "x"')
    past = {1: {"x": 9.0}, 2: {"x": 2, "y": float("nan")}, 3: {"x": 3.0}}
    tracker = JsonlTracker(tmp_path)
    tracker.start(info(tmp_path, first_round=3, past=past))
    tracker.close()
    assert path.read_text() == '{"round": 1, "x": 1.0}\n{"round": 2, "x": 2.0, "y": null}\n'


def test_a_whole_last_line_without_its_newline_is_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"round": 1, "x": 1.0}')
    tracker = JsonlTracker(tmp_path)
    tracker.start(info(tmp_path, first_round=2))
    tracker.log_round(report(2, metrics={"x": 2.0}))
    tracker.close()
    assert path.read_text() == '{"round": 1, "x": 1.0}\n{"round": 2, "x": 2.0}\n'


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    tracker = make_tracker(
        TrackerConfig(console=False, wandb=WandbConfig(mode="disabled")), tmp_path
    )
    tracker.start(info(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            tracker.log_round(report(1))
        tracker.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# console


def shown(width: int, terminal: bool, act: Callable[[ConsoleTracker], None]) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, highlight=False)
    tracker = ConsoleTracker(console)
    tracker.start(info(Path("runs/trial")))
    act(tracker)
    tracker.close()
    tracker.close()
    return stream.getvalue()


def two_rounds(tracker: ConsoleTracker) -> None:
    tracker.phase(1, "rollout")
    tracker.log_round(report(1, metrics=report(1).metrics | {"heldout/mean@8": 0.41}))
    tracker.log_round(report(2, seconds_left=None, problems=[problem("deadbeef01234567")]))


def test_plain_lines_at_60_columns() -> None:
    lines = shown(60, False, two_rounds).splitlines()
    assert lines[0] == "trial: default on arithmetic, seed 3, 12 rounds"
    assert lines[-3:] == [
        "round  mast. learn  hard   new valid front  held-out    left",
        "    1     12    60     8   43%   63%     6     41.0%    1:47",
        "    2     12    60     8   43%   63%     6   (41.0%)       -",
    ]
    assert max(map(len, lines)) <= 60


def test_plain_lines_at_80_columns() -> None:
    lines = shown(80, False, two_rounds).splitlines()
    assert lines[-3:] == [
        " round   pool mastered learning too hard   new valid frontier  held-out     left",
        "     1    164       12       60        8   43%   63%        6     41.0%     1:47",
        "     2    164       12       60        8   43%   63%        6   (41.0%)        -",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [60, 80])
def test_the_curve_is_marked_where_there_is_no_full_evaluation(width: int) -> None:
    """Rounds with a full evaluation, nothing, a point, nothing, and both."""
    full, point = {"heldout/mean@8": 1.0}, {"curve/mean@4": 1.0}
    rounds = [full, {}, point, {}, point | {"heldout/mean@8": 0.5}]

    def act(tracker: ConsoleTracker) -> None:
        for t, own in enumerate(rounds):
            tracker.log_round(report(t, metrics=own, seconds_left=3600.0))

    lines = shown(width, False, act).splitlines()
    held_out = [line.split()[-2] for line in lines[-5:]]
    assert held_out == ["100.0%", "(100.0%)", "~100.0%", "(~100.0%)", "50.0%"]
    assert max(map(len, lines)) <= width


def test_metrics_that_a_round_lacks_are_dashes() -> None:
    lines = shown(60, False, lambda tracker: tracker.log_round(report(1, metrics={}))).splitlines()
    assert lines[-1].split() == ["1", "-", "-", "-", "-", "-", "-", "-", "1:47"]


def test_a_terminal_shows_the_phase_and_gets_its_cursor_back() -> None:
    text = shown(60, True, two_rounds)
    assert "rollout" in text and "round 1/12" in text and re.search(r"1:4[67] left", text)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # shown after hidden
    bars = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part) for part in re.split(r"[\r\n]", text)]
    assert max(map(len, bars)) <= 60
    assert "\x1b" not in shown(60, False, two_rounds)


def test_the_final_table_at_60_columns() -> None:
    def act(tracker: ConsoleTracker) -> None:
        two_rounds(tracker)
        tracker.finish(SUMMARY)

    lines = [line.rstrip() for line in shown(60, False, act).splitlines()]
    words = [line.split() for line in lines]
    for row in (
        "heldout base, % final, % change, points",
        "mean@8 41.2 ±3.2 55.1 ±3.1 +13.9 [+10.8, +17.1]",
        "pass@8 78.0 ±8.0 80.0 ±7.0 +2.0 [-5.0, +9.0]",
        "maj@8 50.0 ±10.0 60.0 ±10.0 +10.0 [+2.0, +18.0]",
        "frontier 2 8 +6",
        "heldout, mean@8 mean@8 mean@8",
        "2 70.0 ±10.0 79.0 ±9.0 +9.0 [+1.0, +17.0]",
        "8* 0.0 9.0 +9.0",
        "heldout, pass@8 pass@8 pass@8",
        "2 90.0 ±10.0 100.0 ±20.0 +10.0 [-5.0, +25.0]",
        "8* 0.0 50.0 +50.0",
        "± and brackets: 95 % intervals, over problems",
        "rounds 2, 3: all 8 calls failed",
        "valid rate, % 62 [48, 75] 94 [83, 98]",
        "mean utility 0.41 [0.33, 0.49] 0.63",
        "training steps tokens",
        "Solver 178 1,234,567",
        "Generator 24 -",
        "mastered 217 25%",
        "too hard 217 25%",
        "untried 30 3%",
        "rollout 60.0 50%",
        "total 120.0",
    ):
        assert row.split() in words
    assert lines[-4:] == [
        "The run is in runs/trial",
        "Next: coevo eval trial",
        "      coevo explain trial deadbeef01234567",
        "      coevo export trial --what model --to trial-model",
    ]
    assert max(map(len, lines)) <= 60


def test_levels_are_one_table_where_it_fits() -> None:
    lines = [
        line.rstrip()
        for line in shown(80, False, lambda tracker: tracker.finish(SUMMARY)).splitlines()
    ]
    start = next(i for i, line in enumerate(lines) if line.startswith("heldout,"))
    assert lines[start : start + 5] == [
        "heldout,     mean@8    mean@8             mean@8     pass@8      pass@8",
        "level       base, %  final, %     change, points    base, %    final, %",
        "2        70.0 ±10.0 79.0 ±9.0 +9.0 [+1.0, +17.0] 90.0 ±10.0 100.0 ±20.0",
        "8*              0.0       9.0               +9.0        0.0        50.0",
        "* no base completion was right on any problem of this level",
    ]


def test_the_final_table_fits_whatever_the_figures() -> None:
    widest = {"base": [0.0, 1.0], "final": [0.0, 1.0], "delta": [-1.0, 1.0]}
    level = {"12": [1.0, 0.0]}
    block = {"metric": "mean@64", "base": 1.0, "final": 0.0}
    block |= {"by_level": level, "pass_by_level": level}
    bounds = {"12": widest}
    block |= {"ci95": {"mean@64": widest, "by_level": bounds, "pass_by_level": bounds}}
    summary = {"schema": 1, "benchmarks": {"heldout": block}}
    lines = shown(60, False, lambda tracker: tracker.finish(summary)).splitlines()
    assert ["mean@64", "100.0", "±100.0", "0.0", "±100.0", "-100.0", "[-100.0,", "+100.0]"] in map(
        str.split, lines
    )
    assert max(map(len, lines)) <= 60


def test_a_summary_without_intervals_is_shown_all_the_same() -> None:
    block = {"metric": "mean@8", "base": 0.4, "final": 0.5, "delta_ci95": [0.05, 0.15]}
    generator = {"proposals": 0, "valid_rate": [None, None], "mean_utility": [None, None]}
    summary = {"schema": 1, "benchmarks": {"heldout": block}, "generator": generator}
    words = [
        line.split()
        for line in shown(60, False, lambda tracker: tracker.finish(summary)).splitlines()
    ]
    assert ["mean@8", "40.0", "50.0", "+10.0", "[+5.0,", "+15.0]"] in words
    assert ["valid", "rate,", "%", "-", "-"] in words
    assert ["mean", "utility", "-", "-"] in words


def test_roles_whose_calls_all_fail_are_told_in_their_round() -> None:
    told = "all 8 calls of the Teacher (verify) failed, most often: timeout (6)"
    lines = shown(
        60, False, lambda tracker: tracker.log_round(report(3, failing=[told + "\x1b[2J"]))
    ).splitlines()
    assert lines[-1] == f"round 3: {told}\\x1b[2J"


def test_the_final_table_does_without_what_is_missing() -> None:
    text = shown(60, False, lambda tracker: tracker.finish({"schema": 1}))
    assert "coevo explain trial PROBLEM" in text


def test_clock() -> None:
    assert [clock(s) for s in (None, 0, 65.4, 3600 * 2 + 180)] == ["-", "0:00", "1:05", "2:03:00"]


# several trackers


class Broken:
    """A tracker that fails in `log_round`, and counts what it is still asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self, info: RunInfo) -> None:
        self.calls.append("start")

    def phase(self, round: int, phase: str) -> None:
        self.calls.append("phase")

    def log_round(self, report: RoundReport) -> None:
        self.calls.append("log_round")
        raise ValueError("no\nroom")

    def finish(self, summary: dict[str, Any]) -> None:
        self.calls.append("finish")

    def log_artifact(self, name: str, kind: str, path: Path) -> None:
        self.calls.append("log_artifact")

    def close(self) -> None:
        self.calls.append("close")


def test_a_failing_optional_tracker_is_reported_once_and_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken()
    trackers = Trackers([JsonlTracker(tmp_path)], {"W&B": broken})
    trackers.start(info(tmp_path))
    trackers.log_round(report(1))
    trackers.log_round(report(2))
    trackers.finish(SUMMARY)
    trackers.close()
    assert broken.calls == ["start", "log_round", "close"]
    assert capsys.readouterr().err == (
        "warning: W&B failed and is off for the rest of this run (ValueError: no room); "
        "metrics.jsonl goes on\n"
    )
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_failing_required_tracker_raises_and_the_others_are_closed(tmp_path: Path) -> None:
    broken, other = Broken(), Broken()
    trackers = Trackers([broken], {"other": other})
    with pytest.raises(ValueError, match="room"):
        trackers.log_round(report(1))
    trackers.close()
    assert broken.calls == ["log_round", "close"]
    assert other.calls == ["close"]


# W&B


@pytest.fixture
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No key, no server, a home of its own; returns the run folder."""
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        if name != "WANDB_SERVICE":  # how W&B finds the service it has started in this process
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    (tmp_path / "home").mkdir()
    folder = tmp_path / "trial"
    folder.mkdir()
    return folder


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    """The logged increments of a table, oldest first."""
    parts = sorted(
        folder.glob(f"wandb/offline-run-*/files/media/table/{name}_*.table.json"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    return [json.loads(path.read_text()) for path in parts]


def offline_run(folder: Path, rounds: range) -> None:
    tracker = make_tracker(TrackerConfig(console=False), folder)
    config = {"seed": 3, "project_note": "kept-in-config", "api_key": "sk-very-secret"}
    tracker.start(info(folder, first_round=rounds[0], config=config))
    for round in rounds:
        tracker.phase(round, "rollout")
        tracker.log_round(
            report(
                round,
                problems=[problem(f"{round}-a", success=None), problem(f"{round}-b")],
                success_map={("sums", 2): (0.75, 8), ("products", 3): (0.5, 8)},
            )
        )
    tracker.log_artifact("trial check point", "checkpoint", folder / "checkpoint")
    tracker.finish(SUMMARY)
    tracker.close()
    tracker.close()


def test_wandb_offline_without_key_or_network(
    no_account: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb.teardown()  # one that another test began has another working folder
    monkeypatch.chdir(no_account.parent)
    folder = Path(no_account.name)
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "weights").write_bytes(b"weights of the model")
    offline_run(folder, range(1, 3))
    wandb.teardown()  # as at the end of a process: ends W&B's own, which may still be writing

    end = time.monotonic() + 60
    logs = "wandb/offline-run-*-abcd1234/run-abcd1234.wandb"
    while not any(b"delta_ci95" in log.read_bytes() for log in folder.glob(logs)):
        assert time.monotonic() < end, [*folder.glob("wandb/**/*")]
    (log,) = folder.glob(logs)
    check_folder(folder)  # W&B's links out of it would keep every command from opening it
    content = log.read_bytes()
    for logged in (b"kept-in-config", b"generator/valid_rate", b"zones/mastered_share",
                   b"trial-check-point", b"delta_ci95"):  # fmt: skip
        assert logged in content
    assert b"sk-very-secret" not in content
    first, second = table(folder, "curriculum/table")
    assert first["columns"] == [
        "round", "problem", "statement", "parent", "author", "family", "level", "zone",
        "success", "utility",
    ]  # fmt: skip
    assert [row[:2] for row in first["data"]] == [[1, "1-a"], [1, "1-b"]]
    assert [row[:2] for row in second["data"]] == [[2, "2-a"], [2, "2-b"]]  # only what is new
    assert table(folder, "solver/success_map")[0] == {
        "columns": ["family", "level 2", "level 3"],
        "data": [["sums", 0.75, None], ["products", None, 0.5]],
    }
    for logged in (b"heldout/mean@8/final", b"heldout/mean@8/delta_low", b"heldout/pass@8/base",
                   b"heldout/level/8/delta"):  # fmt: skip
        assert logged in content
    # beside the run, not in the home directory, and not twice on the disk
    (kept,) = folder.glob("wandb/offline-run-*/artifacts/trial-check-point/weights")
    assert kept.samefile(folder / "checkpoint" / "weights")
    assert str(kept.absolute()).encode() in content  # found from wherever `wandb sync` is called
    staged = [path.read_bytes() for path in folder.glob("wandb/data/artifacts/staging/*")]
    assert b"weights of the model" not in staged
    assert not (folder.parent / "home" / ".local").exists()

    offline_run(folder, range(2, 4))  # resumed: the same W&B run
    logs = [path.name for path in folder.glob("wandb/offline-run-*/*.wandb")]
    assert logs == ["run-abcd1234.wandb"] * 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize("key", ["", "no key", "0123456789abcdef" * 2 + "01234567"])
def test_wandb_online_without_key_or_server_goes_on_offline(
    no_account: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    """With a key the server is asked, which accepts connections and never answers."""
    folder = no_account
    monkeypatch.setattr("coevo.tracking.wandb.INIT_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        if key:
            monkeypatch.setenv("WANDB_API_KEY", key)
        wandb.teardown()  # what it has read of the environment before
        config = TrackerConfig(console=False, wandb=WandbConfig(mode="online"))
        tracker = make_tracker(config, folder)
        tracker.start(info(folder))
        tracker.log_round(report(1))
        tracker.log_round(report(2))
        tracker.finish(SUMMARY)
        tracker.close()
        wandb.teardown()
    warning = capsys.readouterr().err
    assert warning.startswith("warning: W&B cannot be used online (")
    assert ("wandb login" in warning) == (not key)
    (log,) = folder.glob("wandb/*run-*/*.wandb")
    assert f"wandb sync {log.parent} uploads it later\n" in warning and warning.count("\n") == 1
    assert log.parent.name.startswith("offline-run-") and b"heldout/pass@8" in log.read_bytes()
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2


def test_wandb_goes_where_it_is_told(no_account: Path) -> None:
    elsewhere = no_account.parent / "elsewhere"
    said = {
        "WANDB_DIR": str(elsewhere), "WANDB_PROJECT": "a-project", "WANDB_NAME": "a-name",
        "WANDB_RUN_GROUP": "a-group", "WANDB_TAGS": "one, two", "WANDB_NOTES": "a-note",
    }  # fmt: skip
    tracker = make_tracker(
        TrackerConfig(console=False, wandb=resolved(WandbConfig(), said)), no_account
    )
    tracker.start(info(no_account))
    tracker.log_round(report(1))
    tracker.close()
    wandb.teardown()
    (log,) = elsewhere.glob("wandb/offline-run-*/*.wandb")
    content = log.read_bytes()
    for word in ("a-project", "a-name", "a-group", "one", "two", "a-note"):
        assert word.encode() in content
    assert not list(no_account.glob("wandb/offline-run-*"))


def test_variables_that_come_later_change_nothing(
    no_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("ENTITY", "PROJECT", "NAME", "RUN_GROUP", "TAGS", "NOTES", "DIR", "RUN_ID")
    for name in names:
        monkeypatch.setenv(f"WANDB_{name}", f"later-{name}")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb.teardown()
    tracker = make_tracker(
        TrackerConfig(console=False, wandb=WandbConfig(mode="offline")), no_account
    )
    tracker.start(info(no_account))
    tracker.log_round(report(1))
    tracker.close()
    wandb.teardown()
    (log,) = no_account.glob("wandb/offline-run-*-abcd1234/*.wandb")
    assert b"later-" not in log.read_bytes()


def test_an_override_wins_then_the_variable_then_the_default() -> None:
    said = {
        "WANDB_MODE": "dryrun",
        "WANDB_PROJECT": "theirs",
        "WANDB_TAGS": " a,b, ",
        "WANDB_NAME": "",
    }
    assert resolved(WandbConfig(), {}) == WandbConfig(mode="offline", project="coevo", tags=[])
    assert resolved(WandbConfig(), said) == WandbConfig(
        mode="offline", project="theirs", tags=["a", "b"]
    )
    own = WandbConfig(mode="online", project="mine", tags=["c"])
    assert resolved(own, said) == own
    assert resolved(WandbConfig(), {"WANDB_DISABLED": "true"}).mode == "disabled"
    assert resolved(WandbConfig(), {"WANDB_DISABLED": "true", "WANDB_MODE": "run"}).mode == "online"
    with pytest.raises(ConfigError, match=r"WANDB_MODE='ofline' .*did you mean 'offline'"):
        resolved(WandbConfig(), {"WANDB_MODE": "ofline"})
    assert resolved(own, {"WANDB_MODE": "ofline"}) == own


def test_a_run_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are read when a run is made; later only an override changes its settings."""
    monkeypatch.setenv("WANDB_PROJECT", "first")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    config = compose.compose(["tracker.wandb.tags=[x]"])
    assert config.tracker.wandb == WandbConfig(mode="disabled", project="first", tags=["x"])
    saved = compose.to_plain(config)
    monkeypatch.setenv("WANDB_PROJECT", "second")
    monkeypatch.setenv("WANDB_NAME", "other")
    assert compose.from_plain(saved).tracker.wandb == config.tracker.wandb
    changed = compose.from_plain(saved, ["tracker.wandb.project=third"]).tracker.wandb
    assert changed.project == "third" and changed.mode == "disabled"


def test_figures_under_names_of_their_own() -> None:
    flat = flat_summary(SUMMARY)
    assert flat["heldout/mean@8/base"] == 0.412 and flat["heldout/maj@8/final"] == 0.6
    assert (flat["heldout/mean@8/delta_low"], flat["heldout/mean@8/delta_high"]) == (0.108, 0.171)
    assert flat["heldout/level/2/delta"] == pytest.approx(0.09)
    assert (flat["heldout/frontier/base"], flat["heldout/frontier/final"]) == (2, 8)
    assert (flat["training/solver/steps"], flat["training/generator/steps"]) == (178, 24)
    assert flat_summary({}) == {}


def test_secrets_are_hidden() -> None:
    config = {
        "max_tokens": 128,
        "api_key_env": "OPENAI_API_KEY",
        "teacher": {"api_key": "sk-1", "urls": ["http://me:hunter2hunter2@host"], "token": ""},
    }
    assert hide_secrets(config, {"PROXY_PASSWORD": "hunter2hunter2", "X_TOKEN": "0"}) == {
        "max_tokens": 128,
        "api_key_env": "OPENAI_API_KEY",
        "teacher": {"api_key": "<hidden>", "urls": ["<hidden>"], "token": ""},
    }


def test_zone_shares_and_success_rows() -> None:
    shares = zone_shares(report(1))
    assert shares == {
        "zones/mastered_share": 0.15,
        "zones/learning_share": 0.75,
        "zones/too_hard_share": 0.1,
    }
    assert zone_shares(report(1, metrics={})) == {}
    some = report(1, success_map={("sums", 3): (0.25, 4)})
    assert success_rows(some, ("sums",), (2, 3)) == [["sums", None, 0.25]]
