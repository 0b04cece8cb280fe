"""What an answer says, by a strict grammar, and whether two say exactly the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from environments.verification import expressions

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

LONGEST_ANSWER = 200  # characters
MOST_DIGITS = 60  # of one number
MOST_DECIMALS = 12  # a canonical number with more is written as a fraction

# Words that change the number before them: never units.
_MULTIPLIERS = (
    "and or to pi half halves third thirds quarter quarters fourth fourths fifth fifths tenth "
    "tenths dozen dozens hundred hundreds hundredth hundredths thousand thousands thousandth "
    "thousandths million millions billion billions trillion trillions score gross pair pairs times "
    "squared cubed factorial over plus minus mod sqrt sin cos tan log exp"
)

_SIGN = r"(?P<sign>[-+]?)\s*"
_WHOLE = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|0|[1-9][0-9]*)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+)"
_CURRENCY = r"(?P<currency>[$€£])"
# `2xy` is a product: of words glued to the number, or of two letters, only these are units.
_SHORT = "cm|mm|km|kg|mg|ml|mL|ft|in|hr|oz|lb|mi|yd|kgs|lbs|hrs|min|sec|mph"
_WORD = rf"(?:[A-Za-z]{{3,}}|{_SHORT}|a|of)"
_UNIT = (
    rf"(?:(?P<glued>{_SHORT})|\s+(?P<bare>(?:[A-Za-z]{{3,}}|{_SHORT})(?:[ /]{_WORD}){{0,3}})"
    r"|\s*\\(?:text|mathrm|textrm|mbox)\{\s*(?P<set>[A-Za-z /]+?)\.?\s*\})(?:\^\{?[23]\}?)?"
)
_PERCENT = r"(?P<percent>\s*%|\s+per ?cent|\s*\\text\{\s*per ?cent\s*\})"
_RATIO = (
    rf"(?:(?P<mixed>{_WHOLE})\s*)?\\frac\{{\s*(?P<top>-?\s*{_WHOLE})\s*\}}\{{\s*(?P<bottom>{_WHOLE})\s*\}}"
    rf"|(?:(?P<mixed2>{_WHOLE})\s+)?(?P<top2>{_WHOLE})\s*/\s*(?P<bottom2>{_WHOLE})"
)
_NUMBER = re.compile(
    rf"(?:[A-Za-z]\s*=\s*)?{_SIGN}{_CURRENCY}?\s*(?P<sign2>[-+]?)"
    rf"(?:{_RATIO}|(?P<decimal>{_DECIMAL}))(?:{_PERCENT}|{_UNIT})?"
)
_WRAPPERS = re.compile(
    r"\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*"
    r"|\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}"
)
_SPELLINGS = [
    (re.compile(r"\\(?:dfrac|tfrac|cfrac)(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\frac\s*([0-9])\s*([0-9])"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])\s*"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<=[0-9])\\,(?=[0-9]{3})"), ""),
    (re.compile(r"\\[,;: ]|~"), " "),
    (re.compile(r"\\([%$])"), r"\1"),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its kind as it was written, and its canonical text.

    Equal numbers have equal texts: `18.0` is `18`, `1/2` is `0.5`, `4/6` is `2/3`. `value` is the
    exact number (of `25%`, 25), None for an expression. `unit` is what was written beside it.
    """

    kind: Kind
    text: str
    value: Fraction | None = None
    unit: str = ""


def canonical(text: str) -> Answer | None:
    """The answer that `text` states, or None where it is none that can be compared.

    A number is an integer, decimal, fraction or mixed number, possibly with thousands commas, a
    sign, a currency sign before it, a percent sign or a unit after it, and `x =` before all that.
    A unit is one to four words that are no multipliers (`hundred`); whether it may be there is for
    `units.fits` to say. A fraction need not be reduced; a mixed number's part must be below 1.
    Leading zeros, digits other than 0 to 9 and numbers of over 60 digits are refused. Anything
    else must pass the grammar of `expressions`.
    """
    if len(text) > LONGEST_ANSWER:
        return None
    text = normalised(text)
    if not text.isprintable() or not re.sub("[€£]", "", text).isascii():
        return None
    if match := _NUMBER.fullmatch(text):
        return _number(match)
    if re.search(rf"[0-9]{{{MOST_DIGITS + 1},}}", text):
        return None
    written = expressions.canonical(text)
    return None if written is None else Answer("expression", written)


def normalised(text: str) -> str:
    """The text with wrappers such as `$...$` taken off and synonyms in one spelling."""
    text = text.strip().replace("\u2212", "-").replace("π", r"\pi ")
    for _ in range(3):
        match = _WRAPPERS.fullmatch(text)
        inner = next((part for part in match.groups() if part is not None), "") if match else text
        stripped = inner.strip().removesuffix(".").strip()
        if stripped == text:
            break
        text = stripped
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    return text.strip()


def equal(gold: Answer, prediction: Answer) -> bool | None:
    """Whether two answers are the same, exactly; None where only algebra could tell.

    Numbers compare by value, whatever their kind; a percentage equals only a percentage. Where the
    gold answer is a number an unevaluated expression is not equal to it, even one of its value:
    otherwise repeating the question would win. Units are not compared.
    """
    if gold.text == prediction.text:
        return True
    if gold.value is not None:
        return False
    if prediction.kind == "percent" or expressions.shape(gold.text) != expressions.shape(
        prediction.text
    ):
        return False
    if expressions.functions(prediction.text) - expressions.functions(gold.text):
        return False  # sin(pi/4) is not yet the answer where sqrt(2)/2 is
    return None


def without_percent(answer: Answer) -> Answer:
    """The answer without its percent sign, for a question that asks for a percentage."""
    if answer.kind != "percent" or answer.value is None:
        return answer
    return Answer("decimal", _text(answer.value), answer.value)


def _number(match: re.Match[str]) -> Answer | None:
    part = match.groupdict()
    if sum(character.isdigit() for character in match.group()) > MOST_DIGITS:
        return None
    unit = " ".join((part["glued"] or part["bare"] or part["set"] or "").lower().split())
    if set(re.split("[ /]", unit)) & set(_MULTIPLIERS.split()) or (part["sign"] and part["sign2"]):
        return None
    kind: Kind
    if part["decimal"]:
        value = Fraction(part["decimal"].replace(",", ""))
        kind = "decimal" if "." in part["decimal"] else "integer"
    else:
        fraction = _fraction(part)
        if fraction is None:
            return None
        value, kind = fraction, "fraction"
    if "-" in (part["sign"], part["sign2"]):
        value = -value
    if part["percent"]:
        return Answer("percent", f"{_text(value)}%", value)
    return Answer(kind, _text(value), value, unit or part["currency"] or "")


def _fraction(part: dict[str, str | None]) -> Fraction | None:
    top = int(re.sub(r"[,\s]", "", part["top"] or part["top2"] or ""))
    bottom = int((part["bottom"] or part["bottom2"] or "").replace(",", ""))
    mixed = part["mixed"] or part["mixed2"]
    if bottom == 0 or (mixed and not 0 < top < bottom):
        return None
    return int(mixed.replace(",", "")) + Fraction(top, bottom) if mixed else Fraction(top, bottom)


def _text(value: Fraction) -> str:
    """The one text of a number: an integer, a decimal that ends, or a reduced fraction."""
    for places in range(MOST_DECIMALS + 1):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = f"{abs(scaled.numerator):0{places + 1}d}"
            whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
            return f"{'-' if value < 0 else ''}{whole}{'.' if places else ''}{decimals}"
    return str(value)
