"""Links, pipes and journals in a run's folder: nothing behind them is read, written or deleted."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from coevo import cli
from coevo.claim import RunError, locked
from coevo.folder_files import FileRefused, check_folder, open_plain, read_bytes
from coevo.run import resume
from coevo.run_folder import FolderRefused, run_names
from tests.unit.coevo.strangers import add_checkpoint, make

OWN = (
    ".lock", "config.yaml", "run.db-wal", "spending.db", "summary.json", "metrics.jsonl",
    "metrics.jsonl.tmp", "leaks.json", "logs", "checkpoints/round-0000/solver/config.json", "wandb",
)  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file of the user's, outside of every run."""
    path = tmp_path / "mine.txt"
    path.write_text("precious")
    return path


@pytest.mark.parametrize("name", OWN)
def test_a_link_in_a_run_s_folder_is_refused_by_every_command(
    name: str, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path)
    add_checkpoint(run)
    path = run / name
    path.unlink(missing_ok=True)
    path.symlink_to(mine)
    out = str(tmp_path / "out")
    for words in (
        ["resume", str(run)],
        ["explain", str(run)],
        ["export", str(run), "--what", "model", "--to", out],
        ["leaks", str(run)],
        ["compare", str(run)],
        ["eval", str(run)],
        ["eval", "tiny", "--like", str(run)],
    ):
        assert cli.main(words) == 2, words
        assert f"{path} is a link to {str(mine)!r}" in capsys.readouterr().err
    assert mine.read_text() == "precious"
    assert not Path(out).exists()


def test_a_pipe_and_a_socket_do_not_keep_a_command_waiting(tmp_path: Path) -> None:
    run = make(tmp_path)
    os.mkfifo(run / "summary.json")
    with pytest.raises(FolderRefused, match=r"summary\.json is a pipe"):
        resume(run)
    (run / "summary.json").unlink()
    os.mknod(run / "logs", stat.S_IFSOCK | 0o600)
    with pytest.raises(FolderRefused, match="logs is a socket"):
        resume(run)


def test_links_of_wandb_within_the_folder_are_its_own(tmp_path: Path) -> None:
    run = make(tmp_path)
    (run / "wandb" / "offline-run-1").mkdir(parents=True)
    latest = run / "wandb" / "latest-run"
    latest.symlink_to("offline-run-1")
    check_folder(run)
    latest.unlink()
    latest.symlink_to("../../mine.txt")
    with pytest.raises(FileRefused, match="latest-run is a link"):
        check_folder(run)


def test_a_folder_reached_through_a_link_is_the_user_s_own_way(tmp_path: Path) -> None:
    run = make(tmp_path)
    (tmp_path / "way").symlink_to(run)
    check_folder(tmp_path / "way")


def test_a_journal_that_deletes_a_file_is_not_obeyed(mine: Path, tmp_path: Path) -> None:
    """SQLite rolls back a journal that it finds (fileformat2, §3), and then deletes the file that the
    journal names as its superior."""
    run = make(tmp_path)
    (run / "run.db-journal").write_bytes(journal_over(run / "run.db", mine))
    with pytest.raises(FolderRefused, match="is a rollback journal"):
        resume(run)
    assert cli.main(["explain", str(run)]) == 2
    assert mine.exists()
    with closing(sqlite3.connect(run / "run.db")) as db:
        db.execute("SELECT * FROM problems").fetchall()
    assert not mine.exists(), "the journal would have done it"


def journal_over(database: Path, superior: Path) -> bytes:
    """A rollback journal of no pages with a superior journal."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(superior).encode()
    pages, lock_page = database.stat().st_size // 4096, 2**30 // 4096 + 1
    numbers = (0, 0, pages, 512, 4096)  # records, nonce, pages, sector, page
    header = magic + b"".join(number.to_bytes(4, "big") for number in numbers)
    end = name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + magic
    return header.ljust(512, b"\0") + lock_page.to_bytes(4, "big") + end


def test_the_lock_is_a_plain_file(mine: Path, tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    lock.symlink_to(mine)
    with pytest.raises(RunError, match=r"\.lock is a link, not a file"), locked(tmp_path):
        pass
    assert mine.read_text() == "precious"
    lock.unlink()
    lock.symlink_to(tmp_path / "new")
    with pytest.raises(RunError, match=r"\.lock is a link"), locked(tmp_path):
        pass
    assert not (tmp_path / "new").exists()
    lock.unlink()
    for make_it, kind in ((os.mkfifo, "a pipe"), (os.mkdir, "a folder")):
        make_it(lock)
        with pytest.raises(RunError, match=rf"\.lock is {kind}, not a file"), locked(tmp_path):
            pass
        lock.rmdir() if lock.is_dir() else lock.unlink()
    with locked(tmp_path):
        assert lock.read_text() == f"pid {os.getpid()}"
        with pytest.raises(RunError, match=f"another process .*{os.getpid()}"), locked(tmp_path):
            pass
    assert stat.S_ISREG(lock.lstat().st_mode)


def test_what_is_too_large_or_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    assert read_bytes(tmp_path / "large", 11) == bytes(11)
    with pytest.raises(FileRefused, match="more than 10 bytes"):
        read_bytes(tmp_path / "large", 10)
    with pytest.raises(FileRefused, match="a device, not a file"):
        read_bytes(Path("/dev/zero"), 10)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "none", os.O_RDONLY)


def test_runs_are_listed_without_opening_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    make(tmp_path / "runs")
    (tmp_path / "runs" / "pipe").mkdir()
    os.mkfifo(tmp_path / "runs" / "pipe" / "run.db")
    assert run_names() == ["stranger"]
