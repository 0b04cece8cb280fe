"""Numbers as they are written: integers, decimals, fractions, percentages, with or without a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MOST_DIGITS = 300  # of one number
MOST_DECIMALS = 12  # a canonical number with more is written as a fraction

# Words that change the number before them: never units.
_MULTIPLIERS = (
    "and or to pi half halves third thirds quarter quarters fourth fourths fifth fifths tenth "
    "tenths dozen dozens hundred hundreds hundredth hundredths thousand thousands thousandth "
    "thousandths million millions billion billions trillion trillions score gross pair pairs times "
    "squared cubed factorial over plus minus mod sqrt sin cos tan log exp"
)
_WHOLE = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|0|[1-9][0-9]*)"
_DECIMAL = rf"(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+)"
# `2xy` is a product: of words glued to the number, or of two letters, only these are units.
_SHORT = "cm|mm|km|kg|mg|ml|mL|ft|in|hr|oz|lb|mi|yd|kgs|lbs|hrs|min|sec|mph"
_WORD = rf"(?:[A-Za-z]{{3,}}|{_SHORT}|a|of)"
_UNIT = (
    rf"(?:(?P<glued>(?:{_SHORT})(?:/(?:h|s|hr|min))?)"
    rf"|\s+(?P<bare>(?:[A-Za-z]{{3,}}|{_SHORT})(?:/(?:h|s)(?![a-z])|[ /]{_WORD}){{0,3}})"
    r"|\s*\\(?:text|mathrm|textrm|mbox)\{\s*(?P<set>[A-Za-z](?:[A-Za-z /.]"
    r"|\^\{?[23]\}?)*?)\.?\s*\})(?:\^\{?(?P<raised>[23])\}?)?"
    r"|\s*(?P<degree>\u00b0)\s*(?:(?P<scale>[CF])|\\(?:text|mathrm)\{\s*(?P<scale2>[CF])\s*\})?"
)
_PERCENT = r"(?P<percent>\s*%|\s+per ?cent|\s*\\text\{\s*per ?cent\s*\})"
_RATIO = (
    rf"(?:(?P<mixed>{_WHOLE})\s*)?\\frac\s*\{{\s*(?P<top>-?\s*{_WHOLE})\s*\}}\s*"
    rf"\{{\s*(?P<bottom>-?\s*{_WHOLE})\s*\}}"
    rf"|(?:(?P<mixed2>{_WHOLE})\s+)?(?P<top2>{_WHOLE})\s*/\s*(?P<bottom2>{_WHOLE})"
    rf"|\(\s*(?P<top3>-\s*{_WHOLE})\s*\)\s*/\s*(?P<bottom3>{_WHOLE})"
)
_SCIENTIFIC = (
    r"(?:(?P<mantissa>[1-9][0-9]*(?:\.[0-9]+)?|0\.[0-9]+)"
    r"(?:\s*(?:\\times|\\cdot|\*|(?<= )x(?= ))\s*10\s*\^\s*"
    r"(?:\{\s*(?P<power>[-+]?[0-9]{1,3})\s*\}|(?P<power2>[-+]?[0-9]{1,3}))"
    r"|[eE](?P<power3>[-+]?[0-9]{1,3}))"
    r"|10\s*\^\s*(?:\{\s*(?P<power4>[-+]?[0-9]{1,3})\s*\}|(?P<power5>[-+]?[0-9]{1,3})))"
)
_REPEATING = rf"(?P<start>{_WHOLE}?\.[0-9]*)\\(?:overline|bar)\s*\{{\s*(?P<period>[0-9]+)\s*\}}"
_NUMBER = re.compile(
    r"(?:(?P<name>[A-Za-z]|m?\s*\\angle\s*[A-Z]{1,3})\s*=\s*)?"
    r"(?P<sign>[-+]?)\s*(?P<currency>[$€£])?\s*(?P<sign2>[-+]?)"
    rf"(?:{_RATIO}|{_SCIENTIFIC}|{_REPEATING}|(?P<decimal>{_DECIMAL}))(?:{_PERCENT}|{_UNIT}"
    rf"|\s*(?P<currency2>[$€£]))?"
)
_PLAIN = re.compile(r"(-?(?:0|[1-9][0-9]{0,40}))(?:\.([0-9]{1,12})|/([1-9][0-9]{0,12}))?")
_PLAIN_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(-?[1-9][0-9]{0,20})\}\{([1-9][0-9]{0,20})\}")

_GROUPED = re.compile(
    r"(\\?\$)?([1-9][0-9]{0,2}(?:(?:,|\{,\})[0-9]{3}){0,8}|[1-9][0-9]{0,20})(?:\.([0-9]{1,12}))?"
)


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number and how it was written: `percent` of 25% is 25; `name` of `x = 5` is `x`."""

    value: Fraction
    form: str  # integer, decimal, fraction, scientific
    percent: bool = False
    unit: str = ""
    name: str = ""


def plain(text: str) -> Number | None:
    """The number that a text is in the plainest writing: `-12`, `0.5`, `1/2`, `\\frac{1}{2}`, `$1,000`."""
    if match := _PLAIN.fullmatch(text):
        whole, decimals, bottom = match.groups()
        if decimals is not None:
            return Number(Fraction(int(whole + decimals), 10 ** len(decimals)), "decimal")
        if bottom is not None:
            return Number(Fraction(int(whole), int(bottom)), "fraction")
        return Number(Fraction(int(whole)), "integer")
    if text[-1:] == "}" and (match := _PLAIN_FRACTION.fullmatch(text)):
        sign, top, bottom = match.groups()
        return Number(Fraction(int(top) * (-1 if sign else 1), int(bottom)), "fraction")
    if match := _GROUPED.fullmatch(text):
        currency, whole, decimals = match.groups("")
        digits = whole.replace("{,}", "").replace(",", "") + decimals
        value = Fraction(int(digits), 10 ** len(decimals)) if decimals else Fraction(int(digits))
        return Number(value, "decimal" if decimals else "integer", False, currency[-1:])
    return None


def read(text: str) -> Number | None:
    """The number that a normalised text is, or None where it is none or a malformed one.

    Possibly with thousands commas, a sign, a currency sign before it, a percent sign or a unit
    after it, and `x =` before all that. A unit is one to four words that are no multipliers
    (`hundred`). A fraction need not be reduced; a mixed number's part must be below 1. Scientific
    notation is a number times a power of ten, or such a power.
    """
    if found := plain(text):
        return found
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = sum(character.isdigit() for character in text)
    if digits > (2 * MOST_DIGITS if "/" in text or "frac" in text else MOST_DIGITS):
        return None
    return _number(match.groupdict())


def is_malformed(text: str) -> bool:
    """Whether a text looks like a number but is none: `1/0`, `5 hundred`, too many digits."""
    return read(text) is None and _NUMBER.fullmatch(text) is not None


def is_multiplier(unit: str) -> bool:
    """Whether words beside a number change it: `hundred`, `times 2`."""
    return bool(set(_MULTIPLIERS.split()) & set(re.split("[ /]", unit)))


def written(value: Fraction) -> str:
    """The one text of a number: an integer, a decimal that ends, or a reduced fraction."""
    if value.denominator == 1:
        return str(value.numerator)
    twos = (value.denominator & -value.denominator).bit_length() - 1
    rest, fives = value.denominator >> twos, 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > MOST_DECIMALS:
        return str(value)
    scaled = value.numerator * 10**places // value.denominator
    digits = f"{abs(scaled):0{places + 1}d}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _number(part: dict[str, str | None]) -> Number | None:
    unit, raised = _unit(part["glued"] or part["bare"] or part["set"] or "")
    raised = part["raised"] or raised
    if part["degree"]:
        unit = {"C": "celsius", "F": "fahrenheit"}.get(
            part["scale"] or part["scale2"] or "", "degree"
        )
    if raised:
        unit = f"{'square' if raised == '2' else 'cubic'} {unit}"
    if is_multiplier(unit) or (part["sign"] and part["sign2"]):
        return None
    if part["currency"] and unit:
        named = unit.split()[0] in ("dollar", "dollars", "usd", "euro", "euros")
        if not named and unit.split()[0] not in ("per", "a", "an", "each"):
            return None
        unit = unit if named else f"{part['currency']} {unit}"
    found = _value(part)
    if found is None:
        return None
    value, form = found
    if "-" in (part["sign"], part["sign2"]):
        value = -value
    unit = unit or part["currency"] or part["currency2"] or ""
    return Number(value, form, bool(part["percent"]), unit, part["name"] or "")


def _unit(words: str) -> tuple[str, str]:
    """The words of a unit and its power: `cm^2`, `sq. ft`, `cubic in`."""
    power = None if "/" in words else re.search(r"\^\{?([23])\}?$", words)
    plain = re.sub(r"\^\{?[23]\}?", "", words).replace(".", " ").lower().split()
    words = " ".join({"sq": "square", "cu": "cubic"}.get(word, word) for word in plain)
    return words, power.group(1) if power else ""


def _value(part: dict[str, str | None]) -> tuple[Fraction, str] | None:
    if part["decimal"]:
        digits = part["decimal"].replace(",", "")
        return Fraction(digits), "decimal" if "." in digits else "integer"
    powers = [part[name] for name in ("power", "power2", "power3", "power4", "power5")]
    if written := next((power for power in powers if power), None):
        power, mantissa = int(written), part["mantissa"] or "1"
        if abs(power) + len(mantissa) > MOST_DIGITS:
            return None
        return Fraction(mantissa) * Fraction(10) ** power, "scientific"
    if part["period"]:
        start, period = (part["start"] or "").replace(",", ""), part["period"]
        places = len(start.partition(".")[2])
        tail = Fraction(int(period), (10 ** len(period) - 1) * 10**places)
        return Fraction(f"{start}0") + tail, "decimal"
    fraction = _fraction(part)
    return None if fraction is None else (fraction, "fraction")


def _fraction(part: dict[str, str | None]) -> Fraction | None:
    top = int(re.sub(r"[,\s]", "", part["top"] or part["top2"] or part["top3"] or ""))
    bottom = int(re.sub(r"[,\s]", "", part["bottom"] or part["bottom2"] or part["bottom3"] or ""))
    mixed = part["mixed"] or part["mixed2"]
    if bottom == 0 or (mixed and not 0 < top < bottom):
        return None
    return int(mixed.replace(",", "")) + Fraction(top, bottom) if mixed else Fraction(top, bottom)
