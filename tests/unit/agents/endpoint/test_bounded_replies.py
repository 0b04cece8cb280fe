"""How much of a reply is read."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from agents.policies.endpoint import EndpointError
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    ask,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer


@pytest.mark.parametrize(
    ("behaviour", "kind", "detail", "sent"),
    [
        (do.flood(), "too_long", "more than 1,065,040 bytes", 1),
        (do.flood(500, b"out of memory "), "server_error", "500: out of memory xxx", 3),
        (do.bomb(), "bad_response", "compressed as gzip", 3),
        (do.bomb(500), "server_error", "500: ", 3),
        (do.many_headers, "connection", "", 3),
    ],
)
def test_no_more_is_read_than_an_answer_can_have(
    tmp_path: Path,
    server: FailingServer,
    behaviour: do.Behaviour,
    kind: str,
    detail: str,
    sent: int,
) -> None:
    """64 tokens of 256 bytes, a prompt of 10 bytes 8 times, and 1 MiB: 1,065,040 bytes. What the
    server could write is what was read of it and what lies in buffers; memory does not grow."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server.plan = lambda number, body: (
        do.answer() if body["messages"][0]["content"][-1] == "0" else behaviour
    )
    policy = make(tmp_path, server.url, timeout=30.0, concurrency=1)
    first, second = ask(policy, 2)
    assert (first.error, second.error) == ("", kind)
    assert len(server.seen) == 1 + sent
    assert server.flooded < 32 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB
    server.plan = lambda number, body: behaviour
    with pytest.raises(EndpointError) as caught:
        policy.sample(prompts(4), 1, SAMPLING, [77] * 4)
    assert detail in str(caught.value) and len(str(caught.value)) < 2000


def test_the_longest_answer_is_read(tmp_path: Path, server: FailingServer) -> None:
    """64 tokens of 40 characters, each six bytes in JSON."""
    text = "\x01" * 64 * 40
    server.plan = lambda number, body: do.answer(text=text)
    assert ask(make(tmp_path, server.url))[0].text == text
