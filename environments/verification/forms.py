"""The form of an answer: whether it is worked out, and whether it is the form a question asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from environments.base import Status
from environments.verification import algebra, expressions, numerals, units
from environments.verification.kinds import Answer
from environments.verification.spelling import normalised, squeezed
from environments.verification.trees import Tree

_FACTOR = re.compile(
    r"(?:^|[.,:;]\s*|\b(?:and|please|fully|completely)\s+)factor(?:i[sz]e)?\b|\bfactored\b", re.I
)
_EXPAND = re.compile(r"\bexpand(?:ed)?\b", re.IGNORECASE)
_DECIMAL = re.compile(r"\b(?:as|in|into|to) (?:a )?decimal", re.IGNORECASE)
_FRACTION = re.compile(
    r"\b(?:as|in|into|to) (?:a |an )?(?:common |reduced |simplified |irreducible |improper )?fraction\b",
    re.IGNORECASE,
)
_LOWEST = re.compile(
    r"lowest terms|simplest (?:form|terms)|(?:common|reduced|simplified|irreducible) fraction"
    r"|\b(?:simplify|reduce)\b",
    re.IGNORECASE,
)
_MATHEMATICS = re.compile(
    r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]"
    r"|((?:[0-9A-Za-z^(){}\\]|[-+*/ ](?=[^A-Za-z]|[A-Za-z]\b))+)",
    re.DOTALL,
)
_LONGEST_QUESTION = 4000  # characters that are searched for mathematics
_WRITTEN_FRACTION = re.compile(
    r"(?<![0-9.])([0-9]+)\s*/\s*([0-9]+)|\\[dt]?frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}"
)


def refusal(gold: Answer, prediction: Answer, written: str, statement: str) -> str | None:
    """Why an answer of the right value is not paid, or None: it repeats the question, is not worked
    out, or has another form than the question asks for. `written` is the answer's own text."""
    if prediction.kind == "fraction" and gold.kind != "fraction" and gold.text == str(gold.value):
        terms = {term for pair in _fractions(normalised(written)) for term in pair}
        if not statement or terms <= set(re.findall("[0-9]+", statement)):
            return "not worked out"
    if not statement:
        return None
    asked = units.question(statement)
    if prediction.value is not None:
        return _number_refusal(prediction, written, statement, asked)
    if prediction.text != gold.text and repeats(prediction, statement):
        return "part of the question"
    left, right = expressions.tree(gold.text), expressions.tree(prediction.text)
    if left is None or right is None or prediction.text == gold.text:
        return None
    if _FACTOR.search(asked) and _factors(left) is not None and not _same_factors(left, right):
        return "not factored"
    if _EXPAND.search(asked) and (_has_product_of_sums(right) or unevaluated(right)):
        return "not expanded"
    return None


def _number_refusal(prediction: Answer, written: str, statement: str, asked: str) -> str | None:
    value = prediction.value
    assert value is not None
    if prediction.kind == "fraction":
        terms = _fractions(normalised(written))
        reducible = any(
            numerals.written(value) and int(a) != abs(value.numerator) for a, _ in terms
        )
        if reducible and terms & _fractions(statement):
            return "part of the question"
        if reducible and _LOWEST.search(asked) and len(terms) == 1 and not _is_mixed(written):
            return "not in lowest terms"
        if _DECIMAL.search(asked) and value.denominator != 1:
            return "not a decimal"
    decimals = re.findall(r"[0-9]*\.[0-9]+", statement) if prediction.kind == "decimal" else []
    if _FRACTION.search(asked) and value in {Fraction(found) for found in decimals}:
        return "part of the question"
    if "10" in written and "^" in normalised(written) and squeezed(written) in squeezed(statement):
        return "part of the question"
    return None


def _fractions(text: str) -> set[tuple[str, str]]:
    return {(a or c, b or d) for a, b, c, d in _WRITTEN_FRACTION.findall(text)}


def _is_mixed(written: str) -> bool:
    return re.search(r"[0-9]\s*\\[dt]?frac|[0-9]\s+[0-9]+\s*/", written) is not None


def repeats(prediction: Answer, statement: str) -> bool:
    """Whether an expression stands in the statement, possibly with its parts in another order."""
    if prediction.value is not None:
        return False
    if re.sub(r"\s", "", prediction.text) in squeezed(statement):
        return True
    tree = expressions.tree(prediction.text)
    if tree is None or tree[0] in ("v", "c", "n"):
        return False
    return _ordered(tree) in _stated(statement[:_LONGEST_QUESTION])


@lru_cache(maxsize=256)
def _stated(statement: str) -> frozenset[Tree]:
    """Every compound expression that is written in a statement, its parts in one order."""
    found: set[Tree] = set()
    for match in list(_MATHEMATICS.finditer(statement))[:50]:
        text = next((part for part in match.groups() if part is not None), "")
        for side in re.split(r"=|,|\?|\.(?![0-9])|<|>", text)[:10]:
            written = expressions.canonical(normalised(side)) if len(side) <= 200 else None
            tree = None if written is None else expressions.tree(written)
            if tree is not None and tree[0] != "rel":
                found.update(_ordered(part) for part in _parts(tree) if part[0] not in "vcn")
    return frozenset(found)


def _parts(tree: Tree) -> Iterator[Tree]:
    yield tree
    for part in tree[1:]:
        if isinstance(part, tuple):
            for inner in [part] if isinstance(part[0], str) else part:
                yield from _parts(inner)


def _ordered(tree: Tree) -> Tree:
    """The tree with the terms of sums and the factors of products in one order."""
    if tree[0] == "^" and tree[2][0] == "/" and tree[2][1] == ("n", 1, 1):
        tree = ("root", tree[2][2][1], tree[1])
    parts = [
        part
        if not isinstance(part, tuple)
        else _ordered(part)
        if isinstance(part[0], str)
        else tuple(sorted(map(_ordered, part), key=repr))
        for part in tree[1:]
    ]
    return (tree[0], *parts)


def adds_functions(gold: Tree, prediction: Tree) -> bool:
    """Whether functions are left to be worked out: in a constant any that the reference answer has
    not, in other expressions those of a family of which it has none."""
    left, right = expressions.functions(gold), expressions.functions(prediction)
    if not right - left:
        return False
    if not left or not any(part[0] == "v" for part in _parts(gold)):
        return True
    return (right <= {"ln"}) != (left <= {"ln"})


def unevaluated(tree: Tree) -> int:
    """How many sums, products and powers could be worked out: `2+3`, `2x+3x`, `2·3`, `2^3`."""
    nested = sum(unevaluated(part) for part in _children(tree))
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
        nested += (tree[1][0] == "n" and tree[2][0] == "n") or tree[2] == ("n", 1, 1)
    elif kind == "root" and _is_number(tree[2]):
        nested += _generators(tree) <= {"√-1"}
    elif kind == "binom" or tree[:2] == ("f", "fact"):
        nested += all(_is_number(part) for part in _children(tree))
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
    inside = tree[0] == "/" and any(part[0] == "v" for part in _parts(tree[2]))
    inverse = tree[0] == "^" and tree[2][0] == "neg" and any(p[0] == "v" for p in _parts(tree[1]))
    return inside or inverse or any(map(divides_by_variables, _children(tree)))


def _is_complex(tree: Tree) -> bool:
    return ("c", "i") in _parts(tree)


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
    if any(part[0] == "+" for part in _parts(tree)):
        return None
    try:
        top, bottom = algebra.quotient(tree)
    except algebra.UndecidedError:
        return None
    if len(top) != 1 or len(bottom) != 1 or () not in bottom:
        return None
    return next(iter(top))


def _factors(tree: Tree) -> list[Tree] | None:
    """The factors of a product or power, None where the expression is neither."""
    kind = tree[0]
    if kind == "neg":
        return _factors(tree[1])
    if kind == "*":
        return [part for factor in tree[1] for part in (_factors(factor) or [factor])]
    if kind == "^" and tree[2][0] == "n" and tree[2][2] == 1 and tree[2][1] <= 20:
        return (_factors(tree[1]) or [tree[1]]) * tree[2][1]
    return None


def _same_factors(gold: Tree, prediction: Tree) -> bool:
    """Whether two products have the same factors, each up to a rational number."""
    wanted, found = ([
        algebra.quotient(factor)[0] for factor in _factors(tree) or [tree] if not _is_number(factor)
    ] for tree in (gold, prediction))  # fmt: skip
    if len(wanted) != len(found):
        return False
    for factor in wanted:
        match = next((f for f in found if algebra.proportion(factor, f) is not None), None)
        if match is None:
            return False
        found.remove(match)
    return True


def _has_product_of_sums(tree: Tree) -> bool:
    kind = tree[0]
    if kind in ("*", "^") and any(part[0] == "+" for part in _children(tree)):
        return True
    return any(_has_product_of_sums(part) for part in _children(tree))


def same_relation(gold: Tree, prediction: Tree) -> Status:
    """Equations and inequalities: equal up to a factor, in any order; `y = E` is also `E`."""
    if gold[0] != "rel" or prediction[0] != "rel":
        named, bare = (gold, prediction) if gold[0] == "rel" else (prediction, gold)
        if named[1] != ("=",) or named[2][0][0] != "v" or named[2][0] in _parts(bare):
            return "wrong"
        if unevaluated(prediction if named is gold else named[2][1]) > unevaluated(
            named[2][1] if named is gold else gold
        ):
            return "wrong"
        return "correct" if algebra.equal(named[2][1], bare) else "wrong"
    left, right = _normal(gold), _normal(prediction)
    if left is None or right is None or len(left) != len(right):
        return "wrong"
    for operator, top in left:
        match = next((r for r in right if r[0] == operator and _scaled(operator, top, r[1])), None)
        if match is None:
            return "wrong"
        right.remove(match)
    return "correct"


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
