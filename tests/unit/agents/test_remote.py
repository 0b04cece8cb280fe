"""Both runtimes give the same results; dead workers are replaced, or named.

The targets are local classes, so that Ray carries them by value. One Ray runtime serves all tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agents.remote import (
    InlineRuntime,
    Placement,
    RayHandle,
    RayRuntime,
    RuntimeUnfit,
    WorkerLost,
    make_runtime,
)


def scaler() -> Callable[[], Any]:
    """A stateless role: its results depend on its weights and arguments alone."""

    class Scaler:
        factor, version = 1, 0

        def load_weights(self, weights: bytes, version: int) -> None:
            self.factor, self.version = int(weights), version

        def scale(self, items: list[int], plus: int = 0) -> list[tuple[int, int]]:
            return [(item * self.factor + plus, self.version) for item in items]

        def fail(self) -> None:
            raise KeyError("a mistake of the role")

        def threads(self) -> int:
            import torch

            return torch.get_num_threads()

    return Scaler


def counter() -> Callable[[], Any]:
    """A learner: it holds state that only a checkpoint has."""

    class Counter:
        total = 0

        def add(self, number: int) -> int:
            self.total += number
            return self.total

    return Counter


@pytest.fixture(scope="module")
def ray() -> Iterator[RayRuntime]:
    runtime = make_runtime("ray")
    assert isinstance(runtime, RayRuntime)
    yield runtime
    runtime.close()


def kill(handle: RayHandle, worker: int) -> None:
    os.kill(handle.processes()[worker], signal.SIGKILL)


ITEMS = list(range(23))


def test_inline_and_ray_agree(ray: RayRuntime) -> None:
    """Results keep the order of the items, whatever the number of workers."""
    expected = [(item * 7 + 1, 4) for item in ITEMS]
    for workers in (1, 3):
        inline = InlineRuntime().start("scaler", scaler(), Placement(workers=workers))
        remote = ray.start("scaler", scaler(), Placement(workers=workers))
        for handle in (inline, remote):
            assert handle.map("scale", ITEMS) == [(item, 0) for item in ITEMS]
            handle.load_weights(b"7", 4)
            assert handle.map("scale", ITEMS, 1) == expected
            assert handle.map("scale", ITEMS[:2], 1) == expected[:2]
            assert handle.map("scale", []) == []
            assert handle.call("scale", [5]) == [(35, 4)]


def test_both_runtimes_set_the_threads(ray: RayRuntime) -> None:
    import torch

    before = torch.get_num_threads()
    for runtime in (InlineRuntime(), ray):
        assert runtime.start("scaler", scaler(), Placement(threads=2)).call("threads") == 2
    assert torch.get_num_threads() == before


def test_a_mistake_of_the_role_is_raised_as_it_is(ray: RayRuntime) -> None:
    for runtime in (InlineRuntime(), ray):
        with pytest.raises(KeyError, match="a mistake of the role"):
            runtime.start("scaler", scaler(), Placement()).call("fail")


def test_a_killed_worker_is_restarted_with_its_weights(ray: RayRuntime) -> None:
    """Each of three workers in turn, between calls: the results are those of an untouched one."""
    handle = ray.start("scaler", scaler(), Placement(workers=3))
    handle.load_weights(b"7", 4)
    expected = [(item * 7 + 1, 4) for item in ITEMS]
    for worker in range(3):
        before = handle.processes()
        kill(handle, worker)
        assert handle.map("scale", ITEMS, 1) == expected
        after = handle.processes()
        assert [old != new for old, new in zip(before, after, strict=True)] == [
            w == worker for w in range(3)
        ]


def test_a_worker_killed_before_new_weights_gets_them(ray: RayRuntime) -> None:
    handle = ray.start("scaler", scaler(), Placement(workers=2))
    handle.load_weights(b"7", 4)
    kill(handle, 1)
    handle.load_weights(b"9", 5)
    assert handle.map("scale", ITEMS) == [(item * 9, 5) for item in ITEMS]
    assert handle.call("scale", [2]) == [(18, 5)]


def test_a_worker_that_keeps_dying_is_named(ray: RayRuntime) -> None:
    def doomed() -> Callable[[], Any]:
        class Doomed:
            def work(self) -> None:
                os.kill(os.getpid(), signal.SIGKILL)

        return Doomed

    with pytest.raises(WorkerLost, match="doomed worker 0 died"):
        ray.start("doomed", doomed(), Placement()).call("work")


def test_a_killed_learner_is_lost(ray: RayRuntime) -> None:
    """Its state is gone: a fresh one must not answer in its place."""
    handle = ray.start("solver learner", counter(), Placement(stateful=True))
    assert handle.call("add", 2) == 2
    assert handle.call("add", 3) == 5
    kill(handle, 0)
    for _ in range(2):
        with pytest.raises(WorkerLost, match="solver learner worker 0 died"):
            handle.call("add", 1)


def test_gpus_that_are_not_there_are_named(ray: RayRuntime) -> None:
    """Ray itself would wait for them without a word."""
    with pytest.raises(RuntimeUnfit, match=r"solver asks for 2 x 0.5 GPUs.*agents"):
        ray.start("solver", scaler(), Placement(workers=2, gpus=0.5))


def test_every_worker_is_called_through_a_dotted_name() -> None:
    class Part:
        calls = 0

        def sleep(self) -> None:
            self.calls += 1

    class Whole:
        def __init__(self) -> None:
            self.policy = Part()

        def calls(self) -> int:
            return self.policy.calls

    handle = InlineRuntime().start("whole", Whole, Placement())
    handle.each("policy.sleep")
    assert handle.call("calls") == 1


INLINE = """
from agents.remote import InlineRuntime, Placement
InlineRuntime().start("solver", dict, Placement(threads=2)).call("keys")
"""


@pytest.mark.parametrize(
    ("own", "spins"), [({}, "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000")]
)
def test_threads_in_this_process_sleep_while_they_wait(own: dict[str, str], spins: str) -> None:
    """OpenMP, which torch brings, prints how often it looks before it sleeps. A user's own choice stays."""
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", INLINE],
        capture_output=True,
        text=True,
        env={**plain, "OMP_DISPLAY_ENV": "VERBOSE", **own},
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
