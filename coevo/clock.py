"""Where the time goes: seconds by part, and tokens by role and task."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from agents.records import Completion

PARTS = ("rollout", "verify", "learn", "evaluate", "other")


class Clock:
    """Seconds spent in each part since the last `lap`; `other` is what no part claimed."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.spent = dict.fromkeys(PARTS[:-1], 0.0)
        self.costs: list[tuple[str, str, int, int, int, float]] = []
        self.busy: str | None = None

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

    def cost(self, role: str, task: str, completions: Iterable[Completion], seconds: float) -> None:
        """Books a call's tokens to a role and task; a shared prompt is counted for each sample."""
        drawn = list(completions)
        prompt_tokens = sum(len(completion.prompt_ids) for completion in drawn)
        tokens = sum(len(completion.token_ids) for completion in drawn)
        self.costs.append((role, task, len(drawn), prompt_tokens, tokens, seconds))

    def lap(self) -> tuple[dict[str, float], list[tuple[str, str, int, int, int, float]]]:
        """Seconds by part, with `total`, and the costs, both since the last lap."""
        now = time.perf_counter()
        total = now - self.started
        seconds = {**self.spent, "other": total - sum(self.spent.values()), "total": total}
        costs = self.costs
        self.started, self.spent, self.costs = now, dict.fromkeys(PARTS[:-1], 0.0), []
        return seconds, costs
