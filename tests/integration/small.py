"""Small whole runs: overrides, a way to start them, and a way to read what they left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coevo.compose import compose
from coevo.run import start
from coevo.store import Store
from environments import Diagnosis, Problem
from environments.arithmetic import Arithmetic
from environments.base import Direction

SMALL = [
    "experiment=arithmetic",
    "runtime=inline",
    "tracker.console=false",
    "tracker.wandb.mode=disabled",
    "name=small",
    "rounds=2",
    "curriculum.seeds=8",
    "curriculum.seed_levels=[2,4]",
    "loop.group_size=4",
    "loop.new_problems=6",
    "loop.refinements=6",
    "loop.proposals=6",
    "evaluation.k=1",
    "evaluation.per_cell=1",
    "agents.solver.sampling.max_tokens=48",
    "evaluation.sampling.max_tokens=48",
    "agents.solver.workers=2",
    "agents.solver.learner.lr=1e-4",
    "agents.solver.learner.threads=1",
    "agents.generator.learner.threads=1",
]

# The main job instead: strings, GRPO with rehearsal, a trained Generator, a curve.
MAIN = (
    "experiment=default",
    "curriculum.seed_levels=[5,7]",  # right and wrong attempts at one problem
    "evaluation.curve_per_cell=1",
    "evaluation.curve_k=1",
)


def run(folder: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    """Runs in this process; returns the summary and the run's folder."""
    config = compose([*SMALL, f"runs_dir={folder}", *overrides])
    summary = start(config)
    return summary, folder / str(config.name)


def read(folder: Path) -> Store:
    return Store(folder / "run.db", read_only=True)


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`coevo` in a process of its own, with its output in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "coevo.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )


def coevo_run(folder: Path, *overrides: str, **environment: str) -> subprocess.Popen[str]:
    """`coevo run` of the small configuration."""
    return command("run", *SMALL, f"runs_dir={folder}", *overrides, **environment)


class Narrow(Arithmetic):
    """Sums of two digits, and nothing else: proposals soon repeat each other and the held-out."""

    families = ("sums",)
    levels = range(2, 3)

    def cells(self) -> list[tuple[str, int]]:
        return [("sums", 2)]

    def sample(
        self, rng: np.random.Generator, difficulty: Mapping[str, float], family: str | None = None
    ) -> Problem:
        problem = self.parse_problem(f"{rng.integers(2, 10)}+{rng.integers(2, 10)}")
        assert isinstance(problem, Problem)
        return problem

    def vary(
        self,
        problem: Problem,
        rng: np.random.Generator,
        direction: Direction,
        diagnosis: Diagnosis | None = None,
    ) -> Problem:
        return self.sample(rng, {"level": 2})
