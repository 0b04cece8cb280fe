"""Where the judge evaluates two expressions; imports nothing of the package (`symbolic_child` loads it).

Variables are real. Where factorials, binomials or common divisors are written they are natural
numbers. Where a floor or a ceiling is, they are real too, close to integers from both sides and
on them, unless every variable has a name that stands for an integer and something is rounded that
is not an integer anyway.
"""

from __future__ import annotations

import random
from typing import Any

SCALES = (3, -1, 1, -3, 40, -40)  # of a variable's values
INTEGERS = frozenset("ijklmnpqKLMNPQ")  # names of integers where rounding is written
EDGES = (4, 12, 40, 100)  # minus the binary logarithms of distances from an integer
_ROUND = ("floor", "ceil")


def names(tree: Any) -> set[tuple[str, str]]:
    """The variables, constants and functions of a tree; a root counts as `abs`: of a square it is.

    A binomial coefficient and a common divisor count as a factorial: of natural numbers.
    """
    if not isinstance(tree, tuple):
        return set()
    if len(tree) > 1 and tree[0] in ("v", "c"):
        return {(tree[0], tree[1])}
    found = {("f", tree[1])} if tree and tree[0] == "f" else set()
    if tree and (tree[0] == "root" or (tree[0] == "^" and tree[2][0] == "/")):
        found.add(("f", "abs"))
    if tree and (tree[0] == "binom" or (tree[0] == "many" and tree[1] in ("gcd", "lcm"))):
        found.add(("f", "fact"))
    return found.union(*(names(part) for part in tree))


def points(
    left: Any, right: Any, found: set[tuple[str, str]], draw: random.Random
) -> list[dict[str, Any]]:
    """The values of the variables at each point; one point without any for two constants."""
    variables = sorted(name for kind, name in found if kind == "v")
    if not variables:
        return [{}]
    rounds = any(("f", name) in found for name in _ROUND)
    drawn: list[dict[str, Any]]
    if ("f", "fact") in found:
        drawn = [{name: draw.randint(1, 40) for name in variables} for _ in range(24)]
    elif rounds and set(variables) <= INTEGERS and not (_trivial(left) or _trivial(right)):
        drawn = [{name: draw.randint(1, 60) for name in variables} for _ in range(24)]
        drawn += [{name: n + m for m, name in enumerate(variables)} for n in range(1, 13)]
    elif rounds:
        drawn = _around_integers(variables, draw)
    else:
        beyond = (
            [s for k in (40, 200) for s in (2.0**k, -(2.0**k))] if ("f", "abs") in found else []
        )
        drawn = [
            {name: scale * draw.uniform(0.1, 1) for name in variables}
            for scale in [*SCALES, *beyond]
        ]
    if "base" in variables:
        drawn = [{**values, "base": 2 + abs(values["base"])} for values in drawn]
    return drawn


def _around_integers(variables: list[str], draw: random.Random) -> list[dict[str, Any]]:
    """Binary fractions, so that nothing is rounded on the way; every other time close to a multiple
    of a half, a third, ... a twelfth."""
    from mpmath import ldexp, mpf, workprec  # type: ignore[import-untyped]

    drawn: list[dict[str, Any]] = []
    with workprec(400):
        for n in range(64):
            parts = (1, 1, 2, 1, 4, 3, 1, 5, 6, 1, 8, 12)[n % 12]
            edge = (0, *EDGES, *(-edge for edge in EDGES))[(n // 2) % 9]
            shift = ldexp(mpf(1), -abs(edge)) * (1 if edge > 0 else -1) if edge else mpf(0)
            if n % 2:
                values = {
                    v: mpf(draw.randint(-(40 << 20), 40 << 20)) / (1 << 20) for v in variables
                }
            else:
                values = {
                    v: mpf(
                        round(
                            (draw.randint(-20, 20) + mpf(draw.randrange(parts)) / parts) * (1 << 60)
                        )
                    )
                    / (1 << 60)
                    + shift
                    for v in variables
                }
            drawn.append(values)
    return drawn


def _trivial(tree: Any) -> bool:
    """Whether something is rounded that is an integer wherever the variables are: then they are real."""
    if not isinstance(tree, tuple):
        return False
    if len(tree) > 2 and tree[0] == "f" and tree[1] in _ROUND and _whole(tree[2]):
        return True
    return any(map(_trivial, tree))


def _whole(tree: Any) -> bool:
    if not isinstance(tree, tuple):
        return True
    if tree and tree[0] in ("/", "root", "c", "f", "log"):
        return False
    return (tree[0] != "n" or tree[2] == 1) if tree and tree[0] == "n" else all(map(_whole, tree))
