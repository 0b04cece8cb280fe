"""Chains of sums and products over small integers: the tiny model's world.

A problem is an expression such as `(7+5)*3-8`. Its worked solution writes one operation a
step, in the order of evaluation, then the answer: `7+5=12;12*3=36;36-8=28#28`. The level is the
number of operands. Problems drawn here have intermediate values from 0 to 999, so a guess is right
once in several hundred times; problems that others write may also go below zero, to -999. A
recursive-descent parser reads and evaluates; nothing is ever passed to `eval`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from environments.base import Diagnosis, Direction, Environment, Malformed, Problem, Verdict

LARGEST_OPERAND = 99
LARGEST_VALUE = 999
LONGEST_STATEMENT = 64
LONGEST_COMPLETION = 512

FAMILIES = ("sums", "differences", "products", "mixed", "bracketed")
LEVELS = range(2, 9)
LOWEST_LEVEL = {"mixed": 3, "bracketed": 3}

_TOKEN = re.compile(r"\d+|[-+*()]")
_ANSWER = re.compile(r"#(0|-?[1-9][0-9]{0,11})\Z")
_INTEGER = r"(0|-?[1-9][0-9]{0,11})"
_STEP = re.compile(_INTEGER + r"([-+*])" + _INTEGER + "=" + _INTEGER + r"\Z")


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: `12-5=7`."""

    left: int
    operator: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left}{self.operator}{self.right}={self.result}"


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed statement: its tokens, its steps in order of evaluation, its value."""

    tokens: tuple[str, ...]
    steps: tuple[Step, ...]
    value: int

    @property
    def operands(self) -> int:
        return sum(token.isdigit() for token in self.tokens)

    @property
    def natural(self) -> bool:
        """Whether no step goes below zero."""
        return all(step.result >= 0 for step in self.steps)

    @property
    def family(self) -> str:
        present = set(self.tokens)
        if "(" in present:
            return "bracketed"
        if "*" in present:
            return "mixed" if "-" in present else "products"
        return "differences" if "-" in present else "sums"

    @property
    def solution(self) -> str:
        return ";".join(map(str, self.steps)) + f"#{self.value}"

    def difficulty(self) -> dict[str, float]:
        depth = deepest = 0
        for token in self.tokens:
            depth += (token == "(") - (token == ")")
            deepest = max(deepest, depth)
        return {
            "level": self.operands,
            "products": self.tokens.count("*"),
            "depth": deepest,
            "peak": max(step.result for step in self.steps),
        }


class Unreadable(Exception):
    """Raised inside the parser only; `parse` turns it into a `Malformed`."""

    def __init__(self, reason: str, detail: str):
        self.reason, self.detail = reason, detail


class Parser:
    """`sum := product (('+'|'-') product)*; product := atom ('*' atom)*; atom := int | '(' sum ')'`."""

    def __init__(self, tokens: tuple[str, ...]):
        self.tokens, self.position = tokens, 0
        self.steps: list[Step] = []
        self.operations = 0  # inside the innermost open brackets

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def operate(self, left: int, operator: str, right: int) -> int:
        result = {"+": left + right, "-": left - right, "*": left * right}[operator]
        if abs(result) > LARGEST_VALUE:
            raise Unreadable("range", f"{left}{operator}{right} is beyond ±{LARGEST_VALUE}")
        self.steps.append(Step(left, operator, right, result))
        self.operations += 1
        return result

    def sum(self) -> int:
        value = self.product()
        while self.peek() in ("+", "-"):
            operator = self.take()
            value = self.operate(value, operator, self.product())
        return value

    def product(self) -> int:
        value = self.atom()
        while self.peek() == "*":
            self.take()
            value = self.operate(value, "*", self.atom())
        return value

    def atom(self) -> int:
        token = self.take()
        if token == "(":
            outside, self.operations = self.operations, 0
            value = self.sum()
            if self.take() != ")":
                raise Unreadable("syntax", "a bracket is not closed")
            self.require_operation()
            self.operations = outside
            return value
        if not token.isdigit():
            raise Unreadable("syntax", f"a number is missing before {token or 'the end'!r}")
        if token[0] == "0" or int(token) > LARGEST_OPERAND:
            raise Unreadable("operand", f"{token} is not a number from 1 to {LARGEST_OPERAND}")
        return int(token)

    def require_operation(self) -> None:
        """Refuses `(7)`, `((7+5))`: the same problem in other brackets is no new problem."""
        if not self.operations:
            raise Unreadable("syntax", "brackets hold no operation of their own")


def parse(statement: str, reader: type[Parser] = Parser) -> Expression | Malformed:
    """The expression that `statement` writes, or what is wrong with it.

    `reader` may be a parser with limits of its own.
    """
    if not statement or len(statement) > LONGEST_STATEMENT:
        return Malformed(reason="length", detail=f"{len(statement)} characters")
    tokens = tuple(_TOKEN.findall(statement))
    if "".join(tokens) != statement or not statement.isascii():
        return Malformed(reason="characters", detail=statement[:80])
    parser = reader(tokens)
    try:
        value = parser.sum()
        if parser.position != len(tokens):
            raise Unreadable("syntax", f"nothing may follow before {parser.peek()!r}")
        if tokens[0] == "(":
            parser.require_operation()
    except Unreadable as error:
        return Malformed(reason=error.reason, detail=error.detail)
    expression = Expression(tokens, tuple(parser.steps), value)
    lowest = LOWEST_LEVEL.get(expression.family, LEVELS[0])
    if not lowest <= expression.operands <= LEVELS[-1]:
        return Malformed(reason="level", detail=f"{expression.operands} operands")
    return expression


class Arithmetic(Environment):
    """Five families of integer expressions at levels 2 to 8, exactly solved and judged."""

    name = "arithmetic"
    families = FAMILIES
    levels = LEVELS

    def cells(self) -> list[tuple[str, int]]:
        return [(f, n) for f in FAMILIES for n in LEVELS if n >= LOWEST_LEVEL.get(f, LEVELS[0])]

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        level = int(difficulty["level"])
        possible = [name for name, at in self.cells() if at == level]
        family = family or (possible[rng.integers(len(possible))] if possible else "")
        if family not in possible:
            raise ValueError(f"no family {family!r} at level {level}: choose from {self.cells()}")
        while True:
            expression = parse(_draw(rng, family, level))
            if _drawable(expression, family):
                return _problem(expression)

    def prompt(self, problem: Problem) -> str:
        return f"{problem.statement}?"

    def parse_problem(self, text: str) -> Problem | Malformed:
        expression = parse(text.removesuffix("?"))
        return expression if isinstance(expression, Malformed) else _problem(expression)

    def verify(self, problem: Problem, text: str) -> Verdict:
        if len(text) > LONGEST_COMPLETION:
            return Verdict(status="unparseable", detail="too long")
        if text.count("#") != 1 or (match := _ANSWER.search(text)) is None:
            return Verdict(status="unparseable", detail="no single answer after '#' at the end")
        answer = match.group(1)
        return Verdict(status="correct" if answer == problem.answer else "wrong", answer=answer)

    def solve(self, problem: Problem) -> str | None:
        expression = parse(problem.statement)
        return None if isinstance(expression, Malformed) else expression.solution

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        expression = parse(problem.statement)
        if isinstance(expression, Malformed):
            return None
        written = text[:LONGEST_COMPLETION].split("#")[0].split(";")
        for index, due in enumerate(expression.steps):
            found = _STEP.match(written[index]) if index < len(written) else None
            end = len(";".join(written[: index + 1]))
            if found is None:
                detail = written[index] if index < len(written) else "no further step"
                return Diagnosis(step=index, kind="format", detail=detail[:40], end=end)
            if written[index] != str(due):
                detail = f"{written[index]} instead of {due}"
                same = found.group(1, 2, 3) == (str(due.left), due.operator, str(due.right))
                if same:
                    return Diagnosis(step=index, kind="calculation", detail=detail, end=end)
                return Diagnosis(step=index, kind="structure", detail=detail, end=end)
        if self.verify(problem, text).correct:
            return None
        step = len(expression.steps)
        return Diagnosis(step=step, kind="answer", detail=text[-20:], end=len(text))

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        shift = {"easier": -1, "harder": 1}.get(direction, 0)
        lowest = LOWEST_LEVEL.get(problem.family, LEVELS[0])
        level = min(max(problem.level + shift, lowest), LEVELS[-1])
        kept = diagnosis.step + 2 if direction == "weakness" and diagnosis else 0
        for _ in range(64 if direction in ("similar", "weakness") else 0):
            expression = parse(_redraw_operands(problem.statement, rng, kept))
            if _drawable(expression, problem.family):
                variant = _problem(expression)
                if variant.id != problem.id:
                    return variant
        while (variant := self.sample(rng, {"level": level}, problem.family)).id == problem.id:
            pass
        return variant

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        expression = parse(problem.statement)
        return {"level": 0} if isinstance(expression, Malformed) else expression.difficulty()

    def signature(self, problem: Problem) -> str:
        """Operands and operators without their order: `7+5` and `5+7` are near duplicates."""
        return "".join(sorted(_TOKEN.findall(problem.statement)))


def _drawable(expression: Expression | Malformed, family: str) -> TypeGuard[Expression]:
    """Whether an expression is one that this environment itself would write in a family."""
    return isinstance(expression, Expression) and expression.natural and expression.family == family


def _problem(expression: Expression) -> Problem:
    return Problem(
        domain=Arithmetic.name,
        family=expression.family,
        statement="".join(expression.tokens),
        answer=str(expression.value),
        solution=expression.solution,
        difficulty=expression.difficulty(),
    )


def _operand(rng: np.random.Generator) -> str:
    return str(rng.integers(2, 50))


def _digit(rng: np.random.Generator) -> str:
    return str(rng.integers(2, 10))


def _draw(rng: np.random.Generator, family: str, level: int) -> str:
    """A random expression of `level` operands in the style of a family; it may break the limits."""
    signs = {"sums": "+", "products": "+"}.get(family, "+-")
    terms: list[str] = []
    left = level
    while left:
        roll = rng.random()
        if family in ("products", "mixed") and left >= 2 and (roll < 0.5 or not terms):
            terms.append(f"{rng.integers(2, 30)}*{_digit(rng)}")
            left -= 2
        elif family == "bracketed" and left >= 3 and roll < 0.25:
            terms.append(f"({_operand(rng)}{rng.choice(list('+-'))}{_operand(rng)})*{_digit(rng)}")
            left -= 3
        elif family == "bracketed" and left >= 2 and (roll < 0.7 or left == level):
            terms.append(f"({_operand(rng)}{rng.choice(list('+-'))}{_operand(rng)})")
            left -= 2
        else:
            terms.append(_operand(rng))
            left -= 1
    rng.shuffle(terms)
    return "".join(term + str(rng.choice(list(signs))) for term in terms[:-1]) + terms[-1]


def _redraw_operands(statement: str, rng: np.random.Generator, kept: int) -> str:
    """The same operators with new operands, the first `kept` of them at most 2 away from the old."""
    tokens = _TOKEN.findall(statement)
    seen = 0
    for index, token in enumerate(tokens):
        if not token.isdigit():
            continue
        factor = index > 0 and tokens[index - 1] == "*"
        if seen < kept:
            low, high = (2, 9) if factor else (2, LARGEST_OPERAND)
            tokens[index] = str(np.clip(int(token) + rng.integers(-2, 3), low, high))
        else:
            tokens[index] = _digit(rng) if factor else _operand(rng)
        seen += 1
    return "".join(tokens)
