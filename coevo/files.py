"""Files of a run's folder: written whole, and read as what somebody else may have put there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coevo.failures import at
from coevo.folder_files import read_bytes

LARGEST = 64 * 2**20  # bytes of a file that is read whole: a run writes some thousand


def read_text(path: Path) -> str:
    """A file's text; raises `OSError`, or `ValueError` if it is not UTF-8 or not a run's at all.

    A pipe would wait for ever for a writer, a device need not have an end, and a link can lead to any
    file of the user's.
    """
    return read_bytes(path, LARGEST).decode()


def read_json(path: Path) -> Any:
    """What a JSON file holds; raises as `read_text`, and `ValueError` if it is not JSON."""
    try:
        return json.loads(read_text(path))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Writes lines by way of a file of its own: a reader finds all or nothing, and two writers at once
    do not mix."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with at(path), os.fdopen(number, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(number)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
