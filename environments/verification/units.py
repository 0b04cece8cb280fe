"""Which unit may stand beside a number: one that the question itself speaks of."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.verification import money
from environments.verification.sentences import instructions, question

# Units of one kind: where a question mentions several, only the one that it asks for is meant.
_KINDS: tuple[dict[str, str], ...] = (
    {"dollar": "$ dollar usd buck", "cent": "cent", "euro": "€ euro", "pound": "£"},
    {
        "second": "second sec s",
        "minute": "minute min",
        "hour": "hour hr h",
        "day": "day",
        "week": "week",
        "month": "month",
        "year": "year yr",
    },
    {
        "millimeter": "millimeter millimetre mm",
        "centimeter": "centimeter centimetre cm",
        "meter": "meter metre m",
        "kilometer": "kilometer kilometre km",
        "inch": "inch in",
        "foot": "foot feet ft",
        "yard": "yard yd",
        "mile": "mile mi",
    },
    {
        "gram": "gram g",
        "kilogram": "kilogram kg kgs",
        "ounce": "ounce oz",
        "pound": "pound lb lbs",
    },
    {
        "milliliter": "milliliter millilitre ml mls",
        "liter": "liter litre l",
        "gallon": "gallon gal",
    },
)
_NAMES = {alias: name for kind in _KINDS for name, text in kind.items() for alias in text.split()}
_SIGNS = {"$": "dollar", "€": "euro", "£": "pound"}
_ALIASES = {"mph": "mile hour", "kph": "kilometer hour", "kmh": "kilometer hour", "sq": "square"}
_FILLERS = frozenset({"per", "of", "a", "an", "each", "the"})
_POWERS = {"square": "volume|cubic|perimeter|length", "cubic": "area|square|perimeter|length"}
_ASKS = re.compile(r"\b(?:what|which|how|find|compute|calculate|determine|as)\b")
_HOW_MANY = re.compile(r"\bhow (many|much)((?: [a-z'-]+){1,6})")
_STOP = re.compile(
    r"\b(?:are|is|was|were|am|do|does|did|will|would|can|could|should|must|might|may|has|have|had"
    r"|remain|remains|left|in|at|on|for|from|with|to|there|he|she|it|they)\b.*"
)
_IN = re.compile(r"\bin ((?:square |cubic |degrees )?[a-z]+(?: per [a-z]+|/[a-z]+)?)")


@lru_cache(maxsize=1024)
def fits(unit: str, statement: str, reference: str = "") -> bool:
    """Whether an answer to `statement` may carry `unit` (words, or a currency sign).

    A unit of the reference answer is the only one that fits. Else, where the question names one
    ("how many hours", "in square feet"), it is that one; where it does not, every word must be in
    the statement, in singular or plural, as a name or its usual abbreviation, and of two units of
    one kind, such as hours and minutes, it must be the one in the question. No unit always fits.
    """
    if not unit:
        return True
    names = _content(unit)
    if reference:
        return names == _content(reference)
    asked = question(statement).lower()
    if (wanted := _in_unit(instructions(statement).lower())) is not None:
        return names == wanted or (names == ["degree"] and wanted[0] in ("celsius", "fahrenheit"))
    counted = _HOW_MANY.search(asked)
    wanted = _content(_STOP.sub("", counted[2])) if counted else []
    is_currency = bool(set(names) & money.CURRENCIES) and unit not in (
        "pound",
        "pounds",
        "lb",
        "lbs",
    )
    if money.asked(asked):
        if len(names) == 1 and is_currency:
            mentioned = (_words(statement) & money.CURRENCIES) - _weights(statement)
            return money.fits(names[0], mentioned)
        if "how much" in asked and not is_currency:
            return False
    elif is_currency and money.excluded(asked):
        return False
    if wanted and set(names) <= set(wanted):
        return True
    if wanted and (counted is None or counted[1] == "many" or names[0] in money.CURRENCIES):
        return False
    mentioned, named = _words(statement), _words(asked)
    for name in names:
        if name in _POWERS:
            if re.search(rf"\b(?:{_POWERS[name]})\b", asked):
                return False
            continue
        if name not in mentioned and name != "unit":
            return False
        rivals = next((set(kind) for kind in _KINDS if name in kind), set())
        if len(rivals & mentioned) > 1 and rivals & named != {name}:
            return False
    return True


def _weights(statement: str) -> set[str]:
    """`pound` where it is no currency."""
    return set() if "\u00a3" in statement or "sterling" in statement else {"pound"}


def _in_unit(asked: str) -> list[str] | None:
    """The unit that a question wants its answer in, if it says so."""
    found = [_content(match) for match in _IN.findall(asked)]
    known = set(_NAMES.values()) | set(_POWERS) | {"degree", "radian", "celsius", "fahrenheit"}
    return next((names for names in reversed(found) if names and names[0] in known), None)


def _content(unit: str) -> list[str]:
    """The names that a unit consists of, in order: `mph` is a mile and an hour."""
    words = [word for part in re.split(r"[ /]+", unit) for word in _ALIASES.get(part, part).split()]
    names = [_name(word) for word in words if word not in _FILLERS]
    return names[1:] if names[:1] == ["degree"] and len(names) > 1 else names


@lru_cache(maxsize=256)
def asks_for_percent(statement: str) -> bool:
    """Whether the question is for a percentage, so that the percent sign may be left out."""
    asked = question(statement).lower()
    asking = _ASKS.search(asked)
    return asking is not None and re.search("per ?cent|%", asked[asking.end() :]) is not None


def _words(text: str) -> set[str]:
    found = {
        _name(word) for word in re.findall(r"[A-Za-z]{2,}|(?<=/)[hsml]\b", text) if word != "in"
    }
    if re.search(r"\\circ|\\degree|\u00b0|\bangle", text):
        found.add("degree")
    return found | {name for sign, name in _SIGNS.items() if sign in text}


def _name(word: str) -> str:
    word = word.lower()
    if word in _SIGNS:
        return _SIGNS[word]
    for form in (word, word.removesuffix("s"), word.removesuffix("es")):
        if form in _NAMES:
            return _NAMES[form]
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word.removesuffix("s") if not word.endswith("ss") else word
