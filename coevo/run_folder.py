"""A run's folder, opened to be read: configuration, memory, environment, summary."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
from coevo import checkpoint, compose
from coevo.config import Config, ConfigError, EnvironmentConfig, nearest
from coevo.damage import check
from coevo.files import read_json
from coevo.store import Store
from coevo.summary_shape import fault
from environments import Environment


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run, finished or not; its database is open for reading only."""

    path: Path
    config: Config
    store: Store
    environment: Environment

    @property
    def name(self) -> str:
        return self.path.name

    def summary(self) -> dict[str, Any] | None:
        """`summary.json`, or None while the run has not finished."""
        return read_summary(self.path)

    def newest_checkpoint(self) -> tuple[Path, dict[str, Any]]:
        """Folder and state of the newest whole checkpoint; raises `CheckpointError`."""
        root = self.path / "checkpoints"
        folder, state, damaged = checkpoint.newest(root, self.store.last_round())
        for message in damaged:
            print(f"passed over: {message}", file=sys.stderr)
        return folder, state


def is_run(path: Path) -> bool:
    return (path / "run.db").is_file()


def find_run(name: str) -> Path:
    """The folder of a run, given as a path or as a name under `runs`.

    Raises `ConfigError`, with the nearest name, if there is no such run.
    """
    for path in (Path(name).expanduser(), Path("runs") / name):
        if is_run(path):
            refuse_strange(path)
            return path
    if Path(name).is_dir():
        raise ConfigError(f"the folder {name} is not that of a run: it has no run.db")
    hint = nearest(name, run_names())
    raise ConfigError(f"there is no run {name!r}, neither here nor in the folder runs{hint}")


# What a run's folder holds, where it is there.
FILES = (
    "config.yaml",
    "run.db",
    "run.db-wal",
    "run.db-shm",
    "metrics.jsonl",
    "summary.json",
    ".lock",
)
FOLDERS = ("checkpoints", "logs", "wandb")


def refuse_strange(path: Path) -> None:
    """Raises `ConfigError` if something else bears the name of a run's file or folder.

    A pipe in place of a file would wait for ever for its other end.
    """
    for names, fits, kind in ((FILES, Path.is_file, "file"), (FOLDERS, Path.is_dir, "folder")):
        for own in (path / name for name in names):
            if os.path.lexists(own) and not fits(own):
                raise ConfigError(f"{own} is not a {kind}, as it is in a run: take it away")


def run_names() -> list[str]:
    """The runs in the folder `runs`."""
    return sorted(path.name for path in Path("runs").glob("*") if is_run(path))


def open_run(name: str) -> RunFolder:
    """Raises `ConfigError` or `StoreError` if the run is not there or cannot be read."""
    path = find_run(name)
    config = compose.from_plain(compose.load(path / "config.yaml"))
    store = Store(path / "run.db", read_only=True)
    check(store)
    return RunFolder(path, config, store, make_environment(config.environment))


def make_environment(config: EnvironmentConfig) -> Environment:
    """The environment that a configuration names; raises `ConfigError` if it cannot be made."""
    try:
        return environments.make(config.name, **config.options)
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        raise ConfigError(f"environment.name={config.name}: {error}") from error


def read_summary(path: Path) -> dict[str, Any] | None:
    """A run folder's `summary.json`, or None if there is none yet; raises `ConfigError`."""
    file = path / "summary.json"
    if not file.exists():
        return None
    try:
        summary = read_json(file)
        if why := fault(summary):
            raise ValueError(why)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} cannot be read ({error}); `coevo resume {path}` writes it anew"
        ) from error
    return summary
