"""Which actor goes to which GPU, and what a GPU holds at its fullest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from coevo.footprint import Footprint

GRAIN = 1e-4  # Ray counts resources in ten-thousandths


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A role's rollout workers, or the ranks of its learner; `footprint` is of one worker.

    It is None where no model is held (rules, endpoint) or its sizes are unknown.
    """

    role: str
    learner: bool
    workers: int
    gpus: float  # of each worker
    threads: int  # CPU threads of each worker
    footprint: Footprint | None = None

    @property
    def name(self) -> str:
        return f"{self.role} learner" if self.learner else self.role


@dataclass(slots=True, kw_only=True)
class Gpu:
    """One GPU, by node and index, and the workers that hold a share of it."""

    node: int
    index: int
    free: float = 1.0
    actors: list[Actor] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"node {self.node} GPU {self.index}"


@dataclass(slots=True, kw_only=True)
class Layout:
    """`of[name][w]` are the GPUs of worker w, none of one on CPU; `waiting` found no place."""

    gpus: list[Gpu]
    of: dict[str, list[list[Gpu]]] = field(default_factory=dict)
    waiting: list[Actor] = field(default_factory=list)


def place(actors: Sequence[Actor], nodes: int, node_gpus: int) -> Layout:
    """Packs the workers in their order as Ray's placement groups with strategy PACK do.

    The GPUs of a worker are on one node, the first with room. A fraction goes to the GPU with the
    least room that is enough; whole GPUs are those that nobody shares.
    """
    layout = Layout(gpus=[Gpu(node=n + 1, index=i) for n in range(nodes) for i in range(node_gpus)])
    for actor in actors:
        layout.of[actor.name] = []
        for _ in range(actor.workers):
            chosen = _choose(layout.gpus, actor.gpus, nodes)
            if chosen is None:
                layout.waiting.append(actor)
                break
            for gpu in chosen:
                gpu.free -= min(1.0, actor.gpus)
                gpu.actors.append(actor)
            layout.of[actor.name].append(chosen)
    return layout


def _choose(gpus: Sequence[Gpu], amount: float, nodes: int) -> list[Gpu] | None:
    """GPUs for one worker; None if no node has room."""
    if amount == 0:
        return []
    for node in range(1, nodes + 1):
        here = [gpu for gpu in gpus if gpu.node == node]
        if amount < 1:
            fitting = [gpu for gpu in here if gpu.free >= amount - GRAIN]
            if fitting:
                return [min(fitting, key=lambda gpu: (gpu.free, gpu.index))]
        else:
            whole = [gpu for gpu in here if gpu.free >= 1 - GRAIN]
            if len(whole) >= amount:
                return whole[: int(amount)]
    return None


def fullest(present: Sequence[Actor]) -> tuple[float, Actor | None]:
    """GiB on one GPU at its fullest, and whose turn that is.

    Roles and learners take turns: one works, the others rest, and while a learner works the
    engines sleep that may.
    """
    best: tuple[float, Actor | None] = (0.0, None)
    for turn in present:
        total = sum(_held(actor, turn) for actor in present)
        if total > best[0]:
            best = total, turn
    return best


def _held(actor: Actor, turn: Actor) -> float:
    if actor.footprint is None:
        return 0.0
    if actor.name == turn.name:
        return actor.footprint.working
    return actor.footprint.asleep if turn.learner else actor.footprint.resting
