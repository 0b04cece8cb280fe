"""How answers end, in the words of many servers; what is no part of them; failures within status 200."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.policies import endings
from agents.policies.endpoint import EndpointError
from tests.unit.agents import failing_server as do
from tests.unit.agents.endpoint.asking import SAMPLING, ask, attempts, make, prompts
from tests.unit.agents.failing_server import FailingServer, text_of

WHOLE = [
    "stop",
    "STOP",
    "eos",
    "eos_token",
    "end_turn",
    "stop_sequence",
    "COMPLETE",
    "FinishReason.STOP",
]
CUT = [
    "length",
    "MAX_TOKENS",
    "max_tokens",
    "model_length",
    "model_context_window_exceeded",
    "repetition",
]
REFUSED = [
    "content_filter",
    "SAFETY",
    "RECITATION",
    "refusal",
    "guardrail_intervened",
    "ERROR_TOXIC",
]
TOOLS = ["tool_calls", "function_call", "tool_use", "MALFORMED_FUNCTION_CALL"]
FAILED = ["error", "abort", "ERROR", "network_error", "insufficient_system_resource"]


@pytest.mark.parametrize("reason", [*WHOLE, "a word of 2031", "", None, 3, {"type": "stop"}])
def test_a_whole_answer_is_kept_in_whatever_words(
    tmp_path: Path, server: FailingServer, reason: Any
) -> None:
    """7 tokens of 64: the bound has not cut it. It is asked once, paid once, and in the cache."""
    server.plan = lambda number, body: do.answer(finish_reason=reason)
    policy = make(tmp_path, server.url)
    first, second = ask(policy)[0], ask(policy)[0]
    assert first.text == second.text == text_of(server.seen[0][2])
    assert (first.finish_reason, first.error) == ("stop", "")
    assert first.usage and (first.usage.completion_tokens, first.usage.cached) == (7, False)
    assert second.usage and second.usage.cached and len(server.seen) == 1


@pytest.mark.parametrize("reason", [*CUT, None, "a word of 2031"])
def test_a_cut_answer_is_one(tmp_path: Path, server: FailingServer, reason: str | None) -> None:
    """64 tokens of 64: without a word that is known here, the bound may have cut it."""
    usage = {"prompt_tokens": 11, "completion_tokens": 64}
    server.plan = lambda number, body: do.answer(finish_reason=reason, usage=usage)
    (drawn,) = ask(make(tmp_path, server.url))
    assert (drawn.text, drawn.finish_reason) == (text_of(server.seen[0][2]), "length")
    assert len(server.seen) == 1


@pytest.mark.parametrize(("letters", "ends"), [(252, "stop"), (256, "length")])
def test_without_a_reason_and_a_count_the_text_is_measured(
    tmp_path: Path, server: FailingServer, letters: int, ends: str
) -> None:
    """At four bytes a token, 252 bytes are 63 tokens and 256 are the 64 that were asked for."""
    server.plan = lambda number, body: do.answer(text="x" * letters, finish_reason=None, usage={})
    (drawn,) = ask(make(tmp_path, server.url))
    assert (len(drawn.text), drawn.finish_reason) == (letters, ends)
    assert attempts(tmp_path, "completion_tokens", "estimated") == [(letters // 4, 1)]


@pytest.mark.parametrize(
    ("reasons", "kind"), [(REFUSED, "refused"), (TOOLS, "bad_response")], ids=["refused", "tools"]
)
def test_what_is_no_answer_is_paid_and_not_asked_again(
    tmp_path: Path, server: FailingServer, reasons: list[str], kind: str
) -> None:
    server.plan = lambda number, body: do.answer(
        finish_reason=reasons[number] if number < len(reasons) else "stop"
    )
    drawn = ask(make(tmp_path, server.url, concurrency=1), len(reasons) + 1)
    assert [(one.text, one.error) for one in drawn[:-1]] == [("", kind)] * len(reasons)
    assert all(one.usage and one.usage.completion_tokens == 7 for one in drawn)
    assert len(server.seen) == len(reasons) + 1


def test_a_call_of_tools_with_an_ordinary_ending(tmp_path: Path, server: FailingServer) -> None:
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    server.plan = lambda number, body: do.answer(content=None, tool_calls=calls)
    (drawn,) = ask(make(tmp_path, server.url))
    assert (drawn.error, len(server.seen)) == ("bad_response", 1)


def test_every_word_has_one_meaning() -> None:
    words = [word for kind in endings.WORDS.values() for word in kind.split()]
    assert len(set(words)) == len(words)


# -- what of a message is the answer --------------------------------------------------------------

PARTS: list[tuple[dict[str, Any], str, str]] = [
    ({"content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}, "one two", ""),
    ({"content": [{"type": "output_text", "text": "one"}]}, "one", ""),
    ({"content": ["one ", {"text": "two"}]}, "one two", ""),
    ({"content": {"type": "text", "text": "one"}}, "one", ""),
    (  # Magistral
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "{}"}]},
                {"type": "text", "text": "one"},
            ]
        },
        "one",
        "",
    ),
    ({"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "one"}]}, "one", ""),
    ({"content": "one", "reasoning_content": "hm", "reasoning": "hm"}, "one", ""),
    ({"content": None, "reasoning_content": "hm"}, "", "empty"),
    ({"content": []}, "", "empty"),
    ({"content": [{"type": "thinking", "thinking": "hm"}]}, "", "empty"),
    ({"content": [{"type": "refusal", "refusal": "I will not"}]}, "", "refused"),
    ({"content": None, "refusal": "I will not"}, "", "refused"),
    ({"content": "one", "refusal": None}, "one", ""),
    ({"content": [{"type": "text", "text": "one"}, {"type": "image_url"}]}, "", "bad_response"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "text", "error"), PARTS)
def test_the_answer_is_the_text_and_no_thought(
    tmp_path: Path, server: FailingServer, message: dict[str, Any], text: str, error: str
) -> None:
    """Asked once and paid, whatever it is."""
    server.plan = lambda number, body: do.answer(**message)
    (drawn,) = ask(make(tmp_path, server.url))
    assert (drawn.text, drawn.error) == (text, error)
    assert drawn.usage and drawn.usage.completion_tokens == 7 and len(server.seen) == 1


@pytest.mark.parametrize("content", [5, [5], [{"type": "text"}], [{"type": "text", "text": 5}]])
def test_a_content_that_is_none_is_asked_for_again(
    tmp_path: Path, server: FailingServer, content: Any
) -> None:
    server.plan = lambda number, body: do.answer() if number else do.answer(content=content)
    assert ask(make(tmp_path, server.url))[0].error == "" and len(server.seen) == 2


# -- failures within status 200 -------------------------------------------------------------------


def wrapped(error: Any, **usage: int) -> dict[str, Any]:
    return {"error": error, **({"usage": usage} if usage else {})}


def in_choice(
    error: Any, text: str | None, reason: str | None = "error", **usage: int
) -> dict[str, Any]:
    choice = {"message": {"content": text}, "finish_reason": reason, "error": error}
    return {"choices": [choice], **({"usage": usage} if usage else {})}


LATER: list[tuple[Any, str, tuple[int, int, int]]] = [
    (wrapped({"message": "overloaded"}), "server_error", (0, 0, 0)),
    (wrapped("overloaded"), "server_error", (0, 0, 0)),
    (wrapped({"code": 429, "message": "slowly"}), "rate_limited", (0, 0, 0)),
    (wrapped({"code": "503", "message": "later"}), "server_error", (0, 0, 0)),
    (wrapped({"code": 502}, prompt_tokens=11, completion_tokens=0), "server_error", (11, 0, 0)),
    (in_choice({"code": 502, "message": "gone"}, None), "server_error", (0, 0, 0)),
    (
        in_choice({"message": "gone"}, "a half", prompt_tokens=11, completion_tokens=2),
        "server_error",
        (11, 2, 0),
    ),
    (in_choice({"code": 429}, "a half", None), "rate_limited", (3, 2, 1)),
    (in_choice({"code": 429}, "a half", "stop"), "rate_limited", (3, 2, 1)),
    (in_choice(None, "a half"), "server_error", (3, 2, 1)),  # 10 and 6 bytes
]


@pytest.mark.parametrize(("data", "kind", "paid"), LATER)
def test_a_failure_within_status_200_is_asked_again(
    tmp_path: Path, server: FailingServer, data: Any, kind: str, paid: tuple[int, int, int]
) -> None:
    """What the server counts for it is paid, and what it wrote without counting is estimated."""
    server.plan = lambda number, body: do.answer() if number else do.send(json.dumps(data))
    (drawn,) = ask(make(tmp_path, server.url))
    assert drawn.text == text_of(server.seen[1][2]) and len(server.seen) == 2
    columns = ("status", "prompt_tokens", "completion_tokens", "estimated")
    assert attempts(tmp_path, *columns) == [(kind, *paid), ("ok", 11, 7, 0)]


@pytest.mark.parametrize("reason", FAILED)
def test_an_ending_in_failure_is_asked_again(
    tmp_path: Path, server: FailingServer, reason: str
) -> None:
    server.plan = lambda number, body: do.answer(finish_reason="stop" if number == 2 else reason)
    policy = make(tmp_path, server.url)
    assert ask(policy)[0].text == text_of(server.seen[0][2])
    assert [row[0] for row in attempts(tmp_path, "status")] == ["server_error"] * 2 + ["ok"]
    assert policy.ledger.spent().tokens == 3 * 18
    server.plan = lambda number, body: do.answer(finish_reason=reason)
    last = policy.sample(prompts(1), 1, SAMPLING, [9])[0][0]
    assert (last.error, last.usage and last.usage.completion_tokens) == ("server_error", 7)


def test_caps_hold_while_failures_are_asked_again(tmp_path: Path, server: FailingServer) -> None:
    """Each failure takes 18 tokens, and the next request may take 202: of 230, a third has no room."""
    server.plan = lambda number, body: do.answer(finish_reason="error")
    with pytest.raises(EndpointError, match="max_tokens=230"):
        ask(make(tmp_path, server.url, max_tokens=230, retries=9))
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("code", "says"), [(401, "refused the key"), (402, "no credit"), (404, "endpoint.url")]
)
def test_what_no_retry_can_mend_within_status_200(
    tmp_path: Path, server: FailingServer, code: int, says: str
) -> None:
    server.plan = lambda number, body: do.send(f'{{"error": {{"code": {code}, "message": "no"}}}}')
    with pytest.raises(
        EndpointError, match=f"(?s)({code} within status 200: no).*{says}|{says}.*no"
    ):
        ask(make(tmp_path, server.url))
    assert len(server.seen) == 1


@pytest.mark.parametrize(("code", "kind"), [(400, "bad_request"), (403, "refused")])
def test_what_concerns_one_prompt_within_status_200(
    tmp_path: Path, server: FailingServer, code: int, kind: str
) -> None:
    """A 403 there is moderation's."""
    no = do.send(f'{{"error": {{"code": {code}, "message": "no"}}}}')
    server.plan = lambda number, body: do.answer() if number else no
    drawn = ask(make(tmp_path, server.url, concurrency=1), 2)
    assert [one.error for one in drawn] == [kind, ""] and len(server.seen) == 2
