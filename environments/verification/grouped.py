r"""Answers of several parts: tuples, intervals, sets, lists, ratios and matrices.

`read(text, kind)` reads a normalised text as `kind`, or without it as what its brackets say: `(a,b)`
is a tuple (an interval where an end is infinite), `[a,b]` and `[a,b)` are intervals, `[a,b,c]` is an
ordered list, `\{a,b\}` a set, `a, b` without brackets a list in any order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from environments.verification import comparison, intervals
from environments.verification.kinds import Answer, Kind, scalar
from environments.verification.parts import MOST_PARTS, NAME, around, element, order, split

_NAMED_GROUP = re.compile(
    r"(?:[A-Za-z](?:_\{?\w\}?)?|\([a-z](?:\s*,\s*[a-z])+\))\s*(?:=|\\in(?![a-z]))\s*"
)
_AND = re.compile(r",?\s*\\(?:text|mathrm)\{\s*(?:and|or)\s*\}\s*|\s*,?\s(?:and|or)\s+")
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
        return _ratio(text, asked=True)
    if kind == "tuple":
        return _tuple(text) if text[:1] in ("(", "[") or text.startswith(r"\langle") else None
    if kind == "multiset" and (factors := _factorisation(text)):
        return factors
    return _unordered(text, kind)


def in_order(text: str, statement: str) -> str | None:
    """`x=3, y=-2` as `(3,-2)`, where the statement says in which order: `(x, y)`."""
    order = re.search(r"\(\s*([a-z](?:\s*,\s*[a-z])+)\s*\)", statement)
    parts = split(_AND.sub(",", text), inside=False) if order and "=" in text else None
    if order is None or parts is None:
        return None
    values = dict(re.split(r"\s*=\s*", each, maxsplit=1) for each in parts if each.count("=") == 1)
    names = re.split(r"\s*,\s*", order.group(1))
    if sorted(values) != sorted(names) or len(parts) != len(names):
        return None
    return f"({','.join(values[name] for name in names)})"


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
    if (
        r"\cup" in text
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
        return _ratio(text)
    return (
        _unordered(text, "multiset") if "," in text or r"\pm" in text or _AND.search(text) else None
    )


def part(text: str) -> Answer | None:
    """One part: an element, or a group in brackets of its own."""
    brackets = around(text)
    if brackets and (inner := split(text)) and (len(inner) > 1 or brackets in (r"\{\}", "{}")):
        return _by_brackets(text)
    return element(text)


def _parts(texts: Sequence[str] | None) -> tuple[Answer, ...] | None:
    if texts is None:
        return None
    found = [part(text) for text in texts]
    return None if None in found else tuple(answer for answer in found if answer is not None)


def _tuple(text: str) -> Answer | None:
    brackets, parts = around(text), _parts(split(text))
    if brackets not in ("()", "[]", r"\langle\rangle") or parts is None:
        return None
    opening, closing = "[]" if brackets == "[]" else "()"
    written = opening + ",".join(answer.text for answer in parts) + closing
    return Answer("tuple", written, parts=parts, brackets=opening + closing)


def _unordered(text: str, kind: Kind) -> Answer | None:
    brackets = around(text)
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return EMPTY
    if brackets in (r"\{\}", "{}"):
        texts = split(text)
    elif (brackets and brackets != "()") or (brackets == "()" and kind == "set"):
        return None
    else:
        text = _AND.sub(",", text)
        texts = split(text.replace(",,", ","), inside=False)
    if texts is None or (brackets == "{}" and len(texts) < 2):
        return None
    texts = _unnamed([both for each in texts for both in _signs(each)])
    parts = _parts(texts)
    if parts is None:
        return None
    if kind == "set" and any(
        comparison.equal(one, other) is not False
        and (comparison.equal(one, other) or one.text == other.text)
        for n, one in enumerate(parts)
        for other in parts[:n]
    ):
        return None
    parts = tuple(sorted(parts, key=order))
    if kind == "set":
        return Answer("set", rf"\{{{','.join(answer.text for answer in parts)}\}}", parts=parts)
    return Answer("multiset", ", ".join(answer.text for answer in parts), parts=parts)


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
    names = {match.group(1) for text in texts if (match := NAME.match(text))}
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


def _ratio(text: str, asked: bool = False) -> Answer | None:
    if named := re.match(r"([A-Za-z](?:\s*:\s*[A-Za-z])+)\s*=\s*", text):
        names = re.findall("[A-Za-z]", named.group(1))
        if names != sorted(set(names)):
            return None
        text = text[named.end() :]
    texts = (
        re.split(r"\s*(?::|\\colon(?![a-z])|\s\\text\{\s*to\s*\}|\sto\s)\s*", text)
        if asked
        else re.split(r"\s*:\s*", text)
    )
    if asked and len(texts) == 1:
        number = scalar(text)
        if number is None or number.kind != "fraction" or number.value is None or number.unit:
            return None
        texts = [str(number.value.numerator), str(number.value.denominator)]
    if not asked and re.fullmatch("[0-9]{1,2}:[0-5][0-9]", text):  # possibly a time
        return Answer("ratio", text)
    numbers = [scalar(each) for each in texts]
    values = [n.value for n in numbers if n is not None and n.value is not None and not n.unit]
    if not 2 <= len(texts) == len(values) <= 6 or min(values) < 0 or not any(values):
        return None
    from fractions import Fraction
    from math import gcd, lcm

    whole = lcm(*(value.denominator for value in values))
    common = gcd(*(int(value * whole) for value in values))
    parts = [scalar(str(Fraction(value * whole, common))) for value in values]
    kept = tuple(answer for answer in parts if answer is not None)
    return Answer("ratio", ":".join(answer.text for answer in kept), parts=kept)


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
        cells = _parts(row)
        if cells is None:
            return None
        answers.append(Answer("tuple", ",".join(c.text for c in cells), parts=cells, brackets="()"))
    written = r"\\".join("&".join(c.text for c in row.parts) for row in answers)
    return Answer("matrix", rf"\begin{{pmatrix}}{written}\end{{pmatrix}}", parts=tuple(answers))
