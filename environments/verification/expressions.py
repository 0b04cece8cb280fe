r"""Expressions that may be compared by algebra: a grammar, size limits, a canonical text.

What is not listed here is refused: no names of functions in plain letters but the usual ones, no
`\int`, `\sum` or `\gcd` (they are questions, not answers), no attributes, quotes or calls.
"""

from __future__ import annotations

import re
from functools import lru_cache
from string import ascii_letters

from environments.verification import trees

DEEPEST = 8  # brackets within brackets
LONGEST_NUMBER = 30  # digits
LONGEST_EXPONENT = 6  # digits
MOST_LETTERS = 3  # side by side: a product of variables

_OTHERS = r"\lfloor \rfloor \lceil \rceil \log \binom \frac \sqrt \pi \cdot \times \div"
FUNCTIONS = trees.FUNCTIONS | {r"\log"}
COMMANDS = FUNCTIONS | trees.MANY | trees.GREEK | set(trees.RELATIONS) | frozenset(_OTHERS.split())
_PLAIN_NAMES = "|".join(sorted((name[1:] for name in FUNCTIONS), key=len, reverse=True))
_PLAIN_FUNCTION = re.compile(rf"(?<![\\A-Za-z])({_PLAIN_NAMES})(?![A-Za-z])")
_TOKEN = re.compile(
    r"\s+|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|\\[A-Za-z]+|[A-Za-z]+|[-+*/^=<>()\[\]{}|_!,'\u00b0]"
)
_SUBSCRIPT = re.compile(
    r"_\s*\{\s*(?:\\text\s*\{\s*([A-Za-z0-9][A-Za-z0-9 ,+-]{0,15})\}|([A-Za-z0-9][A-Za-z0-9 "
    r",+-]{0,15}))\s*\}"
)
_OPENING, _CLOSING = {"(", "[", "{"}, {")", "]", "}"}


def canonical(text: str) -> str | None:
    """The expression without needless spaces, or None where it breaks the grammar or a limit."""
    if "," in text and not any(name in text for name in ("max", "min", "gcd", "lcm", "_")):
        return None
    if "_" in text:
        text = _SUBSCRIPT.sub(
            lambda m: "_{" + (m.group(1) or m.group(2)).replace(" ", "") + "}", text
        )
        text = re.sub(r"_\s*\{?\s*\\(max|min)(?![a-z])\s*\}?", r"_{\1}", text)
        text = re.sub(r"_\s*\\text\s*\{([A-Za-z0-9]+)\}", r"_{\1}", text)
    text = re.sub(r"(?<![\\A-Za-z])(gcd|lcm|max|min)(?=\s*\()", r"\\\1 ", text)
    text = re.sub(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi ", text)
    text = _PLAIN_FUNCTION.sub(r"\\\1 ", text).replace("**", "^")
    tokens: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            return None
        end = match.end()
        if token := match.group().strip():
            tokens.append(token)
    if end != len(text) or not _well_formed(tokens):
        return None
    written = ""
    for before, token in zip(["", *tokens], tokens, strict=False):
        letters = before[-1:].isalpha() and token[0].isalpha()
        side_by_side = len(written) - len(written.rstrip(ascii_letters)) + len(token)
        gap = letters and (before[0] == "\\" or side_by_side > MOST_LETTERS)
        written += f" {token}" if gap or (_digits(before) and _digits(token)) else token
    return written


@lru_cache(maxsize=2048)
def tree(text: str) -> trees.Tree | None:
    """The tree of a canonical expression, None where it could be meant in more than one way."""
    try:
        return trees.read(text)
    except (trees.NoTreeError, RecursionError):
        return None


def functions(tree: trees.Tree) -> frozenset[str]:
    r"""The functions that an expression uses; `\exp` is another way to write a power of `e`."""
    if tree[:1] == ("many",):
        return frozenset({tree[1]}.union(*map(functions, tree[2])))
    if tree[:1] == ("f",):
        name = tree[1]
        return functions(tree[2]) | ({name} if name not in ("exp", "abs") else set())
    found: set[str] = {"ln"} if tree[:1] == ("log",) else set()
    return frozenset(found.union(*(functions(p) for p in tree if isinstance(p, tuple))))


def _well_formed(tokens: list[str]) -> bool:
    depths = _depths(tokens)
    return (
        any(token.isalnum() or token == r"\pi" or token in trees.GREEK for token in tokens)
        and all(token in COMMANDS for token in tokens if token[0] == "\\")
        and all(
            len(token) <= MOST_LETTERS or before[-2:] == ["_", "{"]
            for n, token in enumerate(tokens)
            if token[0].isalpha() and (before := tokens[max(0, n - 2) : n]) is not None
        )
        and all(len(token) <= LONGEST_NUMBER for token in tokens if _digits(token))
        and depths[-1] == 0
        and min(depths) >= 0
        and max(depths) <= DEEPEST
        and tokens.count("{") == tokens.count("}")
        and _flat_powers(tokens)
    )


def _flat_powers(tokens: list[str]) -> bool:
    """No power right after an exponent, none of numbers in an exponent, no long number in one."""
    groups: list[bool] = []  # of each open bracket: whether it is in an exponent
    raised = False  # the last token was ^
    ended = False  # an exponent has just ended
    for n, token in enumerate(tokens):
        inside = raised or (bool(groups) and groups[-1])
        if token == "^" and (ended or (inside and not _of_letters(tokens, n))):
            return False
        if inside and _digits(token) and len(token) > LONGEST_EXPONENT:
            return False
        closed = token in _CLOSING and bool(groups) and groups.pop()
        ended = (closed and not (groups and groups[-1])) or (
            raised and token not in _OPENING and token not in "+-"
        )
        if token in _OPENING:
            groups.append(inside)
        raised = token == "^" or (raised and token in "+-")
    return not raised


def _of_letters(tokens: list[str], n: int) -> bool:
    """Whether a power within an exponent is one of a letter, or has a letter in it: `x^2`, `2^n`."""
    return any(
        token.isalpha() or token in trees.GREEK
        for token in (tokens[n - 1 : n] + tokens[n + 1 : n + 3])
    )


def _depths(tokens: list[str]) -> list[int]:
    """How many brackets are open after each token; half-open intervals count as closed."""
    depths: list[int] = []
    depth = 0
    for token in tokens:
        depth += (token in _OPENING) - (token in _CLOSING)
        depths.append(depth)
    return depths or [0]


def _digits(token: str) -> bool:
    return token[:1].isdigit() or token[:1] == "."
