"""How far what a learner reads is from what it would draw itself."""

from __future__ import annotations

import numpy as np
import torch

from agents.learners.batching import MicroBatch


class Drift:
    """Collects a round's probability ratios `π/π_sampling` of drawn tokens, and how old their policies are.

    π is the learner as it reads a completion for the first time in an update.
    """

    def __init__(self, version: int):
        self.version = version
        self.gaps: list[np.ndarray] = []
        self.ages: list[int] = []

    def watch(self, batch: MicroBatch, logprobs: torch.Tensor) -> None:
        for row, line in zip(batch.rows, logprobs.detach().float().cpu(), strict=True):
            if row.policy_version < 0:
                continue
            self.ages.append(self.version - row.policy_version)
            if len(row.sampling_logprobs) == len(row.token_ids):
                drawn = np.asarray(row.sampling_logprobs)
                self.gaps.append(line[: len(drawn)].numpy().astype(float) - drawn)

    def metrics(self) -> dict[str, float]:
        """Quantiles of the ratios, the k3 estimate of KL(π_sampling ‖ π) a token, ages in updates."""
        found: dict[str, float] = {}
        if self.ages:
            found |= {"staleness": float(np.mean(self.ages)), "staleness_max": max(self.ages)}
        if self.gaps:
            gaps = np.concatenate(self.gaps)
            ratios = np.exp(gaps)
            found["mismatch_kl"] = float((ratios - 1 - gaps).mean())
            for name, share in (("p01", 0.01), ("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
                found[f"ratio_{name}"] = float(np.quantile(ratios, share))
        return found
