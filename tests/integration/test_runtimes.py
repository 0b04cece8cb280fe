"""The same run of the main job with Ray actors and without them, also when actors die under way."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevo.loop import Loop
from coevo.run import resume
from tests.integration.small import MAIN, coevo_run, read, run
from tests.integration.test_resume import finished, wait

SECONDS = 400.0  # Ray's workers start slowly on a machine that has other work
RAY = (*MAIN, "runtime=ray")
INLINE = (*MAIN, "runtime=inline")


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the run without Ray."""
    return run(tmp_path_factory.mktemp("inline"), *INLINE)[0]["digest"]


class Killer:
    """Kills processes of the real loop once, right before one of its steps in round 2."""

    def __init__(self, patch: pytest.MonkeyPatch, step: str, victims: Callable[[Loop], list[int]]):
        self.killed: list[int] = []
        real = getattr(Loop, step)

        def first_kill(loop: Loop, *given: Any) -> Any:
            t = getattr(given[-1], "round", given[-1])  # a record, or the round itself
            if t == 2 and not self.killed:
                self.killed = victims(loop)
                for process in self.killed:
                    os.kill(process, signal.SIGKILL)
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
    killer = Killer(monkeypatch, "attempt", lambda loop: loop.team.solver.workers.processes()[1:])
    summary, folder = run(tmp_path, *RAY)
    assert killer.killed
    assert summary["digest"] == inline
    attempts_once(folder)


def every_worker(loop: Loop) -> list[int]:
    """Of all roles and learners."""
    team = loop.team
    handles = [part for member in team.members() for part in (member.workers, member.learner)]
    return [process for handle in handles if handle for process in handle.processes()]


def test_all_workers_killed_at_once_are_taken_up_from_the_checkpoint(
    inline: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Learners too, whose state is gone, before the Solver's update in round 2: it is done again."""
    killer = Killer(monkeypatch, "learn", every_worker)
    summary, folder = run(tmp_path, *RAY)
    assert len(killer.killed) == 6
    (told,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(  # of which learner Ray hears first is chance
        r"(solver|generator) learner worker 0 died: .*; going on from the last checkpoint", told
    )
    assert summary["digest"] == inline
    attempts_once(folder)
    assert list((folder / "logs").iterdir())


def test_a_killed_run_resumed_is_the_run_that_was_not(inline: str, tmp_path: Path) -> None:
    """Its process alone is killed: what it started under Ray does not stand in the way."""
    process, folder = coevo_run(tmp_path, *RAY), tmp_path / "small"
    wait(process, finished(folder, 1), SECONDS)
    process.kill()
    process.communicate()
    assert resume(folder)["digest"] == inline
    attempts_once(folder)


def test_without_a_cluster_there_is_no_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control store finds its port in use. The name is free for the next try."""
    with socket.create_server(("", 0), dualstack_ipv6=True, family=socket.AF_INET6) as taken:
        monkeypatch.setenv("RAY_GCS_SERVER_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "1")
        process = coevo_run(tmp_path, *RAY)
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, output
    (told,) = [line for line in output.splitlines() if line.startswith("coevo:")]  # Ray warns too
    assert told.startswith("coevo: Ray did not start on this machine: ")
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []
