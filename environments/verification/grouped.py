r"""Answers of several parts: tuples, intervals, sets, lists, ratios and matrices.

`read(text, kind)` reads a normalised text as `kind`, or without it as what its brackets say: `(a,b)`
is a tuple (an interval where an end is infinite), `[a,b]` and `[a,b)` are intervals, `[a,b,c]` is an
ordered list, `\{a,b\}` a set, `a, b` without brackets a list in any order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from environments.verification import assignments, comparison, intervals, ratios
from environments.verification.kinds import Answer, Kind, scalar
from environments.verification.parts import (
    AND,
    MOST_PARTS,
    NAME,
    around,
    element,
    order,
    split,
    without_units,
)

_NAMED_GROUP = re.compile(
    r"(?:[A-Za-z](?:_\{?\w\}?)?|\([a-z](?:\s*,\s*[a-z])+\))\s*(?:=|\\in(?![a-z]))\s*"
)
_ENVIRONMENT = re.compile(
    r"[(\[]?\s*\\begin\{([pbB]?matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}\s*[)\]]?",
    re.DOTALL,
)
EMPTY = Answer("set", r"\emptyset")


def read(text: str, kind: Kind | None = None) -> Answer | None:
    """The group that a normalised text is, or None: as `kind`, or (None) as its brackets say."""
    if named := _NAMED_GROUP.match(text):
        rest = text[named.end() :]
        names = (
            re.findall("[a-z]", named.group().partition(")")[0]) if named.group()[0] == "(" else []
        )
        if names != sorted(set(names)):
            return None  # `(y,x)=(1,2)`
        if rest[:1] in ("(", "[", "{") or rest.startswith("\\"):
            text = rest
    if kind is None:
        return _by_brackets(text)
    if kind == "matrix":
        return _matrix(text)
    if kind == "interval":
        return intervals.union(text)
    if kind == "ratio":
        return ratios.read(text, asked=True)
    if kind == "tuple":
        return _tuple(text) if text[:1] in ("(", "[") or text.startswith(r"\langle") else None
    if kind == "multiset" and (factors := _factorisation(text)):
        return factors
    return _unordered(text, kind)


def is_ambiguous(text: str, kind: Kind) -> bool:
    """Whether a list is asked for and the text is one number with commas or two: `1,234`."""
    return (
        kind in ("set", "multiset") and re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})+", text) is not None
    )


def _by_brackets(text: str) -> Answer | None:
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return EMPTY
    if r"\begin" in text or text.startswith("[["):
        return _matrix(text)
    if r"\{" in text and (built := intervals.union(text)) is not None:
        return built
    if (
        r"\cup" in text
        or r"\ne" in text
        or r"\mathbb" in text
        or text.replace(" ", "") in (r"\mathbb{R}", r"\mathbbR")
    ):
        return intervals.union(text)
    brackets = around(text)
    if (found := intervals.infinity(text)) is not None:
        return found
    if brackets in (r"\{\}", "{}"):
        return _unordered(text, "set")
    if (brackets == "()" and r"\infty" not in text) or brackets in ("[]", r"\langle\rangle"):
        parts = split(text)
        if brackets == "[]" and parts is not None and len(parts) == 2:
            return intervals.interval(text)
        return _tuple(text) if parts is not None and len(parts) > 1 else None
    if brackets:
        return intervals.interval(text)
    if ":" in text:
        return ratios.read(text)
    if any(sign in text for sign in (",", ";", r"\pm")) or AND.search(text):
        return _unordered(text, "multiset")
    return None


def part(text: str) -> Answer | None:
    """One part: an element, or a group in brackets of its own."""
    if (named := _NAMED_GROUP.match(text)) and text[named.end() : named.end() + 1] in (
        "(",
        "[",
        "{",
    ):
        return read(text)
    brackets = around(text)
    if brackets and (inner := split(text)) and (len(inner) > 1 or brackets in (r"\{\}", "{}")):
        return _by_brackets(text)
    return element(text)


def _parts(texts: Sequence[str] | None) -> tuple[tuple[Answer, ...], str] | None:
    """The parts without their common unit, and the unit."""
    return None if texts is None else without_units(part(text) for text in texts)


def _tuple(text: str) -> Answer | None:
    brackets, found = around(text), _parts(split(text))
    if brackets not in ("()", "[]", r"\langle\rangle") or found is None:
        return None
    parts, unit = found
    opening, closing = "[]" if brackets == "[]" else "()"
    written = opening + ",".join(answer.text for answer in parts) + closing
    return Answer("tuple", written, unit=unit, parts=parts, brackets=opening + closing)


def _unordered(text: str, kind: Kind) -> Answer | None:
    brackets = around(text)
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return EMPTY
    if brackets in (r"\{\}", "{}"):
        texts = split(text)
    elif (brackets and brackets != "()") or (brackets == "()" and kind == "set"):
        return None
    elif (listed := assignments.rows(text)) is not None:
        texts = listed
    else:
        if ";" not in text:
            text = AND.sub(",", text)
        texts = split(text.replace(",,", ","), inside=False)
    if texts is None or (brackets == "{}" and len(texts) < 2):
        return None
    texts = _unnamed([both for each in texts for both in _signs(each)])
    found = _parts(texts)
    if found is None or (len(found[0]) < 2 and brackets in ("", "()") and kind == "multiset"):
        return None
    parts, unit = found
    if kind == "set" and any(
        comparison.equal(one, other) is not False
        and (comparison.equal(one, other) or one.text == other.text)
        for n, one in enumerate(parts)
        for other in parts[:n]
    ):
        return None
    parts = tuple(sorted(parts, key=order))
    if kind == "set":
        return Answer(
            "set", rf"\{{{','.join(answer.text for answer in parts)}\}}", unit=unit, parts=parts
        )
    return Answer("multiset", ", ".join(answer.text for answer in parts), unit=unit, parts=parts)


def _signs(text: str) -> list[str]:
    r"""`1\pm\sqrt{2}` is two answers."""
    halves = re.split(r"\s*\\pm(?![A-Za-z])\s*", text)
    if len(halves) != 2:
        return [text]
    before, after = halves
    name = NAME.match(before)
    bare = (
        before[name.end() :]
        if name
        else ("" if re.fullmatch(r"[A-Za-z]\s*=\s*", before) else before)
    )
    return [f"{bare}+{after}" if bare else after, f"{bare}-{after}"]


def _unnamed(texts: list[str]) -> list[str]:
    """The solutions without their one name: `x=1, x=2`; with two names they stay equations."""
    names = {match.group(1).partition("_")[0] for text in texts if (match := NAME.match(text))}
    if len(names) != 1:
        return texts
    return [NAME.sub("", text, count=1) for text in texts]


def _factorisation(text: str) -> Answer | None:
    r"""`2^3\cdot 5` as the list 2, 2, 2, 5."""
    if "," in text or not re.search(r"\\cdot|\\times|\*|\^| x ", text):
        return None
    factors: list[Answer] = []
    for piece in re.split(r"\\cdot|\\times|(?<!\*)\*(?!\*)| x ", text):
        match = re.fullmatch(
            r"\s*([1-9][0-9]{0,20})\s*(?:(?:\^|\*\*)\s*(?:\{([0-9]{1,2})\}|([0-9]{1,2})))?\s*",
            piece,
        )
        power = int(match.group(2) or match.group(3) or 1) if match else 0
        if match is None or not 1 <= power <= MOST_PARTS or len(factors) + power > MOST_PARTS:
            return None
        factors += [answer for answer in [scalar(match.group(1))] if answer] * power
    factors.sort(key=order)
    return Answer("multiset", ", ".join(f.text for f in factors), parts=tuple(factors))


def _matrix(text: str) -> Answer | None:
    if match := _ENVIRONMENT.fullmatch(text):
        body = re.sub(r"\\\\(?:\[[^\]]*\])?", ";", match.group(2)).strip().removesuffix(";")
        rows: list[list[str]] = [
            [cell.strip() for cell in row.split("&")] for row in body.split(";")
        ]
    else:
        if around(text) != "[]":
            return None
        lines = split(text) or []
        found = [split(line) if around(line) == "[]" else None for line in lines]
        rows = [row for row in found if row is not None]
        if len(rows) != len(lines):
            return None
    if not rows or len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > MOST_PARTS:
        return None
    answers: list[Answer] = []
    for row in rows:
        found_cells = _parts(row)
        if found_cells is None or found_cells[1]:
            return None
        cells = found_cells[0]
        answers.append(Answer("tuple", ",".join(c.text for c in cells), parts=cells, brackets="()"))
    written = r"\\".join("&".join(c.text for c in row.parts) for row in answers)
    return Answer("matrix", rf"\begin{{pmatrix}}{written}\end{{pmatrix}}", parts=tuple(answers))
