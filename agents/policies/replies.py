"""What is asked of an OpenAI-compatible server, and what its responses mean: pure functions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any

from agents.policies import endings
from agents.policies.base import Prompt, Sampling
from agents.policies.fields import refused, sent
from agents.policies.ledger import Reply
from environments.printable import printable

TEMPLATE_TOKENS = 128  # bound on what a chat template adds to the messages
TOKEN_BYTES = 256  # of a reply, for each token: the longest of a vocabulary, escaped in JSON
REPLY_BYTES = 1 << 20  # of a reply, beside its tokens: what a server adds of its own
SHOWN = 200  # characters of a server's message
PASSING = {408: "timeout", 409: "server_error", 429: "rate_limited"}  # beside 500 and above
FATAL = {401, 402, 403, 404, 405, 410}  # concern the key, the model or the address: every request


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One completion to ask for. `key` is the SHA-256 of the canonical JSON of `body`, and of the seed
    where a server takes none: else all samples of a prompt would be one.

    The address is no part of it: a run can be replayed when the server is gone or has moved.
    """

    key: str
    body: dict[str, Any]
    task: str
    max_tokens: int  # of the completion
    prompt_bytes: int  # UTF-8 bytes that the model reads, without its template

    @property
    def prompt_bound(self) -> int:
        """At least the prompt's tokens: a byte-level tokenizer has none shorter than a byte."""
        return self.prompt_bytes + TEMPLATE_TOKENS

    @property
    def reply_bound(self) -> int:
        """At least the bytes of an answer, which may repeat the prompt."""
        return REPLY_BYTES + TOKEN_BYTES * self.max_tokens + 8 * self.prompt_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempt came to: a reply, or the kind of its failure.

    `tokens` of prompt and completion are those it took, None where the server may have charged for
    an answer that did not arrive.
    """

    reply: Reply | None = None
    error: str = ""
    detail: str = ""  # in the server's words
    retry: bool = False  # it may fail in passing
    wait: float | None = None  # seconds that the server asks to wait for
    fatal: int | None = None  # HTTP status of what no retry can mend and concerns every request
    field: str = ""  # of the request, which the server says it does not take
    reached: bool = True  # the server was connected to
    tokens: tuple[int, int] | None = (0, 0)
    estimated: bool = False


def make_request(
    model: str,
    prompt: Prompt,
    sampling: Sampling,
    seed: int,
    sample: int,
    structured: bool,
    fields: Mapping[str, Any] = MappingProxyType({}),
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Request:
    """The chat completion that sample `sample` of a prompt asks for.

    `fields` are the server's names for OpenAI's, None for those to leave out, and `extra` are added.

    Its seed has 31 bits, hashed from (`seed`, `sample`): some servers refuse longer ones, and sums
    of neighbouring seeds would collide. Lone surrogates, which UTF-8 has no bytes for, become `?`.
    """
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    digest = hashlib.sha256(f"{seed}:{sample}".encode()).digest()
    number = int.from_bytes(digest[:4]) & 0x7FFFFFFF
    own: dict[str, Any] = {
        "model": model,
        "messages": [*messages, {"role": "user", "content": prompt.text}],
        "temperature": float(sampling.temperature),
        "top_p": float(sampling.top_p),
        "max_tokens": sampling.max_tokens,
        "n": 1,
        "seed": number,
    }
    if sampling.stop:
        own["stop"] = list(sampling.stop)
    if structured and prompt.schema is not None:
        schema = {"name": "reply", "schema": dict(prompt.schema), "strict": True}
        own["response_format"] = {"type": "json_schema", "json_schema": schema}
    content = _canonical(sent(own, fields, extra))
    body = json.loads(content)
    texts = [message["content"] for message in body["messages"]]
    form = body.get(fields.get("response_format", "response_format"))
    texts += [json.dumps(one) for one in (form, dict(extra)) if one]
    unsaid = f"\nseed {number}" if fields.get("seed", "seed") is None else ""
    return Request(
        key=hashlib.sha256(content + unsaid.encode()).hexdigest(),
        body=body,
        task=prompt.task,
        max_tokens=sampling.max_tokens,
        prompt_bytes=sum(len(text.encode()) for text in texts),
    )


def _canonical(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def read_reply(content: bytes, request: Request, hide: Callable[[str], str]) -> Outcome:
    """The outcome of a response with status 200; `hide` takes the key out of its messages.

    What is no chat completion, or says that it failed, may do so in passing and is retried; a whole
    answer that is empty, refused, calls tools or has parts that are no text is not. What a server
    counts for any of them is paid.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        shown = words(content, hide)
        return Outcome(error="bad_response", detail=f"not JSON: {shown}", retry=True, tokens=None)
    choice = _first_choice(data)
    read = endings.content(choice.get("message"))
    text, refusal, other = read or ("", "", "")
    if told := choice.get("error") or (isinstance(data, dict) and data.get("error")):
        return _failed(told, data, request, text, hide)
    if read is None:
        counted = _usage(data)
        tokens = (counted[0] or 0, counted[1] or 0)
        return Outcome(error="bad_response", detail=words(content, hide), retry=True, tokens=tokens)
    reason = choice.get("finish_reason")
    prompt_tokens, completion_tokens, estimated = _tokens(data, request, text)
    ending = endings.ending(reason, completion_tokens, request.max_tokens)
    if ending == "failed":
        return _failed(f"finish_reason {reason}", data, request, text, hide)
    error, detail, called = "", "", choice["message"].get("tool_calls")
    if ending == "refused" or refusal:
        error, detail = "refused", refusal or str(reason)
    elif ending == "tools" or (not text and called):
        error, detail = "bad_response", f"finish_reason {reason}: a call of tools, which it has not"
    elif other:
        error, detail = "bad_response", f"a part of type {other!r} in the content"
    elif not text and ending == "whole":
        error, detail = "empty", "an empty text"
    reply = Reply(
        text="" if error else text.encode("utf-8", "replace").decode(),
        finish_reason="length" if ending == "cut" else "stop",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        estimated=estimated,
    )
    tokens = (prompt_tokens, completion_tokens)
    shown = words(detail, hide)
    return Outcome(reply=reply, error=error, detail=shown, tokens=tokens, estimated=estimated)


def _failed(
    told: Any, data: Any, request: Request, text: str, hide: Callable[[str], str]
) -> Outcome:
    """The outcome of a failure that came with status 200, as gateways send one: by the status that
    it names, if any, else the server's own, which may pass.

    The tokens are those that the server counts, and of a text without a count those of the text. A
    403 is moderation's, of this prompt; the key was accepted.
    """
    detail = json.dumps({"error": told})
    code = told.get("code") if isinstance(told, dict) else None
    named = isinstance(code, int | str) and re.fullmatch(r"[45]\d\d", str(code))
    status = int(named[0]) if named else 500
    outcome = read_status(status, {}, detail, datetime.now(UTC), hide, request)
    shown = f"{status if named else 'a failure'} within status 200: {words(detail, hide)}"
    outcome = replace(outcome, detail=shown)
    if outcome.fatal == 403:
        outcome = replace(outcome, error="refused", fatal=None)
    prompt_tokens, completion_tokens = _usage(data)
    if text and (prompt_tokens is None or completion_tokens is None):
        prompt_tokens, completion_tokens, _ = _tokens(data, request, text)
        outcome = replace(outcome, estimated=True)
    return replace(outcome, tokens=(prompt_tokens or 0, completion_tokens or 0))


def _first_choice(data: Any) -> dict[str, Any]:
    """Empty if there is none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}


def _usage(data: Any) -> tuple[int | None, int | None]:
    """Tokens of prompt and completion as the server counts them, None where it does not."""
    usage = data.get("usage") if isinstance(data, dict) else None
    counts = []
    for name in ("prompt_tokens", "completion_tokens"):
        count = usage.get(name) if isinstance(usage, dict) else None
        counted = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**40
        counts.append(count if counted else None)
    return counts[0], counts[1]


def _tokens(data: Any, request: Request, text: str) -> tuple[int, int, bool]:
    """Tokens of prompt and completion, and whether one was estimated: a token each four bytes."""
    prompt, completion = _usage(data)
    written = len(text.encode("utf-8", "replace"))
    return (
        math.ceil(request.prompt_bytes / 4) if prompt is None else prompt,
        math.ceil(written / 4) if completion is None else completion,
        prompt is None or completion is None,
    )


def read_status(
    status: int,
    headers: Mapping[str, str],
    text: str,
    now: datetime,
    hide: Callable[[str], str],
    request: Request,
) -> Outcome:
    """The outcome of a response with any other status than 200, without the key by `hide`."""
    detail = f"{status}: {words(text, hide)}"
    if status < 400:
        detail = f"{status}: it redirects to {words(headers.get('location', ''), hide)}"
    exhausted = status == 429 and "insufficient_quota" in text  # paid up, not too fast
    if status < 400 or status in FATAL or exhausted:
        return Outcome(error="bad_request", detail=detail, fatal=status)
    if status in PASSING or status >= 500:
        error = PASSING.get(status, "server_error")
        wait = retry_after(headers.get("retry-after"), now)
        return Outcome(error=error, detail=detail, retry=True, wait=wait)
    return Outcome(error="bad_request", detail=detail, field=refused(text, request.body))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from now, of a Retry-After header in either form (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return None if math.isnan(seconds) else max(0.0, seconds)


def words(text: str | bytes, hide: Callable[[str], str]) -> str:
    """A server's message in one short line: the error's own text where the body is JSON.

    The key is hidden before the line is cut: half of it is a secret too.
    """
    shown: Any = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        for value in (data.get("error"), data.get("message"), data.get("detail")):
            inner = value.get("message") if isinstance(value, dict) else value
            if isinstance(inner, str) and inner:
                shown = inner
                break
    return printable(" ".join(hide(str(shown)).split()), longest=SHOWN)
