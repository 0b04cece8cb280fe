"""The Solver: attempts problems."""

from __future__ import annotations

from collections.abc import Sequence

from agents.policies import Policy, Prompt, Sampling
from agents.prompts import fill
from agents.records import Completion
from environments import Environment, Problem


def solver_prompt(environment: Environment, template: str, problem: Problem) -> str:
    """What a Solver reads: the question, framed by the template as `{prompt}`."""
    return fill(template, prompt=environment.prompt(problem))


class Solver:
    """Draws completions on problems."""

    def __init__(self, environment: Environment, policy: Policy, sampling: Sampling, template: str):
        self.environment, self.policy = environment, policy
        self.sampling, self.template = sampling, template

    def attempt(
        self, items: Sequence[tuple[Problem, int]], k: int, sampling: Sampling | None = None
    ) -> list[list[Completion]]:
        """`k` completions of each (problem, seed)."""
        prompts = [
            Prompt(
                text=solver_prompt(self.environment, self.template, problem),
                task="solve",
                problem=problem,
            )
            for problem, _ in items
        ]
        seeds = [seed for _, seed in items]
        return self.policy.sample(prompts, k, sampling or self.sampling, seeds)

    def load_weights(self, weights: bytes, version: int) -> None:
        self.policy.load_weights(weights, version)
