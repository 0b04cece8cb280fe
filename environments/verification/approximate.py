"""Expressions in floating point: only to tell apart what clearly differs, never to call it equal."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping

from environments.verification.trees import Tree

_POINTS = (0.8136172, 2.3719431, 1.3271902)  # a variable's values where floats are compared


def differ(left: Tree, right: Tree) -> bool:
    """Whether two expressions are clearly apart at some point where both are real."""
    names = sorted(_variables(left) | _variables(right))
    for point in _POINTS:
        values = {name: point * (1 + 0.37 * n) for n, name in enumerate(names)}
        try:
            a, b = evaluate(left, values), evaluate(right, values)
        except (ArithmeticError, ValueError):
            continue
        size = max(abs(a), abs(b))
        real = max(abs(a.imag), abs(b.imag)) <= 1e-9 * size
        if real and math.isfinite(size) and 1e-3 < size < 1e9 and abs(a - b) > 1e-3 * size:
            return True
    return False


def _variables(tree: Tree) -> set[str]:
    if tree[0] == "v":
        return {tree[1]}
    parts = [part for part in tree[1:] if isinstance(part, tuple)]
    nested = [p for part in parts for p in ([part] if part and isinstance(part[0], str) else part)]
    return set().union(*(_variables(part) for part in nested if isinstance(part, tuple)))


_FLOATS = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "arcsin": cmath.asin,
    "arccos": cmath.acos, "arctan": cmath.atan, "sinh": cmath.sinh, "cosh": cmath.cosh,
    "tanh": cmath.tanh, "ln": cmath.log, "exp": cmath.exp, "abs": lambda z: complex(abs(z)),
    "cot": lambda z: 1 / cmath.tan(z), "sec": lambda z: 1 / cmath.cos(z),
    "csc": lambda z: 1 / cmath.sin(z), "coth": lambda z: 1 / cmath.tanh(z),
}  # fmt: skip
_CONSTANTS = {"pi": complex(math.pi), "e": complex(math.e), "i": 1j}


def evaluate(tree: Tree, values: Mapping[str, float]) -> complex:
    """The value in floating point; raises `ArithmeticError` or `ValueError` where there is none."""
    kind = tree[0]
    if kind == "n":
        return complex(tree[1] / tree[2])
    if kind == "v":
        return complex(values[tree[1]])
    if kind == "c":
        return _CONSTANTS[tree[1]]
    if kind == "neg":
        return -evaluate(tree[1], values)
    if kind == "+":
        return sum((evaluate(term, values) for term in tree[1]), 0j)
    if kind == "*":
        return math.prod((evaluate(factor, values) for factor in tree[1]), start=1 + 0j)
    if kind == "/":
        return evaluate(tree[1], values) / evaluate(tree[2], values)
    if kind == "^":
        return evaluate(tree[1], values) ** evaluate(tree[2], values)
    if kind == "root":
        return evaluate(tree[2], values) ** (1 / tree[1])
    if kind == "log":
        return cmath.log(evaluate(tree[2], values)) / cmath.log(evaluate(tree[1], values))
    if kind == "f" and tree[1] in _FLOATS:
        return _FLOATS[tree[1]](evaluate(tree[2], values))
    raise ValueError(kind)
