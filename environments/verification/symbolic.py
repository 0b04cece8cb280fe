"""Asks math-verify whether two expressions are equal, in a child process that can be killed.

math-verify can hang beyond any timeout of its own, exhaust memory and crash, so it never runs in a
process that matters. The child is a fresh Python (not a fork) with limits on time and memory and
without the parent's environment variables; it starts at the first question that needs it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

from environments.base import STATUSES, Status
from environments.verification.answers import Answer, equal

MEMORY = 1 << 30  # bytes of address space
START_SECONDS = 120.0  # for the child to import sympy, on the slowest machine
VERDICTS = 500  # after which the child is replaced: sympy's caches only grow

_CHILD = Path(__file__).with_name("symbolic_child.py")
_INHERITED = ("LD_LIBRARY_PATH",)  # some Pythons do not start without it


def judge(gold: Answer, prediction: Answer, seconds: float = 5.0) -> Status:
    """Whether `prediction` equals `gold`: exactly where that decides, else by computer algebra.

    `seconds` is the wall-clock deadline of the algebra, after which its process is killed
    (`timeout`); starting that process, a second or two, is not counted. Safe from any thread; one
    comparison runs at a time in each process. Never raises on any answers.
    """
    exact = equal(gold, prediction)
    if exact is not None:
        return "correct" if exact else "wrong"
    return _judge.ask(gold.text, prediction.text, seconds)


class Judge:
    """One child process: started when needed, replaced when used up, timed out or crashed."""

    def __init__(self, memory: int = MEMORY, verdicts: int = VERDICTS):
        self.memory, self.verdicts = memory, verdicts
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._left = 0  # verdicts until it is replaced

    @property
    def pid(self) -> int | None:
        """The process that is running now, if one is."""
        return self._child.pid if self._child else None

    def ask(self, gold: str, prediction: str, seconds: float) -> Status:
        """The status of comparing two texts that have passed the grammar of `expressions`."""
        with self._lock:
            if self._left <= 0:
                self._stop()
            try:
                if self._child is None and not self._start():
                    return "crash"
                return self._exchange([gold, prediction, math.ceil(seconds) + 1], seconds)
            except OSError:
                self._stop()
                return "crash"
            except BaseException:  # a Ctrl-C between question and reply: the reply would be stale
                self._stop()
                raise

    def close(self) -> None:
        """Ends the child; the next question starts another."""
        with self._lock:
            self._stop()

    def _start(self) -> bool:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-B", str(_CHILD), str(self.memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={**environment, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
            start_new_session=True,  # a Ctrl-C at the terminal is for the parent alone
        )
        self._left = self.verdicts
        if self._reply(START_SECONDS) == "ready":
            return True
        self._stop()
        return False

    def _exchange(self, request: list[object], seconds: float) -> Status:
        assert self._child is not None and self._child.stdin is not None
        self._left -= 1
        self._child.stdin.write(json.dumps(request).encode() + b"\n")
        reply = self._reply(seconds)
        for status in STATUSES:
            if reply == status:
                if status == "crash":
                    self._stop()
                return status
        self._stop()
        return "timeout" if reply is None else "crash"

    def _reply(self, seconds: float) -> str | None:
        """The child's next line, empty if it has died; None at the deadline."""
        assert self._child is not None and self._child.stdout is not None
        poll, deadline, line = select.poll(), time.monotonic() + seconds, b""
        poll.register(self._child.stdout, select.POLLIN)
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            if poll.poll(math.ceil(left * 1000)):
                piece = os.read(self._child.stdout.fileno(), 64)
                if not piece:
                    return ""
                line += piece
        return line.decode("ascii", "replace").strip()

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        child.wait()


def _forget() -> None:
    """After a fork: the child process is still the parent's, and so may be the lock."""
    global _judge
    _judge = Judge()


_judge = Judge()
os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _judge.close())
