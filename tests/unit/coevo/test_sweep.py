"""Sweeps: everything is checked before the first job, and a failed one stops no other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coevo import cli, compose, sweep
from coevo import run as running
from coevo.claim import RunError
from coevo.config import Config, ConfigError
from coevo.store import Store

JOBS = [["seed=1", "rounds=3"], ["seed=2", "rounds=3"], ["seed=3", "rounds=3"]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def starting(what: Callable[[Config], None]) -> tuple[list[int], Callable[[Config], None]]:
    """A run that makes its folder and then does `what`; and the seeds that were started."""
    seeds: list[int] = []

    def start(config: Config) -> None:
        seeds.append(config.seed)
        config.name = f"run-{config.seed}"
        folder = Path(config.runs_dir) / config.name
        folder.mkdir(parents=True)
        Store(folder / "run.db", create=True).close()
        what(config)

    return seeds, start


def test_a_failed_job_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(config: Config) -> None:
        if config.seed == 2:
            raise RunError("the disk is full")

    seeds, start = starting(fail)
    assert sweep.run(sweep.prepare(JOBS), start, str) == 1
    assert seeds == [1, 2, 3]
    out = capsys.readouterr().out
    assert "job 2 of 3 failed: the disk is full" in out
    assert out.partition("sweep of 3 jobs: ")[2].splitlines() == [
        "2 finished, 1 failed",
        "  finished: seed=1 in runs/run-1",
        "  failed: seed=2 in runs/run-2: the disk is full",
        "    coevo resume runs/run-2",
        "  finished: seed=3 in runs/run-3",
    ]


def test_a_job_without_a_folder_is_told_to_be_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    def start(config: Config) -> None:
        raise OSError("no\x1b[31m room")

    assert sweep.run(sweep.prepare([["name=a b"]]), start, str) == 1
    out = capsys.readouterr().out
    assert "    coevo run 'name=a b'" in out
    assert "no\\x1b[31m room" in out and "\x1b" not in out


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises, also where the tests run in the background, whose processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_stops_the_sweep_and_lists_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    def stop(config: Config) -> None:
        if config.seed == 2:
            os.kill(os.getpid(), signal.SIGINT)

    seeds, start = starting(stop)
    assert sweep.run(sweep.prepare(JOBS), start, str) == 130
    assert seeds == [1, 2]
    listed = capsys.readouterr().out.partition("sweep of 3 jobs: ")[2].splitlines()
    assert listed == [
        "1 finished, 1 stopped, 1 not started",
        "  finished: seed=1 in runs/run-1",
        "  stopped: seed=2 in runs/run-2: stopped",
        "    coevo resume runs/run-2",
        "  not started: seed=3",
        "    coevo run seed=3 rounds=3",
    ]


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        sweep.check(sweep.prepare(compose.expand(words)), running.check_start)
    assert not Path("runs").exists() or [p.name for p in Path("runs").iterdir()] == ["taken"]
    return str(caught.value)


def test_every_bad_job_is_named_before_the_first_starts() -> None:
    message = refused("rounds=1,0,-3", "seed=1")
    assert message.startswith(
        "2 of 3 jobs cannot run, so none was started:\nrounds=0: rounds=0 is out"
    )
    assert "\nrounds=-3: rounds=-3 is out of range" in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["agents.solver.model=tiny,nosuch"], "agents.solver.model=nosuch: there is no model"),
        (["environment.name=arithmetic,nosuch"], "environment 'nosuch' does not exist"),
        (["curriculum.seed_file=null,nosuch.jsonl"], "curriculum.seed_file=nosuch.jsonl"),
        (["curriculum.seed_levels=[2,3],[9,9]"], "1 of 2 jobs cannot run"),
        (["name=free,taken"], "the run runs/taken exists"),
        (["name=one", "seed=1,2"], "name=one is the name of 2 jobs of this sweep"),
    ],
)
def test_what_a_job_needs_is_looked_for_before_the_first_starts(
    words: list[str], expected: str
) -> None:
    Path("runs/taken").mkdir(parents=True)
    assert expected in refused(*words)


def test_a_name_may_hold_what_tells_the_jobs_apart() -> None:
    jobs = sweep.prepare(compose.expand(["name=one-${seed}", "seed=1,2", "curriculum.seeds=2"]))
    sweep.check(jobs, running.check_start)
    assert [job.config.name for job in jobs] == ["one-1", "one-2"]


def test_a_bad_model_of_a_single_run_leaves_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "agents.solver.model=nosuch", "runtime=inline"]) == 2
    assert "agents.solver.model=nosuch: there is no model 'nosuch'" in capsys.readouterr().err
    assert not Path("runs").exists()
