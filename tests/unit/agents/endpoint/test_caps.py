"""Caps on requests, tokens and cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.policies.endpoint import EndpointError
from agents.policies.ledger import Ledger
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    ask,
    attempts,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer


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
