"""Whole runs whose policy and learner do not compute the same: refused, or stopped before the damage."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.policies import hf
from coevo import eval_command, load_check
from coevo.claim import RunError
from coevo.load_check import CodeDisagrees
from coevo.run import resume
from tests.integration.small import read, run

BOUND = "agents.solver.learner.mismatch_kl_max"


def scaled(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    real = hf.distribution

    def distribution(logits: torch.Tensor, sampling: Any) -> torch.Tensor:
        return real(factor * logits, sampling)

    monkeypatch.setattr(hf, "distribution", distribution)


def test_a_policy_in_bfloat16_stops_a_run_that_goes_on_with_a_higher_bound(tmp_path: Path) -> None:
    with pytest.raises(RunError) as raised:
        run(tmp_path, "agents.solver.policy.dtype=bfloat16", f"{BOUND}=1e-7", "rounds=2")
    told, folder = str(raised.value), tmp_path / "small"
    for part in (
        "round 1, agents.solver", "mismatch_kl is", "before any weight was touched",
        f"{BOUND}=1e-07", "policy hf in bfloat16, learner in float32", "resume", str(folder),
    ):  # fmt: skip
        assert part in told
    with closing(read(folder)) as store:
        assert store.last_round() == 0
    assert [one.name for one in (folder / "checkpoints").iterdir()] == ["round-0000"]

    summary = resume(folder, [f"{BOUND}=null"])
    assert summary["rounds"] == 2
    straight, other = run(tmp_path, "agents.solver.policy.dtype=bfloat16", "name=straight")
    assert summary["digest"] == straight["digest"]
    rows = [json.loads(line) for line in (other / "metrics.jsonl").read_text().splitlines()]
    assert "mismatch_kl" in json.dumps(rows)


def test_code_that_disagrees_is_refused_before_a_run_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        scaled(patched, 1.05)
        with pytest.raises(CodeDisagrees, match=r"agents\.solver\.model=tiny \(family llama\)"):
            run(tmp_path)
    assert not (tmp_path / "small").exists()

    _, folder = run(tmp_path, "rounds=1")  # the name is free, and nothing is wrong
    with monkeypatch.context() as patched:
        scaled(patched, 1.05)
        with pytest.raises(CodeDisagrees):
            resume(folder, ["rounds=2"])
        with pytest.raises(CodeDisagrees):
            eval_command.main(str(folder), [], None, None, False)
    assert resume(folder, ["rounds=2"])["rounds"] == 2


def test_the_check_changes_nothing_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked, _ = run(tmp_path, "rounds=1", "name=checked")
    monkeypatch.setattr(load_check, "check", lambda *_: [])
    unchecked, _ = run(tmp_path, "rounds=1", "name=unchecked")
    assert checked["digest"] == unchecked["digest"]
    assert checked["benchmarks"] == unchecked["benchmarks"]


def test_ranks_take_part_and_decide_alike(tmp_path: Path) -> None:
    """Two ranks on Ray: they are compared as one learner, and one error is what both raise."""
    two = ("runtime=ray", "agents.solver.learner.ranks=2", "loop.feed=teacher", "rounds=1")
    few = ("loop.train_generator=false", "agents.solver.workers=1")
    with pytest.raises(RunError, match=r"round 1, agents\.solver: mismatch_kl is"):
        run(tmp_path, *two, *few, "agents.solver.policy.dtype=bfloat16", f"{BOUND}=1e-7")
    with closing(read(tmp_path / "small")) as store:
        assert store.last_round() == 0
