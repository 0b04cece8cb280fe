r"""Phrases that mean mathematics: `\text{all real numbers}`, `no solution`, `for all x`, times of day."""

from __future__ import annotations

import re

_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_PHRASE = re.compile(r"[A-Za-z]{3}")
_REALS = re.compile(
    r"(?:(?:for )?x\s*(?:is|can be|may be|\\in)?\s*(?:=\s*)?)?(?:the set of )?(?:all|any|every) "
    r"reals?(?: numbers?| values?)?(?: (?:of )?x)?"
    r"(?: (?:except|but|other than|besides|excluding)(?: for)?:? (?:x\s*=\s*)?(.+))?",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"(?:there (?:is|are) )?(?:no (?:real |integer |such |possible )?(?:solutions?|roots?"
    r"|values?|x)(?: exists?)?|none)|(?:the )?empty set",
    re.IGNORECASE,
)
_SAME = {
    "dne": "does not exist",
    "doesn't exist": "does not exist",
    "not defined": "undefined",
    "infinitely many solutions": "infinitely many",
    "infinite": "infinitely many",
    "infinite solutions": "infinitely many",
    "an ellipse": "ellipse", "a parabola": "parabola", "a hyperbola": "hyperbola",
    "a circle": "circle", "a line": "line",
}  # fmt: skip
_QUANTIFIED = re.compile(
    r"[\s,(]*(?:\bfor (?:all|every|each|any)\b|\\forall(?![a-z]))(?!.*(?:except|but))[^=<>"
    r"|]{0,60}$",
    re.IGNORECASE,
)
_CONSTANT = re.compile(
    r"[\s,(]*(?:\bfor (?:some|any|an arbitrary|a|every) (?:arbitrary |real |fixed "
    r")*(?:constants?|numbers?) [a-zA-Z]|(?:\bwhere |\bwith )?[a-zA-Z] (?:is|being) (?:an?|any"
    r"|some) (?:arbitrary |real |fixed )*(?:constant|number))\)?$"
)
_DOMAIN = re.compile(r"\s*[,(]\s*(?:where )?([a-z])\s*\\in\s*\\mathbb\s*\{?R\}?\s*\)?$")
_EVERYWHERE = re.compile(
    r"\s*,?\s*\bfor (?:all|every|each|any) (?:real |positive |natural |non-?negative |complex "
    r")*(?:numbers? |integers? |values? of )?"
    r"[a-z](?![a-z])(?=\s*(?:$|,|;|or\b|and\b))"
)
_INTEGER = re.compile(
    r"[\s,(]*(?:\bfor |\bwhere |\bwith )?\s*(?:(?:any|all|some|an) )?(?:integers? ([klmn])"
    r"|([klmn]) (?:is|are) (?:an |any )?integers?|([klmn])\s*\\in\s*(?:\\mathbb\s*\{?Z\}?|Z))\)?$"
)
_TIME = re.compile(
    r"(?:at )?([01]?[0-9]|2[0-4])(?:\s*:\s*([0-5][0-9]))?\s*([ap])\.?\s*m\.?|(12(?::00)? )?(noon"
    r"|midnight)",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    r"""A normalised text with its phrases as mathematics: `\mathbb{R}`, `\emptyset`, no `for all x`.

    An integer that only counts solutions (`k \in \mathbb{Z}`) is called `n`.
    """
    if (
        "text" not in text and "for" not in text and "\\" not in text and "x" not in text
    ) and not _PHRASE.search(text):
        return text
    flat = " ".join(_TEXT.sub(r" \1 ", text).split())
    if _NOTHING.fullmatch(flat):
        return r"\emptyset"
    if reals := _REALS.fullmatch(flat):
        points = reals.group(1)
        return rf"\mathbb{{R}}\setminus\{{{points}\}}" if points else r"\mathbb{R}"
    if "=" in flat and (shorter := _EVERYWHERE.sub("", flat)) != flat:
        return plain(shorter)
    if counted := _INTEGER.search(flat):
        before, name = flat[: counted.start()].strip(), next(filter(None, counted.groups()))
        if before:
            return re.sub(rf"(?<![A-Za-z\\]){name}(?![A-Za-z])|(?<=[0-9]){name}(?=\\)", "n", before)
    if (constant := _CONSTANT.search(flat)) and constant.start():
        return flat[: constant.start()].strip()
    if domain := _DOMAIN.search(flat):
        return flat[: domain.start()]
    if (quantified := _QUANTIFIED.search(flat)) and quantified.start():
        return flat[: quantified.start()].strip()
    return text


def same_words(words: str) -> str:
    """One spelling of words that mean the same answer."""
    return _SAME.get(words, words)


def time_of_day(text: str) -> str | None:
    """A time with its half of the day as `1:03 pm`, None where a text is none."""
    found = _TIME.fullmatch(" ".join(_TEXT.sub(r" \1 ", text).replace("\\", " ").split()))
    if found is None:
        return None
    if found.group(5):
        return "12:00 pm" if found.group(5).lower() == "noon" else "12:00 am"
    hour = int(found.group(1))
    return f"{hour}:{found.group(2) or '00'} {found.group(3).lower()}m" if 1 <= hour <= 12 else None
