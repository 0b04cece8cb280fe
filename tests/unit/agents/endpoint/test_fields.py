"""Servers that refuse fields, or call them otherwise: renamed, left out, added, and told by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from agents.policies.base import Sampling
from agents.policies.endpoint import EndpointError
from agents.policies.fields import misfit, refused
from agents.policies.replies import make_request
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import SAMPLING, ask, attempts, closed_port, make, prompts
from tests.unit.agents.failing_server import FailingServer

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
KEYS = (
    "68f98b6317540c4c60d9e4af7569de7f15d9e27eea98426fa63c245f9e0bcf48",
    "f56252824768e3c6a72057e260739ceb0e45b7c962dd104662afcf2f12896677",
)
BLOCK = "agents.teacher.policy.endpoint"


def strict(*taken: str, message: str = "Unsupported parameter: '{}' is not supported") -> Any:
    """A server that takes these fields alone, as OpenAI's refuses others."""

    def plan(number: int, body: dict[str, Any]) -> do.Behaviour:
        for name in body:
            if name not in ("model", "messages", *taken):
                error = {"message": message.format(name), "param": name}
                return do.send(json.dumps({"error": error}), 400)
        return do.answer()

    return plan


def test_fields_are_renamed_and_left_out(tmp_path: Path, server: FailingServer) -> None:
    server.plan = strict("max_completion_tokens", "random_seed", "reasoning_effort")
    nothing = dict.fromkeys(("temperature", "top_p", "n", "response_format"))
    fields = {"max_tokens": "max_completion_tokens", "seed": "random_seed", **nothing}
    policy = make(tmp_path, server.url, fields=fields, extra={"reasoning_effort": "low"})
    prompt = dataclasses.replace(prompts(1)[0], schema=SCHEMA)
    ((drawn, _),) = policy.sample([prompt], 2, SAMPLING, [5])
    assert drawn.error == ""
    bodies = [body for _, _, body in server.seen]
    seeds = [body.pop("random_seed") for body in bodies]
    assert len(set(seeds)) == 2
    message = {"role": "user", "content": "question 0"}
    only = {"model": "model-a", "messages": [message], "max_completion_tokens": 64}
    assert bodies == [{**only, "reasoning_effort": "low"}] * 2


@pytest.mark.parametrize("extra", [{}, {"chat_template_kwargs": {"enable_thinking": False}}])
def test_caps_and_bounds_follow_a_new_name(
    tmp_path: Path, server: FailingServer, extra: dict[str, Any]
) -> None:
    """10 + 128 + 64 tokens, and the bytes of what is added, which a template may put in front."""
    added = len(json.dumps(extra)) if extra else 0
    fields = {"max_tokens": "max_completion_tokens"}
    with pytest.raises(EndpointError, match=f"may take {202 + added}"):
        ask(make(tmp_path, server.url, fields=fields, extra=extra, max_tokens=201 + added))
    assert server.seen == []
    assert ask(make(tmp_path, server.url, fields=fields, extra=extra, max_tokens=202 + added))
    request = make_request("m", prompts(1)[0], SAMPLING, 0, 0, True, fields, extra)
    assert request.reply_bound == 2**20 + 256 * 64 + 8 * (10 + added)


def test_without_a_seed_samples_are_still_several(tmp_path: Path, server: FailingServer) -> None:
    """The same body five times: five answers, each kept, and each found again."""
    server.plan = lambda number, body: do.answer(text=f"answer {number}")
    policy = make(tmp_path, server.url, fields={"seed": None})
    drawn = policy.sample([prompts(1)[0]] * 2, 2, SAMPLING, [5, 6])
    drawn += policy.sample([prompts(1)[0]], 1, SAMPLING, [7])
    texts = [one.text for row in drawn for one in row]
    assert len(set(texts)) == 5 == len(server.seen)
    assert all(body == server.seen[0][2] and "seed" not in body for _, _, body in server.seen)
    offline = make(tmp_path, closed_port(), fields={"seed": None}, offline=True)
    again = offline.sample([prompts(1)[0]] * 3, 2, SAMPLING, [5, 6, 5])
    assert [one.text for row in again for one in row] == [*texts[:4], *texts[:2]]


def test_keys_of_old_caches() -> None:
    """Written down before fields could be renamed: who changes no field finds what was paid for."""
    plain = prompts(1)[0]
    full = dataclasses.replace(plain, system="sé", schema={"type": "object"})
    stop = dataclasses.replace(SAMPLING, stop=("END",))
    assert make_request("model-a", plain, SAMPLING, 0, 0, False).key == KEYS[0]
    assert make_request("model-a", full, stop, 5, 1, True).key == KEYS[1]
    same = make_request("model-a", plain, SAMPLING, 0, 0, False, {"seed": "seed"}, {})
    assert same.key == KEYS[0]
    for other in ({"seed": None}, {"seed": "random_seed"}, {"n": None}, {"top_p": None}):
        assert make_request("model-a", plain, SAMPLING, 0, 0, False, other).key not in KEYS
    assert make_request("model-a", plain, SAMPLING, 0, 0, False, {}, {"k": 1}).key not in KEYS


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "name", "instead"),
    [
        (("temperature", "top_p"), "max_tokens", "fields.max_tokens=max_completion_tokens"),
        (("temperature", "top_p", "max_tokens", "n"), "seed", "fields.seed=null"),
        (("top_p", "max_tokens", "n", "seed"), "temperature", "fields.temperature=null"),
        (("temperature", "top_p", "max_tokens", "seed"), "n", "fields.n=null"),
    ],
)
def test_a_refused_field_is_named_with_what_to_write(
    tmp_path: Path, server: FailingServer, taken: tuple[str, ...], name: str, instead: str
) -> None:
    """At the first request, and what it says to write is taken."""
    server.plan = strict(*taken)
    policy = make(tmp_path, server.url, concurrency=1)
    with pytest.raises(EndpointError) as caught:
        ask(policy, 9)
    told = str(caught.value)
    assert f"refuses the field {name} (400: Unsupported" in told and f"{BLOCK}.{instead}" in told
    assert len(server.seen) == 1 and policy.ledger.spent().tokens == 0
    key, _, value = instead.removeprefix("fields.").partition("=")
    new = None if value == "null" else value
    server.plan = strict(*taken, *([new] if new else []), "n", "seed", "temperature", "top_p")
    assert ask(make(tmp_path, server.url, fields={key: new}))[0].error == ""


BODY: dict[str, Any] = {
    "model": "m", "messages": [], "temperature": 0.7, "top_p": 0.9, "max_tokens": 64, "n": 1, "seed": 5,
    "stop": ["END"], "response_format": {},
}  # fmt: skip


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


LONG = "This model's maximum context length is 4096; you asked for 64 max_tokens"
LOC: dict[str, Any] = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "not permitted"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (error("'temperature' does not support 0.7", param="temperature"), "temperature"),
        (error("not supported", param="response_format.json_schema"), "response_format"),
        ({"detail": [{**LOC, "input": "stop"}]}, "seed"),
        ({"error": {"detail": [{"loc": ["body", "top_p"], "msg": "unexpected"}]}}, "top_p"),
        ({"message": "Unknown field: stop"}, "stop"),
        ({"error": 'unknown argument "n"'}, "n"),
        ("unknown field n", "n"),
        ("unknown number n of dogs", ""),
        ('json: unknown field "max_tokens"', "max_tokens"),
        ("Argument not supported: top_p, use temperature", "top_p"),
        (error(LONG), ""),
        (error("max_tokens is too large: 64"), ""),
        (error("an unknown model"), ""),
        (error("unsupported content in messages"), ""),
        ("nonstop, seeds and max_tokens_to_sample are unknown", ""),
        ("", ""),
        ("[" * 100_000, ""),
        ({"detail": [1, {"loc": 3}], "error": []}, ""),
    ],
)
def test_which_field_a_server_refuses(text: Any, name: str) -> None:
    assert refused(text if isinstance(text, str) else json.dumps(text), BODY) == name


def test_a_field_named_after_an_answer_concerns_its_prompt_alone(
    tmp_path: Path, server: FailingServer
) -> None:
    """A message may repeat the prompt: where others were answered, the fields are taken."""
    told = "unknown word in: when does the seed stop?"
    server.plan = lambda number, body: do.fail(400, told) if number == 2 else do.answer()
    drawn = ask(make(tmp_path, server.url, concurrency=1), 4)
    assert [one.error for one in drawn] == ["", "", "bad_request", ""]
    server.plan = lambda number, body: do.fail(400, told) if number == 4 else do.answer()
    drawn = ask(make(tmp_path, server.url, concurrency=1), 6)  # resumed: the rest is in the cache
    assert [one.error for one in drawn] == ["", "", "bad_request", "", "", ""]


def test_a_field_named_in_a_later_call_concerns_its_prompt_alone(
    tmp_path: Path, server: FailingServer
) -> None:
    policy = make(tmp_path, server.url, concurrency=1)
    ask(policy, 2)
    told = "unknown word in: when does the seed stop?"
    server.plan = lambda number, body: do.fail(400, told) if number == 2 else do.answer()
    drawn = ask(policy, 2, Sampling(max_tokens=9))
    assert [one.error for one in drawn] == ["bad_request", ""]


def test_a_refusal_in_other_words_still_leads_to_the_fields(
    tmp_path: Path, server: FailingServer
) -> None:
    server.plan = lambda number, body: do.fail(400, "seed: no thanks")
    with pytest.raises(EndpointError, match=f"4 bad_request.*seed: no thanks.*{BLOCK}.fields"):
        ask(make(tmp_path, server.url), 4)


def test_a_refused_extra_field(tmp_path: Path, server: FailingServer) -> None:
    server.plan = strict("temperature", "top_p", "max_tokens", "n", "seed")
    with pytest.raises(EndpointError, match=f"field top_k .*leave out {BLOCK}.extra.top_k"):
        ask(make(tmp_path, server.url, extra={"top_k": 5}))


def test_a_refused_new_name(tmp_path: Path, server: FailingServer) -> None:
    server.plan = strict("temperature", "top_p", "max_tokens", "n", "seed")
    with pytest.raises(EndpointError, match=f"such as {BLOCK}.fields.max_tokens=max_tokens"):
        ask(make(tmp_path, server.url, fields={"max_tokens": "max_completion_tokens"}))


def test_a_refusal_within_status_200(tmp_path: Path, server: FailingServer) -> None:
    error = {"code": 400, "message": "unknown field seed"}
    server.plan = lambda number, body: do.send(json.dumps({"error": error}))
    with pytest.raises(EndpointError, match=f"field seed .*{BLOCK}.fields.seed=null"):
        ask(make(tmp_path, server.url))
    assert len(attempts(tmp_path, "id")) == 1


# -- what may be written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "extra", "where", "why"),
    [
        ({"model": None}, {}, "fields.model", "always sent as it is"),
        ({"messages": "input"}, {}, "fields.messages", "always sent as it is"),
        ({"max_token": "x"}, {}, "fields.max_token", "one of temperature, top_p, max_tokens"),
        ({"max_tokens": None}, {}, "fields.max_tokens", "caps and the longest answer"),
        ({"seed": "n"}, {}, "fields.seed", "another field"),
        ({"seed": "model"}, {}, "fields.seed", "another field"),
        ({"seed": "max_completion_tokens"}, {}, "fields.seed", "another field"),
        ({"seed": "best_of"}, {}, "fields.seed", "another field"),
        ({"max_tokens": "stream"}, {}, "fields.max_tokens", "another field"),
        ({"seed": "s", "n": "s"}, {}, "fields.seed", "another field"),
        ({"seed": "k"}, {"k": 1}, "fields.seed", "another field"),
        ({"seed": ""}, {}, "fields.seed", "not the name of a field"),
        ({"seed": "a b"}, {}, "fields.seed", "not the name of a field"),
        ({"seed": 5}, {}, "fields.seed", "not the name of a field"),
        ({"seed": ["x"]}, {}, "fields.seed", "not the name of a field"),
        ({}, {"model": "other"}, "extra.model", "cannot be added"),
        ({}, {"messages": []}, "extra.messages", "cannot be added"),
        ({}, {"stream": True}, "extra.stream", "cannot be added"),
        ({}, {"best_of": 8}, "extra.best_of", "cannot be added"),
        ({}, {"n_predict": 9000}, "extra.n_predict", "cannot be added"),
        ({}, {"models": ["other"]}, "extra.models", "cannot be added"),
        ({}, {"max_completion_tokens": 9}, "extra.max_completion_tokens", "cannot be added"),
        ({}, {"n": 8}, "extra.n", "is sent already"),
        ({"seed": None}, {"seed": 1}, "extra.seed", "is sent already"),
        ({}, {"a b": 1}, "extra.a b", "cannot be added"),
        ({}, {"x": float("nan")}, "extra.x", "JSON"),
        ({}, {"x": {1, 2}}, "extra.x", "JSON"),
        ({"stop": None}, {}, "fields.stop", r"['END']"),
    ],
)
def test_what_cannot_be_written(
    tmp_path: Path, server: FailingServer, fields: Any, extra: Any, where: str, why: str
) -> None:
    found = misfit(fields, extra, ["END"])
    assert found is not None and found[0] == where and why in found[1]
    with pytest.raises(EndpointError) as caught:
        policy = make(tmp_path, server.url, fields=fields, extra=extra)
        ask(policy, sampling=dataclasses.replace(SAMPLING, stop=("END",)))
    assert f"{BLOCK}.{where} " in str(caught.value) and server.seen == []


def test_what_can_be_written() -> None:
    every = dict.fromkeys(("temperature", "top_p", "n", "seed", "stop", "response_format"))
    assert (
        misfit({**every, "max_tokens": "max_completion_tokens"}, {"top_k": 1, "x": {"y": [1]}})
        is None
    )
    assert misfit({"max_tokens": "max_tokens", "seed": "random_seed"}, {}, ["END"]) is None
