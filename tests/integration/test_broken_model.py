"""A model whose numbers become NaN or infinite stops a run within the round, and loses nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from coevo import cli
from coevo.loop import Loop
from coevo.run import resume
from coevo.team import Member
from tests.integration.small import SMALL, run


def policy(solver: Any) -> Any:
    return solver.workers.target.policy.model


def learner(solver: Any) -> Any:
    return solver.learner.target.model


@pytest.mark.parametrize(
    ("whose", "value", "told"),
    [
        (
            policy,
            torch.nan,
            "agents.solver: the model tiny, version 1, computes logits that are NaN",
        ),
        (
            learner,
            torch.inf,
            "agents.solver: the weights of tiny after update 1 are not finite: 1 tensors",
        ),
    ],
)
def test_the_run_stops_and_goes_on_from_its_last_checkpoint(
    whose: Any,
    value: float,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the second of two rounds: one message, no traceback, status 1; then the digest of the run that
    nothing befell."""
    straight = run(tmp_path / "straight")[0]["digest"]
    real = Loop.attempt

    def attempt(self: Loop, problems: Any, record: Any) -> Any:
        if record.round == 2:
            member: Member = self.team.solver
            with torch.no_grad():
                next(whose(member).parameters()).view(-1)[5::7] = value
        return real(self, problems, record)

    monkeypatch.setattr(Loop, "attempt", attempt)
    assert cli.main(["run", *SMALL, f"runs_dir={tmp_path}"]) == 1
    captured = capsys.readouterr()
    assert told in captured.err
    assert "Traceback" not in captured.err + captured.out
    monkeypatch.setattr(Loop, "attempt", real)
    assert resume(tmp_path / "small")["digest"] == straight
