"""Values by their names: `x=3, y=-2` as a tuple, `p=7,q=2; p=5,q=3` as a list of tuples."""

from __future__ import annotations

import re

from environments.verification.parts import AND, NAME, split

_ROW = re.compile(r"\s*;\s*")
_OR = re.compile(r",?\s*\\text\{\s*or\s*\}\s*|\s*,?\s+or\s+")


def in_order(text: str, statement: str, alone: bool = False) -> str | None:
    """`x=3, y=-2` as `(3,-2)`: in the order of a `(x, y)` of the statement, else in that of the
    alphabet where the statement has every name, or `alone`: where there is no statement to ask."""
    values = _values(text)
    if values is None or len(values) < 2:
        return None
    for order in re.findall(r"\(\s*([a-zA-Z](?:\s*,\s*[a-zA-Z])+)\s*\)", statement):
        names = re.split(r"\s*,\s*", order)
        if sorted(values) == sorted(names):
            return f"({','.join(values[name] for name in names)})"
    known = all(
        re.search(
            rf"(?<![A-Za-z\\]){re.escape(name)}(?![A-Za-z])|(?<=[0-9]){re.escape(name)}", statement
        )
        for name in values
    )
    if alone or known:
        return f"({','.join(values[name] for name in sorted(values))})"
    return None


def rows(text: str) -> list[str] | None:
    """The tuples of `p=7,q=2; p=5,q=3`, each in the order of its names, or None where it is no such list."""
    if text.count("=") < 4:
        return None
    pieces = _ROW.split(text) if ";" in text else _OR.split(text)
    found = [_values(piece) for piece in pieces]
    if len(found) < 2 or any(not values or len(values) < 2 for values in found):
        return None
    names = {tuple(sorted(values)) for values in found if values}
    if len(names) != 1:
        return None
    return [f"({','.join(values[name] for name in sorted(values))})" for values in found if values]


def _values(text: str) -> dict[str, str] | None:
    """The value of each name, None where a part is no assignment or a name comes twice."""
    parts = split(AND.sub(",", text), inside=False)
    if parts is None:
        return None
    values: dict[str, str] = {}
    for part in parts:
        named = NAME.match(part)
        if named is None or named.group(1) in values or "=" in part[named.end() :]:
            return None
        values[named.group(1)] = part[named.end() :]
    return values
