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


@pytest.mark.slow
def test_three_rounds_raise_held_out_accuracy(tmp_path: Path) -> None:
    """132 problems of which the Solver sees none, four completions each, the same random numbers
    before and after: without an update the difference is exactly 0, and its interval has no width.

    Measured: +0.087 [0.060, 0.114] with seed 0, +0.057 [0.033, 0.081] with seed 1.
    """
    summary, _ = run(tmp_path, *MODERATE)
    score = summary["benchmarks"]["heldout"]
    assert score["metric"] == "mean@4"
    assert score["problems"] == 132
    assert score["delta"] >= 0.03
    assert score["delta_ci95"][0] > 0.005
    assert score["pass@4"]["final"] >= score["pass@4"]["base"] - 0.02
