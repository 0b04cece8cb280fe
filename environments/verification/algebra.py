r"""Exact equality of expressions: quotients of polynomials over the rationals, with square roots.

An expression becomes a pair (numerator, denominator) of polynomials, which map a monomial (a sorted
tuple of (generator, exponent)) to its rational coefficient. Generators are variables, `pi`, `e`,
square roots of primes and of -1 (`√2` with `√2·√2 = 2`), and everything else as one opaque thing
(`\sin(x)`). Without opaque things two expressions are equal exactly where the cross products are.
Sizes are bounded; what passes them is undecided here.
"""

from __future__ import annotations

import math
import threading
from fractions import Fraction
from functools import lru_cache

from environments.verification import approximate
from environments.verification.trees import Tree

Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, Fraction]
Quotient = tuple[Polynomial, Polynomial]

MOST_TERMS = 300
MOST_WORK = 20_000  # products of two terms, long numbers counting for more, in one expression
MOST_BITS = 20_000  # of a coefficient
HIGHEST_POWER = 120
HIGHEST_ROOT = 99
OPAQUE = "?"  # the first character of an opaque generator

_ONE: Polynomial = {(): Fraction(1)}
_work = threading.local()


class UndecidedError(Exception):
    """Too large to decide here."""


def equal(left: Tree, right: Tree) -> bool | None:
    """Whether two expressions are equal; None where that is not decided by this algebra."""
    try:
        difference = cross(quotient(left), quotient(right))
    except UndecidedError:
        return None
    if not difference:
        return True
    names = {name for monomial in difference for name, _ in monomial}
    if not any(name[0] == OPAQUE for name in names) and not {"pi", "e"} <= names:
        return False
    return False if approximate.differ(left, right) else None


def cross(left: Quotient, right: Quotient) -> Polynomial:
    """The numerator of the difference of two quotients: empty where they are equal."""
    _work.left = MOST_WORK
    return _add(_multiply(left[0], right[1]), _multiply(right[0], left[1]), -1)


def quotient(tree: Tree) -> Quotient:
    """The expression as numerator and denominator; raises `UndecidedError`."""
    found = _known(tree)
    if found is None:
        raise UndecidedError
    return found


@lru_cache(maxsize=512)
def _known(tree: Tree) -> Quotient | None:
    _work.left = MOST_WORK
    try:
        return _quotient(tree)
    except (UndecidedError, ZeroDivisionError, RecursionError):
        return None


def _quotient(tree: Tree) -> Quotient:
    kind = tree[0]
    if kind == "n":
        return {(): Fraction(tree[1], tree[2])} if tree[1] else {}, _ONE
    if kind == "v":
        return {((tree[1], 1),): Fraction(1)}, _ONE
    if kind == "c":
        name = "√-1" if tree[1] == "i" else tree[1]
        return {((name, 1),): Fraction(1)}, _ONE
    if kind == "neg":
        top, bottom = _quotient(tree[1])
        return {monomial: -value for monomial, value in top.items()}, bottom
    if kind == "+":
        total: Quotient = ({}, _ONE)
        for term in tree[1]:
            total = _plus(total, _quotient(term))
        return total
    if kind == "*":
        product: Quotient = (_ONE, _ONE)
        for factor in tree[1]:
            product = _times(product, _quotient(factor))
        return product
    if kind == "/":
        top, bottom = _quotient(tree[2])
        if not top:
            raise ZeroDivisionError
        return _times(_quotient(tree[1]), (bottom, top))
    if kind == "^":
        return _power(_quotient(tree[1]), _quotient(tree[2]), tree)
    if kind == "root":
        return _root(tree[1], _quotient(tree[2]))
    if kind == "binom":
        return _binomial(_quotient(tree[1]), _quotient(tree[2]))
    if tree[:2] == ("f", "fact") and (value := constant(_quotient(tree[2]))) is not None:
        if value.denominator != 1 or not 0 <= value <= 170:
            raise UndecidedError
        return {(): Fraction(math.factorial(int(value)))}, _ONE
    if kind == "many":
        keys = sorted(_key(_quotient(part)) for part in tree[2])
        return {((f"{OPAQUE}{tree[1]}({';'.join(keys)})", 1),): Fraction(1)}, _ONE
    if kind in ("f", "log"):
        return _opaque(str(tree[1]), _quotient(tree[2]))
    raise UndecidedError


def constant(value: Quotient) -> Fraction | None:
    """The rational number that a quotient is, if it is one."""
    top, bottom = value
    if any(len(side) > 1 or (side and () not in side) for side in value):
        return None
    return top.get((), Fraction(0)) / bottom[()]


def is_polynomial(tree: Tree) -> bool:
    """Whether the expression is a polynomial: nothing opaque, no variable in a denominator."""
    try:
        top, bottom = quotient(tree)
    except UndecidedError:
        return False
    names = {name for side in (top, bottom) for monomial in side for name, _ in monomial}
    in_bottom = {name for monomial in bottom for name, _ in monomial}
    variables = {name for name in names if name[0] not in "√" and name not in ("pi", "e")}
    return bool(variables) and not any(n[0] == OPAQUE for n in names) and not in_bottom & variables


def proportion(left: Polynomial, right: Polynomial) -> Fraction | None:
    """The rational `c` with `left = c·right`, if there is one; both must not be empty."""
    if set(left) != set(right):
        return None
    ratios = {left[monomial] / right[monomial] for monomial in left}
    return ratios.pop() if len(ratios) == 1 else None


def _plus(left: Quotient, right: Quotient) -> Quotient:
    if left[1] == right[1]:
        return _add(left[0], right[0]), left[1]
    return (
        _add(_multiply(left[0], right[1]), _multiply(right[0], left[1])),
        _multiply(left[1], right[1]),
    )


def _times(left: Quotient, right: Quotient) -> Quotient:
    top, bottom = _multiply(left[0], right[0]), _multiply(left[1], right[1])
    if not bottom:
        raise ZeroDivisionError
    if len(bottom) == 1 and () in bottom:
        return {monomial: value / bottom[()] for monomial, value in top.items()}, _ONE
    return top, bottom


def _add(left: Polynomial, right: Polynomial, sign: int = 1) -> Polynomial:
    total = dict(left)
    for monomial, value in right.items():
        total[monomial] = total.get(monomial, Fraction(0)) + sign * value
    return _bounded(total)


def _multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    if left is _ONE or right is _ONE:
        return right if left is _ONE else left
    _work.left -= len(left) * len(right) * (1 + (_bits(left) + _bits(right)) // 128)
    if _work.left < 0:
        raise UndecidedError
    total: Polynomial = {}
    for monomial, value in left.items():
        for other, factor in right.items():
            merged, scale = _merge(monomial, other)
            total[merged] = total.get(merged, Fraction(0)) + value * factor * scale
    return _bounded(total)


def _merge(left: Monomial, right: Monomial) -> tuple[Monomial, int]:
    """The product of two monomials and the integer that squares of roots leave."""
    if not left or not right:
        return left or right, 1
    powers, scale = dict(left), 1
    for name, power in right:
        powers[name] = powers.get(name, 0) + power
        if name[0] == "√" and powers[name] == 2:
            del powers[name]
            scale *= int(name[1:])
    return tuple(sorted(powers.items())), scale


def _bounded(polynomial: Polynomial) -> Polynomial:
    kept = {monomial: value for monomial, value in polynomial.items() if value}
    if len(kept) > MOST_TERMS or _bits(kept) > MOST_BITS:
        raise UndecidedError
    return kept


def _bits(polynomial: Polynomial) -> int:
    """The length of its longest coefficient."""
    sizes = (v.numerator.bit_length() + v.denominator.bit_length() for v in polynomial.values())
    return max(sizes, default=0)


def _power(base: Quotient, exponent: Quotient, tree: Tree) -> Quotient:
    power = constant(exponent)
    if tree[1] == ("c", "e") and (power is None or power.denominator != 1):
        return _opaque("exp", exponent)
    if power is not None and 1 < power.denominator <= HIGHEST_ROOT:
        base = _root(power.denominator, base)
        power *= power.denominator
    if power is None or power.denominator != 1:
        return _opaque(f"^{base}", exponent)
    if abs(power) * max(1, *map(_bits, base)) > 2 * MOST_BITS or abs(power) > HIGHEST_POWER:
        value = constant(base)
        if value is None or abs(power) * (_bits({(): value}) - 1) > MOST_BITS:
            raise UndecidedError
    if power < 0:
        if not base[0]:
            raise ZeroDivisionError
        base, power = (base[1], base[0]), -power
    if power == 0 and not base[0]:
        raise ZeroDivisionError  # 0^0
    if (value := constant(base)) is not None:
        return ({(): value ** int(power)} if value else {}), _ONE
    result: Quotient = (_ONE, _ONE)
    for _ in range(int(power)):
        result = _times(result, base)
    return result


def _root(order: int, inside: Quotient) -> Quotient:
    """Of rational numbers exactly, where they factor into small primes; else an opaque thing."""
    value = constant(inside)
    if value is None or (value < 0 and order != 2):
        return _opaque(f"root{order}", inside)
    if not value:
        return {}, _ONE
    number = abs(value.numerator) * value.denominator ** (order - 1)
    outside, factors, rest = 1, [], number
    for prime in _PRIMES:
        power = 0
        while rest % prime == 0:
            rest, power = rest // prime, power + 1
        outside *= prime ** (power // order)
        if power % order:
            factors.append((prime, power % order))
    whole = _integer_root(rest, order)
    if whole is not None:
        outside *= whole
    elif order == 2 and rest < _PRIMES[-1] ** 2:
        factors.append((rest, 1))
    else:
        return _opaque(f"root{order}", inside)
    scale = Fraction(outside, value.denominator)
    if order != 2:
        left = math.prod(prime**power for prime, power in factors)
        monomial: Monomial = ((f"{OPAQUE}root{order}({left})", 1),) if left > 1 else ()
        return {monomial: scale}, _ONE
    names = [f"√{prime}" for prime, _ in factors] + ["√-1"] * (value < 0)
    return {tuple(sorted((name, 1) for name in names)): scale}, _ONE


def _binomial(upper: Quotient, lower: Quotient) -> Quotient:
    r"""`\binom{a}{k}` for a small whole `k` as `a(a-1)...(a-k+1)/k!`; else an opaque thing."""
    n, k = constant(upper), constant(lower)
    if n is not None and k is not None and n.denominator == k.denominator == 1:
        if not 0 <= k <= n <= 1000:
            raise UndecidedError
        return _bounded({(): Fraction(math.comb(int(n), int(k)))}), _ONE
    if k is None or k.denominator != 1 or not 0 <= k <= 20:
        return _opaque(f"binom {_key(upper)}", lower)
    product: Quotient = (_ONE, _ONE)
    for step in range(int(k)):
        product = _times(product, _plus(upper, ({(): Fraction(-step)} if step else {}, _ONE)))
    return _times(product, ({(): Fraction(1, math.factorial(int(k)))}, _ONE))


def _integer_root(number: int, order: int) -> int | None:
    if order == 2:
        root = math.isqrt(number)
    elif number < 1 << 900:
        root = round(number ** (1 / order))
    else:
        return None
    return root if root**order == number else None


def _opaque(name: str, argument: Quotient) -> Quotient:
    return {((f"{OPAQUE}{name}({_key(argument)})", 1),): Fraction(1)}, _ONE


def _key(value: Quotient) -> str:
    return "/".join(
        " ".join(f"{factor}{monomial}" for monomial, factor in sorted(side.items()))
        for side in value
    )


_PRIMES = [n for n in range(2, 1000) if all(n % d for d in range(2, math.isqrt(n) + 1))]
