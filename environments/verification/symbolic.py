"""Asks whether two expressions are equal, in a few child processes that can be killed.

Evaluating what a model wrote can take forever, exhaust memory and crash, so it never happens in a
process that matters. A child is a fresh Python (not a fork) with limits on time and memory and
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
import weakref
from collections import Counter, OrderedDict
from pathlib import Path

from environments.base import STATUSES, Status
from environments.verification.comparison import decide
from environments.verification.kinds import Answer

CHILDREN = 2
MEMORY = 1 << 30  # bytes of address space of each
START_SECONDS = 60.0  # after which a child that is not ready is given up
VERDICTS = 2000  # after which a child is replaced: what it holds cannot grow without end
REMEMBERED = 2000  # verdicts

_CHILD = Path(__file__).with_name("symbolic_child.py")
_INHERITED = ("LD_LIBRARY_PATH",)  # some Pythons do not start without it


def judge(gold: Answer, prediction: Answer, seconds: float = 5.0) -> Status:
    """Whether `prediction` equals `gold`: exactly where that decides, else by the pool.

    `seconds` is the wall-clock deadline of the whole comparison, waiting for a child and starting
    one included; after it the child is killed (`timeout`). Safe from any thread. Never raises on
    any answers.
    """
    deadline = time.monotonic() + seconds
    return decide(gold, prediction, lambda a, b: pool.ask(a, b, deadline - time.monotonic()))


class Judge:
    """One child process: started when needed, replaced when used up, timed out or crashed."""

    def __init__(self, memory: int = MEMORY, verdicts: int = VERDICTS):
        self.memory, self.verdicts = memory, verdicts
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._given_up = 0.0  # when a child that is not ready is given up
        self._left = 0  # verdicts until it is replaced

    @property
    def pid(self) -> int | None:
        """The process that is running now, if one is."""
        return self._child.pid if self._child else None

    def ask(self, gold: str, prediction: str, seconds: float) -> Status:
        """The status of comparing two texts that have passed the grammar of `expressions`."""
        deadline = time.monotonic() + seconds
        if not self._lock.acquire(timeout=max(seconds, 0)):
            return "timeout"
        try:
            if self._left <= 0:
                self._stop()
            if self._child is None:
                self._start()
            if not self._ready and (failed := self._await_ready(deadline)):
                return failed
            return self._exchange(gold, prediction, deadline - time.monotonic())
        except OSError:
            self._stop()
            return "crash"
        except BaseException:  # a Ctrl-C between question and reply: the reply would be stale
            self._stop()
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the child; the next question starts another."""
        with self._lock:
            self._stop()

    def _start(self) -> None:
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
        self._left, self._ready = self.verdicts, False
        self._given_up = time.monotonic() + START_SECONDS

    def _await_ready(self, deadline: float) -> Status | None:
        """None once the child is ready; at a deadline before that it goes on starting."""
        reply = self._reply(min(deadline, self._given_up) - time.monotonic())
        if reply == "ready":
            self._ready = True
            return None
        if reply is None and time.monotonic() < self._given_up:
            return "timeout"
        self._stop()
        return "crash"

    def _exchange(self, gold: str, prediction: str, seconds: float) -> Status:
        assert self._child is not None and self._child.stdin is not None
        self._left -= 1
        request = json.dumps([gold, prediction, math.ceil(max(seconds, 0)) + 1])
        self._child.stdin.write(request.encode() + b"\n")
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


class Pool:
    """A few judges; a question goes to one that is free, and a new one starts only if none is.

    `counts` says how often each status was given, verdicts from memory included.
    """

    def __init__(self, size: int = CHILDREN, memory: int = MEMORY, verdicts: int = VERDICTS):
        self.size, self.memory, self.verdicts = size, memory, verdicts
        self.reset()
        _pools.add(self)

    def reset(self) -> None:
        """Forgets the children, which after a fork are the parent's, and so may be the locks."""
        self._changed = threading.Condition()
        self._judges: list[Judge] = []
        self._free: list[Judge] = []
        self._known: OrderedDict[tuple[str, str], Status] = OrderedDict()
        self._counts: Counter[Status] = Counter()

    @property
    def counts(self) -> dict[Status, int]:
        """The number of verdicts of each status."""
        return {status: self._counts[status] for status in STATUSES}

    @property
    def pids(self) -> list[int]:
        """The processes that are running now."""
        return [judge.pid for judge in self._judges if judge.pid is not None]

    def ask(self, gold: str, prediction: str, seconds: float) -> Status:
        """The status of comparing two texts that have passed the grammar of `expressions`."""
        question, deadline = (gold, prediction), time.monotonic() + seconds
        with self._changed:
            status = self._known.get(question)
        if status is None:
            status = self._ask(gold, prediction, deadline)
        with self._changed:
            self._counts[status] += 1
            if status in ("correct", "wrong", "unparseable"):
                self._known[question] = status
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return status

    def warm(self, seconds: float = START_SECONDS) -> bool:
        """Starts every child; whether all were ready in time."""
        while len(self._judges) < self.size:
            judge = Judge(self.memory, self.verdicts)
            self._judges.append(judge)
            self._free.append(judge)
        deadline = time.monotonic() + seconds
        found = [judge.ask("1", "2", deadline - time.monotonic()) for judge in self._judges]
        return found == ["wrong"] * self.size

    def close(self) -> None:
        """Ends the children; the next question starts others."""
        with self._changed:
            judges = list(self._judges)
        for judge in judges:
            judge.close()

    def _ask(self, gold: str, prediction: str, deadline: float) -> Status:
        judge = self._acquire(deadline)
        if judge is None:
            return "timeout"
        try:
            return judge.ask(gold, prediction, deadline - time.monotonic())
        finally:
            with self._changed:
                self._free.append(judge)
                self._changed.notify()

    def _acquire(self, deadline: float) -> Judge | None:
        """A judge that is free, the one used last first; None at the deadline."""
        with self._changed:
            while not self._free:
                if len(self._judges) < self.size:
                    self._judges.append(Judge(self.memory, self.verdicts))
                    return self._judges[-1]
                if not self._changed.wait(deadline - time.monotonic()) and not self._free:
                    return None
            return self._free.pop()


def _forget() -> None:
    for known in list(_pools):
        known.reset()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
pool = Pool()
os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: pool.close())
