"""Whether the clause that carries a box denies it, by the place of its negative words.

A negation that stands in a relative clause or after `of` speaks of something else: "the number of
rolls that were not sold is ...". One that governs the clause denies what the clause says.
"""

from __future__ import annotations

import re

_NEGATIVE = re.compile(
    r"\b(?:(?:is|are|was|were|am|be|do|does|did|has|have|had|can|could|will|would|shall|should"
    r"|must|may|might)\s+not"
    r"|cannot|never|nothing|nobody|no one|neither|hardly|no (?:way|chance|reason|possibility"
    r"|evidence"
    r"|proof|sense|basis|justification)"
    r"|wrong(?:ly)?|incorrect(?:ly)?|false(?:ly)?|untrue|mistaken(?:ly)?|erroneous(?:ly)?"
    r"|doubt\w*|den(?:y|ies|ied)"
    r"|reject\w*|exclud\w*|impossib\w*|refus\w*|disagree\w*|absurd\w*|careless\w*|naive\w*|tempt\w*"
    r"|suppos\w*|imagin\w*|pretend\w*|unless|whether|hypothe\w*|bogus|fake|invalid|illusion|myth"
    r"|mislead\w*"
    r"|nonsense|joke|foolish\w*|silly|unlikely|implausible)\b|^\W*not\b|n't\b",
    re.IGNORECASE,
)
_SPEAKS_OF = re.compile(
    r"\b(?:that|which|what|whatever|who|whom|whose|where|when|of|with|without|for|how many)\b"
    r"|^\W*(?:since|as"
    r"|because|when|while|although"
    r"|though|given|after|before|without|even|not counting|not including|if)\b",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"\b(?:no doubt|not only|not (?:too |very )?(?:hard|difficult)|without (?:a |any )?doubt"
    r"|nothing but|none other than|not "
    r"surprisingly|no matter)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()]*\)|\$[^$]*\$")
_AND = re.compile(
    r"\s+and\s+(?=(?:get|have|obtain|find|so|thus|hence|there|we|he|she|it|they|this|is|are|keep"
    r"|the)\b)",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|as|so|that|which|who|of|where|for|and not|but not)\b", re.IGNORECASE
)
_UNSOLD = re.compile(  # things that something was not done to
    r"[\s$*_)\]}]*[a-z]+s\s+(?:(?:were|are|have been|had been) (?:not|never)|(?:were|are)n't"
    r"|(?:did|do) not|(?:did|do)n't)\s+"
    r"(?!the\b|an?\b|right|correct|true|possible|enough|what|valid|it\b|our|my|be\b|work|fit|hold)[a-z]+"
)
_VERDICT = re.compile(
    r"^\W*(?:that|this|it|not|nope|wrong|false|incorrect|never|try "
    r"again)\b(?:[^\w.!?]+[a-z']+){0,4}\W*$",
    re.IGNORECASE,
)
_STRONG = re.compile(
    r"\bnot\b|n't\b|\b(?:wrong|false|incorrect|nope|never|mistake|error|try again)\b", re.IGNORECASE
)


def denies_before(clause: str) -> bool:
    """Whether a clause that ends at a box denies what stands in the box."""
    clause = _AND.split(_ASIDE.sub(" ", clause.replace("\u2019", "'")).rpartition(":")[2])[-1]
    if not clause.strip(" $*") or _HARMLESS.search(clause):
        return False
    found = _NEGATIVE.search(clause)
    return found is not None and _SPEAKS_OF.search(clause[: found.start() + 1]) is None


def denies_after(after: str) -> bool:
    """Whether what follows a box in its clause, or a short sentence after it, denies it."""
    after = _ASIDE.sub(" ", after.replace("\u2019", "'"))
    clause = re.split(r"[.!?\n,;]", after, maxsplit=1)[0]
    found = _NEGATIVE.search(clause)
    if found and _UNSOLD.match(clause):  # "18 rolls were not sold"
        return False
    if found and not _REASON.search(clause[: found.start()]) and not _HARMLESS.search(clause):
        return (
            re.match(r"\s*\$?(?:[0-9]|more|less|only|just|divisible)", clause[found.end() :])
            is None
        )
    sentences = re.split(r"(?<=[.!?])\s+|\n+", after.strip(" .$*)\\]}\n"))
    return any(_VERDICT.match(sentence) and _STRONG.search(sentence) for sentence in sentences[:3])
