"""The Generator: writes a new problem from a problem and a failed attempt at it."""

from __future__ import annotations

from collections.abc import Sequence

from agents.policies import Policy, Prompt, Sampling
from agents.prompts import fill
from agents.records import Completion
from environments import Environment, Malformed, Problem


def generator_prompt(template: str, problem: Problem, attempt: str) -> str:
    """What a Generator reads: the template with its `{statement}` and `{attempt}` filled in."""
    return fill(template, statement=problem.statement, attempt=attempt)


class Generator:
    """Proposes problems."""

    def __init__(self, environment: Environment, policy: Policy, sampling: Sampling, template: str):
        self.environment, self.policy = environment, policy
        self.sampling, self.template = sampling, template

    def propose(
        self, items: Sequence[tuple[Problem, str, int]]
    ) -> list[tuple[Completion, Problem | Malformed]]:
        """One proposal for each (problem, attempt, seed): what was written, and what it reads as."""
        prompts = [
            Prompt(
                text=generator_prompt(self.template, problem, attempt),
                task="propose",
                problem=problem,
                attempt=attempt,
            )
            for problem, attempt, _ in items
        ]
        seeds = [seed for _, _, seed in items]
        proposals = []
        for (completion,) in self.policy.sample(prompts, 1, self.sampling, seeds):
            if completion.finish_reason == "error":
                result: Problem | Malformed = Malformed(reason=completion.error)
            elif completion.finish_reason == "length":
                result = Malformed(reason="unfinished")
            else:
                result = self.environment.parse_problem(completion.text.strip())
            proposals.append((completion, result))
        return proposals

    def load_weights(self, weights: bytes, version: int) -> None:
        self.policy.load_weights(weights, version)
