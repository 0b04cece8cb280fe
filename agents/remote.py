"""Where roles and learners run: as Ray actors, or in this process. The only module with Ray.

Both runtimes split work over a role's workers in the same way and give each the same number of
torch threads, so that the same seed gives the same run, bit for bit on CPU, in either.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from agents import cluster
from agents.handles import (
    ActorDied,
    Factory,
    Handle,
    InlineHandle,
    RayGroup,
    RayHandle,
    WorkerLost,
)
from agents.quiet import wait_asleep

__all__ = [
    "Handle", "InlineRuntime", "Placement", "RayGroup", "RayHandle", "RayRuntime", "Runtime",
    "RuntimeUnfit", "Worker", "WorkerLost", "make_runtime",
]  # fmt: skip

LOOK_SECONDS = 1.0  # between two looks at whether the local cluster is still there
START_SECONDS = 600.0  # for a worker to start or to be back, on a machine with other work


class RuntimeUnfit(RuntimeError):
    """The machines cannot hold what is asked for; the message says what and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How many workers, with what: torch threads and GPUs of each (a fraction shares one).

    A stateful worker (a learner) is never restarted. `ranks` above 1: that many processes are one
    worker, with threads and GPUs for each.
    """

    workers: int = 1
    ranks: int = 1
    threads: int = 1
    gpus: float = 0.0
    stateful: bool = False


class Runtime(Protocol):
    def start(self, name: str, factory: Factory, place: Placement) -> Handle:
        """Builds `factory()` in each worker."""
        ...

    def wait_built(self) -> None:
        """Returns when every worker has built what it holds; raises the error of one that cannot."""
        ...

    def close(self, logs: bool = False) -> None:
        """Ends all workers; `logs` keeps what they wrote, which is done anyway where one was lost."""
        ...


class InlineRuntime:
    """Everything in this process, one call after the other: for debugging and for tests."""

    def __init__(self) -> None:
        wait_asleep()

    def start(self, name: str, factory: Factory, place: Placement) -> InlineHandle:
        if place.ranks > 1:
            raise RuntimeUnfit(
                f"{name}: {place.ranks} ranks need a process each; write runtime=ray, or ranks=1"
            )
        return InlineHandle(factory, place.workers, place.threads)

    def wait_built(self) -> None:
        pass

    def close(self, logs: bool = False) -> None:
        pass


# -- Ray ------------------------------------------------------------------------------------------


class Worker:
    """What a Ray actor holds: one target, built inside it.

    Not by the constructor: an error there would reach the caller as a dead actor, not as itself.
    """

    def __init__(self, factory: Factory, threads: int):
        os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray sets 1 for an actor without CPUs
        self.factory, self.threads = factory, threads
        self.target: Any = None

    def prepare(self) -> None:
        """Builds the target if it is not there yet."""
        if self.target is None:
            self.target = self.factory()
            if "torch" in sys.modules and "vllm" not in sys.modules:  # vLLM has set its own
                sys.modules["torch"].set_num_threads(self.threads)

    def call(self, method: str, *arguments: Any) -> Any:
        self.prepare()
        return attrgetter(method)(self.target)(*arguments)

    def process(self) -> int:
        return os.getpid()

    def meeting_place(self) -> tuple[str, int]:
        """This machine's address, and a port that was free a moment ago."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return ray.util.get_node_ip_address(), free.getsockname()[1]

    def join(self, rank: int, ranks: int, place: tuple[str, int]) -> None:
        """Builds the target as one of several ranks; the variables are those of torch."""
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks)}
        os.environ |= {"MASTER_ADDR": place[0], "MASTER_PORT": str(place[1])}
        self.prepare()

    def take_part(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """`call`, of which only rank 0 sends the result."""
        result = self.call(method, *arguments)
        return result if os.environ["RANK"] == "0" else None


class RayRuntime:
    """Roles and learners as Ray actors, on a local cluster of its own or at `address`.

    Raises `RuntimeUnfit` if there is no cluster to work on. What a lost one's processes wrote is copied
    to `logs`, if given.
    """

    def __init__(self, address: str | None = None, restarts: int = 3, logs: Path | None = None):
        with cluster.environment():
            import ray

        self.ray, self.restarts, self.logs, self.lost = ray, restarts, logs, False
        self.local: cluster.LocalCluster | None = None
        ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._connect(address)
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in ours.items():  # Ray puts its own in their place
                    signal.signal(number, handler)
        self.handles: list[RayHandle | RayGroup] = []
        self.learners: list[tuple[str, Any]] = []  # actors whose state only a checkpoint has
        self.total_gpus, self.promised = ray.cluster_resources().get("GPU", 0.0), 0.0

    def _connect(self, address: str | None) -> None:
        try:
            if address is None:
                self.local = cluster.started(self.ray)
            else:
                with cluster.environment():
                    cluster.join(self.ray, address)
        except Exception as error:  # of many kinds, Exception itself among them
            raise RuntimeUnfit(cluster.why_not(error, address)) from error

    def start(self, name: str, factory: Factory, place: Placement) -> RayHandle | RayGroup:
        self._check_gpus(name, place)
        restarts = 0 if place.stateful else self.restarts
        actor = self.ray.remote(Worker).options(
            num_cpus=0, num_gpus=place.gpus, max_restarts=restarts
        )
        count = place.workers * place.ranks
        actors = [actor.remote(factory, place.threads) for _ in range(count)]
        if place.stateful:
            self.learners += [(name, worker) for worker in actors]
        group = place.ranks > 1
        handle = RayGroup(self, name, actors) if group else RayHandle(self, name, actors, restarts)
        self.handles.append(handle)
        return handle

    def wait_built(self) -> None:
        for handle in self.handles:
            handle.wait_built()

    def _check_gpus(self, name: str, place: Placement) -> None:
        """Ray would wait for ever for GPUs that are not there."""
        count = place.workers * place.ranks
        self.promised += place.gpus * count
        if self.promised > self.total_gpus:
            raise RuntimeUnfit(
                f"{name} asks for {count} x {place.gpus:g} GPUs, which with those before it is "
                f"{self.promised:g} of the {self.total_gpus:g} that Ray has: "
                "coevo run … --dry-run prints the plan; write smaller agents.….gpus, or the "
                "runtime.address of a larger cluster"
            )

    # -- waiting, which ends with the cluster ------------------------------------------------------

    def check(self) -> None:
        """Raises `WorkerLost` if the local cluster has ended. To be asked before Ray is given anything:
        it ends this process without a word where it cannot reach the raylet any more."""
        if self.local is not None and (ended := self.local.lost()):
            raise self.loss(ended)

    def ready(self, references: list[Any], seconds: float | None = None) -> list[Any]:
        """One of the references with a result; none after so many seconds.

        Raises `WorkerLost` if the local cluster has ended: Ray would wait for it to come back.
        """
        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            ready, _ = self.ray.wait(references, timeout=max(0.0, min(LOOK_SECONDS, left)))
            if ready or left <= 0:
                return ready

    def get(self, reference: Any, told: str) -> Any:
        """The result, or the error as the role raised it.

        Raises `ActorDied` if the actor, which is `told`, ended under way, `WorkerLost` if the cluster did.
        """
        self.ready([reference])
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except errors.RayTaskError as error:
            raise (error.cause or error) from None
        except (errors.RayActorError, errors.OutOfMemoryError) as error:
            self.lost = True
            raise ActorDied(f"{told} died: {cluster.in_short(error)}") from error
        except errors.RayError as error:  # of the cluster: an object, its owner or a node is gone
            raise self.loss(f"{told}: {cluster.in_short(error)}") from error

    def wait_for(self, reference: Any, told: str, seconds: float = START_SECONDS) -> Any:
        """What an actor answers, which may have to start first, or to be started again.

        Raises `WorkerLost` after so many seconds, or at once where a learner has died before: all
        workers are then built anew, and what this one does is for nothing.
        """
        end = time.monotonic() + seconds
        learners = {learner.process.remote(): name for name, learner in self.learners}
        while ready := self.ready([reference, *learners], end - time.monotonic()):
            if ready[0] == reference:
                return self.get(reference, told)
            name = learners.pop(ready[0])
            try:
                self.get(ready[0], f"{name} worker 0")
            except ActorDied as died:
                raise WorkerLost(str(died)) from died
        raise self.loss(
            f"{told} did not start within {seconds:g} s: the machine is too busy, or has "
            "too little memory"
        )

    def put(self, value: Any) -> Any:
        """A reference to the value, for any number of calls."""
        self.check()
        return self.ray.put(value)

    def end(self, actor: Any) -> None:
        """Ends an actor for good; nobody waits for what it held any more."""
        self.learners = [(name, worker) for name, worker in self.learners if worker is not actor]
        self.ray.kill(actor)

    def loss(self, message: str) -> WorkerLost:
        self.lost = True
        return WorkerLost(message)

    def close(self, logs: bool = False) -> None:
        if self.local is None:
            self.ray.shutdown()
            return
        if (self.lost or logs) and self.logs is not None:
            self.local.keep_logs(self.logs)
        self.local.close()


def make_runtime(
    kind: str, address: str | None = None, restarts: int = 3, logs: Path | None = None
) -> Runtime:
    """The runtime `ray` or `inline`."""
    return InlineRuntime() if kind == "inline" else RayRuntime(address, restarts, logs)
