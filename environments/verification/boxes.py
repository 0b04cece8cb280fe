r"""The boxes of a text: `\boxed{...}`, `\boxed 5`, blank ones, and boxes side by side as one list."""

from __future__ import annotations

import re
from dataclasses import dataclass

from environments.verification.spelling import normalised

_BRACES = re.compile(
    r"\\f?boxed\s*\{|\\fbox\s*\{|\\boxed\s+(-?[0-9][0-9,]*(?:\.[0-9]+)?"
    r"|[A-Za-z])(?![A-Za-z0-9_^{(\\])|\\boxed([0-9])(?![0-9])|\\.|[{}]",
    re.DOTALL,
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BLANK = re.compile(
    r"[\s$*_?.,~\u2026\u25a1-]*|(?:\\(?:[ ,;:!_]|q?quad|[lc]?dots|square|Box|(?:hspace"
    r"|h?phantom)\{[^{}]*\}|underline\{[\s_\\]*\})?\s*)+"
    r"|(?:\\(?:text|textit|textbf|mathrm)\s*\{)?\s*[<\[(]?\s*(?:(?:your|the|final|my|numerical"
    r"|numeric|an?)\s+)*(?:answer|ans|result|solution|blank|value|number)"
    r"(?:\s+(?:here|goes here))?\s*[>\])]?\.{0,3}\s*\}?|(?:\\text\s*\{)?\s*(?:\.{2,}|_{2,}|\?+"
    r"|\s)\s*\}?",
    re.IGNORECASE,
)
_MATHS = r"(?:\$\$?|\\[()\[\]]|\\text\s*\{|\\q?quad(?![a-z])|\\[,; ]|\*\*|[\s{}])*"
_BETWEEN = re.compile(
    rf"{_MATHS}(?:,|;|,?{_MATHS}\b(?:and|or)\b"
    rf"|&){_MATHS}(?:([A-Za-z])(?:_\{{?\w\}}?)?\s*=)?{_MATHS}"
)
_NAMED = re.compile(r"(?<![A-Za-z\\])([A-Za-z])(?:_\{?\w\}?)?\s*=[\s$*]*$")


@dataclass(frozen=True, slots=True)
class Box:
    """What stands in a box, and where the box begins and ends in its text."""

    content: str
    start: int
    end: int


def find(text: str) -> list[Box] | None:
    """Each outermost box that is not blank; None if one is never closed."""
    found: list[Box] = []
    depth, opened, start, inside = 0, 0, 0, 0  # depth of braces; that of the open box (0: none)
    for match in _BRACES.finditer(text):
        token = match.group()
        if token == "{":
            depth += 1
        elif token == "}":
            if depth and depth == opened:
                content = _unwrapped(text[inside : match.start()].strip())
                found.append(Box(content, start, match.end()))
                opened = 0
            depth -= depth > 0
        elif token[-1] == "{" and token != r"\{":
            depth += 1
            if not opened:
                opened, start, inside = depth, match.start(), match.end()
        elif match.lastindex and not opened:
            found.append(Box(match.group(match.lastindex), match.start(), match.end()))
    return None if opened else [box for box in found if not is_blank(box.content)]


def closing(text: str, start: int) -> int:
    """Where the brace that is open at `start` is closed; -1 if it is not within 2,000 characters."""
    depth = 1
    for match in _BRACE.finditer(text, start, start + 2000):
        token = match.group()
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if not depth:
                return match.start()
    return -1


def boxed(text: str) -> list[str] | None:
    r"""What stands in each outermost `\boxed{...}` that is not blank; None if one is never closed."""
    found = find(text)
    return None if found is None else [box.content for box in found]


def is_blank(content: str) -> bool:
    r"""Whether a box is only the place for an answer: empty, `\ `, `?`, `...`, `\text{answer}`."""
    if not content or content[0].isdigit():
        return not content
    return _BLANK.fullmatch(content) is not None


def grouped(text: str, found: list[Box]) -> list[Box]:
    r"""Boxes with nothing but a comma or `and` between them as one: `\boxed{1}, \boxed{2}`.

    With `or` they are one list where each has a name before it: `x=\boxed{1}` or `x=\boxed{2}`.
    """
    groups: list[list[Box]] = []
    for box in found:
        gap = text[groups[-1][-1].end : box.start] if groups else ""
        between = _BETWEEN.fullmatch(gap) if 0 < len(gap) <= 60 else None
        if between and (between.group(1) or not re.search(r"\bor\b", gap)):
            groups[-1].append(box)
        else:
            groups.append([box])
    return [_joined(text, group) for group in groups]


def _joined(text: str, group: list[Box]) -> Box:
    if len(group) == 1:
        return group[0]
    contents = [box.content for box in group]
    if len({normalised(content) for content in contents}) == 1:
        return Box(contents[-1], group[0].start, group[-1].end)
    found = [_NAMED.search(text[max(0, box.start - 20) : box.start]) for box in group]
    names = [named.group(1) for named in found if named]
    if len(names) == len(group) == len(set(names)):
        contents = [
            content if "=" in content else f"{name}={content}"
            for name, content in zip(names, contents, strict=True)
        ]
    return Box(", ".join(contents), group[0].start, group[-1].end)


def _unwrapped(content: str) -> str:
    """The content of a box whose whole content is one box."""
    inner = content[len(r"\boxed{") : -1] if content.startswith(r"\boxed{") else "{"
    return content if "{" in inner or "}" in inner else inner.strip()


def unboxed(text: str) -> str:
    r"""The text with each closed `\boxed{...}` replaced by what stands in it."""
    pieces: list[str] = []
    opened: list[bool] = []  # of each open brace: whether it opened a box
    end = 0
    for match in _BRACES.finditer(text):
        token = match.group()
        is_box = len(token) > 1 and token[-1] == "{" and token != r"\{"
        if token == "{" or is_box:
            opened.append(is_box)
        if is_box or (token == "}" and opened and opened.pop()):
            pieces.append(text[end : match.start()])
            end = match.end()
    return "".join([*pieces, text[end:]])
