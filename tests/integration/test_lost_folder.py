"""A run whose folder or disk gives way while it is at work stops within the round, and loses nothing else."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from coevo import cli
from coevo.claim import RunError
from coevo.loop import Loop
from coevo.record import RoundRecord
from coevo.run import Session, resume
from environments import Problem
from tests.integration.small import SMALL, read, run


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(tmp_path_factory.mktemp("straight"))[0]["digest"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, round: int, what: Callable[[], object]) -> None:
    """Somebody does it while the round is at its rollouts."""
    real = Loop.attempt

    def attempt(self: Loop, problems: list[Problem], record: RoundRecord) -> object:
        if record.round == round:
            monkeypatch.setattr(Loop, "attempt", real)
            what()
        return real(self, problems, record)

    monkeypatch.setattr(Loop, "attempt", attempt)


def test_a_moved_run_stops_and_goes_on_where_it_is(
    tmp_path: Path,
    straight: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One message, exit status 1, nothing at the old place; then the digest of the run left alone."""
    folder, moved = tmp_path / "small", tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    meanwhile(monkeypatch, 2, lambda: folder.rename(moved))
    assert cli.main(["run", *SMALL, f"runs_dir={tmp_path}"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"coevo: {folder} was moved, replaced or deleted while its run was at work, which has "
        "stopped: all finished rounds are safe in it; coevo resume, with the folder that it is now, "
        "goes on"
    ]
    assert not folder.exists()
    assert read(moved).last_round() == 1
    assert cli.main(["resume", str(moved)]) == 0
    assert resume(moved)["digest"] == straight


def test_a_deleted_run_stops_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, 1, lambda: shutil.rmtree(tmp_path / "small"))
    with pytest.raises(RunError, match="small was moved, replaced or deleted while"):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_folder_in_its_place_is_left_alone(
    tmp_path: Path, straight: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, moved = tmp_path / "small", tmp_path / "moved"

    def replace() -> None:
        folder.rename(moved)
        shutil.copytree(moved, folder)

    meanwhile(monkeypatch, 2, replace)
    with pytest.raises(RunError, match="was moved, replaced or deleted while"):
        run(tmp_path)
    assert resume(folder)["digest"] == resume(moved)["digest"] == straight


def test_a_database_that_goes_away_stops_the_run(
    tmp_path: Path, straight: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written to it from then on would be lost; put back, it goes on."""
    folder, away = tmp_path / "small", tmp_path / "away"
    meanwhile(monkeypatch, 2, lambda: (folder / "run.db").rename(away))
    with pytest.raises(RunError, match=r"run\.db was moved, replaced or deleted .* put it back"):
        run(tmp_path)
    away.rename(folder / "run.db")
    assert resume(folder)["digest"] == straight


def test_a_run_whose_folder_goes_away_at_its_end_has_not_ended_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session._finish

    def finish(self: Session) -> object:
        summary = real(self)
        self.folder.rename(tmp_path / "moved")
        return summary

    monkeypatch.setattr(Session, "_finish", finish)
    with pytest.raises(RunError, match="was moved, replaced or deleted"):
        run(tmp_path, "rounds=1")


def test_checkpoints_that_go_away_are_written_again(
    tmp_path: Path, straight: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "small"
    meanwhile(monkeypatch, 2, lambda: shutil.rmtree(folder / "checkpoints"))
    summary, _ = run(tmp_path)
    assert summary["digest"] == straight
    assert resume(folder)["digest"] == straight


# -- what the machine refuses ---------------------------------------------------------------------


def test_a_checkpoint_that_finds_no_room_costs_its_round_alone(
    tmp_path: Path,
    straight: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One message with the place and what to do, exit status 1; then the digest of the run left alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE)
    meanwhile(monkeypatch, 2, lambda: limit((5_000_000, before[1])))  # the optimizer's file is 7 MB
    try:
        status = cli.main(["run", *SMALL, f"runs_dir={tmp_path}"])
    finally:
        limit(before)
    folder = tmp_path / "small"
    assert status == 1
    assert capsys.readouterr().err == (
        f"coevo: {folder}: a file may not become this large; raise the limit (ulimit -f); all "
        f"finished rounds are safe: coevo resume {folder}\n"
    )
    assert read(folder).last_round() == 1
    assert not list((folder / "checkpoints").glob(".*"))
    assert resume(folder)["digest"] == straight
