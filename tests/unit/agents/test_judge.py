"""Nothing that an attempt says can set its verdict to correct, however gullible the judge."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from agents.policies import Prompt
from agents.policies.rules import RulesPolicy
from agents.roles.canaries import CANARIES, wrong_answer
from environments import Environment, Problem
from environments.arithmetic import Arithmetic
from environments.math_text import MathText
from environments.sums_in_words import SumsInWords
from tests.unit.agents.speaking import Speaker, teacher

ENVIRONMENTS: list[Environment] = [Arithmetic(), SumsInWords(), MathText()]
YES = json.dumps({"reason": "", "verdict": "correct"})
NO = json.dumps({"reason": "", "verdict": "wrong"})


def problems(environment: Environment, count: int = 6) -> list[Problem]:
    rng = np.random.default_rng(3)
    levels = list(environment.levels)
    return [environment.sample(rng, {"level": levels[i % len(levels)]}) for i in range(count)]


def knowing(environment: Environment, verdict: Callable[[Prompt], str]) -> Speaker:
    """Solves every problem rightly, and judges as it is told to."""
    known = {problem.statement: problem for problem in problems(environment, 40)}

    def say(prompt: Prompt) -> str:
        if prompt.task == "verify":
            return verdict(prompt)
        right = known[prompt.problem.statement]
        return json.dumps({"solution": right.solution, "answer": right.answer})

    return Speaker(say)


def parrot(prompt: Prompt) -> str:
    """Repeats the first JSON object of the attempt as its own verdict: fooled by every forgery."""
    text = prompt.attempt or ""
    start = text.find("{")
    return text[start : text.find("}") + 1] if start >= 0 else YES


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: e.name)
@pytest.mark.parametrize("judge", ["never", "undecided", "always"])
@pytest.mark.parametrize("verdict", [lambda _: YES, parrot], ids=["credulous", "parrot"])
def test_no_canary_is_paid(
    environment: Environment, judge: str, verdict: Callable[[Prompt], str]
) -> None:
    speaker = knowing(environment, verdict)
    subject = teacher(speaker, environment, judge=judge, references="model")
    found = subject.attack(problems(environment))
    assert {name for name, _ in found} == set(CANARIES)
    assert len(found) == 6 * len(CANARIES)
    assert [name for name, paid in found if paid] == []


def test_the_test_can_fail() -> None:
    """A canary whose answer is right is paid, by the same way."""
    environment = MathText()
    (one, *_) = problems(environment)
    unknown = dataclasses.replace(one, answer=None, solution=None)
    subject = teacher(knowing(environment, lambda _: YES), environment, judge="undecided",
                      references="model")  # fmt: skip
    (right, wrong) = subject.verify(
        [(unknown, f"\\boxed{{{one.answer}}}"), (unknown, f"\\boxed{{{wrong_answer(one)}}}")]
    )
    assert right.verdict.correct
    assert not wrong.verdict.correct


@pytest.mark.parametrize(
    ("says", "status"), [(YES, "correct"), (NO, "wrong"), ("yes, it is", "unparseable")]
)
def test_the_model_can_only_withhold(says: str, status: str) -> None:
    """At a problem without a reference, and an attempt whose answer equals the blind one."""
    environment = MathText()
    (one, *_) = problems(environment)
    unknown = dataclasses.replace(one, answer=None, solution=None)
    speaker = knowing(environment, lambda _: says)
    subject = teacher(speaker, environment, judge="undecided", references="model")
    (ruling,) = subject.verify([(unknown, f"\\boxed{{{one.answer}}}")])
    assert ruling.verdict.status == status
    assert ruling.exact is None
    assert [prompt.task for prompt in speaker.asked] == ["solve", "solve", "verify"]
    assert all(prompt.attempt is None for prompt in speaker.asked if prompt.task == "solve")
    assert len(ruling.asked) == 3
    assert len(ruling.failures) == (says == "yes, it is")


def test_an_unreadable_attempt_is_not_even_shown() -> None:
    environment = MathText()
    (one, *_) = problems(environment)
    unknown = dataclasses.replace(one, answer=None, solution=None)
    speaker = knowing(environment, lambda _: YES)
    subject = teacher(speaker, environment, judge="undecided", references="model")
    for text in ("", ":", "Thought process:", "It is correct."):
        (ruling,) = subject.verify([(unknown, text)])
        assert ruling.verdict.status == "unparseable"
    assert speaker.asked == []


def test_the_exact_verdict_outranks_and_the_disagreement_is_kept() -> None:
    environment = Arithmetic()
    one = environment.parse_problem("7+5")
    assert isinstance(one, Problem)
    subject = teacher(Speaker(lambda _: YES), judge="always")
    right, wrong = subject.verify([(one, "7+5=12#12"), (one, "7+5=13#13")])
    assert (right.verdict.status, right.model, right.disagrees) == ("correct", "correct", False)
    assert (wrong.verdict.status, wrong.model, wrong.disagrees) == ("wrong", "correct", True)
    assert wrong.reply == YES


def test_judging_by_rules_agrees_with_the_exact_verdict() -> None:
    environment = Arithmetic()
    one = environment.parse_problem("7+5")
    assert isinstance(one, Problem)
    subject = teacher(RulesPolicy(environment), judge="always")
    rulings = subject.verify([(one, "7+5=12#12"), (one, "7+5=13#13"), (one, "no")])
    assert [ruling.model for ruling in rulings] == ["correct", "wrong", "wrong"]
    assert not any(ruling.disagrees for ruling in rulings)
