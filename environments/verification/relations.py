"""Equations and inequalities: whether two mean the same, are solved, and have the same form."""

from __future__ import annotations

from environments.base import Status
from environments.verification import algebra, forms, shapes
from environments.verification.trees import Tree


def same(gold: Tree, prediction: Tree) -> Status:
    """Equations and inequalities: equal up to a factor, in any order; `y = E` is also `E`.

    What the reference answer has solved (`x \\ge 2`, `x = \\sqrt2`) must be solved.
    """
    if gold[0] != "rel" or prediction[0] != "rel":
        return _named(gold, prediction)
    if (name := _solved(gold)) and name != _solved(prediction):
        return "wrong"
    name = isolated(gold)
    if gold[1] == prediction[1] == ("=",) and name and name == isolated(prediction):
        one, other = (_without(tree, name) for tree in (gold, prediction))
        return "correct" if algebra.equal(one, other) else "wrong"
    left, right = _normal(gold), _normal(prediction)
    if left is None or right is None or len(left) != len(right):
        return "wrong"
    for operator, top in left:
        match = next((r for r in right if r[0] == operator and _scaled(operator, top, r[1])), None)
        if match is None:
            return "wrong"
        right.remove(match)
    return "correct"


def _named(gold: Tree, prediction: Tree) -> Status:
    """Of `y = E` and `E`."""
    named, bare = (gold, prediction) if gold[0] == "rel" else (prediction, gold)
    name = named[2][0]
    if named[1] != ("=",) or name[0] != "v" or "(" in name[1] or name in forms.parts(bare):
        return "wrong"
    value = named[2][1]
    wanted, found = (value, bare) if named is gold else (bare, value)
    if forms.unevaluated(found) > forms.unevaluated(wanted) or forms.adds_functions(wanted, found):
        return "wrong"
    return "correct" if algebra.equal(value, bare) else "wrong"


def isolated(tree: Tree) -> str | None:
    """The variable that stands alone on one side and nowhere else, None where none does."""
    sides = tree[2]
    for side in sides:
        if side[0] == "v" and sum(side in forms.parts(other) for other in sides) == 1:
            return str(side[1])
    return None


def _without(tree: Tree, name: str) -> Tree:
    """The other side of an equation of which one is the variable alone."""
    return tree[2][1] if tree[2][0] == ("v", name) else tree[2][0]


def _solved(tree: Tree) -> str | None:
    """The variable that a relation bounds or equals by numbers alone."""
    name = isolated(tree)
    if name is None:
        return None
    others = [side for side in tree[2] if side != ("v", name)]
    return None if any(part[0] == "v" for side in others for part in forms.parts(side)) else name


def same_form(gold: Tree, prediction: Tree) -> bool:
    """Whether two equal relations have equal sides, possibly exchanged, with the same sums in them."""
    if prediction[0] != "rel" or gold[0] != "rel":
        return isolated(gold if gold[0] == "rel" else prediction) is not None
    if len(gold[2]) != len(prediction[2]):
        return False
    turned = tuple(reversed(prediction[2]))
    return any(
        all(
            algebra.equal(a, b)
            and shapes.sums(a) == shapes.sums(b)
            and (isolated(gold) or shapes.divides_sum(a) == shapes.divides_sum(b))
            for a, b in zip(gold[2], sides, strict=True)
        )
        for sides in (prediction[2], turned)
    )


def _normal(tree: Tree) -> list[tuple[str, algebra.Polynomial]] | None:
    """Each relation of a chain as a polynomial that is compared to 0 by `=`, `!=`, `<` or `<=`."""
    found = []
    for operator, a, b in zip(tree[1], tree[2], tree[2][1:], strict=False):
        if operator[0] == ">":
            operator, a, b = operator.replace(">", "<"), b, a
        try:
            left, right = algebra.quotient(a), algebra.quotient(b)
            difference = algebra.cross(left, right)
        except algebra.UndecidedError:
            return None
        if len(left[1]) > 1 or len(right[1]) > 1 or () not in left[1] or () not in right[1]:
            return None  # multiplying by a denominator could change the solutions
        found.append((operator, difference))
    return found


def _scaled(operator: str, left: algebra.Polynomial, right: algebra.Polynomial) -> bool:
    ratio = algebra.proportion(left, right) if left and right else None
    return ratio is not None and (ratio > 0 or operator in ("=", "!="))
