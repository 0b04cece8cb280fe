"""The endpoint policy against a real local server: what it asks, what it makes of every failure,
what it counts, what it keeps."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.policies import Prompt, Sampling
from agents.policies.endpoint import EndpointError, EndpointPolicy
from agents.policies.ledger import Ledger
from agents.policies.replies import make_request, retry_after
from agents.records import Completion
from coevo.config import EndpointConfig
from environments.arithmetic import Arithmetic
from tests.unit.agents import failing_server as do
from tests.unit.agents.failing_server import FailingServer, text_of

PROBLEM = Arithmetic().sample(np.random.default_rng(7), {"level": 3})
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=64)
SENTINEL = "sk-sentinel-6c1f0e9d2b7a"


def prompts(count: int, **fields: Any) -> list[Prompt]:
    return [
        Prompt(text=f"question {i}", task="solve", problem=PROBLEM, **fields) for i in range(count)
    ]


def make(folder: Path, url: str, role: str = "teacher", **settings: Any) -> EndpointPolicy:
    """A policy with short waits."""
    short = {"timeout": 5.0, "retries": 2, "backoff": 0.01, "backoff_max": 0.05}
    config = EndpointConfig(url=url, **{**short, **settings})
    return EndpointPolicy("model-a", config, role, folder / "cache.db", folder / "ledger.db")


def ask(policy: EndpointPolicy, count: int = 1, sampling: Sampling = SAMPLING) -> list[Completion]:
    drawn = policy.sample(prompts(count), 1, sampling, list(range(count)))
    return [completion for (completion,) in drawn]


def attempts(folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "ledger.db") as db:
        return db.execute(f"SELECT {','.join(columns)} FROM attempts ORDER BY id").fetchall()


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with FailingServer() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


# -- what is asked --------------------------------------------------------------------------------


def test_the_request_is_the_prompt_and_its_sampling(tmp_path: Path, server: FailingServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    prompt = dataclasses.replace(prompts(1)[0], system="be brief", schema=schema)
    sampling = dataclasses.replace(SAMPLING, stop=("\n\n", "END"))
    ((drawn, other),) = make(tmp_path, server.url).sample([prompt], 2, sampling, [2**70])
    bodies = [body for _, _, body in server.seen]
    seeds = [body.pop("seed") for body in bodies]
    assert len(set(seeds)) == 2 and all(0 <= seed < 2**31 for seed in seeds)
    assert {path for path, _, _ in server.seen} == {"/v1/chat/completions"}
    assert (
        bodies
        == [
            {
                "model": "model-a",
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "question 0"},
                ],
                "temperature": 0.7,
                "top_p": 0.9,
                "max_tokens": 64,
                "n": 1,
                "stop": ["\n\n", "END"],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "reply", "schema": schema, "strict": True},
                },
            }
        ]
        * 2
    )
    assert drawn.text != other.text
    assert (drawn.finish_reason, drawn.error, drawn.policy_version) == ("stop", "", 0)


def test_no_system_no_stop_no_schema_no_fields(tmp_path: Path, server: FailingServer) -> None:
    prompt = dataclasses.replace(prompts(1)[0], schema={"type": "object"})
    make(tmp_path, server.url, structured=False).sample([prompt], 1, SAMPLING, [0])
    ((_, headers, body),) = server.seen
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert not body.keys() & {"stop", "response_format"}
    assert not {name.lower() for name in headers} & {"authorization", "cookie"}


def test_variables_of_the_client_are_not_read(
    tmp_path: Path, server: FailingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = {
        "OPENAI_API_KEY": "stray-key", "OPENAI_ADMIN_KEY": "stray-admin", "OPENAI_ORG_ID": "stray-org",
        "OPENAI_PROJECT_ID": "stray-project", "OPENAI_BASE_URL": "http://stray.invalid/v1",
        "OPENAI_CUSTOM_HEADERS": "X-Stray: stray\nHost: stray.invalid\nAuthorization: stray",
    }  # fmt: skip
    for name, value in stray.items():
        monkeypatch.setenv(name, value)
    assert ask(make(tmp_path, server.url))[0].error == ""
    monkeypatch.setenv("SOME_KEY", SENTINEL)
    assert ask(make(tmp_path, server.url, key_env="SOME_KEY"), 2)[1].error == ""
    assert "stray" not in json.dumps(server.seen)
    assert [h.get("authorization") for _, h, _ in server.seen] == [None, f"Bearer {SENTINEL}"]


def test_order_is_kept_and_concurrency_bounded(tmp_path: Path) -> None:
    """Answers come back shuffled: each waits for its own random time. The server counts."""
    rng, gate = random.Random(3), threading.Barrier(4)

    def plan(number: int, body: dict[str, Any]) -> do.Behaviour:
        delay = rng.random() / 50

        def act(handler: do.Handler) -> None:
            if number < 4:
                gate.wait(10)  # four are under way together, or this breaks
            handler.server.closing.wait(delay)
            do.answer(text=handler.body["messages"][0]["content"])(handler)

        return act

    with FailingServer(plan) as server:
        policy = make(tmp_path, server.url, concurrency=4)
        drawn = policy.sample(prompts(15), 2, SAMPLING, list(range(15)))
        assert [[c.text for c in row] for row in drawn] == [
            [f"question {i}"] * 2 for i in range(15)
        ]
        assert server.most == 4


# -- what the server's figures and reasons become -------------------------------------------------


def test_usage_and_cost(tmp_path: Path, server: FailingServer) -> None:
    """11 prompt tokens at 2 and 7 completion tokens at 10 a million: 92 millionths."""
    policy = make(tmp_path, server.url, price_prompt=2.0, price_completion=10.0)
    (drawn,) = ask(policy)
    assert drawn.usage is not None
    assert dataclasses.astuple(drawn.usage) == (11, 7, pytest.approx(92e-6), False)
    assert policy.ledger.spent().cost == pytest.approx(92e-6)
    columns = ("role", "model", "task", "status", "prompt_tokens", "completion_tokens", "estimated")
    assert attempts(tmp_path, *columns) == [("teacher", "model-a", "solve", "ok", 11, 7, 0)]


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": -1}])
def test_missing_usage_is_estimated_and_marked(
    tmp_path: Path, server: FailingServer, usage: dict[str, Any]
) -> None:
    """`question 0` is 10 bytes: 3 tokens of four bytes. `ééé` is 6 bytes: 2 tokens."""
    server.plan = lambda number, body: do.answer(text="ééé", usage=usage)
    (drawn,) = ask(make(tmp_path, server.url))
    assert drawn.usage is not None
    assert (drawn.usage.prompt_tokens, drawn.usage.completion_tokens) == (3, 2)
    assert attempts(tmp_path, "estimated", "prompt_tokens") == [(1, 3)]


@pytest.mark.parametrize(
    ("changes", "reason", "error"),
    [
        ({"finish_reason": "length"}, "length", ""),
        ({"finish_reason": "length", "text": ""}, "length", ""),
        ({"text": ""}, "error", "empty"),
        ({"content": None}, "error", "empty"),
        ({"content": None, "refusal": "I will not"}, "error", "refused"),
        ({"finish_reason": "content_filter"}, "error", "refused"),
        ({"finish_reason": "tool_calls", "content": None}, "error", "bad_response"),
    ],
)
def test_finish_reasons(
    tmp_path: Path, server: FailingServer, changes: dict[str, Any], reason: str, error: str
) -> None:
    """Whole answers: not asked again, and paid."""
    server.plan = lambda number, body: do.answer(**changes)
    if error == "bad_response":  # of two requests one is answered: the server is not silent
        server.plan = lambda number, body: do.answer(**(changes if number else {}))
    drawn = ask(make(tmp_path, server.url, concurrency=1), 2)[-1]
    assert (drawn.finish_reason, drawn.error) == (reason, error)
    assert not error or drawn.text == ""
    assert drawn.usage is not None and drawn.usage.completion_tokens == 7
    assert len(server.seen) == 2


def test_text_that_utf8_cannot_hold(tmp_path: Path, server: FailingServer) -> None:
    server.plan = lambda number, body: do.answer(text="a\ud800b\0c")
    prompt = dataclasses.replace(prompts(1)[0], text="x\udfff")
    policy = make(tmp_path, server.url)
    first, second = (policy.sample([prompt], 1, SAMPLING, [0])[0][0] for _ in range(2))
    assert first.text == second.text == "a?b\0c"
    assert len(server.seen) == 1 and server.seen[0][2]["messages"][0]["content"] == "x?"


# -- failures in passing --------------------------------------------------------------------------

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


# -- what no retry can mend -----------------------------------------------------------------------


def test_a_bad_request_concerns_its_prompt_alone(tmp_path: Path, server: FailingServer) -> None:
    def plan(number: int, body: dict[str, Any]) -> do.Behaviour:
        long = body["messages"][0]["content"] in ("question 1", "question 2")
        return do.fail(400, "too long") if long else do.answer()

    server.plan = plan
    policy = make(tmp_path, server.url)
    assert [c.error for c in ask(policy, 6)] == ["", "bad_request", "bad_request", "", "", ""]
    assert len(server.seen) == 6
    server.plan = lambda number, body: do.fail(422)
    errors = [c.error for c in ask(policy, 10)]  # a resumed round: the rest is in the cache
    assert errors[0] == "" and errors[6:] == ["bad_request"] * 4
    server.plan = lambda number, body: do.fail(400, "unknown field top_p")
    with pytest.raises(EndpointError, match=r"refuses the field top_p \(400: unknown field top_p"):
        policy.sample(prompts(4), 1, SAMPLING, [50] * 4)


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (do.fail(401, "no such key"), ["refused the key", "no such key", "SOME_KEY"]),
        (do.fail(403), ["refused the key", "SOME_KEY"]),
        (do.fail(404, "no such model"), ["no such model", "agents.teacher.model", "endpoint.url"]),
        (
            do.fail(307, location="http://other.invalid/v1"),
            ["redirects to http://other.invalid/v1"],
        ),
        (do.fail(402), ["no credit"]),
        (do.send('{"error": {"code": "insufficient_quota"}}', 429), ["no credit"]),
    ],
)
def test_what_concerns_every_request_stops_the_call(
    tmp_path: Path,
    server: FailingServer,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: do.Behaviour,
    says: list[str],
) -> None:
    """The first 2 are answered, and kept; then nothing is retried, and no more than the
    `concurrency` requests under way are sent."""
    monkeypatch.setenv("SOME_KEY", SENTINEL)
    server.plan = lambda number, body: behaviour if number >= 2 else do.answer()
    policy = make(tmp_path, server.url, concurrency=2, key_env="SOME_KEY")
    with pytest.raises(EndpointError) as caught:
        ask(policy, 20)
    for part in [*says, server.url, "model-a", "role teacher"]:
        assert part in str(caught.value)
    assert SENTINEL not in str(caught.value)
    assert len(server.seen) <= 4
    server.plan = lambda number, body: do.answer()
    ask(policy, 20)
    assert len(server.seen) <= 22


def test_connection_refused(tmp_path: Path) -> None:
    """Never sent: nothing is charged, not even at the bound."""
    url = closed_port()
    policy = make(tmp_path, url)
    with pytest.raises(EndpointError, match=f"{url}.*is not answering: of 1 requests 1 connection"):
        ask(policy)
    spent = policy.ledger.spent()
    assert (spent.requests, spent.tokens) == (3, 0)


def test_a_silent_server_ends_the_call(tmp_path: Path, server: FailingServer) -> None:
    server.plan = lambda number, body: do.fail(500, "out of memory")
    assert [c.error for c in ask(make(tmp_path, server.url), 3)] == ["server_error"] * 3
    with pytest.raises(
        EndpointError, match="of 4 requests 4 server_error, the last with: 500: out"
    ):
        ask(make(tmp_path, server.url), 4)
    before = len(server.seen)
    with pytest.raises(EndpointError, match="is not answering"):
        ask(make(tmp_path, server.url, concurrency=2, retries=0), 1000)
    assert len(server.seen) - before < 20  # not a thousand


def test_missing_or_broken_keys_and_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://localhost:1/v1"
    for value in ("", "  "):
        monkeypatch.setenv("SOME_KEY", value)
        with pytest.raises(EndpointError, match="variable SOME_KEY is not set"):
            make(tmp_path, url, key_env="SOME_KEY")
    monkeypatch.setenv("SOME_KEY", f"{SENTINEL}\n{SENTINEL}")
    with pytest.raises(EndpointError, match="SOME_KEY") as caught:
        make(tmp_path, url, key_env="SOME_KEY")
    assert SENTINEL not in str(caught.value)
    for wrong in ("", "localhost:8000", "ftp://host/v1"):
        with pytest.raises(EndpointError, match=r"agents\.teacher\.policy\.endpoint\.url"):
            make(tmp_path, wrong)
    for secret in (f"http://me:{SENTINEL}@host/v1", f"http://host/v1?key={SENTINEL}"):
        with pytest.raises(EndpointError, match="key_env") as caught:
            make(tmp_path, secret)
        assert SENTINEL not in str(caught.value)


def test_the_client_is_not_imported_before_it_is_used() -> None:
    program = (
        "import sys, agents.policies.endpoint; print(*{'openai', 'httpx2'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    told = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert (told.stdout, told.returncode) == ("\n", 0)


def test_there_are_no_weights(tmp_path: Path, server: FailingServer) -> None:
    policy = make(tmp_path, server.url)
    with pytest.raises(ValueError, match="has no weights to load"):
        policy.load_weights(b"", 1)
    assert policy.version == 0 and policy.sample([], 3, SAMPLING, []) == []


# -- caps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "limit"), [("max_requests", 13), ("max_tokens", 1000), ("max_cost", 0.01)]
)
def test_caps_hold_with_eight_at_once(
    tmp_path: Path, server: FailingServer, cap: str, limit: float
) -> None:
    """Answers of 11 + 7 tokens, bounded by 138 + 64: with eight under way 1616 tokens are reserved,
    so that requests must wait for others to be settled. Prices of 10: a cost of 0.01 is 1000
    tokens. No request is refused while there is room for one more bound."""
    settings: dict[str, Any] = {"price_prompt": 10, "price_completion": 10, cap: limit}
    policy = make(tmp_path, server.url, concurrency=8, **settings)
    says = f"the cap {cap}={limit} of role teacher is reached.*agents.teacher.policy.endpoint.{cap}"
    with pytest.raises(EndpointError, match=says):
        ask(policy, 100)
    spent = policy.ledger.spent()
    assert len(server.seen) == spent.requests == len(attempts(tmp_path, "id"))
    assert spent.tokens == 18 * spent.requests
    assert spent.requests == (13 if cap == "max_requests" else 45)  # 45 * 18 + 202 > 1000
    again = make(tmp_path, server.url, **settings)
    with pytest.raises(EndpointError, match="is reached"):
        ask(again, 100)
    assert len(server.seen) == spent.requests
    other = make(tmp_path, server.url, role="generator", **settings)
    assert other.sample(prompts(1), 1, SAMPLING, [999])[0][0].error == ""  # caps are of a role
    raised = make(tmp_path, server.url)
    assert sum(c.usage is not None and c.usage.cached for c in ask(raised, 100)) == spent.requests


def test_retries_count_and_cached_answers_do_not(tmp_path: Path, server: FailingServer) -> None:
    server.plan = lambda number, body: do.fail(500) if number < 2 else do.answer()
    policy = make(tmp_path, server.url, max_requests=3)
    for _ in range(3):
        assert ask(policy)[0].error == ""
    assert policy.ledger.spent().requests == 3
    with pytest.raises(EndpointError, match="3 used"):
        ask(policy, 2)


def test_the_ledger_by_hand(tmp_path: Path) -> None:
    """Cap 100. Bounds 40 and 40 fit, a third must wait, and not be refused: settled at 10, they
    leave room. With 90 spent, 40 more can never fit."""
    caps = {"requests": None, "tokens": 100.0, "cost": None}
    ledger = Ledger(tmp_path / "ledger.db", "teacher", caps, (0.0, 0.0))

    def reserve(seconds: float = 60.0) -> int | None:
        return ledger.reserve(
            model="m", task="solve", key="k", attempt=0, prompt_tokens=30, completion_tokens=10,
            seconds=seconds,
        )  # fmt: skip

    first, second = reserve(), reserve()
    assert first and second and reserve() is None
    ledger.settle(first, "ok", 0.1, (6, 4))
    third = reserve(seconds=-1)  # it expires: what may still be settled is the second alone
    assert third and ledger.spent().tokens == 90
    assert reserve() is None
    ledger.settle(second, "timeout", 0.1, None)
    with pytest.raises(EndpointError, match=r"max_tokens=100.0 .*\(90 used"):
        reserve()
    ledger.settle(third, "ok", 0.1, (1, 1))  # late, and still counted as it was
    assert ledger.spent().tokens == 52 and ledger.spent().requests == 3


# -- several processes ----------------------------------------------------------------------------

WORKER = """
    import signal
    import sys
    from pathlib import Path
    from tests.unit.agents.test_endpoint import SAMPLING, make, prompts
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
        cwd=Path(__file__).parents[3],
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


# -- the cache ------------------------------------------------------------------------------------


def test_a_replay_needs_no_server_and_is_identical(tmp_path: Path) -> None:
    with FailingServer() as server:
        policy = make(tmp_path, server.url, price_prompt=1.0, price_completion=1.0)
        drawn = policy.sample(prompts(5), 3, SAMPLING, list(range(5)))
        assert len(server.seen) == 15
    prices: dict[str, Any] = {"price_prompt": 1.0, "price_completion": 1.0}
    elsewhere = make(tmp_path, closed_port(), **prices)
    offline = make(tmp_path, "", key_env="NOT_SET", offline=True, **prices)
    for replaying in (policy, elsewhere, offline):
        replayed = replaying.sample(prompts(5), 3, SAMPLING, list(range(5)))
        for one, other in zip(chain(*drawn), chain(*replayed), strict=True):
            assert one.usage and one.usage.cost > 0 and not one.usage.cached
            kept = dataclasses.replace(one.usage, cached=True)
            assert other == dataclasses.replace(one, usage=kept)
    with pytest.raises(EndpointError, match="2 of 7 requests of role teacher"):
        offline.sample(prompts(7), 1, SAMPLING, list(range(7)))


def test_the_cache_is_readable(tmp_path: Path, server: FailingServer) -> None:
    ask(make(tmp_path, server.url))
    with sqlite3.connect(tmp_path / "cache.db") as db:
        ((request, text),) = db.execute("SELECT request, text FROM responses")
    assert json.loads(request) == server.seen[0][2] and text == text_of(server.seen[0][2])


def test_every_setting_is_in_the_key(tmp_path: Path, server: FailingServer) -> None:
    base = prompts(1)[0]
    variants: list[tuple[str, Prompt, Sampling, int, int, bool]] = [
        ("m", base, SAMPLING, 0, 0, True),
        ("other", base, SAMPLING, 0, 0, True),
        ("m", dataclasses.replace(base, text="else"), SAMPLING, 0, 0, True),
        ("m", dataclasses.replace(base, system="s"), SAMPLING, 0, 0, True),
        ("m", dataclasses.replace(base, schema={"type": "object"}), SAMPLING, 0, 0, True),
        ("m", base, dataclasses.replace(SAMPLING, temperature=0.8), 0, 0, True),
        ("m", base, dataclasses.replace(SAMPLING, top_p=0.8), 0, 0, True),
        ("m", base, dataclasses.replace(SAMPLING, max_tokens=65), 0, 0, True),
        ("m", base, dataclasses.replace(SAMPLING, stop=("x",)), 0, 0, True),
        ("m", base, SAMPLING, 1, 0, True),
        ("m", base, SAMPLING, 0, 1, True),
    ]
    assert len({make_request(*variant).key for variant in variants}) == len(variants)
    unused = dataclasses.replace(base, task="refine", attempt="the role's own records")
    assert make_request("m", unused, SAMPLING, 0, 0, True).key == make_request(*variants[0]).key


def test_the_same_request_in_one_call_is_sent_once(tmp_path: Path, server: FailingServer) -> None:
    prompt = prompts(1)[0]
    drawn = make(tmp_path, server.url).sample([prompt] * 3, 1, SAMPLING, [5, 5, 5])
    assert len(server.seen) == 1 and len({c.text for (c,) in drawn}) == 1
    assert [c.usage and c.usage.cached for (c,) in drawn] == [False, True, True]


def test_files_that_are_something_else_are_refused(tmp_path: Path, server: FailingServer) -> None:
    (tmp_path / "cache.db").write_text("not a database, but long enough to be looked at" * 99)
    with pytest.raises(EndpointError, match=r"cache\.db cannot be used"):
        make(tmp_path, server.url)
    (tmp_path / "cache.db").unlink()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("CREATE TABLE attempts (id INTEGER)")
    with pytest.raises(EndpointError, match=r"ledger\.db cannot be used.*tables"):
        make(tmp_path, server.url)


# -- the key --------------------------------------------------------------------------------------


def test_the_key_is_nowhere(
    tmp_path: Path,
    server: FailingServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that repeats the key in headers, texts, and messages, with every logger at DEBUG."""
    monkeypatch.setenv("SOME_KEY", SENTINEL)
    caplog.set_level(logging.DEBUG)
    echo: dict[str, Any] = {"x_echo": f"Bearer {SENTINEL}", "set_cookie": f"key={SENTINEL}"}
    plans: list[do.Behaviour] = [
        do.answer(text=f"your key is {SENTINEL}"), do.fail(500, SENTINEL, **echo),
        do.fail(400, SENTINEL, **echo), do.send(SENTINEL, **echo), do.half, do.reset,
        do.fail(401, f"wrong key {SENTINEL}", **echo), do.fail(404, f"wrong key {SENTINEL}", **echo),
        do.fail(302, location=f"http://other.invalid/{SENTINEL}"), do.hang,
    ]  # fmt: skip
    shown = []
    for seed, plan in enumerate(plans):
        server.plan = do.always(plan)
        policy = make(tmp_path, server.url, key_env="SOME_KEY", timeout=1.0, retries=0)
        try:
            shown.append(repr(policy.sample(prompts(5), 1, SAMPLING, [seed] * 5)))
        except EndpointError as error:
            shown += ["".join(traceback.format_exception(error)), repr(error)]
            assert error.__cause__ is None and error.__context__ is None
        shown += [repr(policy), repr(vars(policy))]
    assert all(h["authorization"] == f"Bearer {SENTINEL}" for _, h, _ in server.seen)
    assert "your key is ***" in shown[0] and "wrong key ***" in "".join(shown)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) >= 2
    assert all(SENTINEL.encode() not in content for content in files.values())
    assert SENTINEL not in "".join(shown)
    assert SENTINEL not in caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert os.environ["SOME_KEY"] == SENTINEL


def test_a_key_that_comes_back_changed_is_kept_nowhere(
    tmp_path: Path, server: FailingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In capitals, and in Base64 where a long message is cut: as an answer and in errors."""
    monkeypatch.setenv("SOME_KEY", SENTINEL)
    told, forms = (
        "",
        (SENTINEL.upper(), "x" * 185 + " " + base64.b64encode(SENTINEL.encode()).decode()),
    )
    plans = [
        plan
        for echo in forms
        for plan in (
            do.answer(text=f"it is {echo}!"), do.fail(400, echo), do.fail(401, echo), do.send(echo),
            do.fail(302, location=f"http://other.invalid/{echo}"),
        )
    ]  # fmt: skip
    for seed, plan in enumerate(plans):
        server.plan = do.always(plan)
        policy = make(tmp_path, server.url, key_env="SOME_KEY", retries=0)
        try:
            told += repr(policy.sample(prompts(5), 1, SAMPLING, [seed] * 5))
        except EndpointError as error:
            told += str(error)
    assert "it is ***!" in told
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for form in forms:
        assert form[-14:-4] not in told and form[-14:-4].encode() not in kept


def test_a_placeholder_for_a_key_changes_no_answer(
    tmp_path: Path, server: FailingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "EMPTY")
    server.plan = lambda number, body: do.answer(text="the set is empty: YTPME")
    drawn = ask(make(tmp_path, server.url, key_env="SOME_KEY"))
    assert drawn[0].text == "the set is empty: YTPME"
