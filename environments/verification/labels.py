r"""What an answer says it is the value of: `x = 5`, `f(3) = 10`, `\overline{AB} = 5`, `\text{Area} = 12`."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.verification.sentences import question
from environments.verification.spelling import normalised

_GREEK = r"\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|phi|omega|rho|sigma|tau)"
_VARIABLE = rf"(?:[A-Za-z]|{_GREEK})(?:_(?:\{{\w+\}}|\w))?'*"
_NAME = re.compile(rf"{_VARIABLE}|\\text\{{[A-Za-z ]+\}}")
_NAMED = re.compile(rf"[\s$]*({_VARIABLE})\s*=(?!=)")
_ADJECTIVES = (
    r"(?:(?:the|all|each|every|possible|positive|negative|non-?negative|real|integer|integral"
    r"|whole|natural|prime|smallest"
    r"|largest|least|greatest|minimum|maximum|min|max|exact|numerical|unique|only|correct"
    r"|distinct|number|sum|product|missing"
    r"|unknown|variable|constant|value|values|solution|solutions|measure|of|for|is)\s+){0,6}"
)
_AFTER = (
    r"(?=\s*(?:[.?,:;!]|$)|\s+(?:if|when|given|in|with|such|where|so|from|to|for|and|as"
    r"|satisf\w+|that"
    r"|which|rounded|using)\b)"
)
_WANTED = re.compile(
    r"\b(?:find|solve|value of|values of|what is|what's|compute|determine|calculate|evaluate"
    r"|isolate|give|state|report"
    rf"|how much is|how large is|which)\s+(?:for\s+)?{_ADJECTIVES}(?:\$({_VARIABLE})\$"
    rf"|\\\(({_VARIABLE})\\\)|({_VARIABLE})){_AFTER}"
    rf"|\$?\b({_VARIABLE})\s*=\s*\?"
    rf"|\bwhat (?:does )?\$?({_VARIABLE})\$? (?:is|equals?)\b"
    rf"|\bsolve\b[^.?!]*?\bfor \$?({_VARIABLE})\$?{_AFTER}",
    re.IGNORECASE,
)
_LABELS = (  # what a question may ask for by a word, and how its value is labelled
    ("sin", re.compile(r"\\?sin\(?\\?[A-Za-z]+\)?")),
    ("cos", re.compile(r"\\?cos\(?\\?[A-Za-z]+\)?")),
    ("tan", re.compile(r"\\?tan\(?\\?[A-Za-z]+\)?")),
    ("derivative", re.compile(r"[a-z]'(?:\([a-z]\))?|\\frac\{d[a-z]\}\{d[a-z]\}")),
    ("inverse", re.compile(r"[a-z]\^\{-1\}\([a-z]\)")),
    ("probability", re.compile(r"P(?:\([^()]*\))?")),
    ("area", re.compile(r"\[[A-Z]{3,6}\]|A_?\{?[A-Za-z]*\}?")),
)
_SEGMENT = re.compile(
    r"\|([A-Z]{2})\||\|?\\(?:overline|overrightarrow|vec|bar)\{([A-Z]{2})\}\|?|([A-Z]{2})"
    r"|(?:m)?(\\angle\s*\{?[A-Z]{1,3}\}?)|(\[[A-Z]{3,6}\])"
)
_NOUNS = (
    "area perimeter volume radius diameter length width height circumference mean median mode sum "
    "product difference quotient remainder slope intercept base hypotenuse surface speed distance "
    "time cost price profit revenue tax"
)
_QUANTITIES = frozenset(_NOUNS.split())

_EXPRESSION = re.compile(
    r"\b(?:[Ff]ind|[Ww]hat is|[Cc]ompute|[Dd]etermine|[Cc]alculate|[Ee]valuate)\s+"
    r"(?:the (?:exact |numerical )?value of )?"
    r"(?:\$([^$]+)\$|\\\((.+?)\\\))"
)
_EXCLUDES = re.compile(r"\b(?:except|but|not|all|any|other|no|unless|if|or)\b", re.IGNORECASE)
_COMPOUND = re.compile(r"(?=.*[A-Za-z])[0-9A-Za-z+*^/(){}_-]{2,}")  # `2d`, `b+1`
_ROOTS = re.compile(
    r"\b(?:roots?|zeros?|solutions?|solve|critical|intercepts?|such that|for which)\b", re.I
)
_LETTERS = {
    "radius": "r", "diameter": "d", "area": "A", "volume": "V", "circumference": "C",
    "perimeter": "P",
}  # fmt: skip
_ASKED_FOR = re.compile(
    r"\b(?:find|what is|what's|what was|compute|determine|calculate|give|state)\b[^,.?]*?\b("
    + "|".join(sorted(_QUANTITIES))
    + r")\b"
)


def other(gold: str, prediction: str, statement: str) -> bool:
    """Whether `y = 5`, `\\angle B = 5` or `\\text{perimeter} = 5` is of something else than was asked for."""
    if "=" not in prediction or prediction.count("=") > 1:
        return False
    label = prediction.partition("=")[0]
    if named := _NAMED.match(prediction):
        of_gold = _NAMED.match(gold)
        wanted = {_bare(of_gold.group(1))} if of_gold else _wanted(statement)
        if wanted:
            return _bare(named.group(1)) not in wanted
        return _of_another_quantity(named.group(1), statement) or _of_a_part(
            named.group(1), statement
        )
    bare = re.sub(r"\s", "", normalised(label))
    if "=" not in gold and _COMPOUND.fullmatch(bare) and (sought := _wanted(statement)):
        return _bare(bare) not in sought
    asked = question(statement)
    if segment := _SEGMENT.fullmatch(re.sub(r"\s", "", normalised(label))):
        mine = next(filter(None, segment.groups()))
        others = {_turned(found) for found in _segments(asked) if _alike(found, mine)}
        return bool(others) and _turned(mine) not in others
    words = set(re.findall("[a-z]+", normalised(label).lower())) & _QUANTITIES
    after = _ASKED_FOR.search(asked.lower())
    named_words = [word for word in re.findall("[a-z]+", asked.lower()) if word in _QUANTITIES]
    wanted_words = {after.group(1)} if after else set(named_words)
    return bool(words) and bool(wanted_words) and not words & wanted_words


def _of_another_quantity(letter: str, statement: str) -> bool:
    """Whether a letter is the usual one of a circle's or solid's other quantity: `d` for a radius."""
    asked = _ASKED_FOR.search(question(statement).lower())
    return (
        asked is not None
        and asked.group(1) in _LETTERS
        and letter in set(_LETTERS.values()) - {_LETTERS[asked.group(1)]}
    )


def _of_a_part(letter: str, statement: str) -> bool:
    """Whether a question asks for an expression that has the letter in it: `x = 9` for `x + y`."""
    asked = _EXPRESSION.search(question(statement))
    if asked is None or _ROOTS.search(question(statement)):
        return False
    sought = normalised(next(filter(None, asked.groups())))
    if re.search(r"[=<>]|\\(?:le|ge|ne|in)(?![a-z])", sought) or sought.startswith(
        (f"{letter}(", f"{letter}_")
    ):
        return False
    before = "" if letter[0] == "\\" else r"(?<![A-Za-z\\])"
    written = re.search(rf"{before}{re.escape(letter)}(?![A-Za-z])", sought)
    return sought != letter and written is not None


@lru_cache(maxsize=256)
def _wanted(statement: str) -> frozenset[str]:
    """The variables of which a question asks for the value."""
    found = _WANTED.findall(question(statement)) or _WANTED.findall(statement)
    return frozenset(_bare(name) for groups in found for name in groups if name)


def _bare(name: str) -> str:
    return re.sub(r"[{}\s]", "", name)


def _segments(text: str) -> list[str]:
    plain = re.sub(
        r"\\(?:overline|overrightarrow|vec|bar)\{([A-Z]{2})\}|\|([A-Z]{2})\|", r" \1\2 ", text
    )
    return [
        re.sub(r"[\s{}]", "", found)
        for found in re.findall(
            r"\\angle\s*\{?[A-Z]{1,3}|\[[A-Z]{3,6}\]|(?<![A-Za-z\\])[A-Z]{2}(?![A-Za-z])", plain
        )
    ]


def _alike(one: str, two: str) -> bool:
    return one.startswith("\\") == two.startswith("\\") and one.startswith("[") == two.startswith(
        "["
    )


def _turned(name: str) -> str:
    """`BA` as `AB`, `\\angle CBA` as `\\angle ABC`: the same segment or angle."""
    name = re.sub(r"[\s{}]", "", name)
    head, letters = ("\\angle", name[6:]) if name.startswith("\\angle") else ("", name)
    return head + min(letters, letters[::-1])


def without_geometric(gold: str) -> str:
    r"""A reference answer `|AB| = 5` or `\angle A = 50` as its value."""
    label, equals, value = gold.partition("=")
    bare = re.sub(r"\s", "", normalised(label.strip(" $")))
    if not equals or "=" in value or not value.strip() or _SEGMENT.fullmatch(bare) is None:
        return gold
    return value.strip(" $")


def unlabelled(text: str, statement: str, gold: str) -> str:
    r"""The answer without what it is the value of: `f(3) = 10`, `m+n = 41`, `\text{Area} = 12`.

    A name is one letter, possibly with an index, words, or an expression of the question or of the
    reference answer.
    """
    label, _, value = normalised(text).partition("=")
    found = re.sub(r"\s", "", label)
    segment = _SEGMENT.fullmatch(found)
    if "=" in value or not value.strip() or not found:
        return text
    if (label.startswith(r"\text{") and not _EXCLUDES.search(label)) or _NAME.fullmatch(found):
        return value.strip()
    if "=" in gold and re.sub(r"\s", "", normalised(gold.strip(" $").partition("=")[0])) == found:
        return value.strip()
    whole_question = question(statement)
    if segment and _turned(next(filter(None, segment.groups()))) in map(
        _turned, _segments(whole_question)
    ):
        return value.strip()
    asked = re.sub(r"\s*([-+*/^=(])\s*|\s+(\))", r"\1\2", normalised(whole_question))
    whole = re.search(rf"(?<![\w^+*/-]){re.escape(found)}(?![\w^+*/(-])", asked)
    if (whole and re.search("[A-Za-z]", found)) or any(
        name in asked.lower() and pattern.fullmatch(found) for name, pattern in _LABELS
    ):
        return value.strip()
    return text
