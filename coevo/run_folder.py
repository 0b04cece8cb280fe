"""A run's folder, opened to be read: configuration, memory, environment, summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import environments
from coevo import checkpoint, compose
from coevo.config import Config, ConfigError, EnvironmentConfig, nearest
from coevo.damage import check
from coevo.files import read_json
from coevo.folder_files import FileRefused, check_folder
from coevo.program import command
from coevo.store import Store
from coevo.summary_shape import fault
from coevo.trust import code_of, confirm
from environments import Environment, Problem
from environments.benchmark import heldout
from environments.data_files import user_path

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


class FolderRefused(ConfigError):
    """A run's folder that holds what coevo never puts there; the message names it."""


@dataclass(slots=True)
class RunFolder:
    """A run, finished or not; its database is open for reading only.

    `made` is its environment once that has been asked for; `trust` confirms what the folder asks for
    beyond itself (`coevo.trust`).
    """

    path: Path
    config: Config
    store: Store
    made: Environment | None = None
    trust: bool = False

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def environment(self) -> Environment:
        """Raises `ConfigError` if it cannot be made, or names code or files without trust."""
        if self.made is None:
            self.confirm(("environment",))
            self.made = make_environment(self.config.environment)
        return self.made

    def confirm(self, only: Sequence[str]) -> None:
        """Raises `ConfigError` if these keys ask for what lies elsewhere, without trust."""
        confirm(self.config, self.path, trust=self.trust, only=only)

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


def _user_path(name: str) -> Path:
    try:
        return user_path(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def find_run(name: str) -> Path:
    """The folder of a run, given as a path or as a name under `runs`.

    Raises `ConfigError`, with the nearest name, if there is no such run, and `FolderRefused` if its
    folder holds links or other things than files.
    """
    for path in (_user_path(name), Path("runs") / name):
        if is_run(path):
            check_files(path)
            return path if path.name not in ("", "..") else path.resolve()
    if Path(name).is_dir():
        raise ConfigError(f"the folder {name} is not that of a run: it has no run.db")
    hint = nearest(name, run_names())
    raise ConfigError(f"there is no run {name!r}, neither here nor in the folder runs{hint}")


def run_names() -> list[str]:
    """The runs in the folder `runs`."""
    return sorted(path.name for path in Path("runs").glob("*") if is_run(path))


def check_files(path: Path) -> None:
    """Raises `FolderRefused` if a run's folder holds links or other things than files, or if
    something else bears the name of a run's file or folder."""
    try:
        check_folder(path)
    except FileRefused as error:
        raise FolderRefused(str(error)) from error
    for names, fits, kind in ((FILES, Path.is_file, "file"), (FOLDERS, Path.is_dir, "folder")):
        for own in (path / name for name in names):
            if os.path.lexists(own) and not fits(own):
                raise FolderRefused(f"{own} is not a {kind}, as it is in a run: take it away")


def open_run(name: str, trust: bool = False) -> RunFolder:
    """Raises `ConfigError` or `StoreError` if the run is not there or cannot be read."""
    path = find_run(name)
    config = compose.from_plain(compose.load(path / "config.yaml"))
    store = Store(path / "run.db", read_only=True)
    check(store)
    return RunFolder(path, config, store, trust=trust)


def make_environment(config: EnvironmentConfig) -> Environment:
    """The environment that a configuration names; raises `ConfigError` if it cannot be made.

    Code of the user's own is looked for in the current folder too, after everything installed.
    """
    own = code_of(config.name, config.options)
    if own and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return environments.make(config.name, **config.options)
    except environments.BadOption as error:
        raise ConfigError(f"environment.options.{error}") from error
    except (ValueError, TypeError, ImportError, AttributeError) as error:
        raise ConfigError(f"environment.name={config.name}: {error}") from error
    except Exception as error:
        if not own:
            raise
        told = f"{type(error).__name__}: {error}"
        raise ConfigError(f"environment.name={config.name}: its code failed ({told})") from error


def held_out(config: Config, environment: Environment) -> list[Problem]:
    """The held-out problems of a run; raises `ConfigError` if the environment has not that many."""
    try:
        return heldout(environment, config.evaluation.per_cell)
    except ValueError as error:
        raise ConfigError(
            f"evaluation.per_cell={config.evaluation.per_cell}: {error}; write a smaller "
            "evaluation.per_cell, or leave that level out"
        ) from error


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
            f"{file} cannot be read ({error}); {command('resume', path)} writes it anew"
        ) from error
    return summary
