"""A run that has all its rounds: what `coevo resume` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coevo import checkpoint
from coevo.config import Config, ConfigError
from coevo.damage import check, whole_rounds
from coevo.program import command
from coevo.run_folder import read_summary
from coevo.store import Store, StoreError
from environments.printable import printable


def finished(
    config: Config, folder: Path, store: Store, changes: Sequence[str]
) -> dict[str, Any] | None:
    """The summary of a run that has as many rounds as are asked for; None if there is work to do.

    Raises `ConfigError` if it has more, or if it was stopped before the last of these rounds was
    evaluated. A finished run is only taken up again for other settings than `rounds`, and where
    something of it is damaged.
    """
    done = store.last_round()
    more = f"write rounds={done + 1} or more to go on"
    if done < 1 or config.rounds > done:
        return None
    if config.rounds < done:
        raise ConfigError(
            f"rounds={config.rounds}: {folder} has {done} rounds already, and cannot have fewer; {more}, "
            f"or start another run: {command('run', f'rounds={config.rounds}')} …"
        )
    if any(one.startswith("rounds:") for one in changes) and not store.evaluation(done, "heldout"):
        raise ConfigError(
            f"rounds={config.rounds}: {folder} was stopped after round {done} of more, which was not "
            f"evaluated as a last one is; {more}"
        )
    others = [one for one in changes if not one.startswith(("rounds:", "name:", "runs_dir:"))]
    try:
        check(store)
        _, lost = whole_rounds(store)
        _, state, damaged = checkpoint.newest(folder / "checkpoints", done)
        summary = (
            None if others or lost or damaged or state["round"] != done else read_summary(folder)
        )
    except (StoreError, checkpoint.CheckpointError, ConfigError):  # what can be is made anew
        return None
    if summary is None or summary["rounds"] != done:
        return None
    print(f"{printable(folder)} has finished: {done} round{'s' * (done != 1)}; {more}")
    if config.tracker.console:
        from rich.console import Console

        from coevo.tracking.final_tables import print_summary

        print_summary(Console(highlight=False), summary, folder.name, folder)
    return summary
