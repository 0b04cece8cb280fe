"""What stands between brackets and commas: the pieces that answers of several parts consist of."""

from __future__ import annotations

import re

from environments.verification import expressions
from environments.verification.kinds import Answer, expression, scalar

MOST_PARTS = 64

NAME = re.compile(r"([A-Za-z])(?:_\{?\w\}?)?\s*=\s*(?=\S)")
_PAIRS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle"}
_BRACKET = re.compile(r"\\[{}]|\\[lr]angle(?![a-z])|[()\[\]{},]|\\[A-Za-z]+|\\.")


def split(text: str, inside: bool = True) -> list[str] | None:
    """The parts between the commas, at the top level or inside the outer brackets; None if unbalanced."""
    if inside:
        text = re.sub(r"^(?:\\\{|\\langle(?![a-z])|[(\[{])|(?:\\\}|\\rangle|[)\]}])$", "", text)
    parts, depth, start = [], 0, 0
    for match in _BRACKET.finditer(text):
        token = match.group()
        if token in _PAIRS:
            depth += 1
        elif token in _PAIRS.values():
            depth -= 1
            if depth < 0:
                return None
        elif token == "," and depth == 0:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    parts.append(text[start:].strip())
    return parts if depth == 0 and all(parts) and len(parts) <= MOST_PARTS else None


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
    """A number without unit or an expression."""
    if (number := scalar(text)) and "=" not in text:
        return None if number.unit or number.kind == "percent" else number
    found = None if "=" in text and NAME.match(text) is None else expression(text)
    if found is None or found.unit or expressions.tree(found.text) is None:
        return None
    return found


def order(answer: Answer) -> tuple[bool, object, str]:
    return (answer.value is None, answer.value or 0, answer.text)
