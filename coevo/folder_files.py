"""Files of a run's folder, which may come from a stranger: plain files, and nothing behind links.

A link in a folder can lead to any file of the user's, and a pipe or device keeps a reader waiting for
ever. So a folder is looked at before anything in it is opened, and what is opened is a plain file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

LINKS_WITHIN = "wandb"  # the folder of W&B, whose links lead to its own files


class FileRefused(ValueError):
    """A file that is not what it should be; the message names it and says what to do."""


def check_folder(folder: Path) -> None:
    """Raises `FileRefused` if a run's folder holds what coevo never puts there.

    That is: a link (except W&B's, to files inside), a pipe, a socket or a device, and a rollback
    journal of a database, for coevo's databases have none and SQLite obeys what is in one, up to
    deleting a file that it names. The folder itself may be reached through links.
    """
    inside = folder.resolve()
    for entry, place, mode in _entries(folder):
        if stat.S_ISLNK(mode):
            target = Path(entry.path).resolve()
            if place.split(os.sep)[0] != LINKS_WITHIN or not target.is_relative_to(inside):
                raise FileRefused(
                    f"{entry.path} is a link to {os.readlink(entry.path)!r}: coevo neither reads "
                    "nor writes through links in a run's folder; put the file itself in its place"
                )
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise FileRefused(f"{entry.path} is {_kind(mode)}, which no run has; remove it")
        elif place.endswith(".db-journal"):
            raise FileRefused(
                f"{entry.path} is a rollback journal, which no database of a run has; remove it"
            )


def _entries(folder: Path, prefix: str = "") -> Iterator[tuple[os.DirEntry[str], str, int]]:
    """Everything under a folder with its relative path and mode; what vanishes is left out."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        place = f"{prefix}{entry.name}"
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:
            continue
        yield entry, place, mode
        if stat.S_ISDIR(mode):
            yield from _entries(Path(entry.path), f"{place}{os.sep}")


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a plain file; nothing is followed and nothing waits.

    `flags` as for `os.open`; a file that is made gets the user's default permissions. Raises
    `FileRefused` for anything else than a file, `OSError` as `os.open` does.
    """
    try:
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if path.is_symlink() or not (path.is_file() or not path.exists()):
            raise FileRefused(f"{path} is {_kind(os.lstat(path).st_mode)}, not a file") from error
        raise
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        raise FileRefused(f"{path} is {_kind(mode)}, not a file")
    return number


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a plain file; raises `FileRefused` if it has more than `largest` bytes."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise FileRefused(f"{path} has more than {largest:,} bytes, too many for what it should be")
    return data


def _kind(mode: int) -> str:
    kinds = {stat.S_ISLNK: "a link", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket",
             stat.S_ISDIR: "a folder"}  # fmt: skip
    return next((told for test, told in kinds.items() if test(mode)), "a device")
