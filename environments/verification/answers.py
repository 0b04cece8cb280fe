"""Reads what an answer says, by a strict grammar: as the type that is asked for, or as what it is."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.verification import bases, grouped, numerals, wording
from environments.verification.comparison import equal
from environments.verification.kinds import (
    GROUPS,
    NUMBERS,
    Answer,
    Kind,
    choice,
    expression,
    numeral,
    scalar,
    string,
    without_percent,
)
from environments.verification.spelling import normalised

__all__ = ["Answer", "Kind", "canonical", "equal", "without_percent"]

LONGEST_ANSWER = 400  # characters


@lru_cache(maxsize=4096)
def canonical(text: str, kind: Kind | None = None) -> Answer | None:
    """The answer that `text` states, or None where it is none that can be compared.

    With `kind` it is read as that type where it can be; `(0,1)` is a tuple or an interval, `3/4` a
    fraction or a ratio. A text that is of another type is read as what it is (`18` where a set is
    asked for). Without `kind` a string is no answer. Leading zeros, digits other than 0 to 9 and
    numbers of over 60 digits are refused.
    """
    if len(text) > LONGEST_ANSWER or "~~" in text:  # struck out
        return None
    if kind == "string":
        return string(text)
    if kind == "choice" and (chosen := choice(text)):
        return chosen
    if (kind is None or kind in NUMBERS) and (number := numerals.plain(text)):
        return numeral(number)
    text = wording.plain(normalised(text))
    if not text.isprintable() or not re.sub("[€£\u00b0]", "", text).isascii():
        return None
    if kind in GROUPS:
        if grouped.is_ambiguous(text, kind):
            return None
        if group := grouped.read(text, kind):
            return group
    return _generic(text)


def _generic(text: str) -> Answer | None:
    """A normalised text as a number, else as a group of answers, else as an expression."""
    if number := scalar(text):
        return number
    if time := wording.time_of_day(text):
        return Answer("string", time)
    if based := bases.read(text):
        return Answer("expression", f"{based[0]}_{{{based[1]}}}")
    if numerals.is_malformed(text):
        return None
    return grouped.read(text) or expression(text)
