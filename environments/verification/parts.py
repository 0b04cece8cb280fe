"""What stands between brackets and commas: the pieces that answers of several parts consist of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from environments.verification import expressions
from environments.verification.kinds import Answer, expression, scalar

MOST_PARTS = 64

NAME = re.compile(
    r"((?:[A-Za-z]|\\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega))(?:_(?:\{\w+\}"
    r"|\w))?'*)(?:\s*\(\s*[a-z](?:\s*,\s*[a-z])*\s*\))?\s*=\s*(?=\S)"
)
AND = re.compile(
    r"\s*[,;]?\s*(?:\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z])(?:and|or)(?![A-Za-z])|\\(?:lor"
    r"|vee|land|wedge)(?![a-z]))\s*"
)
_PAIRS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle"}
_BRACKET = re.compile(r"\\[{}]|\\[lr]angle(?![a-z])|[()\[\]{},;]|\\[A-Za-z]+|\\.")


def split(text: str, inside: bool = True) -> list[str] | None:
    """The parts between commas or semicolons, at the top level or inside the outer brackets, or None."""
    if inside:
        text = re.sub(r"^(?:\\\{|\\langle(?![a-z])|[(\[{])|(?:\\\}|\\rangle|[)\]}])$", "", text)
    parts, depth, start = [], 0, 0
    separators = set()
    for match in _BRACKET.finditer(text):
        token = match.group()
        if token in _PAIRS:
            depth += 1
        elif token in _PAIRS.values():
            depth -= 1
            if depth < 0:
                return None
        elif token in (",", ";") and depth == 0:
            separators.add(token)
            parts.append(text[start : match.start()].strip())
            start = match.end()
    parts.append(text[start:].strip())
    sound = depth == 0 and all(parts) and len(parts) <= MOST_PARTS and len(separators) < 2
    return parts if sound else None


def around(text: str) -> str:
    """The outer brackets where they belong together or are those of an interval, else nothing."""
    tokens = list(_BRACKET.finditer(text))
    if len(tokens) < 2 or tokens[0].start() or tokens[-1].end() != len(text):
        return ""
    first, last = tokens[0].group(), tokens[-1].group()
    if first not in _PAIRS or last not in _PAIRS.values():
        return ""
    depth = 0
    for match in tokens[:-1]:
        depth += (match.group() in _PAIRS) - (match.group() in _PAIRS.values())
        if depth == 0:
            return ""
    return (
        first + last
        if depth == 1 and (last == _PAIRS[first] or first + last in ("[)", "(]"))
        else ""
    )


def element(text: str) -> Answer | None:
    """A number, possibly with a unit, or an expression."""
    if (number := scalar(text)) and "=" not in text:
        return number
    found = None if "=" in text and NAME.match(text) is None else expression(text)
    if found is None or expressions.tree(found.text) is None:
        return None
    return found


def without_units(answers: Iterable[Answer | None]) -> tuple[tuple[Answer, ...], str] | None:
    """The parts without their unit, and that unit; None where a part is missing or units differ."""
    found = list(answers)
    units = {answer.unit for answer in found if answer is not None and answer.unit}
    if None in found or len(units) > 1:
        return None
    bare = (replace(answer, unit="") for answer in found if answer is not None)
    return tuple(bare), next(iter(units), "")


def order(answer: Answer) -> tuple[bool, object, str]:
    return (answer.value is None, answer.value or 0, answer.text)
