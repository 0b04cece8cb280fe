"""Fields of a chat-completions request: renamed, left out and added as the configuration says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# What is sent beside model and messages, by OpenAI's names.
FIELDS = ("temperature", "top_p", "max_tokens", "n", "seed", "stop", "response_format")
# Names of the bound on tokens, on various servers.
BOUNDS = (
    "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_gen_toks", "max_length",
    "n_predict", "num_predict",
)  # fmt: skip
# Beside these, what would change who answers and what is asked, how many answers come, how long they are,
# or how they arrive.
KEPT = (
    "model", "models", "messages", "prompt", "stream", "stream_options", *BOUNDS, "best_of",
    "num_return_sequences", "candidate_count", "use_beam_search", "echo", "logprobs", "top_logprobs",
    "tools", "tool_choice", "functions", "function_call", "extra_body",
)  # fmt: skip
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)

REFUSES = re.compile(
    r"(not|n't) (be )?(support|permit|allow|accept|available|implement|recogni[sz]ed|a valid)"
    r"|unsupported|unknown|unrecogni[sz]ed|unexpected|extra|forbidden|deprecated|only the default",
    re.IGNORECASE,
)
# What stands before a name of one letter in a message, which is a word of its own elsewhere.
LETTER = r"(?:[\"'`]|\b(?:field|parameter|argument|property|key|input)s?:? )"


def misfit(
    fields: Mapping[str, Any], extra: Mapping[str, Any], stops: Sequence[str] = ()
) -> tuple[str, str] | None:
    """The first setting that cannot be, such as `fields.seed`, and why; None if there is none.

    `stops` are the stop texts that the role asks for.
    """
    for name, new in fields.items():
        where = f"fields.{name}"
        if name not in FIELDS:
            always = " (it is always sent as it is)" * (name in ("model", "messages"))
            return where, (
                f"is no field that can be renamed or left out{always}; write one of "
                + ", ".join(FIELDS)
            )
        if new is None and name == "max_tokens":
            return where, (
                "cannot be left out: caps and the longest answer that is read are computed from it; "
                "write the server's name for it, such as max_completion_tokens"
            )
        if new is None and name == "stop" and stops:
            return where, (
                f"leaves out the stop texts {list(stops)}; write sampling.stop=[], and judging.stop "
                "of the Teacher, or leave it in"
            )
        if new is None or new == name:
            continue
        if not isinstance(new, str) or not NAME.fullmatch(new):
            return where, "is not the name of a field, such as max_completion_tokens, or null"
        kept = [one for one in KEPT if name != "max_tokens" or one not in BOUNDS]
        others = (*FIELDS, *kept, *(fields[one] for one in fields if one != name), *extra)
        if new in others:
            return where, "is the name of another field; write the server's own for this one"
    for name, value in extra.items():
        where = f"extra.{name}"
        if name in FIELDS:
            return where, f"is sent already; write sampling.{name}, or fields.{name} for its name"
        if name in KEPT or not NAME.fullmatch(name):
            return where, "is a field that cannot be added; leave it out"
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            return where, "is no value that JSON has; write a text, a number, a list or a block"
    return None


def sent(body: Mapping[str, Any], fields: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
    """A request's body under the server's names, with what is added; `misfit` has found nothing."""
    renamed = {fields.get(name, name): value for name, value in body.items()}
    renamed.pop(None, None)
    return {**renamed, **extra}


def refused(text: str, body: Mapping[str, Any]) -> str:
    """The field of `body` that a server's error message, a JSON text, says it does not take; or
    an empty string.

    Servers name it in `error.param` (OpenAI), in `detail[].loc` (FastAPI), or in their words.
    """
    if not REFUSES.search(text):
        return ""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = {}
    names = [name for name in body if name not in ("model", "messages")]
    for named in _named(data):
        for name in names:
            if re.match(rf"{name}(?!\w)", named):
                return name
    found = []
    for name in names:
        before = LETTER if len(name) == 1 else r"(?<![\w.])"
        if match := re.search(rf"{before}{name}(?!\w)", text):
            found.append((match.start(), name))
    return min(found)[1] if found else ""


def _named(data: Any) -> list[str]:
    error = data.get("error") if isinstance(data, dict) else None
    blocks = [one for one in (data, error) if isinstance(one, dict)]
    named = [block["param"] for block in blocks if isinstance(block.get("param"), str)]
    for block in blocks:
        details = block.get("detail")
        for one in details if isinstance(details, list) else []:
            place = one.get("loc") if isinstance(one, dict) else None
            named += [str(key) for key in place if key != "body"] if isinstance(place, list) else []
    return named


def remedy(name: str, fields: Mapping[str, Any], block: str) -> str:
    """What to write where a server refuses the field that is sent as `name`."""
    own = next((field for field, new in fields.items() if new == name), name)
    if own not in FIELDS:
        return f"leave out {block}.extra.{own}"
    if own == "max_tokens":
        other = "max_completion_tokens" if name == own else "max_tokens"
        return f"write the name that the server has for it, such as {block}.fields.{own}={other}"
    return f"write {block}.fields.{own}=null to leave it out, or its name there instead of null"
