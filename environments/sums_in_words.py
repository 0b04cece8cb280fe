"""One- and two-digit sums put in words: a small real language model's world.

A problem is a question such as `Ana has 23 apples and gets 8 more. How many apples does Ana
have now?`; a solution is its equation, `23 + 8 = 31`. The level is one more than the number of
two-digit addends. Questions are read by regular expressions that know every template, answers
by a reader of numbers and equations; nothing is ever passed to `eval`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from environments.base import Diagnosis, Direction, Environment, Malformed, Problem, Verdict

LONGEST_STATEMENT = 160
LONGEST_COMPLETION = 400
LOWEST, HIGHEST = 2, 99  # addend

# The trailing space makes a digit the natural next token of a tokenizer that splits digits.
INSTRUCTION = "{statement}\nEquation: "

FAMILIES = ("plain", "spelled", "story", "three")
LEVELS = range(1, 4)

NAMES = ("Ana", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo")
THINGS = ("apples", "books", "coins", "marbles", "pencils", "shells", "stamps", "stickers")
VERBS = ("buys", "finds", "gets")

# fmt: off
_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
         "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# fmt: on
WORDS = ["zero", *_ONES, *(f"{t}{u}" for t in _TENS for u in ["", *(f"-{o}" for o in _ONES[:9])])]
NUMBERS = {word: number for number, word in enumerate(WORDS)}


def _question(text: str) -> re.Pattern[str]:
    """The pattern of a template: `{a}`, `{b}`, `{c}` stand for the addends."""
    for slot in "abc":
        text = text.replace(f"{{{slot}}}", rf"(?P<{slot}>[0-9]+|[a-z]+(?:-[a-z]+)?)")
    return re.compile(text)


_NAME, _THING = "|".join(NAMES), "|".join(THINGS)
_QUESTIONS = (
    _question(r"What is {a} plus {b}(?: plus {c})?\?"),
    _question(
        rf"(?P<who>{_NAME}) has {{a}} (?P<what>{_THING}) and (?:{'|'.join(VERBS)}) {{b}} more\. "
        r"How many (?P=what) does (?P=who) have now\?"
    ),
    _question(
        rf"(?P<who>{_NAME}) has {{a}} (?P<what>{_THING}) and (?!(?P=who))(?:{_NAME}) has {{b}} "
        r"(?P=what)\. How many (?P=what) do they have together\?"
    ),
)

# A number, or numbers joined by + and =, each possibly with a unit: `23 apples + 8 apples = 31`.
_NUMBER = r"[-\u2212]?[0-9]+(?:[.,][0-9]+)*"
_JOINT = r"(?:\s+[A-Za-z]+)?\s*(?:\+|=|\b(?:plus|and|equals|is|makes)\b)\s*"
_RUN = re.compile(rf"{_NUMBER}(?:{_JOINT}{_NUMBER})*")
_EQUALS = re.compile(r"=|equals|is|makes")
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class Equation:
    """`23 + 8 = 31`, as a completion wrote it."""

    addends: tuple[int, ...]
    result: int

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.addends))} = {self.result}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completion says: its equations, and its final answer or why there is none."""

    equations: tuple[Equation, ...] = ()
    answer: int | None = None
    trouble: str = ""


def read(text: str) -> Reading:
    """The equations and the final answer of a completion, without a guess.

    The answer is the result of the last equation, or the only number where there is no equation.
    There is none if another number could be meant: an earlier result that no later equation
    uses, a number before the equation that is not in it, or one after it that is not its result.
    """
    if len(text) > LONGEST_COMPLETION or any(c.isdigit() and not c.isascii() for c in text):
        return Reading(trouble="too long, or digits other than 0 to 9")
    equations: list[Equation] = []
    before: set[int] = set()  # numbers that stand alone, before the last equation
    after: set[int] = set()  # and after it
    trouble = ""
    for run in _RUN.findall(text):
        sides = [re.findall(_NUMBER, side) for side in _EQUALS.split(run)]
        for number in re.findall(_NUMBER, run):
            if not _WHOLE_NUMBER.fullmatch(number):
                return Reading(tuple(equations), trouble=f"{number[:20]} is no whole number")
        results = {int(side[0]) for side in sides[1:] if len(side) == 1}
        if len(sides) > 1 and len(sides[-1]) == 1 and len(results) == 1:
            equations.append(Equation(tuple(map(int, sides[0])), results.pop()))
            before, after, trouble = before | after, set(), ""
        elif len(sides) == len(sides[0]) == 1:
            after.add(int(sides[0][0]))
        else:
            trouble = f"no single result in {run[:40]!r}"
    return _conclude(tuple(dict.fromkeys(equations)), before, after, trouble)


def _conclude(
    equations: tuple[Equation, ...], before: set[int], after: set[int], trouble: str
) -> Reading:
    if trouble:
        return Reading(equations, trouble=trouble)
    if not equations:
        trouble = "several numbers, no equation" if after else "no number"
        return Reading(answer=after.pop()) if len(after) == 1 else Reading(trouble=trouble)
    answer = equations[-1].result
    known = {n for equation in equations for n in (*equation.addends, equation.result)}
    used = {addend for equation in equations[1:] for addend in equation.addends}
    finals = {equation.result for equation in equations} - used
    if finals | after != {answer} or before - known:
        return Reading(equations, trouble="more than one number could be the answer")
    return Reading(equations, answer)


def first_fault(reading: Reading, addends: tuple[int, ...]) -> Diagnosis | None:
    """The first equation that is false, or adds anything but the problem's numbers and results.

    Every number counts once and none may be left over. None if all is well, or nothing was added.
    """
    left = Counter(addends)
    for step, equation in enumerate(reading.equations):
        if Counter(equation.addends) - left:
            return Diagnosis(step=step, kind="structure", detail=f"{equation}"[:40])
        if sum(equation.addends) != equation.result:
            return Diagnosis(step=step, kind="calculation", detail=f"{equation}"[:40])
        left = left - Counter(equation.addends) + Counter([equation.result])
    if reading.equations and left.total() > 1:
        return Diagnosis(step=len(reading.equations), kind="structure", detail="numbers left over")
    return None


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed statement: its family, its words with slots for the addends, its addends."""

    family: str
    frame: str
    addends: tuple[int, ...]

    @property
    def statement(self) -> str:
        texts = (WORDS[n] if self.family == "spelled" else str(n) for n in self.addends)
        return self.frame.format(*texts)

    @property
    def carries(self) -> int:
        """How often adding the columns carries."""
        units = sum(n % 10 for n in self.addends)
        return (units > 9) + (units // 10 + sum(n // 10 for n in self.addends) > 9)

    def difficulty(self) -> dict[str, float]:
        level = 1 + sum(n > 9 for n in self.addends)
        return {
            "level": level,
            "addends": len(self.addends),
            "carries": self.carries,
            "sum": sum(self.addends),
        }

    def problem(self) -> Problem:
        equation = Equation(self.addends, sum(self.addends))
        return Problem(
            domain=SumsInWords.name,
            family=self.family,
            statement=self.statement,
            answer=str(equation.result),
            solution=str(equation),
            difficulty=self.difficulty(),
        )


def parse(statement: str) -> Question | Malformed:
    """The question that `statement` asks, or what is wrong with it."""
    if not 0 < len(statement) <= LONGEST_STATEMENT:
        return Malformed(reason="length", detail=f"{len(statement)} characters")
    match = next(filter(None, (question.fullmatch(statement) for question in _QUESTIONS)), None)
    if match is None:
        return Malformed(reason="grammar", detail=statement[:80])
    spans = [match.span(slot) for slot in ("a", "b", "c") if match.groupdict().get(slot)]
    words = [statement[start:end] for start, end in spans]
    spelled = not words[0].isdigit()
    addends = [NUMBERS.get(w, 0) if spelled else int(w) if len(w) < 3 else 0 for w in words]
    if not all(LOWEST <= n <= HIGHEST for n in addends):
        return Malformed(reason="operand", detail=" ".join(words)[:80])
    frame, end = "", 0
    for span in spans:
        frame, end = f"{frame}{statement[end : span[0]]}{{}}", span[1]
    family = "story" if "has" in statement else "three" if len(words) > 2 else "plain"
    if spelled:
        family = "spelled" if family == "plain" else ""
    question = Question(family, frame + statement[end:], tuple(addends))
    if not family or question.statement != statement:  # mixed notation, leading zeros
        return Malformed(reason="operand", detail=" ".join(words)[:80])
    if question.difficulty()["level"] not in LEVELS:
        return Malformed(reason="level", detail=f"level {question.difficulty()['level']}")
    return question


class SumsInWords(Environment):
    """Four families of sums asked in words, at levels 1 to 3, exactly solved and judged."""

    name = "sums_in_words"
    families = FAMILIES
    levels = LEVELS

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        level = int(difficulty["level"])
        family = family or FAMILIES[rng.integers(len(FAMILIES))]
        if (family, level) not in self.cells():
            raise ValueError(f"no family {family!r} at level {level}: choose from {self.cells()}")
        return Question(family, _frame(rng, family), _addends(rng, family, level)).problem()

    def prompt(self, problem: Problem) -> str:
        return INSTRUCTION.format(statement=problem.statement)

    def parse_problem(self, text: str) -> Problem | Malformed:
        question = parse(text.strip())
        return question if isinstance(question, Malformed) else question.problem()

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Correct only if the answer is right and no equation is false or on other numbers.

        Without the second rule a wrong derivation, or an echo of an example, could be paid.
        """
        question, reading = parse(problem.statement), read(text)
        if reading.answer is None or isinstance(question, Malformed):
            return Verdict(status="unparseable", detail=reading.trouble or "not a known question")
        if str(reading.answer) != problem.answer:
            return Verdict(status="wrong", answer=str(reading.answer))
        if fault := first_fault(reading, question.addends):
            return Verdict(status="wrong", detail=f"{fault.kind}: {fault.detail}")
        return Verdict(status="correct", answer=problem.answer)

    def solve(self, problem: Problem) -> str | None:
        question = parse(problem.statement)
        return None if isinstance(question, Malformed) else question.problem().solution

    def diagnose(self, problem: Problem, text: str) -> Diagnosis | None:
        question, reading = parse(problem.statement), read(text)
        if isinstance(question, Malformed) or self.verify(problem, text).correct:
            return None
        if fault := first_fault(reading, question.addends):
            return fault
        if reading.equations:
            step = len(reading.equations)
            return Diagnosis(step=step, kind="answer", detail=reading.trouble[:40])
        if reading.answer is None:
            return Diagnosis(step=0, kind="format", detail=reading.trouble[:40])
        return Diagnosis(step=0, kind="calculation", detail=text.strip()[:40])

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        """`similar` asks anew, `weakness` keeps the words and the number of carries."""
        question = parse(problem.statement)
        if isinstance(question, Malformed):
            raise ValueError(f"cannot vary what is no {self.name} problem: {problem.statement!r}")
        shift = {"easier": -1, "harder": 1}.get(direction, 0)
        level = min(max(problem.level + shift, LEVELS[0]), LEVELS[-1])
        for attempt in range(256):
            variant = Question(
                question.family,
                question.frame if direction == "weakness" else _frame(rng, question.family),
                _addends(rng, question.family, level),
            )
            same = direction != "weakness" or attempt > 128 or variant.carries == question.carries
            if same and variant.statement != problem.statement:
                return variant.problem()
        raise AssertionError("256 draws of one problem")  # there are thousands

    def difficulty(self, problem: Problem) -> Mapping[str, float]:
        question = parse(problem.statement)
        return {"level": 0} if isinstance(question, Malformed) else question.difficulty()

    def signature(self, problem: Problem) -> str:
        """Family and addends: other names, things or order make a near duplicate."""
        question = parse(problem.statement)
        if isinstance(question, Malformed):
            return super().signature(problem)
        return f"{question.family} {'+'.join(map(str, sorted(question.addends)))}"


def _addends(rng: np.random.Generator, family: str, level: int) -> tuple[int, ...]:
    count = 3 if family == "three" else 2
    numbers = [int(rng.integers(10, HIGHEST + 1)) for _ in range(level - 1)]
    numbers += [int(rng.integers(LOWEST, 10)) for _ in range(count - len(numbers))]
    return tuple(numbers[i] for i in rng.permutation(count))


def _frame(rng: np.random.Generator, family: str) -> str:
    if family != "story":
        return "What is {} plus {} plus {}?" if family == "three" else "What is {} plus {}?"
    who, other = (NAMES[i] for i in rng.choice(len(NAMES), 2, replace=False))
    what = THINGS[rng.integers(len(THINGS))]
    if rng.random() < 0.5:
        verb = VERBS[rng.integers(len(VERBS))]
        return f"{who} has {{}} {what} and {verb} {{}} more. How many {what} does {who} have now?"
    return (
        f"{who} has {{}} {what} and {other} has {{}} {what}. How many {what} do they have together?"
    )
