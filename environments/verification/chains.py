r"""Answers that are written as a chain: `2\sqrt3 \approx 3.46`, `\frac{14}{2} = 7`, `(B) = 4`."""

from __future__ import annotations

import re

from environments.verification import algebra, approximate, bases, expressions, forms, numerals
from environments.verification.spelling import normalised
from environments.verification.trees import Tree

_ROUNDED = re.compile(
    r"\b(?:nearest|round|approximat|decimal place|significant|estimate)|\bto the (?:tenth"
    r"|hundredth)",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\s*[,(]?\s*\\text\s*\{\s*[,(]?\s*(?:or|which is|i\.e\.,?|that is,?)?\s*(?:about"
    r"|approximately|approx\.?|roughly)\s*\}\s*"
    r"|\s*[,(]?\s*(?<![\\A-Za-z])(?:or|which is)?\s*(?<![\\A-Za-z])(?:about|approximately"
    r"|approx\.?|roughly)\s+(?=[0-9])"
)
_OR = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*or\s*\}|(?<=\s)or(?=\s))\s*")
_EQUALS = re.compile(r"(?<![<>!:\\])=(?![=<>])")
_UNIT = re.compile(
    r"\s*\\text\s*\{[^{}]*\}(?:\^\{?[23]\}?)?$|\s*\u00b0$|\s*%$|(?<=[0-9])\s+[a-z]{3,}$"
)


def last(text: str, statement: str, gold: str) -> str:
    """The side of a chain of equal sides that is the answer, the text itself where it is no chain.

    Of what is only about equal it is the exact side, or the rounded one where the question wants
    that or the reference answer is a decimal. Sides that are not equal are no chain.
    """
    if not any(sign in text for sign in ("=", "approx", "\u2248", "about", "roughly", "or")):
        return text
    written = _ABOUT.sub(r"\\approx ", normalised(text))
    if r"\approx" in written:
        written = (
            written.rstrip(" )}")
            if written.count("(") < written.count(")") or written.count("{") < written.count("}")
            else written
        )
    if r"\approx" in written:
        exact, _, rounded = written.rpartition(r"\approx")
        wants = _ROUNDED.search(statement) or re.fullmatch(r"-?[0-9,]*\.[0-9]+", gold)
        if not exact:
            return rounded.strip() if wants else text
        if not _rounds(exact, rounded) or exact.count(r"\approx"):
            return text
        return rounded.strip() if wants else last(exact.strip(), statement, gold)
    either = [_tree(side.strip()) for side in _OR.split(written)]
    if len(either) > 1 and "=" not in written and all(_same(either[0], t) for t in either[1:] if t):
        return text if None in either else _OR.split(written)[0].strip()
    sides = [side.strip() for side in _EQUALS.split(written)]
    if len(sides) < 2 or not all(sides) or "," in written.replace("{,}", ""):
        return text
    if all(values := [_whole(side) for side in sides]) and len(set(values)) == 1:
        return sides[-1]
    trees = [_tree(side) for side in sides]
    named = len(sides) > 2 and (trees[0] is None or not _is_constant(trees[0]))
    first = 1 if named else 0
    if len(sides) - first < 2:
        return text
    chain = trees[first:]
    if any(tree is None for tree in chain) or not all(
        _same(chain[0], tree) for tree in chain[1:] if tree is not None
    ):
        return text
    return f"{sides[0]}={sides[-1]}" if named else sides[-1]


def _whole(text: str) -> int | None:
    """The value of a natural number that is written in some base."""
    if (based := bases.read(text)) and based[0].isalnum():
        return int(based[0], based[1])
    return int(text) if re.fullmatch("[1-9][0-9]{0,30}", text) else None


def _tree(text: str) -> Tree | None:
    bare = _UNIT.sub("", text).lstrip("$")
    if (number := numerals.read(bare)) is not None:
        if number.name:
            return None
        return ("n", number.value.numerator, number.value.denominator)
    written = expressions.canonical(bare)
    return None if written is None else expressions.tree(written)


def _same(left: Tree | None, right: Tree) -> bool:
    return left is not None and algebra.equal(left, right) is True


def _is_constant(tree: Tree) -> bool:
    return not any(part[0] == "v" for part in forms.parts(tree))


def _rounds(exact: str, rounded: str) -> bool:
    """Whether a decimal is the value of the exact side, rounded to as many places as it has."""
    exact = _EQUALS.split(exact)[-1]
    tree, number = _tree(exact.strip()), numerals.read(_UNIT.sub("", rounded.strip()).lstrip("$"))
    if tree is None or number is None or not _is_constant(tree):
        return False
    try:
        value = approximate.evaluate(tree, {})
    except (ArithmeticError, ValueError, KeyError):
        return False
    places = len(re.sub(r"[^0-9.]", "", _UNIT.sub("", rounded)).partition(".")[2])
    error = abs(value - float(number.value))
    return error <= 0.51 * 10.0**-places or (
        error <= 0.0051 * abs(value) and number.form == "scientific"
    )
