"""Any file of a run's folder, damaged in any way: every command says so, or does what it always does.

A sample; `python -m scripts.damage_matrix` runs the whole matrix.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from scripts.damage_matrix import COMMANDS, Case, Reference, cases, faults, read
from tests.integration.small import run

OF_CHECKPOINTS, OF_THE_REST = 2, 3  # cases of each command


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("runs")
    _, own = run(folder, "agents.solver.learner.lr=1e-3")
    _, other = run(folder, "agents.solver.learner.lr=1e-3", "seed=1", "name=other", "rounds=1")
    return read(own, other, tmp_path_factory.mktemp("scratch"))


def sample(folder: Path, command: str) -> list[Case]:
    draw = random.Random(command)
    own = [case for case in cases(folder) if case.command == command]
    inside = [case for case in own if case.file.startswith("checkpoints")]
    rest = [case for case in own if case not in inside]
    return draw.sample(inside, OF_CHECKPOINTS) + draw.sample(rest, OF_THE_REST)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_damage_is_fatal_or_silent(command: str, reference: Reference, tmp_path: Path) -> None:
    wrong = {}
    for case in sample(reference.run, command):
        outcome, found = faults(case, reference, tmp_path)
        if found:
            wrong[str(case)] = found, outcome.output
    assert not wrong
