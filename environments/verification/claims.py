"""Answers that a text states in words, beside its boxes, and whether one contradicts another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from environments.verification import approximate, expressions, forms
from environments.verification.answers import canonical
from environments.verification.kinds import Answer, choice

MOST_CLAIMS = 50  # of a text that are looked at

_CLAIM = re.compile(
    r"\b(?:answer|ans|final (?:result|value|solution|total|count))\b[ *_]{0,6}"
    r"(?:(?:is|was|should be|must be|has to be|equals)\b|:|=|\.(?= )|-+>?|\u2013|\u2014|\u2192"
    r"|(?=\s*\n))[ *:_$\n]{0,12}(?=([^\n]{0,120}))",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"\b(?:not|never|no|doubt|false|wrong|incorrect|if|whether|unless|suppose|assume|would|might"
    r"|may|could|think|thought"
    r"|guess|initial(?:ly)?|first|student|says?|said|previous|old|part|claims?|one|try|expected"
    r"|format|example|like)\b|n['\u2019]t",
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"(?<=[^.])(?:[.!?](?=\s|$|\*)|[;\u2014]|\s\(|\\boxed|,\s|\s-\s|\s+(?:because|since|as|so"
    r"|but|which|when|for|and|we|after)\b)",
    re.IGNORECASE,
)
_NAMED = re.compile(  # "**33** is the answer"
    r"(?<![\\{0-9.,])(-?[0-9][0-9,.]*)[ *$]{1,6}is the (?:final |correct |right )?answer\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.!?\n;]|,\s+(?:so|hence|thus|therefore|but|yet)\b", re.IGNORECASE)
_HASHES = re.compile(r"####(?!#)[ \t]*([^\n]*)")
_NUMBER = re.compile(
    r"[-\u2212]?\s?\\?\$?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:/[0-9]+)?(?:\\?%)?"
    r"|\\d?frac\{[0-9]+\}\{[0-9]+\}"
)
_WORDS = re.compile(r"(?:\\text\s*\{)?\s*([A-Za-z][A-Za-z ]{1,30}?)\s*\}?")


def stated(text: str, start: int, end: int) -> Iterator[str]:
    """What is stated as the answer outside the box from `start` to `end`."""
    if "####" in text:
        for found in list(_HASHES.finditer(text))[:MOST_CLAIMS]:
            yield found.group(1).strip(" *$.")
    lowered = text.lower()
    if "ans" not in lowered and "final " not in lowered:
        return
    named = list(_NAMED.finditer(text))[:MOST_CLAIMS] if "answer" in lowered else []
    for found in [*named, *list(_CLAIM.finditer(text))[:MOST_CLAIMS]]:
        claim = found.group(1)
        sentence = _SENTENCE.split(text[max(0, found.start() - 120) : found.start()])[-1]
        claim = _BREAK.split(claim, maxsplit=1)[0].strip(" *_$.`{}")
        if not claim or start <= found.start() < end or _DOUBTED.search(sentence):
            continue
        yield re.sub(r"^\\[(\[]\s*|\s*\\[)\]]$", "", claim)


def number(text: str) -> str:
    """The number that a text begins with, or nothing."""
    found = _NUMBER.match(text.strip(" $*(\\{"))
    return found.group().replace("\u2212", "-") if found else ""


def contradicts(claim: str, answer: str) -> bool:
    """Whether what is claimed differs from the answer; not where one of them cannot be read.

    A decimal that rounds the answer, and a percentage of a fraction, do not contradict it.
    """
    if not claim or claim == answer:
        return False
    one, other = canonical(claim), canonical(answer)
    if one is None or other is None or one.value is None or other.value is None:
        return _differ(claim, answer, one, other)
    a, b = one.value, other.value
    if a == b or ({one.kind, other.kind} & {"percent"} and (a == 100 * b or b == 100 * a)):
        return False
    places = (
        len(claim.rstrip(" %$\\").partition(".")[2]) if re.search(r"\.[0-9]+\D*$", claim) else 0
    )
    return not (places and abs(a - b) <= Fraction(1, 2 * 10**places))


def _differ(claim: str, answer: str, one: Answer | None, other: Answer | None) -> bool:
    """Of what are no two numbers only two letters of choices, or two short words, are compared."""
    letters = choice(claim), choice(answer)
    if letters[0] and letters[1]:
        return letters[0].text != letters[1].text
    if one is not None and one.value is not None and other is not None:
        return _apart(float(one.value), claim, other)
    words = _WORDS.fullmatch(claim), _WORDS.fullmatch(answer)
    if words[0] and words[1] and answer.startswith("\\text"):
        a, b = (found.group(1).casefold() for found in words if found)
        return a not in b and b not in a
    return False


def _apart(claimed: float, claim: str, answer: Answer) -> bool:
    """Whether a number is not the rounded value of a constant that is not rational."""
    tree = expressions.tree(answer.text) if answer.kind == "expression" else None
    if tree is None or tree[0] == "rel" or any(part[0] == "v" for part in forms.parts(tree)):
        return False
    try:
        value = approximate.evaluate(tree, {})
    except (ArithmeticError, ValueError, KeyError):
        return False
    return abs(value - claimed) > 0.51 * 10.0 ** -len(claim.partition(".")[2])
