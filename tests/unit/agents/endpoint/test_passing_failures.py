"""Failures that may pass: retried, waited for, accounted."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from agents.policies.replies import retry_after
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    ask,
    attempts,
    make,
)
from tests.unit.agents.failing_server import FailingServer, text_of

PASSING = {
    "408": do.fail(408), "409": do.fail(409), "429": do.fail(429), "500": do.fail(500),
    "502": do.send("<html>bad gateway</html>", 502), "503": do.fail(503), "504": do.fail(504),
    "half": do.half, "reset": do.reset, "not JSON": do.send('{"choices": ['),
    "HTML": do.send("<html>welcome</html>", content_type="text/html"), "nothing": do.send(""),
    "no gzip": do.send("plain", content_encoding="gzip"), "noise": do.noise,
    "odd charset": do.send("down", 503, content_type="text/html; charset=nonsense"),
    "deep": do.send("[" * 100_000), "no choices": do.send('{"id": "1"}'),
    "empty choices": do.send('{"choices": []}'), "a list": do.send("[1]"),
    "odd choice": do.send('{"choices": [{"message": {"content": [1]}}]}'),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_a_failure_in_passing_is_retried(tmp_path: Path, server: FailingServer, name: str) -> None:
    server.plan = lambda number, body: PASSING[name] if number < 2 else do.answer()
    (drawn,) = ask(make(tmp_path, server.url))
    assert drawn.text == text_of(server.seen[0][2])
    assert len(server.seen) == 3 and server.seen[0][2] == server.seen[2][2]
    statuses = [status for (status,) in attempts(tmp_path, "status")]
    assert statuses[2] == "ok" and "ok" not in statuses[:2]


KINDS = [
    ("408", "timeout", 0), ("429", "rate_limited", 0), ("500", "server_error", 0),
    ("503", "server_error", 0), ("half", "connection", 202), ("reset", "connection", 202),
    ("not JSON", "bad_response", 202), ("empty choices", "bad_response", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "tokens"), KINDS)
def test_after_the_retries_it_is_a_typed_error(
    tmp_path: Path, server: FailingServer, name: str, kind: str, tokens: int
) -> None:
    """An answer that did not arrive whole counts at its bound, 10 + 128 + 64 tokens; a server that
    says that it failed has written none."""
    policy = make(tmp_path, server.url)
    server.plan = lambda number, body: PASSING[name]
    (drawn,) = ask(policy)
    assert (drawn.text, drawn.finish_reason, drawn.error) == ("", "error", kind)
    columns = ("status", "prompt_tokens + completion_tokens", "estimated")
    assert attempts(tmp_path, *columns) == [(kind, tokens, int(tokens > 0))] * 3
    server.plan = lambda number, body: do.answer()
    assert ask(policy)[0].error == ""  # a failure is not kept


@pytest.mark.parametrize("behaviour", [do.hang, do.hang_after_headers, do.drip])
def test_timeout_is_of_the_whole_request(
    tmp_path: Path, server: FailingServer, behaviour: do.Behaviour
) -> None:
    """A byte every 0.05 s never lets a wait between bytes reach 1 s. What was asked and not
    received may be charged: it stays at its bound of 10 + 128 and 64 tokens."""
    server.plan = lambda number, body: behaviour if number == 0 else do.answer()
    start = time.monotonic()
    assert ask(make(tmp_path, server.url, timeout=1.0))[0].error == ""
    assert 1 <= time.monotonic() - start < 20
    columns = ("status", "prompt_tokens", "completion_tokens", "estimated")
    assert attempts(tmp_path, *columns) == [("timeout", 138, 64, 1), ("ok", 11, 7, 0)]


def test_a_kept_connection_that_is_reset(tmp_path: Path, server: FailingServer) -> None:
    server.plan = lambda number, body: do.answer_then_reset
    drawn = ask(make(tmp_path, server.url, concurrency=1, retries=5), 5)
    assert [c.error for c in drawn] == [""] * 5


def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that calls wait for, instead of waiting."""
    waited: list[float] = []

    async def stopped_within(self: Any, seconds: float) -> bool:
        waited.append(seconds)
        return False

    monkeypatch.setattr("agents.policies.calls.Call._stopped_within", stopped_within)
    return waited


def test_backoff_doubles_up_to_its_cap(
    tmp_path: Path, server: FailingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wait is 0.5 to 1 times 1, 2, 4, 5, 5 s, and the same in every run."""
    server.plan = lambda number, body: do.fail(500)
    waited = waits(monkeypatch)
    ask(make(tmp_path, server.url, retries=5, backoff=1.0, backoff_max=5.0))
    for seconds, most in zip(waited, [1, 2, 4, 5, 5], strict=True):
        assert most / 2 <= seconds <= most
    first, waited[:] = list(waited), []
    ask(make(tmp_path, server.url, retries=5, backoff=1.0, backoff_max=5.0))
    assert waited == first


@pytest.mark.parametrize(
    ("value", "least", "most"), [("7", 7, 7), ("date", 17, 20), ("soon", 0.5, 1)]
)
def test_retry_after_is_honoured(
    tmp_path: Path,
    server: FailingServer,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    least: float,
    most: float,
) -> None:
    if value == "date":
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    refusal = do.fail(429, retry_after=value)
    server.plan = lambda number, body: do.answer() if number else refusal
    waited = waits(monkeypatch)
    policy = make(tmp_path, server.url, backoff=1.0, backoff_max=60.0)
    assert ask(policy)[0].error == ""
    assert len(waited) == 1 and least <= waited[0] <= most


def test_retry_after_beyond_the_longest_wait_gives_up(
    tmp_path: Path, server: FailingServer
) -> None:
    refusal = do.fail(503, retry_after="3600")
    server.plan = lambda number, body: do.answer() if number else refusal
    drawn = ask(make(tmp_path, server.url, concurrency=1), 2)
    assert [c.error for c in drawn] == ["rate_limited", ""]
    assert len(server.seen) == 2


def test_forms_of_retry_after() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert retry_after("Wed, 31 Dec 2025 00:01:00 GMT", now) == 0
    assert (retry_after("1.5", now), retry_after("-3", now)) == (1.5, 0)
    assert [retry_after(value, now) for value in (None, "", "nan", "tomorrow")] == [None] * 4
