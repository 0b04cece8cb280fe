"""Checkpoints: folders that are either whole or not there.

A folder is written under a temporary name, its files are synced, a manifest with the sha256 of each
goes in last, and the folder is renamed. Loading verifies the manifest first. Only safetensors and
JSON are written; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from coevo.failures import at
from coevo.files import read_json
from coevo.manifest import MANIFEST, listed


class CheckpointError(RuntimeError):
    """A checkpoint that is missing or damaged; the message names the file."""


def folder_of(root: Path, round: int) -> Path:
    return root / f"round-{round:04d}"


def write(root: Path, round: int, fill: Callable[[Path], None], state: dict[str, Any]) -> Path:
    """Writes the checkpoint of a round: `fill(folder)` puts the weights in, `state` goes beside.

    The folder of `root` must be there: a run that was moved away does not get a new one.
    """
    final, temporary = folder_of(root, round), root / f".round-{round:04d}.{os.getpid()}.tmp"
    root.mkdir(exist_ok=True)
    for stale in root.glob(".round-*.tmp"):
        _remove(stale)
    temporary.mkdir()
    try:
        with at(temporary):
            _fill(temporary, round, fill, state)
        if os.path.lexists(final):
            _remove(final)
        temporary.rename(final)
        _sync(root)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _fill(temporary: Path, round: int, fill: Callable[[Path], None], state: dict[str, Any]) -> None:
    fill(temporary)
    (temporary / "state.json").write_text(json.dumps({"round": round, **state}, indent=1))
    files = sorted(path for path in temporary.rglob("*") if path.is_file())
    sums = {}
    for path in files:
        sums[str(path.relative_to(temporary))] = sha256(path)
        _sync(path)
    (temporary / MANIFEST).write_text(json.dumps({"schema": 1, "files": sums}, indent=1))
    _sync(temporary / MANIFEST)
    for folder in {path.parent for path in files}:
        _sync(folder)


def verify(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint whose every file is as it was written.

    Raises `CheckpointError` naming the first file that is missing, damaged or not a checkpoint's.
    """
    try:
        sums = listed(folder)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path} is missing")
        if sha256(path) != expected:
            raise CheckpointError(f"{path} is damaged: its sha256 is not the manifest's")
    return _state(folder)


def _state(folder: Path) -> dict[str, Any]:
    """What `state.json` holds; raises `CheckpointError` if that is not the state of this round."""
    path = folder / "state.json"
    try:
        state = read_json(path)
        if folder_of(folder.parent, state["round"]).name != folder.name:
            raise ValueError(f"it is of round {state['round']}")
        if not all(isinstance(version, int) for version in state["versions"].values()):
            raise ValueError("its versions are not numbers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is missing or damaged ({error!r})") from error
    return state


def require(folder: Path, versions: dict[str, int], roles: Iterable[str]) -> None:
    """Raises `CheckpointError` if the weights of one of the roles are not in a checkpoint."""
    for role in roles:
        if role not in versions or not (folder / role / "optimizer.safetensors").is_file():
            raise CheckpointError(
                f"{folder} has no weights of the {role.capitalize()}, which is trained: it comes "
                "from a run that trained others"
            )


def newest(root: Path, up_to: int) -> tuple[Path, dict[str, Any], list[str]]:
    """The newest whole checkpoint of a round not above `up_to`: folder, state, and what was passed over.

    Raises `CheckpointError` if there is none.
    """
    problems: list[str] = []
    for round in sorted(rounds(root), reverse=True):
        if round > up_to:
            continue
        try:
            return folder_of(root, round), verify(folder_of(root, round)), problems
        except CheckpointError as error:
            problems.append(str(error))
    found = "; ".join(problems) or "none was ever finished"
    raise CheckpointError(f"no usable checkpoint in {root}: {found}")


def rounds(root: Path) -> list[int]:
    """The rounds that have a folder of the name that `folder_of` gives; others are not ours."""
    found = []
    for path in root.glob("round-*"):
        if (name := re.fullmatch(r"round-(\d{4,18})", path.name)) and path.is_dir():
            round = int(name.group(1))
            found += [round] if folder_of(root, round) == path else []
    return sorted(found)


def prune(root: Path, keep: int) -> None:
    """Deletes all but the `keep` newest checkpoints."""
    for round in rounds(root)[:-keep]:
        _remove(folder_of(root, round))


def _remove(path: Path) -> None:
    """A folder, or whatever else has taken its name; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
