"""Policies that speak as they are told, and Teachers that use them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from agents.policies import Policy, Prompt, Sampling
from agents.records import Completion
from agents.roles.teacher import Teacher
from coevo.config import PromptsConfig, TeacherConfig
from environments import Environment
from environments.arithmetic import Arithmetic

PROMPTS = PromptsConfig(
    system="be exact",
    solve="SOLVE {statement}",
    resolve="RESOLVE {statement}",
    verify="VERIFY {statement} {attempt}",
    diagnose="DIAGNOSE {statement} {attempt}",
    weakness="WEAKNESS {statement} {error} {attempt}",
    harder="HARDER {statement} {attempt}",
    easier="EASIER {statement} {error} {attempt}",
    similar="SIMILAR {statement} {attempt}",
)


class Speaker:
    """A policy that answers each prompt by a function of it, and keeps what it was asked."""

    version = 2

    def __init__(self, say: Callable[[Prompt], str], finish: str = "stop", error: str = ""):
        self.say, self.finish, self.error = say, finish, error
        self.asked: list[Prompt] = []

    def sample(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        self.asked += prompts
        return [
            [
                Completion(
                    text=self.say(prompt),
                    policy_version=2,
                    finish_reason=self.finish,  # type: ignore[arg-type]
                    error=self.error,
                )
                for _ in range(n)
            ]
            for prompt in prompts
        ]

    def load_weights(self, weights: bytes, version: int) -> None:
        self.version = version


class Recital(Speaker):
    """Says the given texts in turn."""

    def __init__(self, *texts: str, finish: str = "stop"):
        self.texts = list(texts)
        super().__init__(lambda _: self.texts.pop(0), finish)


def teacher(policy: Policy, environment: Environment | None = None, **settings: Any) -> Teacher:
    """A Teacher of arithmetic; with prompts unless its policy is `rules`."""
    config = TeacherConfig(prompts=PROMPTS if isinstance(policy, Speaker) else PromptsConfig())
    config = dataclasses.replace(config, **settings)
    sampling = Sampling(max_tokens=32)
    return Teacher(environment or Arithmetic(), policy, sampling, sampling, config)
