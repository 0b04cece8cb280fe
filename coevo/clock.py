"""Where the time goes: seconds by part, and tokens by role and task."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from agents.records import Completion, Usage

PARTS = ("rollout", "verify", "learn", "evaluate", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a role's completions for a task took; a shared prompt is counted for each sample.

    `cost` is their price, in the currency of the configured prices, whether they were paid for now
    or, as `cached` of them, earlier; so a run that is replayed from the cache costs the same.
    """

    role: str
    task: str
    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    cost: float

    @classmethod
    def of(cls, role: str, task: str, completions: Iterable[Completion]) -> Cost:
        drawn = [(one, one.usage or _counted(one)) for one in completions]
        return cls(
            role=role,
            task=task,
            calls=len(drawn),
            cached=sum(usage.cached for _, usage in drawn),
            prompt_tokens=sum(usage.prompt_tokens for _, usage in drawn),
            completion_tokens=sum(usage.completion_tokens for _, usage in drawn),
            cost=sum(usage.cost for _, usage in drawn),
        )

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


def _counted(completion: Completion) -> Usage:
    return Usage(
        prompt_tokens=len(completion.prompt_ids), completion_tokens=len(completion.token_ids)
    )


class Clock:
    """Seconds spent in each part since the last `lap`; `other` is what no part claimed."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.spent = dict.fromkeys(PARTS[:-1], 0.0)
        self.costs: list[Cost] = []
        self.busy: str | None = None
        self.details: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Books the time inside to a part; inside another part, the outer one is booked."""
        if self.busy is not None:
            yield
            return
        self.busy, start = name, time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] += time.perf_counter() - start
            self.busy = None

    def detail(self, name: str, seconds: float) -> None:
        """Adds to a figure within a part, such as `hand_over/solver` within `learn`."""
        self.details[name] = self.details.get(name, 0.0) + seconds

    def cost(self, role: str, task: str, completions: Sequence[Completion]) -> None:
        """Books a call's completions to a role and task."""
        if completions:
            self.costs.append(Cost.of(role, task, completions))

    def lap(self) -> tuple[dict[str, float], list[Cost]]:
        """Seconds by part, with `total`, and the costs, both since the last lap."""
        now = time.perf_counter()
        total = now - self.started
        other = total - sum(self.spent.values())
        seconds = {**self.spent, "other": other, "total": total, **self.details}
        costs = self.costs
        self.started, self.spent, self.costs = now, dict.fromkeys(PARTS[:-1], 0.0), []
        self.details = {}
        return seconds, costs
