"""Where roles and learners run: as Ray actors, or in this process. The only module with Ray.

Both runtimes split work over a role's workers in the same way and give each the same number of
torch threads, so that the same seed gives the same run, bit for bit on CPU, in either.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

GRACE_SECONDS = 60.0  # for the ranks beside one that failed, to fail as well or to be found dead
Factory = Callable[[], Any]


class RuntimeUnfit(RuntimeError):
    """The machines cannot hold what is asked for; the message says what and what to write."""


class WorkerLost(RuntimeError):
    """An actor died and could not be restarted, or held state that only a checkpoint has."""


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


class Handle(Protocol):
    """One role or learner, behind one or several workers. A method may be that of a part of it, such
    as `policy.sleep`."""

    def call(self, method: str, *arguments: Any) -> Any:
        """The result of the method on the first worker."""
        ...

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        """`method(part, *shared)` on each worker's part of the items; results in their order."""
        ...

    def each(self, method: str) -> None:
        """The method on every worker."""
        ...

    def load_weights(self, weights: bytes, version: int) -> None:
        """New weights for every worker, those restarted later too."""
        ...


class Runtime(Protocol):
    def start(self, name: str, factory: Factory, place: Placement) -> Handle:
        """Builds `factory()` in each worker."""
        ...

    def close(self) -> None: ...


def _parts(items: Sequence[Any], workers: int) -> list[list[Any]]:
    """Worker w gets items w, w + workers, …"""
    return [list(items[worker::workers]) for worker in range(workers)]


def _merge(parts: list[list[Any]], count: int) -> list[Any]:
    merged: list[Any] = [None] * count
    for worker, part in enumerate(parts):
        merged[worker :: len(parts)] = part
    return merged


# -- in this process ------------------------------------------------------------------------------


class InlineHandle:
    def __init__(self, factory: Factory, workers: int, threads: int):
        self.workers, self.threads = workers, threads
        self.target = self._run(factory)

    def _run(self, function: Callable[[], Any]) -> Any:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            return function()
        finally:
            torch.set_num_threads(before)

    def call(self, method: str, *arguments: Any) -> Any:
        return self._run(lambda: attrgetter(method)(self.target)(*arguments))

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        parts = [self.call(method, part, *shared) for part in _parts(items, self.workers)]
        return _merge(parts, len(items))

    def each(self, method: str) -> None:
        self.call(method)

    def load_weights(self, weights: bytes, version: int) -> None:
        self.call("load_weights", weights, version)


class InlineRuntime:
    """Everything in this process, one call after the other: for debugging and for tests."""

    def start(self, name: str, factory: Factory, place: Placement) -> InlineHandle:
        if place.ranks > 1:
            raise RuntimeUnfit(
                f"{name}: {place.ranks} ranks need a process each; write runtime=ray, or ranks=1"
            )
        return InlineHandle(factory, place.workers, place.threads)

    def close(self) -> None:
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


class RayHandle:
    """Calls on actors. A dead stateless actor is restarted by Ray, given its weights again, and its
    call is repeated: it depends on its arguments alone, so nothing is duplicated."""

    def __init__(self, ray: Any, name: str, actors: list[Any], restarts: int):
        self.ray, self.name, self.actors, self.restarts = ray, name, actors, restarts
        self.weights: tuple[Any, int] | None = None

    def _get(self, worker: int, reference: Any, method: str, arguments: tuple[Any, ...]) -> Any:
        for restart in range(self.restarts + 1):
            try:
                if restart:
                    self._wait_for(worker)
                    if self.weights is not None:
                        self.ray.get(self._send(worker, "load_weights", self.weights))
                    reference = self._send(worker, method, arguments)
                return self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from None  # as the role raised it
            except (
                self.ray.exceptions.RayActorError,
                self.ray.exceptions.OutOfMemoryError,  # Ray kills a worker where memory runs out
            ) as error:
                if restart == self.restarts:
                    raise WorkerLost(f"{self.name} worker {worker} died: {error}") from error
        raise AssertionError("unreachable")

    def _wait_for(self, worker: int) -> None:
        """Returns when a worker is back: what it is sent while it restarts would fail at once."""
        ping = self.actors[worker].process.options(max_task_retries=-1)
        self.ray.get(ping.remote())

    def _send(self, worker: int, method: str, arguments: tuple[Any, ...]) -> Any:
        return self.actors[worker].call.remote(method, *arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        return self._get(0, self._send(0, method, arguments), method, arguments)

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        parts = _parts(items, len(self.actors))
        sent = [self._send(w, method, (part, *shared)) for w, part in enumerate(parts)]
        results = [
            self._get(worker, reference, method, (parts[worker], *shared))
            for worker, reference in enumerate(sent)
        ]
        return _merge(results, len(items))

    def each(self, method: str) -> None:
        self._all(method, ())

    def load_weights(self, weights: bytes, version: int) -> None:
        self.weights = (self.ray.put(weights), version)
        self._all("load_weights", self.weights)

    def _all(self, method: str, arguments: tuple[Any, ...]) -> None:
        sent = [self._send(worker, method, arguments) for worker in range(len(self.actors))]
        for worker, reference in enumerate(sent):
            self._get(worker, reference, method, arguments)

    def processes(self) -> list[int]:
        """Process ids of the workers."""
        return self.ray.get([actor.process.remote() for actor in self.actors])


class RayGroup:
    """Calls on ranks, which work as one and wait for each other: where one dies, all are ended."""

    def __init__(self, ray: Any, name: str, actors: list[Any]):
        self.ray, self.name, self.actors = ray, name, actors
        place = actors[0].meeting_place.remote()
        self.joining = [actor.join.remote(r, len(actors), place) for r, actor in enumerate(actors)]

    def call(self, method: str, *arguments: Any) -> Any:
        self._results(self.joining)
        given = self.ray.put(arguments)  # once, however many ranks read it
        return self._results([actor.take_part.remote(method, given) for actor in self.actors])[0]

    def _results(self, sent: list[Any]) -> list[Any]:
        """What each rank returns. An error that all raise is raised as it is; one that some raise
        while others wait for them ends them all."""
        waiting, error = list(sent), None
        results: dict[int, Any] = {}
        while waiting:
            ready, waiting = self.ray.wait(waiting, timeout=GRACE_SECONDS if error else None)
            if not ready:
                self._end()
                break
            rank = sent.index(ready[0])
            try:
                results[rank] = self.ray.get(ready[0])
            except self.ray.exceptions.RayTaskError as raised:
                error = error or raised.cause or raised
            except (
                self.ray.exceptions.RayActorError,
                self.ray.exceptions.OutOfMemoryError,
            ) as dead:
                self._end()
                raise WorkerLost(f"{self.name} rank {rank} died: {dead}") from dead
        if error is not None:
            raise error
        return [results[rank] for rank in range(len(sent))]

    def _end(self) -> None:
        for actor in self.actors:
            self.ray.kill(actor)

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        return self.call(method, list(items), *shared)

    def each(self, method: str) -> None:
        self.call(method)

    def load_weights(self, weights: bytes, version: int) -> None:
        self.call("load_weights", weights, version)

    def processes(self) -> list[int]:
        """Process ids of the ranks."""
        return self.ray.get([actor.process.remote() for actor in self.actors])


class RayRuntime:
    """Roles and learners as Ray actors, on a local cluster of its own or at `address`."""

    def __init__(self, address: str | None = None, restarts: int = 3):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would yield to every other job
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle workers do not spin
        import ray

        self.ray, self.restarts = ray, restarts
        ours = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        if threading.current_thread() is threading.main_thread():
            for number, handler in ours.items():  # Ray puts its own in their place
                signal.signal(number, handler)
        self.handles: list[RayHandle | RayGroup] = []
        self.total_gpus, self.promised = ray.cluster_resources().get("GPU", 0.0), 0.0

    def start(self, name: str, factory: Factory, place: Placement) -> RayHandle | RayGroup:
        self._check_gpus(name, place)
        restarts = 0 if place.stateful else self.restarts
        actor = self.ray.remote(Worker).options(
            num_cpus=0, num_gpus=place.gpus, max_restarts=restarts
        )
        count = place.workers * place.ranks
        actors = [actor.remote(factory, place.threads) for _ in range(count)]
        handle: RayHandle | RayGroup
        if place.ranks > 1:
            handle = RayGroup(self.ray, name, actors)
        else:
            for worker in actors:
                worker.prepare.remote()  # all at once; an error shows at the first call
            handle = RayHandle(self.ray, name, actors, restarts)
        self.handles.append(handle)
        return handle

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

    def close(self) -> None:
        self.ray.shutdown()


def make_runtime(kind: str, address: str | None = None, restarts: int = 3) -> Runtime:
    """The runtime `ray` or `inline`."""
    return InlineRuntime() if kind == "inline" else RayRuntime(address, restarts)
