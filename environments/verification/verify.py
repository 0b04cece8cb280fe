"""The one entry of verification: a reference answer, a completion, and a verdict."""

from __future__ import annotations

import re

from environments.base import Verdict
from environments.verification import symbolic, units
from environments.verification.answers import (
    Answer,
    Kind,
    canonical,
    equal,
    normalised,
    without_percent,
)
from environments.verification.extract import final_answer


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
    `statement` the question: a unit must be one that it speaks of, and repeating a part of it is
    no answer. `tolerance` is absolute (`0.01`) or relative (`1%`) for numbers (None: exact).
    `seconds` is the deadline of computer algebra. With a gold answer that cannot be read nothing
    is `correct`.
    """
    found = final_answer(text)
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
    answer = read(prediction, statement)
    if answer is None:
        return Verdict(status="unparseable", detail=f"cannot be read: {prediction[:40]!r}")
    if not units.fits(answer.unit, statement):
        shown = f"{answer.text} {answer.unit}"
        return Verdict(status="wrong", answer=shown, detail=f"unit {answer.unit[:40]!r}")
    reference = read(gold, statement)
    if reference is None:
        detail = f"the reference answer cannot be read: {gold[:40]!r}"
        return Verdict(status="unparseable", answer=answer.text, detail=detail)
    if equal(reference, answer) is None and _is_part(answer, statement):
        return Verdict(status="wrong", answer=answer.text, detail="part of the question")
    status = symbolic.judge(reference, answer, seconds)
    return Verdict(status=status, answer=gold if status == "correct" else answer.text)


def read(text: str, statement: str = "") -> Answer | None:
    """The answer that `text` states, without its percent sign where a percentage is asked for."""
    answer = canonical(text)
    if answer is not None and units.asks_for_percent(statement):
        return without_percent(answer)
    return answer


def _is_part(prediction: Answer, statement: str) -> bool:
    """Whether an expression only repeats what stands in the statement."""
    squeezed = re.sub(r"\s", "", normalised(statement))
    return prediction.value is None and re.sub(r"\s", "", prediction.text) in squeezed
