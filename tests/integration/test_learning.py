"""The loop learns: with the shipped weights, three rounds raise held-out accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.small import run

MODERATE = [
    "rounds=3",
    "curriculum.seeds=48",
    "curriculum.seed_levels=[2,5]",
    "loop.group_size=8",
    "loop.new_problems=48",
    "loop.refinements=36",
    "loop.proposals=24",
    "evaluation.k=4",
    "evaluation.per_cell=4",
    "agents.solver.sampling.max_tokens=112",
    "evaluation.sampling.max_tokens=112",
    "agents.solver.learner.threads=2",
]
