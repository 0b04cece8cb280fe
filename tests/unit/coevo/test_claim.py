"""One process at a time, on any file system, in the folder that it began in."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from coevo.claim import RunError, Watch, locked
from coevo.store import Store


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """No file system of a test machine is without locks."""

    def lock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, name, lock)


def test_a_second_process_is_told_of_the_first(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(RunError, match=rf"another process \(pid {os.getpid()}\) is working"),
        locked(tmp_path),
    ):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_flock_the_other_kind_of_lock_is_taken(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "flock", number)
    with locked(tmp_path):
        child = os.fork()
        if child == 0:  # locks of this kind are of a process
            try:
                with locked(tmp_path):
                    os._exit(0)
            except RunError as error:
                os._exit(3 if "another process" in str(error) else 4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_without_any_lock_that_is_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("flock", "lockf"):
        refuse(monkeypatch, name, errno.ENOLCK)
    with pytest.raises(RunError, match=r"has no locks, .* write runs_dir="), locked(tmp_path):
        pass


def test_a_broken_disk_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "flock", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path):
        pass


@pytest.mark.parametrize("name", ["", ".lock", "run.db", "metrics.jsonl", "run.db-wal"])
@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_what_goes_away_is_seen(name: str, how: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    store = Store(folder / "run.db", create=True)
    for own in (".lock", "metrics.jsonl"):
        (folder / own).touch()
    watch = Watch(folder)
    watch.note("metrics.jsonl", "run.db-wal")
    watch.check()
    path, away = folder / name, tmp_path / "away"
    path.rename(away)
    if how == "deleted":
        shutil.rmtree(away) if away.is_dir() else away.unlink()
    if how == "replaced":
        shutil.copytree(away, path) if away.is_dir() else shutil.copy(away, path)
    with pytest.raises(RunError, match=rf"{path} was moved, replaced or deleted"):
        watch.check()
    store.close()
