"""Checkpoints: folders that are either whole or not there.

A folder is written under a temporary name, its files are synced, a manifest with the sha256 of each
goes in last, and the folder is renamed. Loading verifies the manifest first. Only safetensors and
JSON are written; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coevo.manifest import MANIFEST, listed


class CheckpointError(RuntimeError):
    """A checkpoint that is missing or damaged; the message names the file."""


def folder_of(root: Path, round: int) -> Path:
    return root / f"round-{round:04d}"


def write(root: Path, round: int, fill: Callable[[Path], None], state: dict[str, Any]) -> Path:
    """Writes the checkpoint of a round: `fill(folder)` puts the weights in, `state` goes beside."""
    final, temporary = folder_of(root, round), root / f".round-{round:04d}.{os.getpid()}.tmp"
    root.mkdir(parents=True, exist_ok=True)
    for stale in root.glob(".round-*.tmp"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary.mkdir()
    try:
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
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(root)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


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
    return json.loads((folder / "state.json").read_text())


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
    """The rounds that have a folder."""
    return sorted(int(path.name.split("-")[1]) for path in root.glob("round-[0-9]*"))


def prune(root: Path, keep: int) -> None:
    """Deletes all but the `keep` newest checkpoints."""
    for round in rounds(root)[:-keep]:
        shutil.rmtree(folder_of(root, round))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
