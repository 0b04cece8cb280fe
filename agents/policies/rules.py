"""The exact oracle of a procedural domain, behind the interface of a language model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.policies.base import Prompt, Sampling
from agents.records import Completion
from environments import Environment


class RulesPolicy:
    """Answers prompts by the environment's own `solve` and `vary`; it has no weights."""

    version = 0

    def __init__(self, environment: Environment):
        self.environment = environment

    def sample(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        return [
            [Completion(text=self._reply(prompt, seed, sample)) for sample in range(n)]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def _reply(self, prompt: Prompt, seed: int, sample: int) -> str:
        if prompt.task == "solve":
            return self.environment.solve(prompt.problem) or ""
        rng = np.random.default_rng([seed, sample])
        direction, diagnosis = prompt.direction, prompt.diagnosis
        return self.environment.vary(prompt.problem, rng, direction, diagnosis).statement

    def load_weights(self, weights: bytes, version: int) -> None:
        raise ValueError("the rules policy has no weights to load")
