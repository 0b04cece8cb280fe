"""A run's folder for one process: claimed whole, locked, and told about signals and full disks."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import secrets
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coevo import compose
from coevo.config import Config, ConfigError
from coevo.folder_files import FileRefused, open_plain
from coevo.store import Store


class RunError(RuntimeError):
    """A run that cannot start or go on; the message says why and what to do."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM: the round under way is given up, all rounds before it are safe."""


def new_folder(config: Config) -> Path:
    """Makes the run's folder, with configuration and empty memory, whole or not at all.

    A name in use is refused; a default one is numbered. Sets `config.name`.
    """
    root = Path(config.runs_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
        chosen = config.name
        for number in itertools.count(1):
            config.name = chosen or _default_name(config, number)
            if _claim(root, config):
                return root / config.name
            if chosen is not None:
                raise ConfigError(
                    f"the run {root / chosen} exists: write `coevo resume {root / chosen}` to go "
                    "on with it, or another name="
                )
    except OSError as error:
        raise RunError(f"no run can be written to {root}: {error.strerror}") from error
    raise AssertionError("unreachable")


def _default_name(config: Config, number: int) -> str:
    return f"{config.experiment}-seed{config.seed}" + (f"-{number}" if number > 1 else "")


def _claim(root: Path, config: Config) -> bool:
    """Whether the name was free; then the folder is there, made beside and renamed."""
    final = root / str(config.name)
    if final.exists():
        return False
    with tempfile.TemporaryDirectory(prefix=".new-", dir=root) as scratch:
        folder = Path(scratch) / "run"
        (folder / "logs").mkdir(parents=True)
        compose.save(config, folder / "config.yaml")
        store = Store(folder / "run.db", create=True)
        store.set_meta("wandb_id", secrets.token_hex(4))
        store.close()
        try:
            folder.rename(final)
        except OSError as error:  # another process was faster
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time works on a run; the lock goes with the process."""
    try:
        number = open_plain(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    except FileRefused as error:
        raise RunError(f"{error}; remove it") from error
    with os.fdopen(number, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise RunError(
                f"another process ({file.read().strip()}) is working on {folder}"
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Turns signals into `Interrupted`, and a full disk into a `RunError`."""
    received: list[str] = []

    def interrupt(number: int, _: object) -> None:
        received.append(signal.Signals(number).name)
        raise Interrupted

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:
        if received:  # whatever became of the exception on its way through a library
            raise Interrupted(
                f"stopped by {received[0]}; all finished rounds are safe: coevo resume {folder}"
            ) from None
        _explain_full_disk(error, folder)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _explain_full_disk(error: BaseException, folder: Path) -> None:
    """Raises a `RunError` if that is what the error comes from."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if full or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        raise RunError(
            f"no space left for {folder}; all finished rounds are safe: "
            f"make room, then coevo resume {folder}"
        ) from error
