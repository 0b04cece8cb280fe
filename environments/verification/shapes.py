"""The shape of an expression: factored, reduced, rationalised, in partial fractions."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from functools import reduce

from environments.verification import algebra, forms
from environments.verification.algebra import Polynomial
from environments.verification.trees import Tree

_ZERO = ("n", 0, 1)
_HIGHEST = 30  # degree of polynomials of which common factors are sought


def primitive_factors(tree: Tree) -> bool:
    """Whether no factor has a whole number above 1 that could still be taken out: `(2x-6)`."""
    for factor in forms.factors(tree) or [tree]:
        if factor[0] != "+":
            continue
        top, bottom = algebra.quotient(factor)
        if () in bottom and len(bottom) == 1 and _content(top) > 1:
            return False
    return True


def has_monomial_factor(tree: Tree) -> bool:
    """Whether a letter could still be taken out of a factor that is a sum: `(x^2+x)`."""
    return any(
        factor[0] == "+" and bool(_common_letters([algebra.quotient(factor)[0]]))
        for factor in forms.factors(tree) or [tree]
    )


def is_reduced(tree: Tree) -> bool:
    """Whether no fraction in it has a number, a letter or a polynomial both above and below."""
    for part in forms.parts(tree):
        if part[0] != "/":
            continue
        (a, under_a), (b, under_b) = algebra.quotient(part[1]), algebra.quotient(part[2])
        if len(under_a) > 1 or len(under_b) > 1 or () not in under_a or () not in under_b:
            return False  # a fraction of fractions
        if any(value.denominator != 1 for side in (a, b) for value in side.values()):
            return False
        if math.gcd(_content(a), _content(b)) > 1 or _common_letters([a, b]):
            return False
        if len(a) > 1 and len(b) > 1 and _common_degree(a, b):
            return False
    return True


def has_simple_roots(tree: Tree) -> bool:
    """Whether no root holds a fraction or a power that could be taken out: `\\sqrt{98}`, `\\sqrt{x^3}`."""
    for part in forms.parts(tree):
        if part[0] != "root":
            continue
        top, bottom = algebra.quotient(part[2])
        if bottom != {(): Fraction(1)} or any(value.denominator != 1 for value in top.values()):
            return False
        order, common = part[1], _content(top)
        if any(common % n**order == 0 for n in range(2, 100) if n**order <= common):
            return False
        if len(top) == 1 and any(power >= order for _, power in next(iter(top))):
            return False
    return True


def has_root_below(tree: Tree) -> bool:
    """Whether a root is in a denominator."""
    return any(
        part[0] == "/" and any(inner[0] == "root" for inner in forms.parts(part[2]))
        for part in forms.parts(tree)
    )


def divides_sum(tree: Tree) -> bool:
    """Whether a sum stands above a fraction's line: `\\frac{4x^2+9y^2}{36}`."""
    return any(part[0] == "/" and part[1][0] == "+" for part in forms.parts(tree))


def fractions_in_sum(tree: Tree) -> int:
    """How many terms of a sum have a variable in a denominator, also where a factor stands before it."""
    sums = [part for part in forms.parts(tree) if part[0] == "+"]
    return max((sum(map(forms.divides_by_variables, part[1])) for part in sums), default=0)


def calls(tree: Tree) -> int:
    """How many functions are written."""
    return sum(part[0] in ("log", "f") and part[1] != "fact" for part in forms.parts(tree))


def prime_factors(tree: Tree) -> Counter[int] | None:
    """The factors of a product of whole numbers, None where it is none."""
    found = forms.factors(tree) or [tree]
    if any(factor[0] != "n" or factor[2] != 1 for factor in found):
        return None
    return Counter(factor[1] for factor in found)


def sums(tree: Tree) -> frozenset[object]:
    """The sums and roots that are written in it, each up to a number as a factor."""
    found: set[object] = set()
    for part in forms.parts(tree):
        if part[0] == "+" and not any(term in (_ZERO, ("neg", _ZERO)) for term in part[1]):
            found.add(_monic(algebra.quotient(part)[0]))
        elif part[0] == "root":
            found.add(
                (
                    part[1],
                    _monic(algebra.quotient(part[2])[0]),
                    algebra.constant(algebra.quotient(part[2])),
                )
            )
    return frozenset(found)


def _monic(polynomial: Polynomial) -> frozenset[object]:
    if not polynomial:
        return frozenset()
    leading = polynomial[max(polynomial)]
    return frozenset((monomial, value / leading) for monomial, value in polynomial.items())


def _content(polynomial: Polynomial) -> int:
    """The greatest whole number that divides every coefficient; 1 where one is no whole number."""
    if any(value.denominator != 1 for value in polynomial.values()):
        return 1
    return reduce(math.gcd, (abs(value.numerator) for value in polynomial.values()), 0)


def _common_letters(polynomials: list[Polynomial]) -> set[str]:
    monomials = [
        {name for name, _ in monomial if name[0] != "√"} for p in polynomials for monomial in p
    ]
    return set.intersection(*monomials) if monomials else set()


def _common_degree(a: Polynomial, b: Polynomial) -> int:
    """The degree of the greatest common divisor in the first variable, with numbers for the others."""
    names = sorted({name for side in (a, b) for monomial in side for name, _ in monomial})
    if not names or any(name[0] in (algebra.OPAQUE, "√") or name in ("e", "pi") for name in names):
        return 0
    values = {name: Fraction(7 + 4 * n, 3) for n, name in enumerate(names[1:])}
    one, other = _coefficients(a, names[0], values), _coefficients(b, names[0], values)
    if max(len(one), len(other)) > _HIGHEST:
        return 0
    while other:
        one, other = other, _remainder(one, other)
    return max(len(one) - 1, 0)


def _coefficients(polynomial: Polynomial, name: str, values: dict[str, Fraction]) -> list[Fraction]:
    """Those of the powers of one variable, the lowest first, without zeros at the end."""
    found: dict[int, Fraction] = {}
    for monomial, value in polynomial.items():
        powers = dict(monomial)
        power = powers.pop(name, 0)
        for other, exponent in powers.items():
            value *= values[other] ** exponent
        found[power] = found.get(power, Fraction(0)) + value
    listed = [found.get(n, Fraction(0)) for n in range(min(max(found, default=0), _HIGHEST) + 1)]
    while listed and not listed[-1]:
        listed.pop()
    return listed


def _remainder(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    a = list(a)
    while len(a) >= len(b):
        ratio, shift = a[-1] / b[-1], len(a) - len(b)
        for n, value in enumerate(b):
            a[shift + n] -= ratio * value
        while a and not a[-1]:
            a.pop()
    return a
