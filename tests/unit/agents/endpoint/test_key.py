"""The key is nowhere, in whatever form it comes back."""

from __future__ import annotations

import base64
import logging
import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from agents.policies.endpoint import EndpointError
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import (
    SAMPLING,
    SENTINEL,
    ask,
    make,
    prompts,
)
from tests.unit.agents.failing_server import FailingServer


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
