"""What the machine refuses is said in one line, with the place and what to do."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from coevo import cli, failures
from coevo.config import ConfigError
from coevo.files import write_whole
from coevo.schema import SCHEMA
from coevo.store import Store, StoreRefused


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """`ulimit -f` in this process; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk() -> None:
    with pytest.raises(OSError) as caught, failures.at(Path("/dev/full")):
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")
    assert failures.told(caught.value) == "/dev/full: no space left; make room there"


def test_a_file_that_may_not_grow_names_its_place(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    with pytest.raises(OSError) as caught, files_at_most(1000):
        write_whole(path, ["x" * 5000])
    told = failures.told(caught.value)
    assert told == f"{path}: a file may not become this large; raise the limit (ulimit -f)"
    assert list(tmp_path.iterdir()) == []


def test_weights_that_may_not_grow(tmp_path: Path) -> None:
    """safetensors has an exception of its own, without an errno."""
    with pytest.raises((SafetensorError, OSError)) as caught, files_at_most(1000):
        save_file({"x": np.zeros(5000)}, tmp_path / "model.safetensors")
    assert "ulimit -f" in str(failures.told(caught.value))


def test_a_database_that_may_not_grow(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db", create=True)
    with (
        files_at_most(1 << 16),
        pytest.raises(
            StoreRefused,
            match=r"run\.db: (input/output error; raise the limit \(ulimit -f\)|no space left)",
        ),
        store.transaction(),
    ):
        store.set_meta("x", "x" * (1 << 20))
    with store.transaction():  # the connection is as it was
        store.set_meta("x", "y")
    assert store.meta("x") == "y"


def test_too_many_open_files() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            os.open("/etc/passwd", os.O_RDONLY)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "too many open files; raise the limit (ulimit -n)" in str(failures.told(caught.value))


def kinds() -> list[type[OSError]]:
    found, open_ = [], [OSError]
    while open_:
        own = open_.pop()
        if own.__module__ == "builtins":
            found.append(own)
            open_ += own.__subclasses__()
    return found


@pytest.mark.parametrize("kind", kinds())
def test_every_error_of_the_system_is_a_failure_not_a_defect(kind: type[OSError]) -> None:
    error = kind(errno.EACCES, "Permission denied", "/somewhere")
    assert cli._status(error) == 1
    assert failures.told(error) == f"/somewhere: {failures.PERMISSION}"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_too_little_memory(error: Exception) -> None:
    assert failures.told(error) == failures.MEMORY
    assert cli._status(error) == 1


def test_ray_that_finds_no_room_for_its_session() -> None:
    error = Exception("The current node timed out during startup. This could happen because ...")
    assert "/tmp and /dev/shm have room" in str(failures.told(error))
    assert failures.told(Exception("a defect")) is None


def test_other_errors_are_none_of_the_machines() -> None:
    assert failures.told(RuntimeError("a defect")) is None
    assert failures.told(ValueError("no space left on device")) is None
    with sqlite3.connect(":memory:") as db, pytest.raises(sqlite3.Error) as caught:
        db.executescript(SCHEMA + SCHEMA)
    assert failures.told(caught.value) is None


def test_ours_speak_for_themselves() -> None:
    try:
        raise ConfigError("write another") from PermissionError(errno.EACCES, "no", "/x")
    except ConfigError as error:
        assert failures.told(error) is None


def test_a_folder_that_can_only_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`/proc` lets nobody make a folder, root neither."""
    monkeypatch.setitem(cli.COMMANDS, "doctor", ("", lambda words: os.mkdir("/proc/x") or 0))
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().err == "coevo: /proc/x: No such file or directory\n"
