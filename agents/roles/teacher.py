"""The Teacher: verifies, diagnoses, refines and solves; it is never trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from agents.policies import Policy, Prompt, Sampling
from environments import Diagnosis, Environment, Malformed, Problem, Verdict
from environments.base import Direction


class Teacher:
    """Judges by the environment's exact verifier, and writes by its policy.

    On procedural domains the policy is `rules`; `template` frames `{statement}`, `{attempt}`,
    `{direction}` and `{error}` for a language model.
    """

    def __init__(self, environment: Environment, policy: Policy, sampling: Sampling, template: str):
        self.environment, self.policy = environment, policy
        self.sampling, self.template = sampling, template

    def verify(self, items: Sequence[tuple[Problem, str]]) -> list[Verdict]:
        """The verdict on each (problem, completion)."""
        return [self.environment.verify(problem, text) for problem, text in items]

    def diagnose(self, items: Sequence[tuple[Problem, str]]) -> list[Diagnosis | None]:
        """The first wrong step of each (problem, completion), None where all is right."""
        return [self.environment.diagnose(problem, text) for problem, text in items]

    def refine(
        self, items: Sequence[tuple[Problem, str, Direction, int]]
    ) -> list[tuple[str, Problem | Malformed]]:
        """A new problem for each (problem, attempt, direction, seed), and the text it was read from.

        Direction `weakness` aims at the first wrong step of the attempt.
        """
        prompts, seeds = [], []
        for problem, attempt, direction, seed in items:
            diagnosis = self.environment.diagnose(problem, attempt)
            error = "none" if diagnosis is None else f"{diagnosis.kind}: {diagnosis.detail}"
            text = self.template.replace("{statement}", problem.statement)
            text = text.replace("{direction}", direction).replace("{error}", error)
            text = text.replace("{attempt}", attempt)  # last: a model wrote it
            prompts.append(
                Prompt(
                    text=text,
                    task="refine",
                    problem=problem,
                    attempt=attempt,
                    direction=direction,
                    diagnosis=diagnosis,
                )
            )
            seeds.append(seed)
        texts = [one.text for (one,) in self.policy.sample(prompts, 1, self.sampling, seeds)]
        return [(text, self.environment.parse_problem(text.strip())) for text in texts]

    def solve(self, items: Sequence[tuple[Problem, int]]) -> list[Problem | None]:
        """Each (problem, seed) with the Teacher's answer and worked solution.

        None where it cannot solve the problem, or does not reach the same answer twice.
        """
        prompts = [
            Prompt(text=self.environment.prompt(problem), task="solve", problem=problem)
            for problem, _ in items
        ]
        drawn = self.policy.sample(prompts, 2, self.sampling, [seed for _, seed in items])
        return [
            self._solved(problem, [completion.text for completion in pair])
            for (problem, _), pair in zip(items, drawn, strict=True)
        ]

    def _solved(self, problem: Problem, solutions: list[str]) -> Problem | None:
        verdicts = [self.environment.verify(problem, solution) for solution in solutions]
        answers = {verdict.answer for verdict in verdicts}
        answer = verdicts[0].answer
        if len(answers) != 1 or answer is None:
            return None
        if problem.answer is not None and answer != problem.answer:
            return None
        return dataclasses.replace(problem, answer=answer, solution=solutions[0])
