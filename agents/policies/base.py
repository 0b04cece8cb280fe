"""The interface of a policy: prompts in, sampled completions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agents.records import Completion
from environments import Diagnosis, Problem
from environments.base import Direction

Task = Literal["solve", "verify", "diagnose", "refine", "propose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How completions are drawn: temperature 0 is greedy; `max_tokens` counts the end token.

    A completion ends before the first of the `stop` texts that it would contain; its token ids go on
    to the token that completed it.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 128
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a role asks of its policy.

    A language model reads `system` (where its policy uses a chat template) and `text`. The rules
    policy reads the task and the records behind it, so that both serve the same role. `schema` is
    the JSON schema of the reply, which an engine with structured output enforces.
    """

    text: str
    system: str = ""
    schema: Mapping[str, Any] | None = None
    task: Task
    problem: Problem
    attempt: str | None = None
    direction: Direction = "similar"
    diagnosis: Diagnosis | None = None


def failed(prompt_ids: Sequence[int], error: str, version: int) -> Completion:
    """The completion of a prompt after which nothing can be drawn."""
    return Completion(
        text="",
        prompt_ids=tuple(prompt_ids),
        policy_version=version,
        finish_reason="error",
        error=error,
    )


class Policy(Protocol):
    """A source of completions with a version, which counts the updates of its weights."""

    version: int

    def sample(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """`n` completions of each prompt, in order.

        Sample j of prompt i depends on `seeds[i]` and j alone, not on what it is batched with
        (up to the rounding of batched matrix products).
        """
        ...

    def load_weights(self, weights: bytes, version: int) -> None:
        """Takes over weights in safetensors format; raises where the policy has none."""
        ...
