"""What a question demands of an answer beside its value: not to repeat it, and a certain form."""

from __future__ import annotations

import re
from fractions import Fraction

from environments.verification import (
    algebra,
    expressions,
    forms,
    numerals,
    options,
    relations,
    shapes,
    stated,
)
from environments.verification.kinds import Answer
from environments.verification.sentences import instructions
from environments.verification.spelling import normalised, squeezed
from environments.verification.trees import Tree

_FACTOR = re.compile(
    r"(?:^|[.,:;]\s*|\b(?:and|please|fully|completely|to|can you|now"
    r"|then)\s+)factor(?:i[sz]e)?\b|\bfactored\b|\bfactori[sz]ation of\b|\bas a product of\b",
    re.I,
)
_EXPAND = re.compile(r"\bexpand(?:ed)?\b|\bmultiply out\b", re.IGNORECASE)
_DECIMAL = re.compile(r"\b(?:as|in|into|to) (?:a )?decimal", re.IGNORECASE)
_FRACTION = re.compile(
    r"\b(?:as|in|into|to) (?:a |an )?(?:common |reduced |simplified |irreducible |improper "
    r")?fraction\b",
    re.IGNORECASE,
)
_LOWEST = re.compile(
    r"lowest terms|simplest (?:radical )?(?:form|terms)|(?:common|reduced|simplified"
    r"|irreducible) fraction"
    r"|\b(?:simplify|simplified|reduced?|simplification)\b",
    re.IGNORECASE,
)
_MIXED = re.compile(r"\bmixed (?:number|numeral|fraction)", re.IGNORECASE)
_IMPROPER = re.compile(r"\bimproper fraction", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"\b(?:scientific|standard) notation\b", re.IGNORECASE)
_POWERS = re.compile(
    r"\bas (?:a |an )?(?:single )?(?:power|exponent)|\bexponential form|\bprime factori"
    r"|\bproduct of (?:its )?(?:prime|powers)|\bpower of [0-9$]",
    re.IGNORECASE,
)
_RATIONALISE = re.compile(
    r"\brationali[sz]e|\brational denominator|simplest radical form", re.IGNORECASE
)
_PARTIAL = re.compile(r"\bpartial[- ]fractions?", re.IGNORECASE)
_SINGLE = re.compile(
    r"\bsingle (?:log|trig|fraction|expression|term)|\bcondense\b|\bcombine\b", re.IGNORECASE
)
_FORM = re.compile(
    r"\b(?:standard|vertex|slope[- ]intercept|point[- ]slope|general|center[- ]radius|factored"
    r"|expanded|intercept|canonical) form\b|\bin (?:the |a )form\b"
    r"|\bof (?:the )?form \$|\bcomplet\w+ the square",
    re.IGNORECASE,
)
_SOLVE = re.compile(
    r"\bsolve\b.*\bfor\b|\bin terms of\b|\bisolate\b|\bmake \$?\w+\$? the subject", re.IGNORECASE
)
_WRITTEN_FRACTION = re.compile(
    r"(?<![0-9.])([0-9]+)\s*/\s*([0-9]+)|\\[dt]?frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}"
)


def refusal(
    gold: Answer, prediction: Answer, written: str, statement: str, reference: str = ""
) -> str | None:
    """Why an answer of the right value is not paid, or None: it repeats the question, is not worked
    out, or has another form than the question asks for. `written` is the answer's own text,
    `reference` that of the reference answer."""
    if (
        prediction.kind == "fraction"
        and gold.kind != "fraction"
        and gold.value is not None
        and gold.value.denominator == 1
    ):
        terms = {term for pair in _fractions(normalised(written)) for term in pair}
        stated_value = any(
            int(b) and Fraction(int(a), int(b)) == gold.value for a, b in _fractions(statement)
        )
        if not statement or stated_value or terms <= set(re.findall("[0-9]+", statement)):
            return "not worked out"
    if not statement or (prediction.text == gold.text and prediction.value is None):
        return None
    asked, body = instructions(statement), options.question_part(statement)
    if prediction.value is not None:
        if gold.value is None and _POWERS.search(asked):
            return "not as a power"
        return _number_refusal(prediction, written, body, asked, reference)
    if repeats(prediction, body):
        return "part of the question"
    left, right = expressions.tree(gold.text), expressions.tree(prediction.text)
    if left is None or right is None:
        return None
    try:
        return _form_refusal(left, right, body, asked)
    except algebra.UndecidedError:
        return None


def _form_refusal(gold: Tree, prediction: Tree, statement: str, asked: str) -> str | None:
    """Of expressions that are equal: a form that the question asks for and only the first has."""
    if gold[0] == "rel" or prediction[0] == "rel":
        form = _FORM.search(asked) or _SOLVE.search(asked) or _is_stated(gold, statement)
        return "another form" if form and not relations.same_form(gold, prediction) else None
    if _FACTOR.search(asked) and forms.factors(gold) is not None:
        if not forms.same_factors(gold, prediction):
            return "not factored"
        if shapes.primitive_factors(gold) and not shapes.primitive_factors(prediction):
            return "not factored"
    if _POWERS.search(asked) and gold[0] == "^" and prediction[0] != "^":
        return "not as a power"
    if _POWERS.search(asked) and (primes := shapes.prime_factors(gold)) is not None:
        return None if primes == shapes.prime_factors(prediction) else "other factors"
    left_over = forms.has_product_of_sums(prediction) or forms.unevaluated(prediction)
    if _EXPAND.search(asked) and left_over and not forms.has_product_of_sums(gold):
        return "not expanded"
    if _PARTIAL.search(asked) and shapes.fractions_in_sum(prediction) < shapes.fractions_in_sum(
        gold
    ):
        return "not in partial fractions"
    if _LOWEST.search(asked):
        for holds in (shapes.is_reduced, shapes.has_simple_roots):
            if holds(gold) and not holds(prediction):
                return "not simplified"
    if _RATIONALISE.search(asked) and shapes.has_root_below(prediction) > shapes.has_root_below(
        gold
    ):
        return "a root in a denominator"
    if (_LOWEST.search(asked) or _SINGLE.search(asked)) and shapes.calls(prediction) > shapes.calls(
        gold
    ):
        return "not combined"
    if _EXPAND.search(asked) and shapes.calls(prediction) < shapes.calls(gold):
        return "not expanded"
    wanted, found = shapes.sums(gold), shapes.sums(prediction)
    if _FORM.search(asked) and not _FACTOR.search(asked) and found != wanted:
        return "another form"
    for tree in stated.whole(statement):
        if tree[0] != "rel" and (found - wanted) & shapes.sums(tree) and algebra.equal(tree, gold):
            return "left as the question has it"
    return None


def _is_stated(gold: Tree, statement: str) -> bool:
    """Whether the question has the same relation, in another form: then the form is what it asks for."""
    return any(
        tree[0] == "rel" and tree[1] and relations.same(tree, gold) == "correct"
        for tree in stated.whole(statement)
    )


def _number_refusal(
    prediction: Answer, written: str, statement: str, asked: str, reference: str
) -> str | None:
    value = prediction.value
    assert value is not None
    whole = value.denominator == 1
    if _MIXED.search(asked) and not whole and _is_mixed(reference) and not _is_mixed(written):
        return "not a mixed number"
    if (
        _IMPROPER.search(asked)
        and not whole
        and (_is_mixed(written) or prediction.kind != "fraction")
    ):
        return "not an improper fraction"
    if _SCIENTIFIC.search(asked) and _is_scientific(reference) and not _is_scientific(written):
        return "not in scientific notation"
    if prediction.kind == "fraction":
        terms = _fractions(normalised(written))
        reducible = any(
            numerals.written(value) and int(a) != abs(value.numerator) for a, _ in terms
        )
        if reducible and terms & _fractions(statement):
            return "part of the question"
        if reducible and _LOWEST.search(asked) and len(terms) == 1 and not _is_mixed(written):
            return "not in lowest terms"
        if _DECIMAL.search(asked) and not whole:
            return "not a decimal"
    decimals = re.findall(r"[0-9]*\.[0-9]+", statement) if prediction.kind == "decimal" else []
    if _FRACTION.search(asked) and value in {Fraction(found) for found in decimals}:
        return "part of the question"
    if squeezed(written) == squeezed(reference):
        return None
    if "10" in written and "^" in normalised(written) and squeezed(written) in squeezed(statement):
        return "part of the question"
    return None


def _fractions(text: str) -> set[tuple[str, str]]:
    return {(a or c, b or d) for a, b, c, d in _WRITTEN_FRACTION.findall(text)}


def _is_mixed(written: str) -> bool:
    written = normalised(written)
    return (
        re.search(r"[0-9]\s*\\[dt]?frac|[0-9]\s+[0-9]+\s*/|[0-9]\s*[½⅓⅔¼¾⅕⅖⅗⅘⅛⅜⅝⅞]", written)
        is not None
    )


def _is_scientific(written: str) -> bool:
    """Whether a number is written with one digit other than 0 before the point, times a power of ten."""
    text = squeezed(written)
    return (
        re.fullmatch(
            r"-?(?:[1-9](?:\.[0-9]+)?(?:(?:\\times|\\cdot|\*|x)10\^\{?[-+]?[0-9]+\}?"
            r"|[eE][-+]?[0-9]+)|10\^\{?[-+]?[0-9]+\}?).*",
            text,
        )
        is not None
    )


def repeats(prediction: Answer, statement: str) -> bool:
    """Whether an expression stands in the statement, possibly with its parts in another order."""
    if prediction.value is not None:
        return False
    if re.sub(r"\s", "", prediction.text) in squeezed(statement):
        return True
    tree = expressions.tree(prediction.text)
    if tree is None or tree[0] in ("v", "c", "n"):
        return False
    return forms.ordered(tree) in stated.parts(statement)
