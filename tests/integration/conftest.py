"""What the integration tests share: one small finished run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Coevo = Callable[..., subprocess.CompletedProcess[str]]

SMALL = [  # the main job, with pairs to explain and to export
    "experiment=dpo",
    "rounds=2",
    "runtime=inline",
    "tracker.wandb.mode=disabled",
    "tracker.console=false",
    "evaluation.per_cell=4",
    "evaluation.k=3",
    "evaluation.curve_per_cell=1",
    "evaluation.curve_k=1",
    "loop.group_size=4",
    "loop.new_problems=8",
    "loop.refinements=8",
    "loop.proposals=8",
    "curriculum.seeds=8",
    "curriculum.seed_levels=[5,7]",  # right and wrong attempts at one problem
    "agents.solver.learner.threads=1",
    "agents.generator.learner.threads=1",
    "agents.solver.learner.lr=1e-3",  # so that two small rounds change answers
]


@pytest.fixture(scope="session")
def coevo(tmp_path_factory: pytest.TempPathFactory) -> Coevo:
    """Runs `coevo` with the arguments in an empty folder; the finished process, output as text."""
    folder = tmp_path_factory.mktemp("work")
    root = Path(__file__).resolve().parents[2]

    def run(*arguments: str | Path, cwd: Path = folder) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coevo.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "COLUMNS": "100"},
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, coevo: Coevo) -> Path:
    """The folder of a finished run of two rounds; read it, do not change it."""
    runs = tmp_path_factory.mktemp("runs")
    done = coevo("run", *SMALL, f"runs_dir={runs}", "name=small")
    assert done.returncode == 0, done.stderr
    return runs / "small"
