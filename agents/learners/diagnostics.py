"""How far what a learner reads is from what it would draw itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from agents.learners.batching import MicroBatch


class Drift:
    """Collects a round's probability ratios `π/π_sampling` of drawn tokens, and how old their policies are.

    π is the learner as it reads a completion for the first time in an update. `comparable` is false
    where tokens are drawn from another distribution than the learner's on purpose (temperature 0, top-p
    below 1): their log-probabilities then say nothing of the engine, and ages alone are collected.
    """

    def __init__(self, version: int, comparable: bool = True):
        self.version, self.comparable = version, comparable
        self.agreed = False  # whether what the first step read has been compared with the bound
        # of each drawn completion: age, and log ratios of its tokens where it has log-probabilities
        self.rows: list[tuple[int, np.ndarray | None]] = []

    def watch(self, batch: MicroBatch, logprobs: torch.Tensor) -> None:
        for row, line in zip(batch.rows, logprobs.detach().float().cpu(), strict=True):
            if row.policy_version < 0:
                continue
            gaps = None
            if self.comparable and len(row.sampling_logprobs) == len(row.token_ids):
                drawn = np.asarray(row.sampling_logprobs)
                gaps = line[: len(drawn)].numpy().astype(float) - drawn
            self.rows.append((self.version - row.policy_version, gaps))

    def metrics(self) -> dict[str, float]:
        """Quantiles of the ratios, `mismatch_kl`, ages in updates."""
        found: dict[str, float] = {}
        if ages := [age for age, _ in self.rows]:
            found |= {"staleness": float(np.mean(ages)), "staleness_max": max(ages)}
        if gaps := [gap for _, gap in self.rows if gap is not None]:
            ratios = np.exp(np.concatenate(gaps))
            for name, share in (("p01", 0.01), ("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                found[f"ratio_{name}"] = float(np.quantile(ratios, share))
        if (figure := mismatch_kl(self.rows)) is not None:
            found["mismatch_kl"] = figure
        return found


def mismatch_kl(rows: Sequence[tuple[int, np.ndarray | None]]) -> float | None:
    """The k3 estimate of KL(π_sampling ‖ π) a token, of `Drift.rows`; None if there is nothing to compare.

    Only of what the learner's own version drew: that an older one differs is no fault of an engine.
    """
    gaps = [gap for age, gap in rows if age == 0 and gap is not None and len(gap)]
    if not gaps:
        return None
    together = np.concatenate(gaps)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite, or no number: told as it is
        return float((np.exp(together) - 1 - together).mean())
