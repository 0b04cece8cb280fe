"""What a language model replies to the Teacher's prompts: JSON schemas, and their strict reading.

An engine with structured output enforces the schema; without one the same text is read just as
strictly. A reply is never mended or guessed at: what does not fit is a `Malformed`, with a short
reason to count by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from agents.records import Completion
from environments import Malformed

Schema = Mapping[str, Any]
Reply = dict[str, str]

STATEMENT, SOLUTION, ANSWER, REMARK = 2000, 4000, 200, 600  # longest texts, in characters


def _schema(**fields: int | list[str]) -> Schema:
    """An object with all of these fields: texts with a greatest length, or choices."""
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "enum": kind}
            if isinstance(kind, list)
            else {"type": "string", "maxLength": kind}
            for name, kind in fields.items()
        },
        "required": list(fields),
        "additionalProperties": False,
    }


SOLVE = _schema(solution=SOLUTION, answer=ANSWER)
VERIFY = _schema(reason=REMARK, verdict=["correct", "wrong"])
DIAGNOSE = _schema(
    quote=REMARK, kind=["calculation", "structure", "answer", "format"], detail=REMARK
)
REFINE = _schema(problem=STATEMENT, solution=SOLUTION, answer=ANSWER)


THINK, THOUGHT = "<think>", "</think>"


def read(
    completion: Completion, schema: Schema, reasoning: Literal["keep", "strip"] = "keep"
) -> Reply | Malformed:
    """The fields of a reply, or why there are none. With `strip`, a leading block of thought is none
    of it (`answer`).

    Reasons: the error of the endpoint; `unfinished` (the thought or the reply); `no_json`;
    `repeated_field`; `fields` (one missing or too many); `type`; `choice`; `too_long`; `control` (a
    control character, such as the backspace that an unescaped `\\boxed` leaves in JSON).
    """
    if completion.finish_reason == "error":
        return Malformed(reason=completion.error)
    if completion.finish_reason == "length":
        return Malformed(reason="unfinished", detail=completion.text[-80:])
    text = answer(completion.text) if reasoning == "strip" else completion.text
    if text is None:
        return Malformed(reason="unfinished", detail=completion.text[-80:])
    try:
        reply = json.loads(text, object_pairs_hook=_once)
    except _Repeated as error:
        return Malformed(reason="repeated_field", detail=str(error)[:80])
    except (ValueError, RecursionError):
        return Malformed(reason="no_json", detail=text[:80])
    if not isinstance(reply, dict):
        return Malformed(reason="type", detail=text[:80])
    fields = schema["properties"]
    if reply.keys() != fields.keys():
        return Malformed(reason="fields", detail=", ".join(map(str, reply))[:80])
    for name, rule in fields.items():
        if reason := _misfit(reply[name], rule):
            return Malformed(reason=reason, detail=f"{name}: {reply[name]!r}"[:80])
    return reply


def answer(text: str) -> str | None:
    """The text after one leading block of thought, which ends at the first `</think>`; None if the
    block does not end.

    Chat templates may write `<think>` themselves, and then the text has the end alone. A text that is
    JSON as it stands has no thought: its strings may hold the tag.
    """
    _, end, rest = text.partition(THOUGHT)
    if text.lstrip().startswith(THINK):
        return rest if end else None
    if not end or _is_json(text):
        return text
    return rest


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Repeated(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # which of the two was meant?
        raise _Repeated(", ".join(name for name, _ in pairs))
    return found


def _misfit(value: Any, rule: Mapping[str, Any]) -> str:
    if not isinstance(value, str):
        return "type"
    if "enum" in rule and value not in rule["enum"]:
        return "choice"
    if len(value) > rule.get("maxLength", len(value)):
        return "too_long"
    if any(ord(c) < 32 and c not in "\n\t" for c in value):
        return "control"
    return ""
