"""The exact oracle of a procedural domain, behind the interface of a language model."""

from __future__ import annotations

import json
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
        """A text; or JSON by the prompt's schema, as a language model would write it."""
        reply = self._fields(prompt, np.random.default_rng([seed, sample]))
        if prompt.schema is None:
            return reply["solution" if prompt.task == "solve" else "problem"]
        return json.dumps({name: reply.get(name, "") for name in prompt.schema["properties"]})

    def _fields(self, prompt: Prompt, rng: np.random.Generator) -> dict[str, str]:
        environment, problem, attempt = self.environment, prompt.problem, prompt.attempt or ""
        if prompt.task == "solve":
            solution = environment.solve(problem) or ""
            return {
                "solution": solution,
                "answer": environment.read_answer(problem, solution) or "",
            }
        if prompt.task == "verify":
            correct = environment.verify(problem, attempt).correct
            return {"verdict": "correct" if correct else "wrong"}
        if prompt.task == "diagnose":
            found = environment.diagnose(problem, attempt)
            if found is None:
                return {"kind": "format"}
            return {"kind": found.kind, "detail": found.detail, "quote": attempt[: found.end]}
        variant = environment.vary(problem, rng, prompt.direction, prompt.diagnosis)
        return {"problem": variant.statement}

    def load_weights(self, weights: bytes, version: int) -> None:
        raise ValueError("the rules policy has no weights to load")
