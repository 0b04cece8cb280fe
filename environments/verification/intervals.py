"""Intervals with open and closed ends, their unions, and inequalities that mean one."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

from environments.verification.kinds import Answer
from environments.verification.parts import AND, MOST_PARTS, around, element, order, split

_INFINITY = re.compile(r"([-+]?)\s*\\infty")
_COMPARISON = re.compile(r"<|>|\\leq?(?![a-z])|\\geq?(?![a-z])")
_WITHOUT = re.compile(
    r"(?:\\mathbb\s*\{?\s*R\s*\}?|\(-\\infty\s*,\s*\+?\\infty\s*\))\s*(?:\\setminus|\\backslash"
    r"|-)\s*\\\{(.*)\\\}|[A-Za-z]\s*\\neq?(?![a-z])(.*)"
)
_BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\mid(?![a-z])|\||:"
    r"|\\colon(?![a-z]))\s*(.+?)\s*\\\}",
    re.DOTALL,
)
_OF_REALS = re.compile(
    r"[A-Za-z]\s*\\in\s*\\mathbb\s*\{?R\}?\s*(?:,|;|\\mid(?![a-z])|:|\\text\{\s*(?:with|and"
    r"|where|,|such that|but)\s*\})\s*(.+)"
    r"|(.+?)\s*,\s*[A-Za-z]\s*\\in\s*\\mathbb\s*\{?R\}?"
    r"|\\mathbb\s*\{?R\}?\s*,\s*([A-Za-z]\s*\\neq?.+)"
)
_PIECES = re.compile(
    r"\\cup(?![a-z])|\sU\s|,?\s*\\text\{\s*or\s*\}|\s+or\s+|\\(?:lor|vee)(?![a-z])"
)
_BOTH = re.compile(r"\s*\\text\{\s*and\s*\}\s*|\s+and\s+|\\(?:land|wedge|cap)(?![a-z])")
_LINE = Answer("interval", r"(-\infty,\infty)", parts=(
    Answer("expression", r"-\infty"), Answer("expression", r"\infty")), brackets="()")  # fmt: skip


def union(text: str) -> Answer | None:
    """An interval, a union of some, or the real line without some numbers; None if it is none."""
    if builder := _BUILDER.fullmatch(text):
        text = builder.group(2)
        if re.search(rf"(?<![A-Za-z\\]){builder.group(1)}(?![A-Za-z])", text) is None:
            return None
    if of_reals := _OF_REALS.fullmatch(text):
        text = next(filter(None, of_reals.groups()))
    if text.replace(" ", "") in (r"\mathbb{R}", r"\mathbbR"):
        return _LINE
    if without := _WITHOUT.fullmatch(text):
        return _without(without.group(1) or without.group(2))
    if len(both := _BOTH.split(text)) == 2:
        return _intersection([interval(each.strip()) for each in both])
    pieces = [interval(piece.strip()) for piece in _PIECES.split(text)]
    found = [piece for piece in pieces if piece is not None]
    if len(found) != len(pieces) or len(found) > MOST_PARTS:
        return None
    merged = _merged(found)
    if len(merged) == 1:
        return merged[0]
    return Answer("interval", r"\cup".join(each.text for each in merged), parts=tuple(merged))


def _intersection(pieces: list[Answer | None]) -> Answer | None:
    """`x > 2` and `x < 5` as one interval: a bound from each side, anything else is refused."""
    found = [piece for piece in pieces if piece is not None]
    if len(found) != 2:
        return None
    low = [piece for piece in found if piece.parts[1].text == r"\infty"]
    high = [piece for piece in found if piece.parts[0].text == r"-\infty"]
    if len(low) != 1 or len(high) != 1 or low == high:
        return None
    a, b = low[0], high[0]
    return _between(a.parts[0].text, b.parts[1].text, a.brackets[0] + b.brackets[1])


def _without(points: str) -> Answer | None:
    """The real line without some numbers, as a union."""
    points = re.sub(r"(?<=[,\s])[A-Za-z]\s*\\neq?(?![a-z])\s*", "", AND.sub(",", points))
    if signs := re.fullmatch(r"\s*\\pm(?![a-z])\s*(.+)", points):
        points = f"{signs.group(1)},-{signs.group(1)}"
    found = [element(each) for each in split(points, inside=False) or []]
    if not found or any(point is None or point.value is None for point in found):
        return None
    ends = [r"-\infty", *(p.text for p in sorted(filter(None, found), key=order)), r"\infty"]
    return union(r"\cup".join(f"({low},{high})" for low, high in itertools.pairwise(ends)))


def interval(text: str) -> Answer | None:
    """One interval, also as an inequality of one variable, or a set of one number."""
    brackets = around(text)
    if not brackets:
        return _inequality(text)
    texts = split(text)
    if brackets == r"\{\}" and texts is not None and len(texts) == 1:
        return _between(texts[0], texts[0], "[]")
    if brackets not in ("()", "[]", "[)", "(]") or texts is None or len(texts) != 2:
        return None
    return _between(texts[0], texts[1], brackets)


def _inequality(text: str) -> Answer | None:
    r"""`0 \le x < 1` as `[0,1)`."""
    sides, signs = _COMPARISON.split(text), _COMPARISON.findall(text)
    if not 2 <= len(sides) <= 3:
        return None
    sides = [side.strip() for side in sides]
    ups = [sign == "<" or sign.startswith(r"\le") for sign in signs]
    if len(set(ups)) != 1:
        return None
    if not ups[0]:
        sides.reverse()
        signs.reverse()
    closed = [len(sign) > 1 for sign in signs]
    letter = [n for n, side in enumerate(sides) if re.fullmatch("[A-Za-z]", side)]
    if len(sides) == 3 and letter == [1]:
        brackets = "(["[closed[0]] + ")]"[closed[1]]
        return _between(sides[0], sides[2], brackets)
    if len(sides) == 2 and letter == [0]:
        return _between(r"-\infty", sides[1], "(" + ")]"[closed[0]])
    if len(sides) == 2 and letter == [1]:
        return _between(sides[0], r"\infty", "(["[closed[0]] + ")")
    return None


def _between(low: str, high: str, brackets: str) -> Answer | None:
    ends = [_end(low), _end(high)]
    if ends[0] is None or ends[1] is None:
        return None
    if (ends[0].text == r"-\infty" and brackets[0] == "[") or (
        ends[1].text == r"\infty" and brackets[1] == "]"
    ):
        return None
    if ends[0].text == r"\infty" or ends[1].text == r"-\infty":
        return None
    a, b = ends[0].value, ends[1].value
    unit = ends[0].unit or ends[1].unit
    if unit and any(end.unit not in (unit, "") for end in ends if end is not None):
        return None
    if a is not None and b is not None and (a > b or (a == b and brackets != "[]")):
        return None
    written = f"{brackets[0]}{ends[0].text},{ends[1].text}{brackets[1]}"
    bare = (replace(ends[0], unit=""), replace(ends[1], unit=""))
    return Answer("interval", written, unit=unit, parts=bare, brackets=brackets)


def _end(text: str) -> Answer | None:
    found = infinity(text) or element(text)
    return None if found is None or found.kind == "percent" else found


def infinity(text: str) -> Answer | None:
    """Infinity with its sign, or None."""
    match = _INFINITY.fullmatch(text)
    if match is None:
        return None
    return Answer("expression", r"-\infty" if match.group(1) == "-" else r"\infty")


def _merged(pieces: list[Answer]) -> list[Answer]:
    """Disjoint intervals in ascending order, where every end is rational or infinite."""

    def number(answer: Answer) -> float | object:
        if answer.value is not None:
            return answer.value
        return {r"\infty": math.inf, r"-\infty": -math.inf}.get(answer.text)

    ends = [[number(end) for end in piece.parts] for piece in pieces]
    if any(end is None for pair in ends for end in pair):
        return sorted(pieces, key=lambda piece: piece.text)
    order = sorted(range(len(pieces)), key=lambda n: (ends[n][0], pieces[n].brackets[0] == "("))
    merged = [pieces[order[0]]]
    for n in order[1:]:
        last, piece = merged[-1], pieces[n]
        reach, start = number(last.parts[1]), ends[n][0]
        touching = start == reach and (last.brackets[1] == "]" or piece.brackets[0] == "[")
        if start < reach or touching:  # type: ignore[operator]
            top = number(piece.parts[1])
            longer = top > reach or (top == reach and piece.brackets[1] == "]")  # type: ignore[operator]
            end = piece if longer else last
            brackets = last.brackets[0] + end.brackets[1]
            joined = _between(last.parts[0].text, end.parts[1].text, brackets)
            assert joined is not None
            merged[-1] = joined
        else:
            merged.append(piece)
    return merged
