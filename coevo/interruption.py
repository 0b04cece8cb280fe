"""Ctrl-C and SIGTERM: one line, exit status 130, at any moment of a command.

Imported before anything else of coevo: it imports nothing that is not there already.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

STATUS = 130
received: list[int] = []
said: list[str] = []  # what the user was told already
_main = os.getpid()


def install() -> None:
    """Takes over both signals for this process; a child that it forks ends without a word."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def end(status: int) -> NoReturn:
    """Leaves Python; a signal while it closes down only ends the process."""
    received.append(0)
    sys.exit(status)


def leave(message: str) -> NoReturn:
    """Ends the process at once: what is on the disk is whole at every moment.

    Straight to the terminal: a stream may be half-way through another line.
    """
    if os.getpid() == _main and not said:
        os.write(2, f"coevo: {message}\n".encode(errors="backslashreplace"))
    os._exit(STATUS)


def _stop(number: int, frame: FrameType | None) -> None:
    """The first is an exception, so that a command tidies up; a second, or one while modules are
    imported (libraries make other errors of it there), ends the process."""
    received.append(number)
    if len(received) > 1 or os.getpid() != _main or _importing(frame):
        leave("stopped")
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
