"""The contract holds for every environment, and catches one that breaks any clause of it."""

import dataclasses
import itertools

import pytest

from environments import Verdict
from environments.arithmetic import Arithmetic, parse
from environments.math_text import MathText
from environments.strings import Strings
from environments.sums_in_words import SumsInWords
from environments.testing import ContractError, check_environment

OURS = [Arithmetic(), MathText(), Strings(), SumsInWords()]


@pytest.mark.parametrize("environment", OURS, ids=lambda e: e.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_ours_keep_the_contract(environment, seed):
    check_environment(environment, samples=4, seed=seed)


class Nameless(Arithmetic):
    name = ""


class WithoutFamilies(Arithmetic):
    families = ()


class CellsTwice(Arithmetic):
    def cells(self):
        return super().cells() * 2


class UnlistedFamily(Arithmetic):
    families = ("sums",)


class UnlistedLevel(Arithmetic):
    levels = range(2, 8)


class OwnRandomness(Arithmetic):
    def __init__(self):
        self.count = itertools.count()

    def sample(self, rng, difficulty, family=None):
        problem = super().sample(rng, difficulty, family)
        return dataclasses.replace(problem, round=next(self.count))


class OtherFamily(Arithmetic):
    def sample(self, rng, difficulty, family=None):
        return super().sample(rng, {"level": 4}, "mixed")


class OtherLevel(Arithmetic):
    def sample(self, rng, difficulty, family=None):
        return super().sample(rng, {"level": 4}, family)


class OtherDomain(Arithmetic):
    name = "renamed"


class EmptyPrompt(Arithmetic):
    def prompt(self, problem):
        return ""


class EmptySignature(Arithmetic):
    def signature(self, problem):
        return ""


class OtherDifficulty(Arithmetic):
    def difficulty(self, problem):
        return {**super().difficulty(problem), "peak": -1}


class CannotReadItself(Arithmetic):
    def parse_problem(self, text):
        return super().parse_problem(text + "!")


class ReadsAnother(Arithmetic):
    def parse_problem(self, text):
        return super().parse_problem(f"{text}+1" if len(text) < 12 else text)


class ParserRaises(Arithmetic):
    def parse_problem(self, text):
        if text and not text.isascii():
            raise KeyError(text)
        return super().parse_problem(text)


class ParserReturnsNone(Arithmetic):
    def parse_problem(self, text):
        return super().parse_problem(text) if parse(text) and text.isdigit() is False else None


class WrongSolution(Arithmetic):
    def solve(self, problem):
        return super().solve(problem) + "0"


class AnswerNotCarried(Arithmetic):
    def verify(self, problem, text):
        return dataclasses.replace(super().verify(problem, text), answer=None)


class BlamesTheSolution(Arithmetic):
    def diagnose(self, problem, text):
        return super().diagnose(problem, "")


class JudgeRaises(Arithmetic):
    def verify(self, problem, text):
        int(text.rsplit("#", 1)[-1])
        return super().verify(problem, text)


class DiagnosisRaises(Arithmetic):
    def diagnose(self, problem, text):
        assert text
        return super().diagnose(problem, text)


class DiagnosesInProse(Arithmetic):
    def diagnose(self, problem, text):
        return None if super().diagnose(problem, text) is None else "the first step is wrong"


class PaysTheEcho(Arithmetic):
    def verify(self, problem, text):
        if problem.statement in text:
            return Verdict(status="correct", answer=problem.answer)
        return super().verify(problem, text)


class PaysJunk(Arithmetic):
    def verify(self, problem, text):
        if text == "\\boxed{}":
            return Verdict(status="correct", answer=problem.answer)
        return super().verify(problem, text)


class OneOfManyRightTexts(Arithmetic):
    def only_completion(self, problem):
        return f"#{problem.answer}"


class NoRightText(Arithmetic):
    def only_completion(self, problem):
        return problem.answer


class JudgesByBoolean(Arithmetic):
    def verify(self, problem, text):
        verdict = super().verify(problem, text)
        return verdict if verdict.answer else False


class UnknownStatus(Arithmetic):
    def verify(self, problem, text):
        verdict = super().verify(problem, text)
        return verdict if verdict.correct else Verdict(status="half right")


class VariesAtRandom(Arithmetic):
    def __init__(self):
        self.count = itertools.count()

    def vary(self, problem, rng, direction, diagnosis=None):
        variant = super().vary(problem, rng, direction, diagnosis)
        return dataclasses.replace(variant, round=next(self.count))


class VariesNothing(Arithmetic):
    def vary(self, problem, rng, direction, diagnosis=None):
        return problem


class VariesIntoNonsense(Arithmetic):
    def vary(self, problem, rng, direction, diagnosis=None):
        return dataclasses.replace(problem, statement=f"{problem.statement}!", id="")


class Backwards(Arithmetic):
    def vary(self, problem, rng, direction, diagnosis=None):
        turned = {"easier": "harder", "harder": "easier"}.get(direction, direction)
        return super().vary(problem, rng, turned, diagnosis)


class EasierIsHarder(Arithmetic):
    def vary(self, problem, rng, direction, diagnosis=None):
        turned = {"easier": "harder"}.get(direction, direction)
        return super().vary(problem, rng, turned, diagnosis)


class OffTheScale(Arithmetic):
    def vary(self, problem, rng, direction, diagnosis=None):
        variant = super().vary(problem, rng, direction, diagnosis)
        return dataclasses.replace(variant, difficulty={**variant.difficulty, "level": 99})


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "`name` is not empty"),
        (WithoutFamilies, "`families` names at least one family"),
        (CellsTwice, "`cells()` lists each (family, level) once"),
        (UnlistedFamily, "each cell's family is in `families`"),
        (UnlistedLevel, "each cell's level is in `levels`"),
        (OwnRandomness, "`sample` draws the same problem from the same rng"),
        (OtherFamily, "`sample` keeps to the family"),
        (OtherLevel, "`sample` keeps to the level"),
        (OtherDomain, "a problem's `domain` is the environment"),
        (EmptyPrompt, "`prompt` is not empty"),
        (EmptySignature, "`signature` is not empty"),
        (OtherDifficulty, "`difficulty` agrees"),
        (CannotReadItself, "`parse_problem` reads a statement it wrote"),
        (ReadsAnother, "`parse_problem` reads back the same problem"),
        (ParserRaises, "`parse_problem` never raises"),
        (ParserReturnsNone, "`parse_problem` returns a Problem or a Malformed"),
        (WrongSolution, "`verify` calls the solution of `solve` correct"),
        (AnswerNotCarried, "the verdict carries the answer"),
        (BlamesTheSolution, "`diagnose` finds nothing wrong in a solution"),
        (JudgeRaises, "`verify` never raises"),
        (DiagnosisRaises, "`diagnose` never raises"),
        (DiagnosesInProse, "`diagnose` returns a Diagnosis or None"),
        (PaysTheEcho, "restating the question is never correct"),
        (PaysJunk, "junk is never correct"),
        (OneOfManyRightTexts, "the text of `only_completion` alone is correct"),
        (NoRightText, "the text of `only_completion` alone is correct"),
        (JudgesByBoolean, "`verify` returns a Verdict"),
        (UnknownStatus, "`verify` uses a known status"),
        (VariesAtRandom, "`vary` draws the same problem from the same rng"),
        (VariesNothing, "`vary` easier makes another problem"),
        (VariesIntoNonsense, "`parse_problem` reads what `vary` made"),
        (Backwards, "`vary` easier is no harder"),
        (EasierIsHarder, "`vary` easier is no harder"),
        (OffTheScale, "`vary` stays within `levels`"),
    ],
)
def test_each_broken_clause_is_named(broken, clause):
    with pytest.raises(ContractError) as caught:
        check_environment(broken(), samples=2)
    assert str(caught.value).startswith(f"{clause} (seen: ")
