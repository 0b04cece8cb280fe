"""Handles of roles and learners: in this process, on Ray's actors, or on actors that work as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Protocol

GRACE_SECONDS = 60.0  # for the ranks beside one that failed, to fail as well or to be found dead
Factory = Callable[[], Any]


class WorkerLost(RuntimeError):
    """An actor died and could not be restarted, or held state that only a checkpoint has."""


class ActorDied(WorkerLost):
    """An actor died; if its role can be restarted, its call can be repeated."""


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


def parts_of(items: Sequence[Any], workers: int) -> list[list[Any]]:
    """Worker w gets items w, w + workers, …"""
    return [list(items[worker::workers]) for worker in range(workers)]


def merged(parts: list[list[Any]], count: int) -> list[Any]:
    """The items of all parts in their first order."""
    items: list[Any] = [None] * count
    for worker, part in enumerate(parts):
        items[worker :: len(parts)] = part
    return items


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
        parts = [self.call(method, part, *shared) for part in parts_of(items, self.workers)]
        return merged(parts, len(items))

    def each(self, method: str) -> None:
        self.call(method)

    def load_weights(self, weights: bytes, version: int) -> None:
        self.call("load_weights", weights, version)


# -- Ray ------------------------------------------------------------------------------------------


class Calls(Protocol):
    """What the handles need of the runtime that their actors are of."""

    def check(self) -> None: ...

    def ready(self, references: list[Any], seconds: float | None = None) -> list[Any]: ...

    def get(self, reference: Any, told: str) -> Any: ...

    def wait_for(self, reference: Any, told: str, seconds: float = ...) -> Any: ...

    def put(self, value: Any) -> Any: ...

    def end(self, actor: Any) -> None: ...


class RayHandle:
    """Calls on actors. A dead stateless actor is restarted by Ray, given its weights again, and its
    call is repeated: it depends on its arguments alone, so nothing is duplicated."""

    def __init__(self, runtime: Calls, name: str, actors: list[Any], restarts: int):
        self.runtime, self.name, self.actors, self.restarts = runtime, name, actors, restarts
        self.starting = dict(enumerate(actor.process.remote() for actor in actors))
        self.building = [actor.prepare.remote() for actor in actors]  # all at once
        self.weights: tuple[Any, int] | None = None

    def _get(self, worker: int, reference: Any, method: str, arguments: tuple[Any, ...]) -> Any:
        told = f"{self.name} worker {worker}"
        for restart in range(self.restarts + 1):
            try:
                if worker in self.starting:
                    self.runtime.wait_for(self.starting.pop(worker), told)
                if restart:
                    self._wait_for(worker)
                    if self.weights is not None:
                        self.runtime.get(self._send(worker, "load_weights", self.weights), told)
                    reference = self._send(worker, method, arguments)
                return self.runtime.wait_for(reference, told, math.inf)
            except ActorDied as died:
                if restart == self.restarts:
                    raise WorkerLost(str(died)) from died
        raise AssertionError("unreachable")

    def wait_built(self) -> None:
        """Returns when every worker has built what it holds; raises the error of one that cannot."""
        for worker, reference in enumerate(self.building):
            told = f"{self.name} worker {worker}"
            if worker in self.starting:
                self.runtime.wait_for(self.starting.pop(worker), told)
            self.runtime.get(reference, told)

    def _wait_for(self, worker: int) -> None:
        """Returns when a worker is back: what it is sent while it restarts would fail at once."""
        ping = self.actors[worker].process.options(max_task_retries=-1).remote()
        self.runtime.wait_for(ping, f"{self.name} worker {worker}")

    def _send(self, worker: int, method: str, arguments: tuple[Any, ...]) -> Any:
        self.runtime.check()
        return self.actors[worker].call.remote(method, *arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        return self._get(0, self._send(0, method, arguments), method, arguments)

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        parts = parts_of(items, len(self.actors))
        sent = [self._send(w, method, (part, *shared)) for w, part in enumerate(parts)]
        results = [
            self._get(worker, reference, method, (parts[worker], *shared))
            for worker, reference in enumerate(sent)
        ]
        return merged(results, len(items))

    def each(self, method: str) -> None:
        self._all(method, ())

    def load_weights(self, weights: bytes, version: int) -> None:
        self.weights = (self.runtime.put(weights), version)
        self._all("load_weights", self.weights)

    def _all(self, method: str, arguments: tuple[Any, ...]) -> None:
        sent = [self._send(worker, method, arguments) for worker in range(len(self.actors))]
        for worker, reference in enumerate(sent):
            self._get(worker, reference, method, arguments)

    def processes(self) -> list[int]:
        """Process ids of the workers."""
        return [self.runtime.get(actor.process.remote(), self.name) for actor in self.actors]


class RayGroup:
    """Calls on ranks, which work as one and wait for each other: where one dies, all are ended."""

    def __init__(self, runtime: Calls, name: str, actors: list[Any]):
        self.runtime, self.name, self.actors = runtime, name, actors
        self.starting = [actor.process.remote() for actor in actors]
        place = actors[0].meeting_place.remote()
        self.joining = [actor.join.remote(r, len(actors), place) for r, actor in enumerate(actors)]

    def wait_built(self) -> None:
        """Returns when the ranks have found each other, each with what it holds built."""
        while self.starting:
            self.runtime.wait_for(self.starting.pop(), f"a rank of {self.name}")
        self._results(self.joining)

    def call(self, method: str, *arguments: Any) -> Any:
        self.wait_built()
        given = self.runtime.put(arguments)  # once, however many ranks read it
        return self._results([actor.take_part.remote(method, given) for actor in self.actors])[0]

    def _results(self, sent: list[Any]) -> list[Any]:
        """What each rank returns. An error that all raise is raised as it is; one that some raise
        while others wait for them ends them all."""
        waiting, error = list(sent), None
        results: dict[int, Any] = {}
        while waiting:
            ready = self.runtime.ready(waiting, GRACE_SECONDS if error else None)
            if not ready:
                self._end()
                break
            waiting.remove(ready[0])
            rank = sent.index(ready[0])
            try:
                results[rank] = self.runtime.get(ready[0], f"{self.name} rank {rank}")
            except ActorDied as died:
                self._end()
                raise WorkerLost(str(died)) from died
            except WorkerLost:
                raise
            except Exception as raised:
                error = error or raised
        if error is not None:
            raise error
        return [results[rank] for rank in range(len(sent))]

    def _end(self) -> None:
        for actor in self.actors:
            self.runtime.end(actor)

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        return self.call(method, list(items), *shared)

    def each(self, method: str) -> None:
        self.call(method)

    def load_weights(self, weights: bytes, version: int) -> None:
        self.call("load_weights", weights, version)

    def processes(self) -> list[int]:
        """Process ids of the ranks."""
        return [self.runtime.get(actor.process.remote(), self.name) for actor in self.actors]
