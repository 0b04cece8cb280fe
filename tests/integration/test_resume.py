"""A run that was stopped at any moment and resumed is the run that was not stopped."""

from __future__ import annotations

import gc
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from coevo.checkpoint import folder_of, rounds
from coevo.claim import RunError
from coevo.compose import compose
from coevo.config import ConfigError
from coevo.run import resume, start
from coevo.store import Store, StoreError
from tests.integration.small import MAIN, SMALL, coevo_run, command, read, run

ROUNDS = "rounds=3"
DEADLINE = 120.0  # seconds; no wait takes a tenth of it


CURVE = ("evaluation.curve_every=2", "evaluation.curve_per_cell=1", "evaluation.curve_k=1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The main job that nobody stopped, with a held-out curve."""
    return run(tmp_path_factory.mktemp("main"), ROUNDS, *MAIN)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a run on arithmetic, by DPO, that nobody stopped. It has a curve: runs without one
    have the same digest, for evaluating changes nothing."""
    return run(tmp_path_factory.mktemp("straight"), ROUNDS, *CURVE)[0]["digest"]


def written(folder: Path) -> tuple[list[dict[str, float]], list[tuple[Any, ...]]]:
    """Every metric of a run that is no time, and all that it evaluated."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    metrics = [{k: v for k, v in line.items() if not k.startswith("seconds/")} for line in lines]
    rows = read(folder).query("SELECT * FROM evaluations ORDER BY rowid")
    return metrics, [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def one_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one round; it is only read."""
    return run(tmp_path_factory.mktemp("one"), "rounds=1")[1]


def wait(
    process: subprocess.Popen[str], ready: Callable[[], bool], seconds: float = DEADLINE
) -> None:
    """Returns once `ready`; fails if the process ends first, or at the deadline."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "not ready within the deadline"
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        output, _ = process.communicate()
        raise AssertionError(f"ended with {process.returncode}: {output}")


def finished(folder: Path, count: int) -> Callable[[], bool]:
    """Whether the run in the folder has rounds 0 to `count`."""

    def ready() -> bool:
        try:
            return read(folder).last_round() >= count
        except StoreError:
            return False

    return ready


# -- SIGKILL --------------------------------------------------------------------------------------

MOMENTS = {
    "before the first commit": "RoundRecord.write: self.round == 0",
    "in the rollouts of round 1": "Loop.attempt: record.round == 1",
    "in round 2, the Solver already updated": "Loop.propose: record.round == 2",
    "with half of a checkpoint written": "checkpoint._sync: 'round-0002' in str(path)",
    "right after a checkpoint, before the database": "RoundRecord.write: self.round == 2",
    "within the transaction": "Store.add_round: round == 2",
    "right after the transaction": "checkpoint.prune: rounds(root)[-1] == 2",
    "before the summary": "Session._finish: True",
}

KILLER = """
import inspect, os, signal, sys
from coevo import checkpoint
from coevo.checkpoint import rounds
from coevo.cli import main
from coevo.loop import Loop
from coevo.record import RoundRecord
from coevo.run import Session
from coevo.store import Store

where, condition = sys.argv[1].split(": ", 1)
owner, name = where.split(".")
owner = globals()[owner]
real = getattr(owner, name)

def at_the_moment(*given, **named):
    values = inspect.signature(real).bind(*given, **named).arguments
    if eval(condition, globals(), values):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)

setattr(owner, name, at_the_moment)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment(
    moment: str, whole: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    arguments = ["run", *SMALL, ROUNDS, *MAIN, f"runs_dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", KILLER, MOMENTS[moment], *arguments], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    summary = resume(tmp_path / "small")
    assert (summary["digest"], summary["curve"]) == (whole[0]["digest"], whole[0]["curve"])
    assert written(tmp_path / "small") == written(whole[1])
    assert not list((tmp_path / "small" / "checkpoints").glob(".*"))


@pytest.mark.parametrize("seed", range(2))
def test_killed_twice_at_random(seed: int, straight: str, tmp_path: Path) -> None:
    """Anywhere in the first second after the set-up, and again while it is resumed."""
    draw, folder = random.Random(seed), tmp_path / "small"
    process = coevo_run(tmp_path, ROUNDS)
    for arguments in (["resume", str(folder)], None):
        wait(process, finished(folder, 0))
        until = time.monotonic() + draw.uniform(0, 0.8)
        wait(process, lambda until=until: time.monotonic() > until)
        process.kill()
        process.communicate()
        if arguments:
            process = command(*arguments)
    assert resume(folder)["digest"] == straight


# -- SIGINT, SIGTERM ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_resumable_run(
    number: signal.Signals, straight: str, tmp_path: Path
) -> None:
    """Exit status 130 and one message that says how to go on. While the run is at work, a second
    process on it is refused."""
    process, folder = coevo_run(tmp_path, ROUNDS), tmp_path / "small"
    wait(process, finished(folder, 0))
    with pytest.raises(RunError, match=f"another process .*{process.pid}.* is working on"):
        resume(folder)
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("coevo:")]
    assert line.startswith(f"coevo: stopped by {number.name}; all finished rounds are safe: ")
    assert line.endswith(f" -m coevo.cli resume {folder}")  # as it was called
    assert not (folder / "summary.json").exists()
    assert resume(folder)["digest"] == straight


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["solver/model.safetensors", "manifest.json", "state.json"])
def test_a_damaged_newest_checkpoint_is_passed_over(
    name: str, straight: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The round before it is whole: the damaged round is done again, and comes out the same."""
    _, folder = run(tmp_path, ROUNDS)
    damaged = folder_of(folder / "checkpoints", 3) / name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    capsys.readouterr()
    assert resume(folder)["digest"] == straight
    output = capsys.readouterr().out
    assert f"passed over: {damaged}" in output
    assert "going back to round-0002" in output
    assert rounds(folder / "checkpoints") == [2, 3]


def test_no_usable_checkpoint_is_said_and_loses_nothing(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "rounds=1")
    for t in rounds(folder / "checkpoints"):
        (folder_of(folder / "checkpoints", t) / "state.json").unlink()
    with pytest.raises(RunError, match=r"cannot be resumed: no usable checkpoint .*state\.json"):
        resume(folder)
    assert read(folder).last_round() == 1


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not the folder of a run: it has no run\.db"):
        resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_schema_is_refused(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "rounds=1")
    Store(folder / "run.db").set_meta("schema", "99")
    with pytest.raises(StoreError, match="has schema 99"):
        resume(folder)


# -- configuration --------------------------------------------------------------------------------


def test_a_changed_configuration_is_refused_with_the_list(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "rounds=1")
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(ConfigError) as caught:
        resume(folder, ["loop.group_size=8", "seed=4", "rounds=2"])
    message = str(caught.value)
    assert "loop.group_size: 4 -> 8" in message
    assert "seed: 0 -> 4" in message
    assert "rounds: " not in message
    assert "--allow-changes" in message
    assert (folder / "config.yaml").read_bytes() == before
    assert read(folder).last_round() == 1
    plain = yaml.safe_load(before)
    del plain["curriculum"]["seed_rows"]  # as of a run from before there was such a key
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    with pytest.raises(ConfigError, match=r"that of the run: loop\.group_size: 4 -> 8 \("):
        resume(folder, ["loop.group_size=8"])
    resume(folder, ["loop.group_size=5", "rounds=2"], allow_changes=True)
    sizes = read(folder).query("SELECT DISTINCT attempts FROM zones WHERE round = 2")
    assert [row["attempts"] for row in sizes] == [5]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("environment=sums_in_words", "environment=sums_in_words chooses a group"),
        ("learner@agents.solver.learner=grpo", "chooses a group, and a run has made its choices"),
        ("environment.name=sums_in_words", "the run has problems of arithmetic"),
        ("environment.options.x=1", "environment.options.x: arithmetic has no such option"),
        ("runs_dir=elsewhere", "runs_dir is that of the folder; move the folder"),
        ("name=other", "name is that of the folder; move the folder"),
    ],
)
def test_what_cannot_change_is_refused_even_where_changes_are_allowed(
    override: str, expected: str, one_round: Path
) -> None:
    before = (one_round / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=re.escape(expected)):
        resume(one_round, [override], allow_changes=True)
    assert (one_round / "config.yaml").read_bytes() == before
    assert read(one_round).last_round() == 1


def test_a_configuration_edited_by_hand_is_refused(tmp_path: Path) -> None:
    """Settings are changed on the command line; what an editor or a disk did is not taken in silence."""
    _, folder = run(tmp_path, "rounds=1")
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("rounds: 1\n", "rounds: 2\n"))
    with pytest.raises(ConfigError, match=r"config\.yaml was edited, is damaged, or is another"):
        resume(folder)
    assert read(folder).last_round() == 1
    resume(folder, allow_changes=True)
    assert read(folder).last_round() == 2
    resume(folder)


def test_a_damaged_last_round_of_the_database_is_done_again(
    straight: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = run(tmp_path, ROUNDS)
    with closing(sqlite3.connect(folder / "run.db")) as db:
        db.execute("UPDATE attempts SET status = 'correct' WHERE round = 3")
        db.commit()
    capsys.readouterr()
    assert resume(folder)["digest"] == straight
    assert "run.db: round 3 is not as it was written" in capsys.readouterr().out


def test_more_rounds(tmp_path: Path) -> None:
    """Two rounds, extended to three, are three rounds (where nothing looks ahead to the last)."""
    feed = "loop.feed=teacher"
    whole, _ = run(tmp_path, feed, ROUNDS, "name=whole")
    short, folder = run(tmp_path, feed, "rounds=2")
    assert short["digest"] != whole["digest"]
    assert resume(folder, [ROUNDS])["digest"] == whole["digest"]
    assert read(folder).last_round() == 3


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    summary, folder = run(tmp_path, "rounds=1")
    again = resume(folder)
    assert again["digest"] == summary["digest"]
    assert again["benchmarks"] == summary["benchmarks"]
    assert read(folder).last_round() == 1


def test_a_moved_run_can_be_resumed(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "rounds=1")
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "renamed")
    resume(moved, ["rounds=2"])
    assert read(moved).last_round() == 2
    assert not folder.exists()


# -- names and processes --------------------------------------------------------------------------


def test_a_name_in_use_is_refused(tmp_path: Path) -> None:
    _, folder = run(tmp_path, "rounds=1")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"small exists: write `coevo resume .*small`"):
        start(compose([*SMALL, f"runs_dir={tmp_path}"]))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_finished_runs_memory_is_one_file(tmp_path: Path) -> None:
    """Closed when the run ends, not when Python gets to it: a copy of `run.db` is then whole."""
    gc.disable()
    try:
        _, folder = run(tmp_path, "rounds=1")
        assert [path.name for path in folder.glob("run.db*")] == ["run.db"]
    finally:
        gc.enable()


def test_names_by_default_are_numbered(tmp_path: Path) -> None:
    for _ in range(2):
        run(tmp_path, "rounds=1", "name=null", "loop=static")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "arithmetic-seed0",
        "arithmetic-seed0-2",
    ]


def test_bad_seeds_leave_no_run_behind(tmp_path: Path) -> None:
    """Refused before anything is written: the name is free for the next try."""
    seeds = tmp_path / "seeds.jsonl"
    for content, expected in (
        ('{"statement": "7+5"}\nnonsense\n', "line 2 is not JSON"),
        ('{"statement": "7+5"}\n{"statement": "5+7"}\n', "near_duplicate"),
    ):
        seeds.write_text(content)
        with pytest.raises((ConfigError, RunError), match=expected):
            run(tmp_path / "runs", f"curriculum.seed_file={seeds}")
        assert not (tmp_path / "runs" / "small").exists()


def test_one_message_and_status_on_the_command_line(tmp_path: Path) -> None:
    """Configuration: 2; a run that cannot be written: 1. No traceback in either."""
    cases = [
        (["run", "rounds=0"], 2, r"rounds=0 is out of range"),
        (["run", "experimnt=static"], 2, r"did you mean 'experiment'"),
        (["resume", str(tmp_path / "nowhere")], 2, r"there is no run .*nowhere"),
        (["resume", str(tmp_path)], 2, r"is not that of a run"),
        (["run", "runs_dir=/proc/nowhere"], 1, r"no run can be written to /proc/nowhere"),
    ]
    for arguments, status, expected in cases:
        process = command(*arguments)
        output, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == status, output
        assert re.search(expected, output)
        assert "Traceback" not in output
        assert len(output.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"runs_dir=.*file is a file; write a folder"):
        run(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]
