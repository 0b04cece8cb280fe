"""A start that fails before its first round is whole leaves nothing, and the next one finds the name free."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agents.handles import WorkerLost
from agents.model_files import TINY
from coevo import cli, run, unbegun
from coevo.claim import Interrupted, RunError
from coevo.config import ConfigError
from coevo.loop import Loop
from coevo.run import Session
from coevo.store import Store
from tests.integration import small

ROUNDS = ["rounds=1", "runtime.restarts=0"]


def begin(folder: Path, *overrides: str) -> dict[str, Any]:
    return small.run(folder / "deep" / "runs", *ROUNDS, *overrides)[0]


def failing(monkeypatch: pytest.MonkeyPatch, what: Any, where: Any = (run, "Team")) -> None:
    """The first call fails, or does something; the next is the real one."""
    owner, name = where
    real = getattr(owner, name)

    def once(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(owner, name, real)
        if callable(what) and not isinstance(what, type):
            what()
        else:
            raise what("of some kind")
        return real(*given, **named)

    monkeypatch.setattr(owner, name, once)


@pytest.mark.parametrize(
    "error",
    [RuntimeError, ConfigError, MemoryError, OSError, KeyboardInterrupt, SystemExit, WorkerLost],
)
@pytest.mark.parametrize("where", [(run, "Team"), (Loop, "evaluate")])
def test_whatever_the_error(
    error: type[BaseException], where: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders above the run that the start made go too. Then the same name runs."""
    failing(monkeypatch, error, where)
    with pytest.raises(BaseException, match=r"some kind|memory"):
        begin(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_corrected_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That nothing is left is said: an error's own message may tell of `coevo resume`."""
    failing(monkeypatch, RuntimeError)
    with pytest.raises(RuntimeError):
        begin(tmp_path)
    assert f"small: {unbegun.GONE}" in capsys.readouterr().err
    assert begin(tmp_path)["rounds"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted) as caught:
        begin(tmp_path)
    told = f"stopped by {number.name}; its first round was not done, and nothing of it is left"
    assert str(caught.value) == told
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_died_says_that_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, WorkerLost)
    with pytest.raises(RunError, match="of some kind; its first round was not done, and nothing"):
        begin(tmp_path)


def test_what_its_processes_wrote_is_kept_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def died() -> None:
        (log,) = tmp_path.glob("deep/runs/small/logs")
        (log / "worker.err").write_text("Killed")
        raise RuntimeError("the engine did not start")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    failing(monkeypatch, died)
    with pytest.raises(RuntimeError, match="the engine"):
        begin(tmp_path)
    (kept,) = tmp_path.iterdir()
    assert (kept / "logs" / "worker.err").read_text() == "Killed"
    assert f"is in {kept / 'logs'}" in capsys.readouterr().err


# -- what is never taken away ---------------------------------------------------------------------


def test_a_folder_that_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "deep" / "runs"
    runs.mkdir(parents=True)
    failing(monkeypatch, RuntimeError)
    with pytest.raises(RuntimeError):
        begin(tmp_path)
    assert list(runs.iterdir()) == []


def test_a_file_of_the_users_stays_with_all_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deep" / "runs" / "small"

    def noted() -> None:
        (folder / "notes.txt").write_text("mine")
        raise RuntimeError("some kind")

    failing(monkeypatch, noted)
    with pytest.raises(RuntimeError):
        begin(tmp_path)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "run.db").exists()


def test_another_folder_of_its_name_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "runs" / "small"

    def replaced() -> None:
        folder.rename(tmp_path / "moved")
        shutil.copytree(tmp_path / "moved", folder)
        raise RuntimeError("some kind")

    failing(monkeypatch, replaced)
    with pytest.raises(RunError, match="moved, replaced or deleted"):
        begin(tmp_path)
    assert (folder / "run.db").exists()
    assert (tmp_path / "moved" / "run.db").exists()


def test_a_run_with_a_round_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its checkpoints too."""
    folder = tmp_path / "deep" / "runs" / "small"

    def deleted() -> None:
        shutil.rmtree(folder / "checkpoints")
        raise RuntimeError("some kind")

    failing(monkeypatch, deleted, (Loop, "round"))
    with pytest.raises(RuntimeError):
        begin(tmp_path)
    assert (folder / "run.db").exists()


@pytest.mark.parametrize(("tokens", "kept"), [(0, False), (12, True)])
def test_answers_that_were_paid_for_stay(tokens: int, kept: bool, tmp_path: Path) -> None:
    """A server that could not be reached charged nothing."""
    folder = tmp_path / "run"
    folder.mkdir()
    Store(folder / "run.db", create=True).close()
    assert unbegun.unbegun(folder)
    with sqlite3.connect(folder / unbegun.LEDGER) as db:
        db.execute("CREATE TABLE spent (role TEXT, requests INTEGER, tokens INTEGER, cost REAL)")
        db.execute("INSERT INTO spent VALUES ('teacher', 1, ?, 0.0)", [tokens])
    assert unbegun.unbegun(folder) is not kept


def test_a_resumed_run_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another start has made it."""
    begin(tmp_path)
    folder = tmp_path / "deep" / "runs" / "small"
    shutil.rmtree(folder / "checkpoints")
    (folder / "summary.json").unlink()
    with sqlite3.connect(folder / "run.db") as db:
        db.execute("DELETE FROM rounds")
    assert unbegun.unbegun(folder)
    failing(monkeypatch, RuntimeError)
    with pytest.raises(RuntimeError):
        run.resume(folder)
    assert (folder / "run.db").exists()


# -- as a user sees it ----------------------------------------------------------------------------


def test_weights_that_do_not_fit_their_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(TINY, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"intermediate_size": 24}))
    words = ["run", *small.SMALL, *ROUNDS, f"runs_dir={tmp_path / 'runs'}"]
    assert cli.main([*words, f"agents.solver.model={model}"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert cli.main(words) == 0


def test_the_session_waits_for_all_before_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner that cannot be built is known before the evaluation, not after it."""
    order: list[str] = []
    real = Session._set_up
    monkeypatch.setattr(
        "agents.remote.InlineRuntime.wait_built", lambda self: order.append("built")
    )

    def set_up(self: Session) -> Any:
        order.append("round 0")
        return real(self)

    monkeypatch.setattr(Session, "_set_up", set_up)
    begin(tmp_path)
    assert order == ["built", "round 0"]
