"""The rows of published evaluation sets, each read in the fields it comes with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from environments.columns import (
    ANSWER,
    MOST_DIGITS,
    after_hashes,
    answer,
    level,
    number_or_text,
    pick,
    statement,
    text,
    tidy,
)
from environments.data_files import Fields, shown
from environments.verification.parts import split

SUBJECT = ("subfield", "subject", "type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One problem of a set; `where` is its place for messages, as in `test.jsonl, line 7`.

    `answer` is the reference as it was published; `kind` and `tolerance` say how it is compared;
    `hint` is what the set says about the form of the answer; `for_people`: only they can judge it.
    """

    where: str
    statement: str
    answer: str
    solution: str | None = None
    subject: str | None = None
    level: int | None = None
    kind: str | None = None
    tolerance: str | None = None
    hint: str = ""
    unit: str = ""
    for_people: bool = False

    @property
    def judged(self) -> str:
        """The question that an answer is judged by: it names the unit that the hint asks for."""
        if not self.unit:
            return self.statement
        end = "?" if self.statement.endswith("?") else "."
        return f"{self.statement.rstrip(' .?')}, in {self.unit}{end}"

    @property
    def key(self) -> str:
        """What identical statements share, however their words are spaced."""
        return " ".join(self.statement.split())


Reader = Callable[[Fields, str], Row]


# -- one reader for each format -------------------------------------------------------------------


def plain(fields: Fields, where: str) -> Row:
    """Statement and answer under their usual names, with subject and level where they are given.

    Where there is no answer it is the one boxed answer of the solution.
    """
    found = answer(fields, where)
    if found is None and fields.get("solution") is not None:
        raise ValueError(f'{where}: there is no "answer", and "solution" states none')
    return Row(
        where=where,
        statement=statement(fields, where),
        answer=_without_math_signs(found or number_or_text(*pick(fields, ANSWER, where), where)),
        solution=_first_text(fields.get("solution")),
        subject=_subject(fields),
        level=level(fields.get("level"), where),
    )


def integer(fields: Fields, where: str) -> Row:
    """As `plain`, with a whole number as the answer, which may be written `025` as at the AIME."""
    row = plain(fields, where)
    bare = row.answer.strip("$ ")
    if not re.fullmatch(r"[0-9]{1,6}", bare):
        raise ValueError(f'{where}: "answer" must be a whole number, found {shown(row.answer)}')
    return replace(row, answer=str(int(bare)), kind="integer")


def gsm8k(fields: Fields, where: str) -> Row:
    """`question`, and `answer`: a worked solution that ends in `#### 18`."""
    worked = text(*pick(fields, ("answer",), where), where)
    return Row(
        where=where,
        statement=statement(fields, where),
        answer=after_hashes(worked, where),
        solution=worked,
    )


def olympiadbench(fields: Fields, where: str) -> Row:
    """`question`, after `context` if there is one, and `final_answer`, a list of texts.

    Several answers (`is_multiple_answer`) are a set, whatever the `answer_type`, which is that of
    each; `error` is the tolerance and `unit` that of the answer. Raises for a row with images: they
    cannot be shown to a model that reads text.
    """
    asked = olympiadbench_statement(fields, where)
    pictures = [name for name in fields if re.match("image_?[0-9]", name)]
    if any(fields[name] is not None for name in pictures) or re.search("<img_[0-9]+>", asked):
        raise ValueError(f"{where} has images; use the text-only files, OE_TO_...")
    name, value = pick(fields, ("final_answer",), where)
    values = value if isinstance(value, list) and value else [value]
    answers = [re.sub(r"(?<!\\)\$", "", number_or_text(name, one, where)) for one in values]
    joined = ", ".join(each.strip() for each in answers)
    several = len(answers) > 1 or str(fields.get("is_multiple_answer")).lower() == "true"
    answer_type = str(fields.get("answer_type")).lower()
    unit = tidy(str(fields.get("unit") or ""))
    hints = ["There is more than one answer: write all of them, separated by commas."] * several
    if unit:
        hints.append(f"Give the answer in {unit}.")
    return Row(
        where=where,
        statement=asked,
        answer=joined,
        solution=_first_text(fields.get("solution")),
        subject=_subject(fields),
        kind=_kind(joined, answer_type, several),
        tolerance=_tolerance(fields.get("error"), where),
        hint=" ".join(hints),
        unit=unit,
        for_people=answer_type == "need_human_evaluate",
    )


def olympiadbench_statement(fields: Fields, where: str) -> str:
    """The question as it is asked: after its context."""
    asked, context = statement(fields, where), fields.get("context")
    if isinstance(context, str) and context.strip():
        return f"{text('context', context, where)}\n{asked}"
    return asked


def _kind(joined: str, answer_type: str, several: bool) -> str | None:
    """The kind of answer; of several it is a set, or a multiset if one is there twice."""
    parts = split(joined, inside=False) or [joined]
    if several and len(parts) > 1:
        return "set" if len(set(parts)) == len(parts) else "multiset"
    return answer_type if answer_type in ("tuple", "interval") else None


# -- fields ---------------------------------------------------------------------------------------


def _subject(fields: Fields) -> str | None:
    found = (tidy(str(fields.get(name) or "")) for name in SUBJECT)
    return next(("".join(filter(str.isprintable, name)) for name in found if name), None)


def _without_math_signs(found: str) -> str:
    """The answer without the `$` around its formulas; one `$` alone is that of money."""
    signs = re.findall(r"(?<!\\)\$", found)
    return re.sub(r"(?<!\\)\$", "", found) if signs and len(signs) % 2 == 0 else found


def _first_text(value: Any) -> str | None:
    return next((s for s in _listed(value) if isinstance(s, str) and s.strip()), None)


def _tolerance(value: Any, where: str) -> str | None:
    """The smallest of the absolute errors that are allowed, as `0.01`; None where there is none."""
    written = [part.strip() for one in _listed(value) for part in str(one).split(",")]
    try:
        found = [Decimal(part) for part in written if part]
        smallest = min(found, default=Decimal(0))
        if not smallest.is_finite() or abs(smallest.adjusted()) > MOST_DIGITS:
            raise InvalidOperation
    except InvalidOperation as error:
        raise ValueError(f'{where}: "error" must be a number, found {shown(value)}') from error
    return format(smallest, "f") if smallest > 0 else None


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
