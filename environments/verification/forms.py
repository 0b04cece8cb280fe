"""The form of an expression: whether it is worked out, and its factors."""

from __future__ import annotations

from collections.abc import Iterator

from environments.verification import algebra, expressions
from environments.verification.trees import Tree


def parts(tree: Tree) -> Iterator[Tree]:
    yield tree
    for part in tree[1:]:
        if isinstance(part, tuple):
            for inner in [part] if isinstance(part[0], str) else part:
                yield from parts(inner)


def ordered(tree: Tree) -> Tree:
    """The tree with the terms of sums and the factors of products in one order."""
    if tree[0] == "^" and tree[2][0] == "/" and tree[2][1] == ("n", 1, 1):
        tree = ("root", tree[2][2][1], tree[1])
    parts = [
        part
        if not isinstance(part, tuple)
        else ordered(part)
        if isinstance(part[0], str)
        else tuple(sorted(map(ordered, part), key=repr))
        for part in tree[1:]
    ]
    return (tree[0], *parts)


_FAMILIES = {
    name: family
    for family, names in {
        "trigonometric": "sin cos tan cot sec csc",
        "inverse": "arcsin arccos arctan",
        "hyperbolic": "sinh cosh tanh coth",
        "logarithm": "ln",
        "rounding": "floor ceil",
        "factorial": "fact",
        "many": "max min gcd lcm",
    }.items()
    for name in names.split()
}
_NEVER_ADDED = {"rounding", "factorial", "many"}


def adds_functions(gold: Tree, prediction: Tree) -> bool:
    """Whether functions are left to be worked out: those of a family of which the reference answer
    has none. Beside functions of `x` others may stand, but nothing rounded, no factorials."""
    left, right = (
        {_FAMILIES[name] for name in expressions.functions(t)} for t in (gold, prediction)
    )
    added = right - left
    if "binom" in {part[0] for part in parts(gold)}:
        added -= {"factorial"}
    if not added:
        return False
    if not left or added & _NEVER_ADDED or not any(part[0] == "v" for part in parts(gold)):
        return True
    return (right <= {"logarithm"}) != (left <= {"logarithm"})


def unevaluated(tree: Tree, factorials: bool = True) -> int:
    """How many sums, products and powers could be worked out: `2+3`, `2x+3x`, `2·3`, `2^3`.

    Without `factorials` those of numbers do not count: a binomial coefficient is written by them.
    """
    nested = sum(unevaluated(part, factorials) for part in _children(tree))
    kind = tree[0]
    if kind == "+":
        terms = [_monomial(term) for term in tree[1]]
        known = [term for term in terms if term is not None]
        nested += (
            len(known) - len(set(known)) + (not _is_complex(tree) and any(map(_is_zero, tree[1])))
        )
    elif kind == "*":
        numbers = sum(_is_number(factor) for factor in tree[1])
        nested += max(numbers - 1, 0) + (("n", 1, 1) in tree[1] and not _is_complex(tree))
    elif kind == "neg":
        nested += tree[1][0] == "neg"
    elif kind == "^":
        nested += (tree[1][0] == "n" and tree[2][0] == "n" and tree[2][2] == 1) or tree[2] == (
            "n",
            1,
            1,
        )
    elif kind == "root" and _is_number(tree[2]):
        nested += _generators(tree) <= {"√-1"}
    elif kind == "binom" or tree[:2] == ("f", "fact"):
        nested += (factorials or kind == "binom") and all(map(_is_number, _children(tree)))
    elif kind == "/":
        nested += tree[2] == ("n", 1, 1) or (_is_number(tree[1]) and tree[2][0] == "/")
    return nested


def _generators(tree: Tree) -> set[str]:
    try:
        return {name for side in algebra.quotient(tree) for term in side for name, _ in term}
    except algebra.UndecidedError:
        return {"?"}


def _children(tree: Tree) -> list[Tree]:
    children: list[Tree] = []
    for part in tree[1:]:
        if isinstance(part, tuple) and part and isinstance(part[0], tuple):
            children += part
        elif isinstance(part, tuple) and part:
            children.append(part)
    return children


def divides_by_variables(tree: Tree) -> bool:
    """Whether a variable is in a denominator or under a negative power, as it is written."""
    inside = tree[0] == "/" and any(part[0] == "v" for part in parts(tree[2]))
    inverse = tree[0] == "^" and tree[2][0] == "neg" and any(p[0] == "v" for p in parts(tree[1]))
    return inside or inverse or any(map(divides_by_variables, _children(tree)))


def _is_complex(tree: Tree) -> bool:
    return ("c", "i") in parts(tree)


def _is_zero(tree: Tree) -> bool:
    try:
        return not algebra.quotient(tree)[0]
    except algebra.UndecidedError:
        return False


def _is_number(tree: Tree) -> bool:
    if tree[0] == "neg":
        return _is_number(tree[1])
    return tree[0] == "n" or (tree[0] == "/" and _is_number(tree[1]) and _is_number(tree[2]))


def _monomial(tree: Tree) -> algebra.Monomial | None:
    """The monomial of a term without regard to its coefficient, or None if it is no single one."""
    if any(part[0] == "+" for part in parts(tree)):
        return None
    try:
        top, bottom = algebra.quotient(tree)
    except algebra.UndecidedError:
        return None
    if len(top) != 1 or len(bottom) != 1 or () not in bottom:
        return None
    return next(iter(top))


def factors(tree: Tree) -> list[Tree] | None:
    """The factors of a product or power, None where the expression is neither."""
    kind = tree[0]
    if kind == "neg":
        return factors(tree[1])
    if kind == "*":
        return [part for factor in tree[1] for part in (factors(factor) or [factor])]
    if kind == "^" and tree[2][0] == "n" and tree[2][2] == 1 and tree[2][1] <= 20:
        return (factors(tree[1]) or [tree[1]]) * tree[2][1]
    return None


def same_factors(gold: Tree, prediction: Tree) -> bool:
    """Whether two products have the same factors, each up to a rational number."""
    wanted, found = ([
        algebra.quotient(factor)[0] for factor in factors(tree) or [tree] if not _is_number(factor)
    ] for tree in (gold, prediction))  # fmt: skip
    if len(wanted) != len(found):
        return False
    for factor in wanted:
        match = next((f for f in found if algebra.proportion(factor, f) is not None), None)
        if match is None:
            return False
        found.remove(match)
    return True


def has_product_of_sums(tree: Tree) -> bool:
    kind = tree[0]
    if kind in ("*", "^") and any(part[0] == "+" for part in _children(tree)):
        return True
    return any(has_product_of_sums(part) for part in _children(tree))
