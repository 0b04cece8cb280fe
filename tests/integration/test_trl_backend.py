"""A whole run whose Solver learns by TRL's trainers: it learns, and it can be resumed."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from agents.model_files import TINY
from coevo.checkpoint import folder_of
from coevo.run import resume
from tests.integration.small import run

TRL = (
    "agents.solver.learner.backend=trl",
    "agents.solver.learner.nll_weight=0",  # DPOTrainer has none a sequence
    "loop.feed=teacher",  # nothing looks ahead to the last round
    "loop.train_generator=false",
)


def test_a_run_learns_and_resumes_to_what_the_straight_one_is(tmp_path: Path) -> None:
    straight, whole = run(tmp_path, *TRL, "name=whole")
    short, folder = run(tmp_path, *TRL, "rounds=1")
    assert short["digest"] != straight["digest"]
    assert resume(folder, ["rounds=2"])["digest"] == straight["digest"]

    before = load_file(TINY / "model.safetensors")
    last, previous = (
        load_file(folder_of(whole / "checkpoints", t) / "solver" / "model.safetensors")
        for t in (2, 1)
    )
    for name, tensor in last.items():
        assert not torch.equal(tensor, previous[name])
        assert not torch.equal(previous[name], before[name])
    assert sorted(path.name for path in whole.iterdir()) == sorted(p.name for p in folder.iterdir())
