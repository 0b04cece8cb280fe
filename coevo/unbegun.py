"""A start that came to nothing: what it made goes, so that the corrected command finds its name free."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from coevo import checkpoint
from coevo.run_folder import FILES, FOLDERS
from environments.printable import printable

LEDGER = "spending.db"
GONE = "its first round was not done, and nothing of it is left"
OWN = {*FILES, *FOLDERS, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"}


def unbegun(folder: Path) -> bool:
    """Whether a run's folder holds nothing that is worth keeping: no round, no checkpoint, no answer
    that an endpoint may have charged for, and nothing that coevo never puts there."""
    try:
        if {path.name for path in folder.iterdir()} - OWN:
            return False
        if checkpoint.rounds(folder / "checkpoints") or _spent(folder / LEDGER):
            return False
        with _opened(folder / "run.db") as db:
            return not db.execute("SELECT 1 FROM rounds").fetchone()
    except (OSError, sqlite3.Error):
        return False


def _opened(file: Path) -> contextlib.closing[sqlite3.Connection]:
    """A database that is there: SQLite would make one that is not."""
    return contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True))


def _spent(ledger: Path) -> bool:
    if not ledger.exists():
        return False
    with _opened(ledger) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'spent'").fetchone():
            return False
        (tokens,) = db.execute("SELECT coalesce(sum(tokens), 0) FROM spent").fetchone()
        return tokens > 0


class Made:
    """What a start makes: the run's folder, and the folders above it that were not there."""

    def __init__(self, root: Path):
        self.above = [path for path in (root, *root.parents) if not path.exists()]
        self.folder: Path | None = None
        self.identity: tuple[int, int] | None = None

    def claim(self, folder: Path, identity: tuple[int, int]) -> None:
        """This is to be the run's folder; told before it has its name, as a signal may come between."""
        self.folder, self.identity = folder, identity

    def discard(self) -> bool:
        """Removes it all, where the run is `unbegun`; what its processes wrote is kept elsewhere.

        Whether a run's folder went.
        """
        gone = False
        if self.folder is not None and self._still_there(self.folder):
            if not unbegun(self.folder):
                return False
            _keep_logs(self.folder / "logs")
            shutil.rmtree(self.folder, ignore_errors=True)
            gone = True
        for path in self.above:  # the innermost first; one with anything in it stays
            with contextlib.suppress(OSError):
                path.rmdir()
        return gone

    def _still_there(self, folder: Path) -> bool:
        try:
            found = folder.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity


def _keep_logs(logs: Path) -> None:
    """Where a worker died, they say why."""
    if not logs.is_dir() or not any(logs.iterdir()):
        return
    try:
        kept = Path(tempfile.mkdtemp(prefix="coevo-logs-")) / "logs"
        shutil.move(logs, kept)
    except OSError:
        return
    told = printable(f"what the processes of this start wrote is in {kept}")
    print(f"coevo: {told}", file=sys.stderr, flush=True)
