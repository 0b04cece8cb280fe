"""The types of answer, and those of one part: numbers, expressions, choices, strings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from environments.verification import algebra, expressions, numerals, wording
from environments.verification.spelling import normalised
from environments.verification.trees import Tree

Kind = Literal[
    "integer",
    "fraction",
    "decimal",
    "percent",
    "ratio",
    "tuple",
    "interval",
    "set",
    "multiset",
    "polynomial",
    "expression",
    "choice",
    "matrix",
    "string",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
NUMBERS = frozenset({"integer", "fraction", "decimal", "percent"})
GROUPS = frozenset({"ratio", "tuple", "interval", "set", "multiset", "matrix"})

LONGEST_EXPRESSION = 200  # characters

_CHOICE = re.compile(
    r"(?i:(?:option|choice|answer)\s+)?(?:\(\s*([A-Ja-j])\s*\)|([A-J])(?:[.):](?=\s|$)"
    r"|$))\s*[.:]?\s*(.*)",
    re.DOTALL,
)
_WITH_UNIT = re.compile(
    r"(.+?)(?:\s*\\(?:text|mathrm)\{\s*([A-Za-z ]+?)\s*\}|\s+([a-z]{2,}(?: [a-z]{3,}){0,2}))"
    r"(?:\^\{?([23])\}?)?"
)
_FUNCTION_OF = re.compile(r"[A-Za-z]\s*\(\s*([A-Za-z])\s*\)\s*=\s*")
_LABEL = re.compile(r"\([A-J]\)|\b[A-J][.):](?=\s|$)|\b(?:and|or)\s+[A-J]\b|^[,&/]?\s*[A-J]\b\s*$")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its kind as it was written, and its canonical text.

    Equal numbers have equal texts: `18.0` is `18`, `1/2` is `0.5`, `4/6` is `2/3`. `value` is the
    exact number (of `25%`, 25), None for what is no number. `unit` is what was written beside it.
    `parts` are the elements of a tuple, set, list or ratio, the rows of a matrix, the ends of an
    interval or the pieces of a union; `brackets` are those of a tuple or of one interval.
    """

    kind: Kind
    text: str
    value: Fraction | None = None
    unit: str = ""
    parts: tuple[Answer, ...] = ()
    brackets: str = ""


def scalar(text: str) -> Answer | None:
    """A normalised text as a number, or None."""
    number = numerals.read(text)
    return None if number is None else numeral(number)


def numeral(number: numerals.Number) -> Answer:
    """A number as an answer."""
    written = numerals.written(number.value)
    if number.percent:
        return Answer("percent", f"{written}%", number.value)
    kind: Kind = "decimal"
    if number.form in ("integer", "fraction"):
        kind = "integer" if number.form == "integer" else "fraction"
    return Answer(kind, written, number.value, number.unit)


def expression(text: str) -> Answer | None:
    """A normalised text as a polynomial, expression, equation or inequality, or None."""
    if len(text) > LONGEST_EXPRESSION or re.search(rf"[0-9]{{{numerals.MOST_DIGITS + 1},}}", text):
        return None
    if (function := _FUNCTION_OF.match(text)) and "=" not in text[function.end() :]:
        text = text[function.end() :]
        letters = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", text)) - {"e", "i"}
        if letters and function.group(1) not in text:
            return None
    unit = ""
    written = expressions.canonical(text)
    if (
        written is None
        and (match := _WITH_UNIT.fullmatch(text))
        and re.search(r"[0-9\\]", match[1])
    ):
        unit = " ".join((match.group(2) or match.group(3)).lower().split())
        power = {"2": "square ", "3": "cubic "}.get(match.group(4) or "", "")
        unit, written = power + unit, expressions.canonical(match.group(1))
        if numerals.is_multiplier(unit):
            return None
    if written is None:
        return None
    tree = expressions.tree(written)
    if tree is None:
        return None
    if not unit and (literal := _literal(tree)):
        return literal
    is_polynomial = tree[0] not in ("rel", "v") and algebra.is_polynomial(tree)
    return Answer("polynomial" if is_polynomial else "expression", written, unit=unit)


def _literal(tree: Tree) -> Answer | None:
    """The number that brackets around a number or a fraction's terms leave: `(1)/(2)`, `-(3)`."""
    sign, inner = (-1, tree[1]) if tree[0] == "neg" else (1, tree)
    kind: Kind = "integer"
    if inner[0] == "n":
        value, kind = Fraction(inner[1], inner[2]), "integer" if inner[2] == 1 else "decimal"
    elif inner[0] == "/" and inner[1][0] == inner[2][0] == "n" and inner[2][1]:
        if inner[1][2] != 1 or inner[2][2] != 1:
            return None
        value, kind = Fraction(inner[1][1], inner[2][1]), "fraction"
    else:
        return None
    return Answer(kind, numerals.written(sign * value), sign * value)


def choice(text: str) -> Answer | None:
    """The one letter A to J that a text chooses, possibly followed by the option's own text."""
    match = _chosen(text)
    return None if match is None else Answer("choice", (match.group(1) or match.group(2)).upper())


def words_of_choice(text: str) -> str:
    """What stands after the letter that a text chooses."""
    match = _chosen(text)
    return "" if match is None else match.group(3).strip()


def _chosen(text: str) -> re.Match[str] | None:
    text = normalised(text)
    text = re.sub(r"^\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", r"\1", text).strip("* ")
    match = _CHOICE.fullmatch(text)
    if match is None or not text.isprintable() or _LABEL.search(match.group(3)):
        return None
    return match


def without_percent(answer: Answer) -> Answer:
    """The answer without its percent sign, for a question that asks for a percentage."""
    if answer.kind != "percent" or answer.value is None:
        return answer
    return Answer("decimal", numerals.written(answer.value), answer.value)


def string(text: str) -> Answer | None:
    """Words, compared without regard to case and spaces; wrappers and a last period do not count."""
    text = " ".join(text.split())
    for _ in range(3):
        text = re.sub(r"^\\(?:text\w*|mathrm|mathbf|mbox|hbox)\s*\{([^{}]*)\}$", r"\1", text)
        text = re.sub(r"^(\*\*|\$|[\"'`])(.+)\1$", r"\2", text)
        text = " ".join(text.removesuffix(".").split())
    text = wording.same_words(text.casefold())
    return Answer("string", text) if text and text.isprintable() else None
