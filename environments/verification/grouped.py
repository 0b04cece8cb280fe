r"""Answers of several parts: tuples, intervals, sets, lists, ratios and matrices.

`read(text, kind)` reads a normalised text as `kind`, or without it as what its brackets say: `(a,b)`
is a tuple (an interval where an end is infinite), `[a,b]` and `[a,b)` are intervals, `[a,b,c]` is an
ordered list, `\{a,b\}` a set, `a, b` without brackets a list in any order.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from environments.verification import comparison, expressions
from environments.verification.kinds import Answer, Kind, expression, scalar

MOST_PARTS = 64

_INFINITY = re.compile(r"([-+]?)\s*\\infty")
_NAME = re.compile(r"([A-Za-z])(?:_\{?\w\}?)?\s*=\s*(?=\S)")
_NAMED_GROUP = re.compile(
    r"(?:[A-Za-z](?:_\{?\w\}?)?|\([a-z](?:\s*,\s*[a-z])+\))\s*(?:=|\\in(?![a-z]))\s*"
)
_AND = re.compile(r",?\s*\\(?:text|mathrm)\{\s*(?:and|or)\s*\}\s*|\s*,?\s(?:and|or)\s+")
_ENVIRONMENT = re.compile(
    r"[(\[]?\s*\\begin\{([pbB]?matrix|smallmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}\s*[)\]]?",
    re.DOTALL,
)
_PAIRS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle"}
_BRACKET = re.compile(r"\\[{}]|\\[lr]angle(?![a-z])|[()\[\]{},]|\\[A-Za-z]+|\\.")
_COMPARISON = re.compile(r"<|>|\\leq?(?![a-z])|\\geq?(?![a-z])")
_WITHOUT = re.compile(
    r"\\mathbb\s*\{?\s*R\s*\}?\s*(?:\\setminus|\\backslash|-)\s*\\\{(.*)\\\}|[A-Za-z]\s*\\neq?(?![a-z])(.*)"
)
EMPTY = Answer("set", r"\emptyset")
_LINE = Answer("interval", r"(-\infty,\infty)", parts=(
    Answer("expression", r"-\infty"), Answer("expression", r"\infty")), brackets="()")  # fmt: skip


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
        return _union(text)
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
        return _union(text)
    around = _around(text)
    if around in (r"\{\}", "{}"):
        return _unordered(text, "set")
    if (around == "()" and r"\infty" not in text) or around in ("[]", r"\langle\rangle"):
        parts = split(text)
        if around == "[]" and parts is not None and len(parts) == 2:
            return _interval(text)
        return _tuple(text) if parts is not None and len(parts) > 1 else None
    if around:
        return _interval(text)
    if ":" in text:
        return _ratio(text)
    return (
        _unordered(text, "multiset") if "," in text or r"\pm" in text or _AND.search(text) else None
    )


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


def _around(text: str) -> str:
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


def part(text: str) -> Answer | None:
    """One element: a number without unit, a tuple or set, or an expression."""
    if (number := scalar(text)) and "=" not in text:
        return None if number.unit or number.kind == "percent" else number
    around = _around(text)
    if around and (inner := split(text)) and (len(inner) > 1 or around in (r"\{\}", "{}")):
        return _by_brackets(text)
    found = None if "=" in text and _NAME.match(text) is None else expression(text)
    if found is None or expressions.tree(found.text) is None:
        return None
    return found


def _parts(texts: Sequence[str] | None) -> tuple[Answer, ...] | None:
    if texts is None:
        return None
    found = [part(text) for text in texts]
    return None if None in found else tuple(answer for answer in found if answer is not None)


def _tuple(text: str) -> Answer | None:
    around, parts = _around(text), _parts(split(text))
    if around not in ("()", "[]", r"\langle\rangle") or parts is None:
        return None
    opening, closing = "[]" if around == "[]" else "()"
    written = opening + ",".join(answer.text for answer in parts) + closing
    return Answer("tuple", written, parts=parts, brackets=opening + closing)


def _unordered(text: str, kind: Kind) -> Answer | None:
    around = _around(text)
    if text in (r"\emptyset", r"\{\}", r"\{ \}"):
        return EMPTY
    if around in (r"\{\}", "{}"):
        texts = split(text)
    elif (around and around != "()") or (around == "()" and kind == "set"):
        return None
    else:
        text = _AND.sub(",", text)
        texts = split(text.replace(",,", ","), inside=False)
    if texts is None or (around == "{}" and len(texts) < 2):
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
    parts = tuple(sorted(parts, key=_order))
    if kind == "set":
        return Answer("set", rf"\{{{','.join(answer.text for answer in parts)}\}}", parts=parts)
    return Answer("multiset", ", ".join(answer.text for answer in parts), parts=parts)


def _order(answer: Answer) -> tuple[bool, object, str]:
    return (answer.value is None, answer.value or 0, answer.text)


def _signs(text: str) -> list[str]:
    r"""`1\pm\sqrt{2}` is two answers."""
    halves = re.split(r"\s*\\pm(?![A-Za-z])\s*", text)
    if len(halves) != 2:
        return [text]
    before, after = halves
    name = _NAME.match(before)
    bare = (
        before[name.end() :]
        if name
        else ("" if re.fullmatch(r"[A-Za-z]\s*=\s*", before) else before)
    )
    return [f"{bare}+{after}" if bare else after, f"{bare}-{after}"]


def _unnamed(texts: list[str]) -> list[str]:
    """The solutions without their one name: `x=1, x=2`; with two names they stay equations."""
    names = {match.group(1) for text in texts if (match := _NAME.match(text))}
    if len(names) != 1:
        return texts
    return [_NAME.sub("", text, count=1) for text in texts]


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
    factors.sort(key=_order)
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
        if _around(text) != "[]":
            return None
        lines = split(text) or []
        found = [split(line) if _around(line) == "[]" else None for line in lines]
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


def _union(text: str) -> Answer | None:
    if text.replace(" ", "") in (r"\mathbb{R}", r"\mathbbR"):
        return _LINE
    if without := _WITHOUT.fullmatch(text):
        return _without(without.group(1) or without.group(2))
    pieces = [_interval(piece.strip()) for piece in re.split(r"\\cup(?![a-z])|\sU\s", text)]
    found = [piece for piece in pieces if piece is not None]
    if len(found) != len(pieces) or len(found) > MOST_PARTS:
        return None
    merged = _merged(found)
    if len(merged) == 1:
        return merged[0]
    return Answer("interval", r"\cup".join(each.text for each in merged), parts=tuple(merged))


def _without(points: str) -> Answer | None:
    """The real line without some numbers, as a union."""
    found = _parts(split(points, inside=False))
    if found is None or any(point.value is None for point in found):
        return None
    ends = [r"-\infty", *(p.text for p in sorted(found, key=_order)), r"\infty"]
    return _union(r"\cup".join(f"({low},{high})" for low, high in itertools.pairwise(ends)))


def _interval(text: str) -> Answer | None:
    around = _around(text)
    if not around:
        return _inequality(text)
    texts = split(text)
    if around == r"\{\}" and texts is not None and len(texts) == 1:
        return _between(texts[0], texts[0], "[]")
    if around not in ("()", "[]", "[)", "(]") or texts is None or len(texts) != 2:
        return None
    return _between(texts[0], texts[1], around)


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
    if a is not None and b is not None and (a > b or (a == b and brackets != "[]")):
        return None
    written = f"{brackets[0]}{ends[0].text},{ends[1].text}{brackets[1]}"
    return Answer("interval", written, parts=(ends[0], ends[1]), brackets=brackets)


def _end(text: str) -> Answer | None:
    if match := _INFINITY.fullmatch(text):
        return Answer("expression", r"-\infty" if match.group(1) == "-" else r"\infty")
    return part(text)


def _merged(pieces: list[Answer]) -> list[Answer]:
    """Disjoint intervals in ascending order, where every end is rational or infinite."""
    import math

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
