"""What no retry can mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.policies.endpoint import EndpointError
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    SENTINEL,
    ask,
    closed_port,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer


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
        make(tmp_path / "new", server.url).sample(prompts(4), 1, SAMPLING, [50] * 4)


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
    root = Path(__file__).parents[4]
    told = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert (told.stdout, told.returncode) == ("\n", 0)


def test_there_are_no_weights(tmp_path: Path, server: FailingServer) -> None:
    policy = make(tmp_path, server.url)
    with pytest.raises(ValueError, match="has no weights to load"):
        policy.load_weights(b"", 1)
    assert policy.version == 0 and policy.sample([], 3, SAMPLING, []) == []
