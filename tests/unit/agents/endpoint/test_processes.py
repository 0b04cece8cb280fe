"""Several processes, killed ones, interrupts, and event loops."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from agents.policies.endpoint import EndpointError
from agents.records import Completion
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    ask,
    attempts,
    closed_port,
    make,
)
from tests.unit.agents.failing_server import FailingServer

WORKER = """
    import signal
    import sys
    from pathlib import Path
    from tests.unit.agents.endpoint.asking import SAMPLING, make, prompts
    from agents.policies.endpoint import EndpointError

    folder, url, settings, first, count = sys.argv[1:]
    policy = make(Path(folder), url, **eval(settings))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest is in the background
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        seeds = range(int(first), int(first) + int(count))
        drawn = policy.sample(prompts(int(count)), 1, SAMPLING, list(seeds))
        print(*(c.text.replace(" ", "-") or c.error for (c,) in drawn))
    except EndpointError as error:
        print("EndpointError", error)
"""


def worker(
    folder: Path, url: str, first: int, count: int, **settings: Any
) -> subprocess.Popen[str]:
    """A process that is ready to sample, and does so at a line on its standard input."""
    arguments = [str(folder), url, repr(settings), str(first), str(count)]
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[4],
    )  # fmt: skip
    return process


def start(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()


def test_processes_share_answers_and_caps(tmp_path: Path, server: FailingServer) -> None:
    """Two ask the same 20 requests at once, of a server whose answers all differ: both end with
    the same texts, which are those of a replay. Then both ask for more than the cap leaves."""
    server.plan = lambda number, body: do.answer(text=f"answer-{number}")
    both = [worker(tmp_path, server.url, 0, 20) for _ in range(2)]
    start(*both)
    told = [process.communicate(timeout=60)[0] for process in both]
    replay = ask(make(tmp_path, closed_port(), offline=True), 20)
    assert told[0] == told[1] == " ".join(c.text for c in replay) + "\n"
    sent = len(server.seen)
    both = [worker(tmp_path, server.url, f, 40, max_requests=sent + 15) for f in (1000, 2000)]
    start(*both)
    told = [process.communicate(timeout=60)[0] for process in both]
    assert all(f"max_requests={sent + 15}" in one for one in told)
    assert len(server.seen) == sent + 15


def test_a_killed_process_leaves_its_requests_counted(
    tmp_path: Path, server: FailingServer
) -> None:
    """Two requests of 138 + 64 tokens hang when the process is killed: they may be charged."""
    under_way = threading.Semaphore(0)

    def hang(handler: do.Handler) -> None:
        under_way.release()
        do.hang(handler)

    server.plan = lambda number, body: hang
    process = worker(tmp_path, server.url, 0, 2, timeout=600)
    start(process)
    assert all(under_way.acquire(timeout=20) for _ in range(2))
    process.kill()
    process.wait(20)
    server.plan = lambda number, body: do.answer()
    with pytest.raises(EndpointError, match="2 used"):
        ask(make(tmp_path, server.url, max_requests=2))
    with pytest.raises(EndpointError, match="404 used"):  # at once, not when they would time out
        ask(make(tmp_path, server.url, max_tokens=500))
    assert ask(make(tmp_path, server.url, max_tokens=606))[0].error == ""


def test_an_interrupt_ends_a_call_at_once(tmp_path: Path, server: FailingServer) -> None:
    under_way = threading.Semaphore(0)

    def hang(handler: do.Handler) -> None:
        under_way.release()
        do.hang(handler)

    server.plan = lambda number, body: hang
    process = worker(tmp_path, server.url, 0, 20, timeout=600, concurrency=8)
    start(process)
    assert all(under_way.acquire(timeout=20) for _ in range(8))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors and process.returncode != 0
    assert [row[0] for row in attempts(tmp_path, "status")] == ["cancelled"] * 8


def test_inside_a_running_event_loop(tmp_path: Path, server: FailingServer) -> None:
    """As in a notebook."""
    import asyncio

    policy = make(tmp_path, server.url)

    async def cell() -> list[Completion]:
        return ask(policy, 3)

    assert [c.error for c in asyncio.run(cell())] == [""] * 3
    server.plan = lambda number, body: do.fail(404)

    async def wrong() -> list[Completion]:
        return ask(policy, 4)

    with pytest.raises(EndpointError, match="404"):
        asyncio.run(wrong())
