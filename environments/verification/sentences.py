"""The sentence of a statement that asks, found without stopping at `Mr.`, `vs.` or an initial."""

from __future__ import annotations

import re
from functools import lru_cache

_END = re.compile(r"(?<=[.!?])[\"')\u201d]?\s+")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'])(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Gen|Sgt|Capt|Lt|Hon|St|Mt|Ft|Jr|Sr|Ave|Blvd|Rd"
    r"|vs|approx|ca|cf|e\.g|i\.e|Fig|Eq|Sec|Ch|Vol|Nos?)\.$",
    re.IGNORECASE,
)
_INITIAL = re.compile(
    r"(?:^|[\s(\"'.])[A-Z]\.$|\b[ap]\.\s?m\.$|\b(?:Inc|Co|Ltd|Corp|etc|oz|ft|lbs?|hrs?|sq)\.$"
)
_BEGINS = re.compile(
    r"\W*(?:What|How|Find|Which|Who|When|Where|Why|Determine|Compute|Calculate|Evaluate|Express"
    r"|Give|If|The|In|Let|Write|Solve|Is|Are|Does|Do|Can|Each|She|He|They|It|A|An|On|At|After"
    r"|Then|Suppose|Simplify)\b"
)


@lru_cache(maxsize=256)
def sentences(statement: str) -> tuple[str, ...]:
    """The sentences of a statement; an abbreviation or an initial ends none."""
    found: list[str] = []
    for piece in filter(None, _END.split(statement.strip())):
        if found and _goes_on(found[-1], piece):
            found[-1] = f"{found[-1]} {piece}"
        else:
            found.append(piece)
    return tuple(found)


def _goes_on(before: str, after: str) -> bool:
    if _ABBREVIATED.search(before):
        number = re.search(r"\bNos?\.$", before, re.IGNORECASE)
        return after[:1].isdigit() if number else True
    return _INITIAL.search(before) is not None and _BEGINS.match(after) is None


@lru_cache(maxsize=256)
def question(statement: str) -> str:
    """The last sentence of a statement that asks, else its last sentence."""
    found = sentences(statement)
    asking = [part for part in found if part.rstrip(" $\"')").endswith("?")]
    return (asking or list(found) or [""])[-1]


@lru_cache(maxsize=256)
def instructions(statement: str) -> str:
    """The sentence that asks, with what is said after it: `... is left? Answer in dollars.`"""
    found = list(sentences(statement))
    asked = question(statement)
    return " ".join(found[found.index(asked) :]) if asked in found else asked
