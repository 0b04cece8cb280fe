"""How a verdict is reached, and attacks on it.

An attempt is paid only if the answer that our own code reads off it equals a reference: that of the
problem, or, where it has none, one that the Teacher reached without seeing the attempt. A language
model that has seen the attempt can only withhold that; so nothing the attempt says can set the
verdict to correct.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

from agents.hashing import number
from agents.records import Completion, Failure, Ruling, Solution
from agents.roles import replies
from agents.roles.canaries import CANARIES
from environments import Malformed, Problem, Verdict

if TYPE_CHECKING:
    from agents.roles.teacher import Teacher


def rule(teacher: Teacher, items: Sequence[tuple[Problem, str]]) -> list[Ruling]:
    """The ruling on each (problem, completion), before any simulated error."""
    environment, judge = teacher.environment, teacher.config.judge
    rulings = []
    for problem, text in items:
        verdict = environment.verify(problem, text)
        if problem.answer is None:
            verdict = Verdict(status="unparseable", answer=verdict.answer, detail="no reference")
        exact = None if problem.answer is None else verdict.status
        rulings.append(Ruling(verdict=verdict, exact=exact))
    if judge == "always":
        known = [i for i, ruling in enumerate(rulings) if ruling.exact is not None]
        _advise(teacher, items, known, rulings)
    if judge != "never":
        _decide(teacher, items, rulings)
    return rulings


def _advise(
    teacher: Teacher, items: Sequence[tuple[Problem, str]], chosen: list[int], rulings: list[Ruling]
) -> None:
    """Asks the model about attempts whose exact verdict is known, which stays as it is."""
    for i, opinion in zip(chosen, _opinions(teacher, [items[i] for i in chosen]), strict=True):
        rulings[i] = dataclasses.replace(
            opinion, verdict=rulings[i].verdict, exact=rulings[i].exact
        )


def _decide(teacher: Teacher, items: Sequence[tuple[Problem, str]], rulings: list[Ruling]) -> None:
    """Rules on readable attempts at problems without a reference: blind answer first, model next."""
    undecided = [
        i for i, ruling in enumerate(rulings) if ruling.exact is None and ruling.verdict.answer
    ]
    problems = {items[i][0].id: items[i][0] for i in undecided}
    blind = teacher.solve([(p, number("blind", p.id)) for p in problems.values()])
    solved = dict(zip(problems, blind, strict=True))
    spent = dict(solved)
    agreeing = []
    for i in undecided:
        problem, text = items[i]
        reference = solved[problem.id].problem
        verdict = Verdict(status="unparseable", detail="the Teacher has no answer of its own")
        if reference is not None:
            verdict = teacher.environment.verify(reference, text)
            agreeing += [i] if verdict.correct else []
        solution = spent.pop(
            problem.id, Solution(problem=None)
        )  # booked once, to its first attempt
        rulings[i] = Ruling(verdict=verdict, failures=solution.failures, asked=solution.asked)
    opinions = _opinions(teacher, [items[i] for i in agreeing])
    for i, opinion in zip(agreeing, opinions, strict=True):
        verdict = rulings[i].verdict
        if opinion.model != "correct":
            status: Literal["wrong", "unparseable"] = "wrong" if opinion.model else "unparseable"
            verdict = dataclasses.replace(verdict, status=status, detail="withheld by the model")
        rulings[i] = dataclasses.replace(
            opinion,
            verdict=verdict,
            failures=(*rulings[i].failures, *opinion.failures),
            asked=(*rulings[i].asked, *opinion.asked),
        )


def _opinions(teacher: Teacher, items: Sequence[tuple[Problem, str]]) -> list[Ruling]:
    """What the model says of each attempt; the verdict in it is a placeholder."""
    asked = teacher.ask(
        "verify",
        teacher.config.prompts.verify,
        replies.VERIFY,
        [(p, text, {}, number("verify", p.id, text)) for p, text in items],
    )
    placeholder = Verdict(status="unparseable")
    return [
        Ruling(
            verdict=placeholder,
            model=""
            if isinstance(reply, Malformed)
            else cast(Literal["correct", "wrong"], reply["verdict"]),
            reply=completion.text,
            failures=(failure(reply.reason, completion),) if isinstance(reply, Malformed) else (),
            asked=(completion,),
        )
        for reply, completion in asked
    ]


def failure(kind: str, completion: Completion) -> Failure:
    return Failure(role="teacher", task="verify", kind=kind, text=completion.text[:2000])


def attack(teacher: Teacher, problems: Sequence[Problem]) -> list[tuple[str, bool]]:
    """(name of a canary, whether it was paid): every canary on each problem with an answer.

    The reference is taken away first where the model can be asked, so that it is put to the test.
    """
    asks = teacher.config.judge != "never"
    attempts = [
        (name, dataclasses.replace(p, answer=None, solution=None) if asks else p, text(p))
        for p in problems
        if p.answer is not None
        for name, text in CANARIES.items()
    ]
    rulings = rule(teacher, [(problem, text) for _, problem, text in attempts])
    return [
        (name, ruling.verdict.correct)
        for (name, _, _), ruling in zip(attempts, rulings, strict=True)
    ]
