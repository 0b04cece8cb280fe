"""What the endpoint policy asks of a real local server."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    SENTINEL,
    ask,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer


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
