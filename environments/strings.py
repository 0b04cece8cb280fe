"""Strings of digits, turned and rearranged: a world with a frontier.

A problem names an operation, or two, and a string: `reverse 7753528`; its solution is the resulting
string alone, `8253577`. `reverse negate 123` reverses what negating 123 gives. The level is the length
of the string that is given. No answer of six digits or more is hit by luck (a sorted one at best once in
1,400 tries), and a Solver that was taught short strings meets a graded frontier: lengths that it masters,
lengths within reach, lengths at which it never succeeds.
Why compositions are among the families: arXiv 2509.25123 (new compositions of known functions are
learned by reinforcement learning).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from environments.base import Diagnosis, Direction, Environment, Malformed, Problem, Verdict

LONGEST = 64  # digits
LEVELS = (3, 14)
MARGIN = 6  # digits: what others write may be so much longer than the longest string drawn here

Operation = Callable[[str], str]


def _interleave(digits: str) -> str:
    """The first half's digits between the second's; the first half is the longer one."""
    half = (len(digits) + 1) // 2
    return "".join(a + b for a, b in zip_longest(digits[:half], digits[half:], fillvalue=""))


OPERATIONS: dict[str, Operation] = {
    "reverse": lambda digits: digits[::-1],
    "duplicate": lambda digits: "".join(digit + digit for digit in digits),
    "rotate": lambda digits: digits[1:] + digits[:1],
    "interleave": _interleave,
    "sort": lambda digits: "".join(sorted(digits)),
    "negate": lambda digits: "".join(str(9 - int(digit)) for digit in digits),
}
# Whatever these make of a string, sorting it comes to the same: `sort reverse` would be no composition.
REARRANGING = ("reverse", "rotate", "interleave")

FAMILIES = (
    *OPERATIONS,
    *(
        f"{f} {g}"
        for f in OPERATIONS
        for g in OPERATIONS
        if f != g and not (f == "sort" and g in REARRANGING)
    ),
)

_STATEMENT = re.compile(r"([a-z]+(?: [a-z]+)?) ([0-9]+)")
_DIGITS = re.compile(r"[0-9]+")


def apply(family: str, digits: str) -> str:
    """What the operation makes of the string; of two, the last is done first."""
    for name in reversed(family.split(" ")):
        digits = OPERATIONS[name](digits)
    return digits


# Strings of which every family that does something else makes something else.
_PROBES = ("10472", "583019")
_MADE = {family: [apply(family, probe) for probe in _PROBES] for family in FAMILIES}
# The first family that does the same: `reverse negate` is `negate reverse`.
SAME = {f: next(g for g in FAMILIES if _MADE[g] == _MADE[f]) for f in FAMILIES}
# Families that undo themselves: done twice, nothing is done.
INVOLUTIONS = [f for f in FAMILIES if [apply(f, made) for made in _MADE[f]] == [*_PROBES]]


class Strings(Environment):
    """Operations on strings of digits, exactly solved and judged.

    `families` are operations or pairs of different ones (`reverse`, `reverse negate`); `levels` are the
    shortest and the longest string that are drawn; others may write shorter ones, and such as are
    up to `MARGIN` digits longer. Raises `ValueError` that names what does not fit.
    """

    name = "strings"

    def __init__(self, families: Sequence[str] = FAMILIES, levels: Sequence[int] = LEVELS) -> None:
        if not isinstance(families, list | tuple) or not families:
            raise ValueError(f"families={families!r}: write a list, such as [reverse, rotate]")
        for family in families:
            if family not in FAMILIES:
                near = difflib.get_close_matches(str(family), FAMILIES, n=1)
                raise ValueError(
                    f"families: there is no {family!r}{f'; did you mean {near[0]!r}?' if near else ''} "
                    f"(one of {', '.join(OPERATIONS)}, or two such as 'reverse negate'; not one twice, "
                    f"and not sort after {', '.join(REARRANGING)})"
                )
        if len(set(families)) < len(families):
            raise ValueError(f"families={list(families)}: each may stand there once")
        pair = levels if isinstance(levels, list | tuple) else ()
        if [type(level) for level in pair] != [int, int] or not 1 <= levels[0] <= levels[
            1
        ] <= LONGEST:
            raise ValueError(
                f"levels={levels!r}: write the shortest and the longest string, from 1 to {LONGEST} "
                f"digits, such as {list(LEVELS)}"
            )
        self.families, self.levels = tuple(families), range(levels[0], levels[1] + 1)
        self.longest = min(levels[1] + MARGIN, LONGEST)

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        level = int(difficulty["level"])
        family = family or self.families[rng.integers(len(self.families))]
        if family not in self.families or level not in self.levels:
            raise ValueError(f"no family {family!r} at level {level}: {self._range()}")
        return _problem(family, "".join(map(str, rng.integers(0, 10, size=level))))

    def prompt(self, problem: Problem) -> str:
        return f"{problem.statement}="

    def parse_problem(self, text: str) -> Problem | Malformed:
        text = text.removesuffix("=")
        match = _STATEMENT.fullmatch(text)
        if match is None:
            return Malformed(reason="syntax", detail=text[:80])
        family, digits = match.groups()
        if family not in self.families:
            return Malformed(reason="family", detail=family[:80])
        if not 1 <= len(digits) <= self.longest:
            detail = f"{len(digits)} digits, and {self.longest} at most can be written"
            return Malformed(reason="level", detail=detail)
        return _problem(family, digits)

    def verify(self, problem: Problem, text: str) -> Verdict:
        if len(text) > 2 * LONGEST or not _DIGITS.fullmatch(text):
            return Verdict(status="unparseable", detail="not a string of digits alone")
        return Verdict(status="correct" if text == problem.answer else "wrong", answer=text)

    def solve(self, problem: Problem) -> str | None:
        parsed = self.parse_problem(problem.statement)
        return None if isinstance(parsed, Malformed) else parsed.solution

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        """The first character that is not the digit due: another digit, none, or one too many."""
        due = self.solve(problem)
        if due is None or text == due:
            return None
        at = next(i for i in range(len(due) + 1) if text[i : i + 1] != due[i : i + 1])
        end = min(at + 1, len(text))
        found, wanted = text[at:end], due[at : at + 1]
        if found and not _DIGITS.fullmatch(found):
            return Diagnosis(step=at, kind="format", detail=f"{found!r} is no digit", end=end)
        if found and wanted:
            detail = f"{found!r} instead of {wanted!r}"
            return Diagnosis(step=at, kind="calculation", detail=detail, end=end)
        detail = f"{len(text)} characters instead of {len(due)}"
        return Diagnosis(step=at, kind="structure", detail=detail, end=end)

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        """Another string for the same operation: of the same length, or a digit shorter or longer."""
        shift = {"easier": -1, "harder": 1}.get(direction, 0)
        level = min(max(problem.level + shift, self.levels[0]), self.levels[-1])
        while (variant := self.sample(rng, {"level": level}, problem.family)).id == problem.id:
            pass
        return variant

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        return {"level": len(problem.statement.rpartition(" ")[2])}

    def signature(self, problem: Problem) -> str:
        """The problem in the words of the first family that does the same; where that undoes itself,
        of the problem and the one that asks for its string the smaller."""
        family, digits = SAME[problem.family], problem.statement.rpartition(" ")[2]
        if family in INVOLUTIONS:
            digits = min(digits, apply(family, digits))
        return f"{family} {digits}"

    def only_completion(self, problem: Problem) -> str | None:
        return self.solve(problem)

    def beyond(self) -> list[Problem]:
        if self.longest == self.levels[-1]:
            return []
        return [_problem(family, "0" * self.longest) for family in self.families]

    def _range(self) -> str:
        families = ", ".join(self.families[:8]) + (", …" if len(self.families) > 8 else "")
        return f"families {families}; levels {self.levels[0]} to {self.levels[-1]}"


def _problem(family: str, digits: str) -> Problem:
    answer = apply(family, digits)
    return Problem(
        domain=Strings.name,
        family=family,
        statement=f"{family} {digits}",
        answer=answer,
        solution=answer,
        difficulty={"level": len(digits)},
    )
