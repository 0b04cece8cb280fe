r"""The columns of problem files: what MATH, GSM8K and files of one's own call statement and answer.

The statement is `problem`, `question` or `statement`. The answer is `answer` or `final_answer`; as in
MATH it may stand in `solution` alone, in `\boxed{}`; as in GSM8K `answer` may be a worked solution
with `#### 18` on its last line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from environments.data_files import Fields, quoted, shown
from environments.verification.answers import canonical, equal
from environments.verification.extract import boxed, final_answer

STATEMENT = ("problem", "question", "statement")
ANSWER = ("answer", "final_answer")
LONGEST_STATEMENT = 8000  # characters
LONGEST_SOLUTION = 100_000  # characters
MOST_DIGITS = 400  # of a number that is not written as a text

_BREAKS = dict.fromkeys([0x0B, 0x0C, 0x85, 0x2028, 0x2029], "\n")
_SPACES = dict.fromkeys([0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
_NOTHING = dict.fromkeys([0xAD, 0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])  # no width
_WHITE = {**_BREAKS, **_SPACES, **_NOTHING}
_HASHES = re.compile(r"^[ \t]*####(?!#)", re.MULTILINE)


def tidy(text: str) -> str:
    """The text with every kind of space and line break as the plain one, and without characters
    of no width; without what stands around it."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_WHITE).strip()


def text(name: str, value: Any, where: str, longest: int | None = None) -> str:
    """A field's text, tidied. Raises `ValueError` if it is none, too long, or holds a character
    that cannot be printed, such as control characters and marks of direction."""
    found = tidy(value) if isinstance(value, str) else ""
    if not found or (longest is not None and len(found) > longest):
        size = "" if longest is None else f" of 1 to {longest} characters"
        raise ValueError(f'{where}: "{name}" must be a text{size}, found {shown(value)}')
    if not found.isprintable():
        bad = next((c for c in found if not c.isprintable() and c not in "\t\n"), None)
        if bad is not None:
            raise ValueError(f'{where}: "{name}" holds the unprintable character {bad!r}')
    return found


def number_or_text(name: str, value: Any, where: str) -> str:
    """A field's text, or its number as text: `27` of 27.0."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f'{where}: "{name}" must be a text or a number, found {shown(value)}')
    if isinstance(value, float | Decimal):
        number = Decimal(str(value))
        if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
            raise ValueError(f'{where}: "{name}" must be a number, found {value}')
        return str(int(number)) if number == int(number) else format(number, "f")
    return text(name, str(value), where)


def pick(fields: Fields, names: Sequence[str], where: str) -> tuple[str, Any]:
    """Name and value of the one of the fields that is there; several must say the same."""
    there = [name for name in names if fields.get(name) is not None]
    if not there:
        expected = " or ".join(f'"{name}"' for name in names)
        found = ", ".join(quoted(name) for name in list(fields)[:12]) or "none"
        raise ValueError(f"{where}: expected the field {expected}, found {found}")
    for name in there[1:]:
        if _plain(fields[name]) != _plain(fields[there[0]]):
            raise ValueError(
                f'{where}: "{there[0]}" and "{name}" say different things; remove the one that is '
                "not meant"
            )
    return there[0], fields[there[0]]


def _plain(value: Any) -> str:
    return " ".join(str(value).split())


def statement(fields: Fields, where: str, longest: int | None = None) -> str:
    """The question. Raises `ValueError` if there is none, or two that differ."""
    name, value = pick(fields, STATEMENT, where)
    return text(name, value, where, longest).replace("\t", " ")


def solution(fields: Fields, where: str) -> str | None:
    """The worked solution, or None: `solution`, else the text before `####` in `answer`."""
    if fields.get("solution") is not None:
        return text("solution", fields["solution"], where, LONGEST_SOLUTION)
    worked = fields.get("answer")
    if not isinstance(worked, str) or not _HASHES.search(tidy(worked)):
        return None
    before = _HASHES.split(text("answer", worked, where, LONGEST_SOLUTION))[0].strip()
    return before or None


def answer(fields: Fields, where: str) -> str | None:
    r"""The reference answer, or None: as it is given, after `####` in it, or boxed in `solution`.

    Raises `ValueError` where a solution without an answer beside it has boxes that differ.
    """
    if all(fields.get(name) is None for name in ANSWER):
        worked = solution(fields, where)
        return None if worked is None else concluded(worked, where)
    name, value = pick(fields, ANSWER, where)
    found = number_or_text(name, value, where)
    if isinstance(value, str) and _HASHES.search(found):
        return after_hashes(found, where)
    return found


def after_hashes(worked: str, where: str) -> str:
    """What stands after `####` on the last line of a GSM8K solution."""
    found = _HASHES.split(worked)
    last = found[-1].strip()
    if len(found) < 2 or not last or "\n" in last:
        raise ValueError(
            f'{where}: "answer" must end in a line such as #### 18, found ...{worked[-40:]!r}'
        )
    return last


def concluded(worked: str, where: str) -> str | None:
    """The one final answer of a solution, None if it states none; of equal boxes the last."""
    boxes = boxed(worked)
    if boxes is None:
        raise ValueError(f'{where}: "solution" has a \\boxed that is never closed')
    if len(boxes) < 2:
        return final_answer(worked) or next(iter(boxes), None)
    read = [canonical(box) for box in boxes]
    if all(one and read[0] and equal(read[0], one) for one in read):
        return boxes[-1]
    told = ", ".join(shown(box) for box in boxes[:3])
    raise ValueError(f'{where}: "solution" has {len(boxes)} boxes that differ: {told}')


def level(value: Any, where: str) -> int | None:
    """A whole number, also as `Level 3`; None where there is none, or `Level ?`."""
    if value is None or (isinstance(value, str) and not re.search("[0-9]", value)):
        return None
    match = re.fullmatch(r"(?:Level\s*)?([0-9]{1,3})(?:\.0)?", str(value).strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f'{where}: "level" must be a whole number, found {shown(value)}')
    return int(match.group(1))


def refuse_unknown(
    names: Sequence[str], known: Sequence[str], where: str, strict: bool = True
) -> None:
    """Raises `ValueError` for a name that is not known; without `strict` only for one that looks
    like a misspelt name that is missing: other columns are no matter."""
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if strict else 0.8)
        if strict or (near and near[0] not in names and "_" not in name):
            hint = f'did you mean "{near[0]}"? ' if near else ""
            raise ValueError(
                f"{where}: unknown field {quoted(name)}; {hint}known are {', '.join(known)}"
            )
