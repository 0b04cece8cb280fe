"""The same run with Ray actors and without them, also when actors die under way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.remote import RayHandle
from coevo.loop import Loop
from tests.integration.small import read, run

RAY = ("runtime=ray", "curriculum.seed_levels=[3,5]")
INLINE = ("runtime=inline", "curriculum.seed_levels=[3,5]")


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the run without Ray."""
    return run(tmp_path_factory.mktemp("inline"), *INLINE)[0]["digest"]


class Killer:
    """Kills a worker of the real loop once, right before one of its steps in round 2."""

    def __init__(self, patch: pytest.MonkeyPatch, step: str, handle: Callable[[Loop], RayHandle]):
        self.killed: list[int] = []
        real = getattr(Loop, step)

        def first_kill(loop: Loop, *given: Any) -> Any:
            t = getattr(given[-1], "round", given[-1])  # a record, or the round itself
            if t == 2 and not self.killed:
                process = handle(loop).processes()[-1]
                os.kill(process, signal.SIGKILL)
                self.killed.append(process)
            return real(loop, *given)

        patch.setattr(Loop, step, first_kill)


def attempts_once(folder: Path) -> None:
    """Nothing was done twice: each problem of a batch has its four samples by that round's Solver."""
    store = read(folder)
    for t, problem_id, _ in store.batches():
        samples = [attempt.sample for attempt in store.attempts(problem_id, t - 1)]
        assert samples == [0, 1, 2, 3]


def test_ray_and_inline_give_the_same_digest(inline: str, tmp_path: Path) -> None:
    summary, folder = run(tmp_path, *RAY)
    assert summary["digest"] == inline
    attempts_once(folder)


def test_a_killed_rollout_worker_changes_nothing(
    inline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second Solver worker dies before the rollouts of round 2: restarted, weights and all."""
    killer = Killer(monkeypatch, "attempt", lambda loop: loop.team.solver.workers)
    summary, folder = run(tmp_path, *RAY)
    assert killer.killed
    assert summary["digest"] == inline
    attempts_once(folder)


def test_a_killed_learner_is_taken_up_from_the_checkpoint(
    inline: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The Solver's learner dies before its update in round 2: round 2 is done again."""
    killer = Killer(monkeypatch, "learn", lambda loop: loop.team.solver.learner)
    summary, folder = run(tmp_path, *RAY)
    assert killer.killed
    assert "solver learner worker 0 died" in capsys.readouterr().out
    assert summary["digest"] == inline
    attempts_once(folder)
