"""Answers that are kept."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from agents.policies import Prompt, Sampling
from agents.policies.endpoint import EndpointError
from agents.policies.replies import make_request
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    ask,
    closed_port,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer, text_of


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
