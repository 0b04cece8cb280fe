"""The mathematics that a statement writes: what an answer must not merely repeat."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.verification import expressions, forms
from environments.verification.spelling import normalised
from environments.verification.trees import Tree

_MATHEMATICS = re.compile(
    r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]"
    r"|((?:[0-9A-Za-z^(){}\\]|[-+*/ ](?=[^A-Za-z]|[A-Za-z]\b))+)",
    re.DOTALL,
)
_LONGEST = 4000  # characters of a statement that are searched


@lru_cache(maxsize=256)
def whole(statement: str) -> tuple[Tree, ...]:
    """Every expression and relation that is written in a statement, as it stands there."""
    found: list[Tree] = []
    for match in list(_MATHEMATICS.finditer(statement[:_LONGEST]))[:50]:
        text = next((part for part in match.groups() if part is not None), "").strip(" .,?")
        sides = re.split(r"=|<|>|\\leq?(?![a-z])|\\geq?(?![a-z])", text)
        for piece in [text, *sides][:10] if len(sides) > 1 else [text]:
            for each in [piece, *re.split(r",|\?|\.(?![0-9])", piece)][:10]:
                written = expressions.canonical(normalised(each)) if len(each) <= 200 else None
                tree = None if written is None else expressions.tree(written)
                if tree is not None and tree[0] not in "vcn":
                    found.append(tree)
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=256)
def parts(statement: str) -> frozenset[Tree]:
    """Every compound expression in them, its own parts in one order."""
    return frozenset(
        forms.ordered(part)
        for tree in whole(statement)
        for part in forms.parts(tree)
        if part[0] not in "vcn" and part[0] != "rel"
    )
