"""Ends what is left of a run's Ray cluster once the run is done or dead, and removes its folder.

A program that runs beside the cluster: the folder is its argument, the cluster's token the first line of
its input. The input ends when the run's process closes it or dies, in whatever way.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

SECONDS = 10.0  # for processes that were killed to be gone


def members(token: str) -> list[int]:
    """Ids of the processes that were started with the token in their environment (on Linux)."""
    if not token:
        return []
    mark, found = f"RAY_AUTH_TOKEN={token}".encode(), []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
        except OSError:  # another user's, or gone by now
            continue
    return found


def main() -> None:
    folder, token = Path(sys.argv[1]), sys.stdin.readline().strip()
    sys.stdin.read()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for process in members(token):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() and not members(token):
            return
        time.sleep(0.02)


if __name__ == "__main__":
    main()
