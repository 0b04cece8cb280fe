"""A run's folder for one process: claimed whole, locked, watched, and told about signals."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from coevo import compose, failures, interruption
from coevo.config import Config, ConfigError
from coevo.folder_files import FileRefused, open_plain
from coevo.program import command
from coevo.store import Store, StoreError, StoreRefused
from coevo.unbegun import GONE, Made, unbegun


class RunError(RuntimeError):
    """A run that cannot start or go on; the message says why and what to do."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM: the round under way is given up, all rounds before it are safe."""


def new_folder(config: Config, made: Made) -> Path:
    """Makes the run's folder, with configuration and empty memory, whole or not at all.

    A name in use is refused; a default one is numbered. Sets `config.name`; `made` is told of the
    folder.
    """
    root = Path(config.runs_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
        chosen = config.name
        for number in itertools.count(1):
            config.name = chosen or _default_name(config, number)
            if _claim(root, config, made):
                return root / config.name
            if chosen is not None:
                raise _in_use(root / chosen)
    except (OSError, StoreError) as error:
        what = failures.told(error) or error
        raise RunError(f"no run can be written to {root}: {what}") from error
    raise AssertionError("unreachable")


def check_name(config: Config) -> None:
    """Raises `ConfigError` if the run's name is in use; makes nothing."""
    if config.name is not None and (folder := Path(config.runs_dir) / config.name).exists():
        raise _in_use(folder)


def _in_use(folder: Path) -> ConfigError:
    return ConfigError(
        f"the run {folder} exists: write `{command('resume', folder)}` to go on with it, or another "
        "name="
    )


def _default_name(config: Config, number: int) -> str:
    return f"{config.experiment}-seed{config.seed}" + (f"-{number}" if number > 1 else "")


def _claim(root: Path, config: Config, made: Made) -> bool:
    """Whether the name was free; then the folder is there, made beside and renamed."""
    final = root / str(config.name)
    if final.exists():
        return False
    with tempfile.TemporaryDirectory(prefix=".new-", dir=root) as scratch:
        folder = Path(scratch) / "run"
        (folder / "logs").mkdir(parents=True)
        with closing(Store(folder / "run.db", create=True)) as store:
            run_id = secrets.token_hex(4)
            store.set_meta("wandb_id", run_id)
        compose.save(config, folder / "config.yaml", run_id)
        found = folder.stat()
        made.claim(final, (found.st_dev, found.st_ino))
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
        _lock(file, folder)
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


HELD = (errno.EAGAIN, errno.EACCES)
UNKNOWN = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def _lock(file: IO[str], folder: Path) -> None:
    """Some file systems know only one of both kinds of locks, and some none."""
    for lock in (fcntl.flock, fcntl.lockf):
        try:
            lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in HELD:
                file.seek(0)
                raise RunError(
                    f"another process ({file.read().strip()}) is working on {folder}"
                ) from error
            if error.errno not in UNKNOWN:
                raise
    raise RunError(
        f"the file system of {folder} has no locks, by which processes keep out of each other's "
        "runs: write runs_dir= of a folder on another one, such as a local disk"
    )


class Watch:
    """Sees whether a run's folder, and the files open in it, are still the ones that it began with.

    A file that is deleted or moved can be written to all the same, and all of that is lost.
    """

    def __init__(self, folder: Path, made: Made | None = None):
        self.folder, self.made = folder, made
        self.known: dict[str, tuple[int, int] | None] = {}
        self.note("", ".lock", "run.db")

    def note(self, *names: str) -> None:
        """These are as they should be, from now on."""
        self.known |= {name: _identity(self.folder / name) for name in names}

    def then(self) -> str:
        """What becomes of the run if it stops now, for a message."""
        if self.made is not None and unbegun(self.folder):
            return GONE
        return f"all finished rounds are safe: {command('resume', self.folder)}"

    def check(self) -> None:
        """Raises `RunError` if one of them has gone or is another."""
        for name, before in self.known.items():
            if _identity(self.folder / name) != before:
                raise RunError(self._gone(name))

    def _gone(self, name: str) -> str:
        if not name:
            return (
                f"{self.folder} was moved, replaced or deleted while its run was at work, which has "
                "stopped: all finished rounds are safe in it; coevo resume, with the folder that "
                "it is now, goes on"
            )
        return (
            f"{self.folder / name} was moved, replaced or deleted while its run was at work, which "
            f"has stopped: put it back, then {command('resume', self.folder)}"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


@contextmanager
def guarded(folder: Path, made: Made | None = None) -> Iterator[Watch]:
    """Turns signals into `Interrupted`, and what the machine refuses into a `RunError`.

    `made` is what a new run's start has made: before its first round is done all that goes.
    """
    received: list[str] = []
    watch = Watch(folder, made)

    def told() -> str:
        return f"stopped by {received[0]}; {watch.then()}"

    def interrupt(number: int, _: object) -> None:
        received.append(signal.Signals(number).name)
        if len(received) == 1:
            raise Interrupted
        last = told()
        if made is not None:
            made.discard()
        interruption.leave(last)

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield watch
    except BaseException as error:
        if received:  # whatever became of the exception on its way through a library
            raise Interrupted(told()) from None
        if isinstance(error, Exception):
            watch.check()
            refused = str(error) if isinstance(error, StoreRefused) else failures.told(error)
            if refused:
                where = "" if str(folder) in refused else f"{folder}: "
                raise RunError(f"{where}{refused}; {watch.then()}") from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
