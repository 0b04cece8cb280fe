"""What a text must have to be a question of mathematics, and how much there is in it."""

from __future__ import annotations

import re

from environments.base import Malformed

SHORTEST, LONGEST = 20, 2000  # characters
HIGHEST_MEASURED_LEVEL = 8

_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million half third quarter twice thrice double triple dozen"
)
_NUMBER = re.compile(
    rf"[0-9]+(?:[.,][0-9]+)*|\b(?:{'|'.join(_NUMBER_WORDS.split())})\b", re.IGNORECASE
)
_ASKS = re.compile(
    r"\?|\b(?:find|compute|calculate|determine|evaluate|simplify|solve|express|factor|expand|"
    r"convert|rewrite|write|round|estimate|what|which|how many|how much)\b",
    re.IGNORECASE,
)
_TYPESET = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒¹²³⁴⁵⁶⁷⁸⁹⁰"  # of one meaning, as the verifier reads them
_MARKER = re.compile(r"\\boxed|\\fbox|####|\banswer\b[ *]*(?:is\b|:|=)|</?think>", re.IGNORECASE)


def refusal(text: str) -> Malformed | None:
    """Why a text is no question, or None if it may be one; never raises on any text.

    The reasons: `length` (20 to 2000 characters), `characters` (one that is not printable, or a
    digit of another script), `answer` (something that marks an answer, such as `\\boxed`), `words`
    (none), `numbers` (none, in digits or words) and `question` (neither a question mark nor a word
    such as "find" or "how many").
    """
    if not SHORTEST <= len(text) <= LONGEST:
        return Malformed(reason="length", detail=f"{len(text)} characters")
    bad = next((c for c in text if not (c.isprintable() or c == "\n")), None)
    digits = (c for c in text if c.isnumeric() and not c.isascii() and c not in _TYPESET)
    bad = bad or next(digits, None)
    if bad is not None:
        return Malformed(reason="characters", detail=repr(bad))
    if match := _MARKER.search(text):
        return Malformed(reason="answer", detail=f"{match.group()!r} is for answers")
    if not re.search(r"[^\W\d_]{2}", text):
        return Malformed(reason="words", detail=text[:40])
    if not _NUMBER.search(text):
        return Malformed(reason="numbers", detail=text[:40])
    if not _ASKS.search(text):
        return Malformed(reason="question", detail="nothing is asked")
    return None


def count_numbers(statement: str) -> int:
    """The numbers in a statement, in digits or words."""
    return len(_NUMBER.findall(statement))


def measured_level(statement: str) -> int:
    """The count of numbers, from 1 to 8: how much there is to keep track of."""
    return min(max(count_numbers(statement), 1), HIGHEST_MEASURED_LEVEL)
