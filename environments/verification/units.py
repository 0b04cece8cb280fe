"""Which unit may stand beside a number: one that the question itself speaks of."""

from __future__ import annotations

import re

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
_FILLERS = frozenset({"per", "of", "a", "square", "cubic", "sq", "an", "each", "the"})
_ASKS = re.compile(r"\b(?:what|which|how|find|compute|calculate|determine|as)\b")


def fits(unit: str, statement: str, reference: str = "") -> bool:
    """Whether an answer to `statement` may carry `unit` (words, or a currency sign).

    A unit of the reference answer is the only one that fits.
    Every word of it must be in the statement, in singular or plural, as a name or its usual
    abbreviation. Where the statement mentions two units of one kind, such as hours and minutes,
    the unit must be the only one of them in the question itself. No unit always fits.
    """
    if not unit:
        return True
    if reference:
        return [_name(word) for word in re.split("[ /]", unit) if word not in _FILLERS] == [
            _name(word) for word in re.split("[ /]", reference) if word not in _FILLERS
        ]
    mentioned, asked = _words(statement), _words(question(statement))
    for word in re.split(r"[ /]", unit):
        name = _name(word)
        if word in _FILLERS:
            continue
        if name not in mentioned:
            return False
        rivals = next((set(kind) for kind in _KINDS if name in kind), set())
        if len(rivals & mentioned) > 1 and rivals & asked != {name}:
            return False
    return True


def asks_for_percent(statement: str) -> bool:
    """Whether the question is for a percentage, so that the percent sign may be left out."""
    asked = question(statement).lower()
    asking = _ASKS.search(asked)
    return asking is not None and re.search("per ?cent|%", asked[asking.end() :]) is not None


def question(statement: str) -> str:
    """The last sentence of a statement that asks, else its last sentence."""
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", statement.strip()) if part]
    asking = [part for part in sentences if part.endswith("?")]
    return (asking or sentences or [""])[-1]


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
