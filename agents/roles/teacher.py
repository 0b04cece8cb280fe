"""The Teacher: verifies, diagnoses, refines and solves; it is never trained.

On procedural domains its policy is `rules`. A language model is asked by the prompts of its
configuration and answers in JSON; what the environment can tell exactly outranks what it says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from agents.hashing import number
from agents.noise import noisy_reference, noisy_verdict
from agents.policies import Policy, Prompt, Sampling
from agents.policies.base import Task
from agents.prompts import fence, fill
from agents.records import Completion, Failure, Finding, Refinement, Ruling, Solution
from agents.roles import judge, replies
from agents.roles.replies import Reply, Schema
from environments import Diagnosis, Environment, Malformed, Problem, Verdict
from environments.base import Direction

Asked = tuple[Reply | Malformed, Completion]


class Teacher:
    """`config` is a `TeacherConfig`: prompts, when the model judges, whose solutions, and noise.

    `sampling` is that of refinement, `judging` of everything else.
    """

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        sampling: Sampling,
        judging: Sampling,
        config: Any,
    ):
        self.environment, self.policy, self.config = environment, policy, config
        self.sampling, self.judging = sampling, judging
        self.speaks = bool(config.prompts.solve)  # a language model, with prompts

    # -- verdicts -----------------------------------------------------------------------------

    def grade(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """The environment's own verdict on each (problem, completion): for evaluation, without a
        model and without noise."""
        return [self.environment.verify(problem, text) for problem, text in items]

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Ruling]:
        """The ruling on each (problem, completion)."""
        noise = self.config.noise
        rulings = []
        for (problem, text), ruling in zip(items, judge.rule(self, items), strict=True):
            verdict = noisy_verdict(ruling.verdict, problem, text, noise.verdicts, noise.seed)
            rulings.append(dataclasses.replace(ruling, verdict=verdict))
        return rulings

    def attack(self, problems: Sequence[Problem]) -> list[tuple[str, bool]]:
        """(name of a canary, whether a wrong attempt was paid) for every canary on each problem."""
        return judge.attack(self, problems)

    def diagnose(self, items: Sequence[tuple[Problem, str]]) -> list[Finding]:
        """The first wrong step of each (problem, failed completion).

        The environment's diagnosis where it has one; else the model's, if it has a prompt for it.
        """
        found = [Finding(diagnosis=self.environment.diagnose(*item)) for item in items]
        if not self.config.prompts.diagnose:
            return found
        unknown = [i for i, finding in enumerate(found) if finding.diagnosis is None]
        asked = self.ask(
            "diagnose",
            self.config.prompts.diagnose,
            replies.DIAGNOSE,
            [
                (items[i][0], items[i][1], {}, number("diagnose", *_words(items[i])))
                for i in unknown
            ],
        )
        for i, (reply, completion) in zip(unknown, asked, strict=True):
            found[i] = _finding(items[i][1], reply, completion)
        return found

    # -- new problems -------------------------------------------------------------------------

    def refine(self, items: Sequence[tuple[Problem, str, Direction, int]]) -> list[Refinement]:
        """A new problem for each (problem, attempt, direction, seed).

        Direction `weakness` aims at the first wrong step of the attempt.
        """
        aimed = [i for i, item in enumerate(items) if item[2] in ("weakness", "easier")]
        found = dict(zip(aimed, self.diagnose([items[i][:2] for i in aimed]), strict=True))
        prompts = []
        for i, (problem, attempt, direction, _) in enumerate(items):
            diagnosis = found[i].diagnosis if i in found else None
            told = "none" if diagnosis is None else f"{diagnosis.kind}: {diagnosis.detail}"
            template = getattr(self.config.prompts, direction)
            values = {"error": fence(told, 600)}
            prompt = self._prompt("refine", template, replies.REFINE, problem, attempt, values)
            prompts.append(dataclasses.replace(prompt, direction=direction, diagnosis=diagnosis))
        asked = self._draw(prompts, self.sampling, [seed for *_, seed in items])
        nothing = Finding(diagnosis=None)
        return [
            self._refinement(reply, completion, found.get(i, nothing))
            for i, (reply, completion) in enumerate(asked)
        ]

    def _refinement(
        self, reply: Reply | Malformed, completion: Completion, finding: Finding
    ) -> Refinement:
        asked, failures = (*finding.asked, completion), list(finding.failures)
        if isinstance(reply, Malformed):
            failures.append(failure("refine", reply.reason, completion))
            return Refinement(
                text=completion.text, result=reply, failures=tuple(failures), asked=asked
            )
        text = reply["problem"].strip()
        problem = self.environment.parse_problem(text)
        if isinstance(problem, Problem) and reply["answer"]:
            claimed = self._claimed(problem, reply)
            if claimed is None or (problem.answer or claimed.answer) != claimed.answer:
                kind = "wrong_reference" if claimed else "answer"
                failures.append(failure("refine", kind, completion))
            if problem.answer is None:
                problem = claimed or Malformed(reason="answer", detail=reply["answer"][:80])
        return Refinement(text=text, result=problem, failures=tuple(failures), asked=asked)

    # -- references ---------------------------------------------------------------------------

    def solve(self, items: Sequence[tuple[Problem, int]]) -> list[Solution]:
        """Each (problem, seed) with an answer and a worked solution.

        The environment's own where it has one (`references: exact`); else the model's, which
        must reach the same answer twice: a known one once more, an unknown one by two prompts.
        """
        solutions = [self._exact(problem) for problem, _ in items]
        unsolved = [i for i, solution in enumerate(solutions) if solution is None]
        unknown = [i for i in unsolved if items[i][0].answer is None]
        prompts = self.config.prompts
        first = dict(zip(unknown, self._solve(prompts.solve, items, unknown), strict=True))
        again = dict(zip(unsolved, self._solve(prompts.resolve, items, unsolved), strict=True))
        for i in unsolved:
            asked = [pair for pair in (first.get(i), again[i]) if pair is not None]
            solutions[i] = self._agreed(items[i][0], asked)
        return [self._noisy(solution) for solution in solutions if solution is not None]

    def _exact(self, problem: Problem) -> Solution | None:
        """The environment's solution, if it has one and is to be asked."""
        exact = self.environment.solve(problem) if self.config.references == "exact" else None
        if exact is None:
            return None
        answer = self.environment.read_answer(problem, exact)
        if answer is None or problem.answer not in (None, answer):
            return Solution(problem=None)
        return Solution(problem=dataclasses.replace(problem, answer=answer, solution=exact))

    def _solve(
        self, template: str, items: Sequence[tuple[Problem, int]], chosen: Sequence[int]
    ) -> list[Asked]:
        return self.ask(
            "solve",
            template,
            replies.SOLVE,
            [(items[i][0], None, {}, number(template, items[i][1])) for i in chosen],
        )

    def _agreed(self, problem: Problem, asked: Sequence[Asked]) -> Solution:
        """The problem with its answer, if all replies reach it."""
        drawn = tuple(completion for _, completion in asked)
        solved = problem
        for reply, completion in asked:
            claimed = None if isinstance(reply, Malformed) else self._claimed(solved, reply)
            if isinstance(reply, Malformed):
                kind = reply.reason
            elif claimed is None:
                kind = "answer"
            elif solved.answer not in (None, claimed.answer):
                kind = "disagreement"
            else:
                solved = claimed if solved.solution is None else solved
                continue
            return Solution(
                problem=None, failures=(failure("solve", kind, completion),), asked=drawn
            )
        return Solution(problem=solved, asked=drawn)

    def _claimed(self, problem: Problem, reply: Reply) -> Problem | None:
        """The problem with a reply's answer and solution; None if no single answer can be read."""
        worked, stated = reply["solution"].strip(), reply["answer"].strip()
        solution = self.environment.conclude(problem, worked, stated)
        answer = self.environment.read_answer(problem, solution)
        if answer is None:
            return None
        return dataclasses.replace(problem, answer=answer, solution=solution)

    def _noisy(self, solution: Solution) -> Solution:
        noise = self.config.noise
        if solution.problem is None:
            return solution
        problem = noisy_reference(solution.problem, noise.references, noise.seed)
        return dataclasses.replace(solution, problem=problem)

    # -- asking -------------------------------------------------------------------------------

    def ask(
        self,
        task: Task,
        template: str,
        schema: Schema,
        items: Sequence[tuple[Problem, str | None, Mapping[str, str], int]],
    ) -> list[Asked]:
        """The reply to each (problem, attempt, further values, seed), and what was drawn."""
        prompts = [
            self._prompt(task, template, schema, problem, attempt, values)
            for problem, attempt, values, _ in items
        ]
        return self._draw(prompts, self.judging, [seed for *_, seed in items])

    def _prompt(
        self,
        task: Task,
        template: str,
        schema: Schema,
        problem: Problem,
        attempt: str | None,
        values: Mapping[str, str],
    ) -> Prompt:
        text = fill(
            template,
            statement=problem.statement,
            attempt=fence(attempt or "", self.config.longest_attempt),
            answer=problem.answer or "unknown",
            **values,
        )
        return Prompt(
            text=text,
            system=self.config.prompts.system,
            schema=schema,
            task=task,
            problem=problem,
            attempt=attempt,
        )

    def _draw(
        self, prompts: Sequence[Prompt], sampling: Sampling, seeds: Sequence[int]
    ) -> list[Asked]:
        if not prompts:
            return []
        drawn = self.policy.sample(prompts, 1, sampling, seeds)
        return [
            (replies.read(one, prompt.schema or {}, self.config.reasoning), one)
            for prompt, (one,) in zip(prompts, drawn, strict=True)
        ]


def failure(task: Task, kind: str, completion: Completion) -> Failure:
    return Failure(role="teacher", task=task, kind=kind, text=completion.text[:2000])


def _words(item: tuple[Problem, str]) -> tuple[str, str]:
    return item[0].id, item[1]


def _finding(text: str, reply: Reply | Malformed, completion: Completion) -> Finding:
    """A diagnosis whose place is known only if its quotation stands in the text exactly once."""
    if isinstance(reply, Malformed):
        found = failure("diagnose", reply.reason, completion)
        return Finding(diagnosis=None, failures=(found,), asked=(completion,))
    quote = reply["quote"]
    start = text.find(quote) if quote and text.count(quote) == 1 else -1
    kind: Any = reply["kind"]
    diagnosis = Diagnosis(
        step=text[:start].count("\n") if start >= 0 else 0,
        kind=kind,
        detail=reply["detail"][:200],
        end=start + len(quote) if start >= 0 else None,
    )
    failures = () if start >= 0 else (failure("diagnose", "quote", completion),)
    return Finding(diagnosis=diagnosis, failures=failures, asked=(completion,))
