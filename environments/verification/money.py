"""Whether a question asks for money, so that an answer may carry the sign or the name of a currency."""

from __future__ import annotations

import re

CURRENCIES = frozenset(("dollar", "cent", "euro", "pound"))

_NOUNS = (
    r"money|change|profits?|costs?|prices?|pay|payments?|earnings?|salary|salaries|wages?"
    r"|savings?|budget|revenues?|income|fees?|tax(?:es)?|tips?"
    r"|bills?|cash|dollars?|bucks|rent|interest|discounts?|refunds?|allowance|deposits?|balance"
    r"|loans?|debts?|donations?|funds?|loss(?:es)?|bonus(?:es)?"
    r"|commissions?|expenses?|spending|charges?|fines?|dues|tuition|toll|fares?|rebates?|markup"
    r"|credit|investments?|payout|prize|sales?|value|worth|amount|usd"
)
_MONEY = re.compile(
    rf"\b(?:{_NOUNS}|pays|paid|spends?|spent|earns?|earned|saved?|saves|owe[sd]?|sells?|sold"
    rf"|buys?|bought|donated?|raised?|expensive|cheaper|afford|charged?|invest(?:ed)?)\b"
)
_NOUN = re.compile(rf"\b(?:{_NOUNS})\b")
_PHYSICAL = re.compile(
    r"\b(?:weighs?|weighed|weight|heavier|lighter|measures?|taller|longer|shorter|older|younger"
    r"|farther|further|faster|slower|hotter|colder|bigger|larger"
    r"|smaller|wider|deeper|higher|lower|time|water|milk|flour|sugar|rice|distance|rain|snow"
    r"|gasoline|fuel|paint|juice|feed|soil|sand|grain|ice|eats?|ate"
    r"|drinks?|drank|grows?|grew|grown|runs?|ran|walks?|percent|percentage)\b"
)
_OTHER = re.compile(
    r"\b(?:how (?:old|long|far|tall|heavy|fast|often|big|wide|deep|large|high|soon)|(?:what"
    r"|which) (?:percent\w*|fraction|time|day|year|age|ratio|speed|month|hour|number)|ratio of)\b"
)
_BETWEEN = re.compile(
    r"\b(?:are|is|was|were|am|do|does|did|will|would|can|could|should|must|might|may|has|have"
    r"|had|remain|remains|left|in|at|on|for|from|with|to|there"
    r"|he|she|it|they|we|you|i|and|after|before|if|when)\b.*"
)
_WORDS = (
    "more less total extra additional further altogether combined each of his her their the my "
    "your "
    "our all overall net gross these those such"
)
_FILLERS = frozenset(_WORDS.split())


def asked(question: str) -> bool:
    """Whether a question in small letters is for an amount of money."""
    much = re.search(r"\bhow much\b(.*)", question)
    if much is None:
        return _MONEY.search(question) is not None and "how many" not in question
    counted = [
        word for word in re.findall(r"[a-z'-]+", _BETWEEN.sub("", much[1])) if word not in _FILLERS
    ]
    if counted:
        return _NOUN.search(" ".join(counted)) is not None
    return _NOUN.search(much[1]) is not None or _PHYSICAL.search(much[1]) is None


def excluded(question: str) -> bool:
    """Whether a question in small letters is for something else: a percentage, an age, a count."""
    return _OTHER.search(question) is not None


def fits(unit: str, mentioned: set[str]) -> bool:
    """Whether an amount of money may be in a currency, where a statement mentions some: not in cents
    beside dollars, and not in another currency."""
    if not mentioned:
        return True
    return unit in mentioned and (unit == "dollar" or "dollar" not in mentioned)
