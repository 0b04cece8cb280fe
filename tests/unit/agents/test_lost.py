"""A local cluster that ends, or whose run does: said at once, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from agents.leftovers import members
from agents.remote import Placement, RayRuntime, RuntimeUnfit, WorkerLost

SECONDS = 60.0  # no wait takes a tenth of it on a machine without other work


class Role:
    """Restarted when it dies; its first call takes for ever."""

    def wait(self, items: Sequence[int] = ()) -> None:
        signal.pause()

    def token(self) -> str:
        return os.environ["RAY_AUTH_TOKEN"]


class Total:
    """A learner."""

    total = 0

    def add(self, number: int) -> int:
        self.total += number
        return self.total


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[RayRuntime]:
    (tmp_path / "logs").mkdir()
    runtime = RayRuntime(logs=tmp_path / "logs")
    yield runtime
    runtime.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end


def named(ray: RayRuntime, name: str) -> int:
    """The id of one of the cluster's central processes."""
    assert ray.local is not None
    return {kind: process.pid for kind, process in ray.local.node.live_processes()}[name]


@pytest.mark.parametrize(
    ("name", "told"), [("raylet", "the raylet"), ("gcs_server", "the control store")]
)
def test_the_end_of_the_cluster_ends_every_wait(
    ray: RayRuntime, name: str, told: str, tmp_path: Path
) -> None:
    """Also that of a role whose call would be repeated: Ray waits for a node to restart it on."""
    role = ray.start("solver", Role, Placement())
    token = role.call("token")
    waiting = [role.actors[0].call.remote("wait")]
    folder = ray.local and ray.local.folder
    os.kill(named(ray, name), signal.SIGKILL)
    begun = time.monotonic()
    with pytest.raises(WorkerLost, match=f"{told} of the local Ray cluster was killed or crashed"):
        role.call("wait")
    with pytest.raises(WorkerLost):
        ray.ready(waiting)
    with pytest.raises(WorkerLost):  # weights go through the raylet: Ray would end this process
        role.load_weights(bytes(2**20), 1)
    assert time.monotonic() - begun < SECONDS
    ray.close()
    assert members(token) == []
    assert folder and not folder.exists()
    assert list((tmp_path / "logs").glob("gcs_server*"))


def test_all_workers_killed_at_once_is_the_learner_lost(ray: RayRuntime) -> None:
    """Also where the roles are back first: they will be built anew, and what they do is for nothing."""
    role = ray.start("solver", Role, Placement(workers=2))
    learner = ray.start("solver learner", Total, Placement(stateful=True))
    assert learner.call("add", 1) == 1
    for handle in (role, learner):
        for process in handle.processes():
            os.kill(process, signal.SIGKILL)
    with pytest.raises(WorkerLost, match="solver learner worker 0 died"):
        role.map("wait", [1, 2])


def test_a_second_cluster_follows_a_lost_one_with_a_token_of_its_own(ray: RayRuntime) -> None:
    first = ray.start("solver", Role, Placement()).call("token")
    os.kill(named(ray, "raylet"), signal.SIGKILL)
    ray.close()
    second = RayRuntime()
    try:
        assert second.start("solver", Role, Placement()).call("token") != first
    finally:
        second.close()


DRIVER = """
import sys
from agents.remote import Placement, RayRuntime
from tests.unit.agents.test_lost import Role
runtime = RayRuntime()
role = runtime.start("solver", Role, Placement(workers=2))
print(runtime.local.folder, role.call("token"), flush=True)
role.map("wait", [1, 2])
"""


def test_nothing_outlives_a_killed_run() -> None:
    """Its cluster is killed with it, workers at work and Ray's agents too, and its folder goes."""
    with subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        folder, token = run.stdout.readline().split()
        assert len(members(token)) >= 5
        run.kill()
    until(lambda: not members(token))
    until(lambda: not Path(folder).exists())


def test_a_cluster_that_does_not_start_is_one_message_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its control store finds its port in use: an error of Ray's own, in its own time."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with socket.create_server(("", 0), dualstack_ipv6=True, family=socket.AF_INET6) as taken:
        monkeypatch.setenv("RAY_GCS_SERVER_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "1")
        with pytest.raises(RuntimeUnfit, match=r"Ray did not start .* runtime=inline") as caught:
            RayRuntime()
    assert "\n" not in str(caught.value)
    alive = psutil.Process().children(recursive=True)
    left = [one for one in alive if one.pid not in before and one.status() != psutil.STATUS_ZOMBIE]
    assert left == []


def test_an_address_without_a_cluster_is_one_message_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    begun = time.monotonic()
    with pytest.raises(RuntimeUnfit, match=rf"runtime.address={address}: .*RAY_AUTH_TOKEN"):
        RayRuntime(address)
    assert time.monotonic() - begun < SECONDS
