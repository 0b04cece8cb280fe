"""What a server's figures, reasons and texts become."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    ask,
    attempts,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer


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
