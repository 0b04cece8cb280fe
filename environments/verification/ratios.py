"""Ratios: `6:8` is `3:4`, and so is the fraction where a ratio is asked for."""

from __future__ import annotations

import re
from fractions import Fraction
from math import gcd, lcm

from environments.verification.kinds import Answer, scalar

_BETWEEN = re.compile(r"\s*(?::|\\colon(?![a-z])|\s*\\text\{\s*to\s*\}|\sto\s)\s*")


def read(text: str, asked: bool = False) -> Answer | None:
    """A ratio of two to six numbers; `asked`: also as `3 to 4` or as a fraction."""
    if named := re.match(r"([A-Za-z](?:\s*:\s*[A-Za-z])+)\s*=\s*", text):
        names = re.findall("[A-Za-z]", named.group(1))
        if names != sorted(set(names)):
            return None
        text = text[named.end() :]
    texts = _BETWEEN.split(text) if asked else re.split(r"\s*:\s*", text)
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
    whole = lcm(*(value.denominator for value in values))
    common = gcd(*(int(value * whole) for value in values))
    parts = [scalar(str(Fraction(value * whole, common))) for value in values]
    kept = tuple(answer for answer in parts if answer is not None)
    return Answer("ratio", ":".join(answer.text for answer in kept), parts=kept)


def as_fraction(ratio: Answer) -> Answer | None:
    """A ratio of two numbers as the fraction that it is, None of others."""
    values = [part.value for part in ratio.parts]
    if len(values) != 2 or values[0] is None or not values[1]:
        return None
    return scalar(str(values[0] / values[1]))
