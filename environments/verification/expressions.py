r"""Expressions that may be shown to the symbolic judge: a grammar, size limits, a canonical text.

What is not listed here is refused: no names of functions in plain letters, no `\int`, `\sum` or
`\gcd` (they are questions, not answers), no attributes, quotes or calls.
"""

from __future__ import annotations

import re

DEEPEST = 8  # brackets within brackets
LONGEST_NUMBER = 30  # digits
LONGEST_EXPONENT = 3  # digits
MOST_LETTERS = 3  # side by side: a product of variables

_FUNCTIONS = r"\sin \cos \tan \cot \sec \csc \arcsin \arccos \arctan \log \ln \exp \binom"
_OTHERS = (
    r"\frac \sqrt \pi \cdot \times \div \pm \infty \cup \cap \in \le \leq \ge \geq \ne \neq \emptyset "
    r"\alpha \beta \gamma \delta \theta \lambda \mu \phi \omega \{ \}"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
COMMANDS = FUNCTIONS | frozenset(_OTHERS.split())
_TOKEN = re.compile(
    r"\s+|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|\\[A-Za-z]+|\\[{}]|[A-Za-z]+|[-+*/^=<>,()\[\]{}|_]"
)
_OPENING, _CLOSING = {"(", "[", "{", r"\{"}, {")", "]", "}", r"\}"}


def canonical(text: str) -> str | None:
    """The expression without needless spaces, or None where it breaks the grammar or a limit."""
    text = re.sub(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi ", text)
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
        gap = before[:1] == "\\" and before[-1].isalpha() and token[0].isalpha()
        written += f" {token}" if gap or (_digits(before) and _digits(token)) else token
    return written


def shape(text: str) -> tuple[str, int]:
    """The brackets around a canonical expression and the commas at its top level.

    `(1,2)`, `[1,2]` and `\\{1,2\\}` have different shapes; brackets without a comma are no shape.
    """
    tokens = [match.group() for match in _TOKEN.finditer(text)]
    depths = _depths(tokens)
    around = ""
    if len(tokens) > 2 and tokens[0] in _OPENING and 0 not in depths[:-1]:
        around = tokens[0] + tokens[-1]
    level = 1 if around else 0
    commas = sum(t == "," and d == level for t, d in zip(tokens, depths, strict=True))
    is_set = around == r"\{\}"
    return (around if commas or is_set else "", commas)


def functions(text: str) -> frozenset[str]:
    """The functions that an expression uses."""
    return frozenset(re.findall(r"\\[A-Za-z]+", text)) & FUNCTIONS


def _well_formed(tokens: list[str]) -> bool:
    depths = _depths(tokens)
    return (
        any(token.isalnum() or token in (r"\pi", r"\infty", r"\emptyset") for token in tokens)
        and all(token in COMMANDS for token in tokens if token[0] == "\\")
        and all(len(token) <= MOST_LETTERS for token in tokens if token[0].isalpha())
        and all(len(token) <= LONGEST_NUMBER for token in tokens if _digits(token))
        and depths[-1] == 0
        and min(depths) >= 0
        and max(depths) <= DEEPEST
        and tokens.count("{") == tokens.count("}")
        and tokens.count(r"\{") == tokens.count(r"\}")
        and _flat_powers(tokens)
    )


def _flat_powers(tokens: list[str]) -> bool:
    """No power in or right after an exponent, and no number of over three digits in one."""
    groups: list[bool] = []  # of each open bracket: whether it is in an exponent
    raised = False  # the last token was ^
    ended = False  # an exponent has just ended
    for token in tokens:
        inside = raised or (bool(groups) and groups[-1])
        if token == "^" and (inside or ended):
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
