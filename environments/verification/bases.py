r"""Numbers in other bases: `101_2`, `101_{\text{two}}`, `(2F)_{16}`, and the base that a question names."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.verification.spelling import normalised

_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen"
)
_WORDS = {name: number for number, name in enumerate(_NAMES.split()) if number > 1}
_WORDS |= {"binary": 2, "ternary": 3, "octal": 8, "decimal": 10, "hexadecimal": 16, "twenty": 20}
_BASE = rf"(?:[0-9]{{1,2}}|{'|'.join(_WORDS)})"
_TEXT = r"(?:\\text\s*\{\s*)?"
_DIGITS = rf"{_TEXT}\(?{_TEXT}([0-9A-Z][0-9A-Z ]{{0,80}}?(?:\.[0-9A-Z]{{1,80}})?)\s*\}}?\)?\}}?"
_SUBSCRIBED = re.compile(
    rf"{_DIGITS}\s*_\s*\{{?\s*\(?(?:\\text\s*\{{\s*)?(?:base\s*)?({_BASE})\s*\}}?\s*\)?\s*\}}?"
)
_SPOKEN = re.compile(
    rf"{_DIGITS}\s*(?:\\text\s*\{{)?\s*\(?\s*(?:in )?base[ -]?\}}?\s*({_BASE})\s*\)?\s*\}}?"
)
_ASKED = re.compile(
    rf"\b(?:in|to|into|as an?|using) (?:its )?(?:the )?(?:base|radix)[- "
    rf"]*\$?\\?(?:text\{{)?({_BASE})\b"
    rf"|\bbase[- ]*\$?({_BASE})\$?[- ](?:representation|expansion|notation|number|numeral|form"
    rf"|integer|expression|digit)"
    rf"|\b(?:in|to|into) (binary|ternary|octal|hexadecimal)\b|\bas an? (binary|ternary|octal"
    rf"|hexadecimal)\b|\b(binary|octal|hexadecimal) (?:representation|expansion|form|notation)",
    re.IGNORECASE,
)


def read(text: str) -> tuple[str, int] | None:
    """The digits and the base of a normalised text, or None where no base is written."""
    if "_" not in text and "base" not in text:
        return None
    found = _SUBSCRIBED.fullmatch(text) or _SPOKEN.fullmatch(text)
    if found is None:
        return None
    digits, base = found.group(1).replace(" ", ""), _number(found.group(2))
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits.replace(".", "")):
        return None
    if "." in digits:
        whole, _, places = digits.rstrip("0").rstrip(".").partition(".")
        point = f".{places}" if places else ""
        return (whole.lstrip("0") or "0") + point, base
    return digits.lstrip("0") or "0", base


@lru_cache(maxsize=256)
def asked(statement: str) -> int | None:
    """The base in which a question wants its answer, if it names one."""
    found = list(_ASKED.finditer(statement))
    return _number(next(filter(None, found[-1].groups()))) if found else None


def aligned(gold: str, prediction: str, statement: str) -> tuple[str, str]:
    """Two answers of which one has the base that the question asks for and the other none: both without."""
    if "_" not in gold + prediction and "base" not in gold + prediction:
        return gold, prediction
    found = read(normalised(gold)), read(normalised(prediction))
    base = asked(statement)
    if found[0] and found[1] is None and base == found[0][1] and _is_bare(prediction, base):
        return found[0][0], normalised(prediction)
    if found[1] and found[0] is None and base == found[1][1] and _is_bare(gold, base):
        return normalised(gold), found[1][0]
    return gold, prediction


def _is_bare(text: str, base: int) -> bool:
    digits = normalised(text)
    return re.fullmatch("[0-9A-Z]{1,80}", digits) is not None and all(
        int(digit, 36) < base for digit in digits
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else _WORDS[text.lower()]
