"""The manifest of a checkpoint: every file of it with its sha256, and nothing else."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from coevo.folder_files import read_bytes

MANIFEST = "manifest.json"
STATE = "state.json"
# Of a role, one of them; the index lists the files of a large model.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
LARGEST = 2**24  # bytes


def listed(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file of a checkpoint, as its manifest says.

    Whether the files are there and unchanged is not looked at. Raises `ValueError` if there is no
    manifest, or if it lists other than what a checkpoint has: plain files within the folder, all that
    are in it, among them the state and the weights of each role.
    """
    try:
        sums = dict(json.loads(read_bytes(folder / MANIFEST, LARGEST))["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / MANIFEST} is missing or damaged ({error})") from error
    for name, digest in sums.items():
        if not _within(name) or not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
            raise ValueError(
                f"{folder / MANIFEST} lists {name!r}, which is no file of a checkpoint"
            )
    for path in _present(folder):
        if path not in sums and path != MANIFEST:
            raise ValueError(f"{folder / path} is not in the manifest: coevo did not write it")
    roles = {name.split("/")[0] for name in sums if "/" in name}
    needed = [(STATE,), *(tuple(f"{role}/{file}" for file in WEIGHTS) for role in sorted(roles))]
    for names in needed:
        if not any(name in sums for name in names):
            raise ValueError(f"{folder / MANIFEST} does not list {' or '.join(names)}")
    return sums


def _within(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        str(path) == name and not path.is_absolute() and ".." not in path.parts and "\0" not in name
    )


def _present(folder: Path) -> Iterator[str]:
    """The relative paths of all files; raises `ValueError` for a link, a pipe or a device."""
    for place, _, files in os.walk(folder):
        for file in files:
            path = Path(place, file)
            if not stat.S_ISREG(path.lstat().st_mode):
                raise ValueError(f"{path} is a link or no file, which no checkpoint has")
            yield path.relative_to(folder).as_posix()
