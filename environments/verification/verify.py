"""The one entry of verification: a reference answer, a completion, and a verdict."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.base import Verdict
from environments.verification import (
    assignments,
    bases,
    chains,
    comparison,
    demands,
    labels,
    numerals,
    options,
    ratios,
    symbolic,
    units,
)
from environments.verification.answers import canonical
from environments.verification.extract import final_answer
from environments.verification.kinds import (
    GROUPS,
    NUMBERS,
    Answer,
    Kind,
    without_percent,
)
from environments.verification.sentences import question
from environments.verification.spelling import normalised

LONGEST_STATEMENT = 8000  # characters that are looked at

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,9999}")
_WORDS = re.compile(r"\\(?:text\w*|mathrm|mbox|hbox)\s*\{\s*[A-Za-z][A-Za-z0-9 ,.'-]+\}")
_WORDS_ALONE = (
    "yes no true false even odd neither both sunday monday tuesday wednesday thursday friday "
    "saturday january "
    "february march april may june july august september october november december"
)
_ANSWERS = frozenset(_WORDS_ALONE.split())
_POINTS = re.compile(
    r"\b(?:pairs?|points?|coordinates?|ordered|system|vectors?|cent(?:er|re)|vert(?:ex|ices)"
    r"|intersect)",
    re.I,
)
_PADDED = re.compile(r"(?<![0-9.])0[0-9]+")
_LETTER = re.compile(r"\(?[A-J]\)?")


def verify(
    gold: str,
    text: str,
    kind: Kind | None = None,
    statement: str = "",
    tolerance: str | None = None,
    seconds: float = 5.0,
) -> Verdict:
    """The verdict on the one final answer of the completion `text`; never raises on any input.

    `gold` is the reference answer, `kind` the type of answer asked for (None: that of `gold`),
    `statement` the question: a unit must be one that it speaks of, the form the one that it asks
    for, and repeating a part of it is no answer. `tolerance` is absolute (`0.01`) or relative
    (`1%`) for numbers (None: exact). `seconds` is the deadline of the judge. With a gold answer
    that cannot be read nothing is `correct`.
    """
    try:
        found = final_answer(text, statement)
    except Exception as error:  # a verdict on any text, whatever is wrong here
        return _crash(error)
    if found is None:
        return Verdict(status="unparseable", detail="no single final answer")
    return compare(gold, found, kind, statement, tolerance, seconds)


def compare(
    gold: str,
    prediction: str,
    kind: Kind | None = None,
    statement: str = "",
    tolerance: str | None = None,
    seconds: float = 5.0,
) -> Verdict:
    """The verdict on an answer that has been extracted already; otherwise as `verify`."""
    if (kind is None or kind in NUMBERS) and _INTEGER.fullmatch(gold):
        if gold == prediction:
            return Verdict(status="correct", answer=gold)
        if tolerance is None and _INTEGER.fullmatch(prediction):
            return Verdict(status="wrong", answer=prediction)
    if kind is None and tolerance is None and (quick := _plainly(gold, prediction, statement)):
        return quick
    try:
        return _compare(gold, prediction, kind, statement[:LONGEST_STATEMENT], tolerance, seconds)
    except Exception as error:
        return _crash(error)


def _plainly(gold: str, prediction: str, statement: str) -> Verdict | None:
    """The verdict on two numbers in plain writing, where nothing but their values matters."""
    if len(prediction) > 40 or len(gold) > 40 or "fraction" in statement:
        return None
    left, right = numerals.plain(gold), numerals.plain(prediction)
    if left is None or right is None:
        return None
    if right.unit and not _may_have(right.unit, statement, left.unit):
        return None
    whole = left.value.denominator == 1
    if right.form == "fraction" and (whole or not _leaves_form_open(statement)):
        return None
    if left.value == right.value:
        return Verdict(status="correct", answer=gold)
    return Verdict(status="wrong", answer=numerals.written(right.value))


@lru_cache(maxsize=256)
def _may_have(unit: str, statement: str, given: str) -> bool:
    return units.fits(unit, statement[:LONGEST_STATEMENT], given)


@lru_cache(maxsize=256)
def _leaves_form_open(statement: str) -> bool:
    """Whether a statement has no number that a fraction could repeat, and asks for no form."""
    return re.search(r"[0-9]|decimal|lowest|simpl|reduc", statement, re.IGNORECASE) is None


def _crash(error: Exception) -> Verdict:
    return Verdict(status="crash", detail=f"{type(error).__name__} in verification")


def _compare(
    gold: str,
    prediction: str,
    kind: Kind | None,
    statement: str,
    tolerance: str | None,
    seconds: float,
) -> Verdict:
    if kind == "choice" and re.fullmatch("[a-j]", prediction.strip()):
        prediction = prediction.upper()
    gold, prediction = bases.aligned(gold, prediction, statement)
    if kind is None and _is_words(gold):
        kind = "string"
    labelled, gold = gold, labels.without_geometric(gold)
    reference = _reference(gold, statement, kind)
    if reference is None:
        detail = f"the reference answer cannot be read: {gold[:40]!r}"
        return Verdict(status="unparseable", detail=detail)
    asked, kind = kind, kind or _kind(reference, gold, statement)
    prediction = chains.last(prediction, statement, reference.text)
    if labels.other(gold, prediction, statement):
        return Verdict(status="wrong", answer=prediction[:200], detail="of another variable")
    if "=" in prediction and "=" not in gold:
        prediction = labels.unlabelled(prediction, statement, labelled)
    prediction = options.resolved(prediction, kind == "choice", statement)
    answer = read(prediction, statement, asked)
    if asked is None and _reads_as(kind, reference, answer):
        answer = read(prediction, statement, kind)
        reference = read(gold, statement, kind) or reference
    if answer is None and reference.value is not None and asked is None and _asks_ratio(statement):
        answer = read(prediction, statement, "ratio")
    if (
        answer is not None
        and answer.kind == "choice"
        and not options.is_listed(prediction, statement)
    ):
        answer = None
    if answer is None:
        return Verdict(status="unparseable", detail=f"cannot be read: {prediction[:40]!r}")
    reference, answer = _alike(reference, answer, gold, statement)
    if answer.unit and not units.fits(answer.unit, statement, reference.unit):
        shown = f"{answer.text} {answer.unit}"
        return Verdict(status="wrong", answer=shown, detail=f"unit {answer.unit[:40]!r}")
    if kind == "percent":
        reference, answer = without_percent(reference), without_percent(answer)
    exact = comparison.equal(reference, answer, tolerance)
    refused = None
    if exact is not False:
        refused = demands.refusal(reference, answer, prediction, statement, gold)
    if exact is False or refused is not None:
        return Verdict(status="wrong", answer=answer.text, detail=refused or "")
    status = "correct" if exact else symbolic.judge(reference, answer, seconds)
    return Verdict(status=status, answer=gold if status == "correct" else answer.text)


def read(text: str, statement: str = "", kind: Kind | None = None) -> Answer | None:
    """The answer that `text` states to a question, or None.

    The question decides three things: a percent sign does not count where a percentage is asked
    for, leading zeros do not where the question writes such numbers (`000 to 999`), and `(x, y)`
    says in which order `x=3, y=-2` is a tuple.
    """
    if statement and _PADDED.search(statement) and re.fullmatch("0[0-9]{1,9}", text.strip(" $")):
        text = text.strip(" $").lstrip("0") or "0"
    if kind == "tuple" and "=" in text:
        text = assignments.in_order(normalised(text), statement, alone=not statement) or text
    answer = canonical(text, kind)
    if answer is not None and answer.kind == "percent" and units.asks_for_percent(statement):
        return without_percent(answer)
    return answer


def _alike(reference: Answer, answer: Answer, gold: str, statement: str) -> tuple[Answer, Answer]:
    """A reference answer and an answer of another type that says the same: `3:4` for a fraction
    where the question is for a ratio, `(7,2)` for `p=7, q=2`."""
    if answer.kind == "ratio" and reference.value is not None:
        return reference, (ratios.as_fraction(answer) if _asks_ratio(statement) else None) or answer
    if answer.kind == "interval" and reference.kind == "tuple" and len(reference.parts) == 2:
        read_as = None if _POINTS.search(statement) else canonical(gold, "interval")
        same_type = read_as is not None and read_as.kind == "interval"
        return (read_as if read_as is not None and same_type else reference), answer
    if answer.kind == "tuple" and reference.kind == "multiset" and "=" in gold:
        ordered = assignments.in_order(normalised(gold), statement, alone=True)
        return (canonical(ordered) if ordered else None) or reference, answer
    if answer.kind == "string" and reference.text == answer.text.partition(" ")[0]:
        if reference.kind != "ratio" or "time" not in statement.lower():
            return reference, answer
        return Answer("string", answer.text), answer
    return reference, answer


def _asks_ratio(statement: str) -> bool:
    return re.search(r"\bratios?\b", question(statement), re.IGNORECASE) is not None


def _is_words(gold: str) -> bool:
    """Whether a reference answer is words in a text of LaTeX, and no phrase of mathematics, or one
    of the few words that are answers by themselves."""
    if gold.strip(" .$").casefold() in _ANSWERS:
        return True
    if _WORDS.fullmatch(gold.strip()) is None:
        return False
    found = canonical(gold)
    return found is None or found.kind in ("expression", "polynomial")


def _reference(gold: str, statement: str, kind: Kind | None) -> Answer | None:
    """The reference answer, None where it cannot be read or is not of the type asked for."""
    answer = read(gold, statement, kind)
    if answer is None or kind is None:
        return answer
    if kind in NUMBERS:
        whole = answer.value is not None and answer.value.denominator == 1
        return answer if whole or (answer.value is not None and kind != "integer") else None
    if kind in GROUPS or kind in ("choice", "string"):
        return answer if answer.kind == kind else None
    return answer if answer.kind in {"polynomial", "expression"} | NUMBERS else None


def _kind(reference: Answer, gold: str, statement: str) -> Kind | None:
    """The type that a reference answer asks for where its own brackets could mean another."""
    if _LETTER.fullmatch(reference.text):
        return "choice"
    if reference.kind == "tuple" and len(reference.parts) == 2 and "interval" in statement:
        return "interval"
    if reference.kind == "expression" and canonical(gold, "interval") is not None:
        read_as = canonical(gold, "interval")
        return "interval" if read_as is not None and read_as.kind == "interval" else None
    return reference.kind if reference.kind in GROUPS and reference.parts else None


def _reads_as(kind: Kind | None, reference: Answer, answer: Answer | None) -> bool:
    """Whether an answer that was read as what it is may be read as an inferred type instead.

    Not where it would be less strict: one number is no set, and two inequalities are compared with
    their variables.
    """
    alone = answer is not None and answer.kind not in GROUPS
    strict = kind == "set" or (kind == "interval" and reference.kind == "expression")
    return kind is not None and not (strict and alone)
