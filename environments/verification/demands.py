"""What a question demands of an answer beside its value: not to repeat it, and a certain form."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from environments.verification import expressions, forms, numerals, units
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
    if (
        _FACTOR.search(asked)
        and forms.factors(left) is not None
        and not forms.same_factors(left, right)
    ):
        return "not factored"
    if _EXPAND.search(asked) and (forms.has_product_of_sums(right) or forms.unevaluated(right)):
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
    return forms.ordered(tree) in _stated(statement[:_LONGEST_QUESTION])


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
                found.update(
                    forms.ordered(part) for part in forms.parts(tree) if part[0] not in "vcn"
                )
    return frozenset(found)
