"""Whether two answers are the same: exactly, and by the judge only for expressions that need it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction

from environments.base import Status
from environments.verification import algebra, expressions, forms, relations, shapes
from environments.verification.kinds import NUMBERS, Answer

Ask = Callable[[str, str], Status]

_TOLERANCE = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(%?)\s*")
_UNORDERED = frozenset({"set", "multiset"})
_EXPRESSIONS = frozenset({"polynomial", "expression"})


def equal(gold: Answer, prediction: Answer, tolerance: str | None = None) -> bool | None:
    """Whether two answers are the same, exactly; None where only the judge could tell.

    Numbers compare by value, whatever their kind; a percentage equals only a percentage. Where the
    gold answer is a number an unevaluated expression is not equal to it, even one of its value:
    otherwise repeating the question would win. Units are not compared. Two numbers may differ by
    `tolerance`.
    """
    if tolerance is not None and gold.value is not None and prediction.value is not None:
        same_kind = (gold.kind == "percent") == (prediction.kind == "percent")
        return same_kind and within(gold.value, prediction.value, tolerance)
    status = _same(gold, prediction, None)
    return None if status is None else status == "correct"


def decide(gold: Answer, prediction: Answer, ask: Ask) -> Status:
    """The status of comparing two answers; `ask` compares two expressions where algebra cannot."""
    return _same(gold, prediction, None) or _same(gold, prediction, ask) or "unparseable"


def within(gold: Fraction, prediction: Fraction, tolerance: str) -> bool:
    """Whether two numbers differ by at most a tolerance: absolute (`0.01`) or relative (`1%`)."""
    match = _TOLERANCE.fullmatch(tolerance)
    if match is None:
        return gold == prediction
    allowed = Fraction(match.group(1)) * (abs(gold) / 100 if match.group(2) else 1)
    return abs(gold - prediction) <= allowed


def _same(gold: Answer, prediction: Answer, ask: Ask | None) -> Status | None:
    if gold.kind in NUMBERS or prediction.kind in NUMBERS:
        return _numbers(gold, prediction, ask)
    if gold.kind in _EXPRESSIONS and prediction.kind in _EXPRESSIONS:
        return _expressions(gold, prediction, ask)
    if gold.kind != prediction.kind or gold.brackets != prediction.brackets:
        return "wrong"
    if gold.text == prediction.text:
        return "correct"
    if not gold.parts or len(gold.parts) != len(prediction.parts):
        return "wrong"
    # A union whose ends are in no known order is compared as a set of intervals.
    if gold.kind in _UNORDERED or (gold.kind == "interval" and not gold.brackets):
        return _matched(gold, prediction, ask)
    return _all(
        _same(one, other, ask) for one, other in zip(gold.parts, prediction.parts, strict=True)
    )


def _all(found: Iterable[Status | None]) -> Status | None:
    """`wrong` if one is, else the first that is not `correct`."""
    statuses: list[Status | None] = []
    for status in found:
        if status == "wrong":
            return "wrong"
        statuses.append(status)
    return next((status for status in statuses if status != "correct"), "correct")


def _matched(gold: Answer, prediction: Answer, ask: Ask | None) -> Status | None:
    """Equality in any order: each part takes one that equals it; exact matches go first."""
    left, pairs = list(gold.parts), list(prediction.parts)
    for one in list(left):
        match = next((other for other in pairs if equal(one, other)), None)
        if match is not None:
            left.remove(one)
            pairs.remove(match)
    for one in left:
        found: Status | None = "wrong"
        for n, other in enumerate(pairs):
            status = _same(one, other, ask)
            if status == "correct":
                del pairs[n]
                break
            if status != "wrong":
                found = status
        else:
            return found
    return "correct"


def _numbers(gold: Answer, prediction: Answer, ask: Ask | None) -> Status | None:
    if gold.value is not None and prediction.value is not None:
        percents = (gold.kind == "percent") + (prediction.kind == "percent")
        return "correct" if gold.value == prediction.value and percents != 1 else "wrong"
    if gold.value is not None or prediction.kind == "percent" or gold.kind not in _EXPRESSIONS:
        return "wrong"
    return _expressions(gold, prediction, ask)


def _expressions(gold: Answer, prediction: Answer, ask: Ask | None) -> Status | None:
    if gold.text == prediction.text:
        return "correct"
    left, right = expressions.tree(gold.text), expressions.tree(prediction.text)
    if left is None or right is None:
        return "unparseable"
    if forms.adds_functions(left, right):
        return "wrong"  # sin(pi/4) is not yet the answer where sqrt(2)/2 is
    if left[0] == "rel" or right[0] == "rel":
        return relations.same(left, right)
    primes = shapes.prime_factors(right)
    if primes is not None and left[0] in ("*", "^") and primes == shapes.prime_factors(left):
        return "correct"
    factorials = all(part[0] != "binom" for part in forms.parts(left))
    if forms.unevaluated(right, factorials) > forms.unevaluated(left):
        return "wrong"
    if factorials and forms.divides_by_variables(right) and gold.kind == "polynomial":
        return "wrong"
    exact = algebra.equal(left, right)
    if exact is not None:
        return "correct" if exact else "wrong"
    return None if ask is None else ask(gold.text, prediction.text)
