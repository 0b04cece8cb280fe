"""`coevo run --dry-run`: where a configuration's actors would run and what memory they would take.

Loads no model and starts nothing: sizes come from `config.json`, the actors from the `Team` that a
run builds, with a runtime that writes them down instead of starting them.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents import remote
from coevo import architecture, footprint, misfits
from coevo.config import PREFERENCE, Config, RoleConfig, TeacherConfig
from coevo.misfits import Member, Misfit
from coevo.placement import Actor, Gpu, Layout, fullest, place
from coevo.run_folder import held_out, make_environment
from coevo.seeds import check_levels

Changes = dict[str, Any]  # values by dotted path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a dry run prints."""

    config: Config
    members: list[Member]
    actors: list[Actor]
    layout: Layout
    misfits: list[Misfit]

    @property
    def fits(self) -> bool:
        return not self.misfits

    @property
    def host(self) -> float:
        """GiB of host memory, over all nodes."""
        return sum(a.workers * a.footprint.host for a in self.actors if a.footprint is not None)


def check(config: Config) -> None:
    """Raises `ConfigError` as a start does on seeds' levels and on tokens that do not suffice."""
    from coevo.length_check import check_lengths  # which asks this module who there is

    environment = make_environment(config.environment)
    check_levels(environment, config.curriculum)
    check_lengths(config, environment, held_out(config, environment))


def make(config: Config) -> Plan:
    """The plan of a checked configuration."""
    plan = _sketch(config)
    found = misfits.find(config, plan.members)
    found += [misfits.homeless(actor, config) for actor in plan.layout.waiting]
    found += _too_much_for_host(plan, machine_gib())
    return replace(plan, misfits=found + list(_overfull(plan)))


def _sketch(config: Config) -> Plan:
    """Who runs where and takes how much, whether it fits or not."""
    actors, question = actors_of(config), longest_question(config)
    trained = {actor.role for actor in actors if actor.learner}
    members = {
        name: _member(name, config, name in trained, question)
        for name in dict.fromkeys(actor.role for actor in actors)
    }
    actors = [_with_footprint(actor, members[actor.role], config) for actor in actors]
    layout = place(actors, config.runtime.nodes, config.runtime.node_gpus)
    return Plan(
        config=config,
        members=list(members.values()),
        actors=actors,
        layout=layout,
        misfits=[],
    )


# -- who there is ---------------------------------------------------------------------------------


class _Recorder:
    """A runtime that starts nothing."""

    def __init__(self, config: Config):
        self.config, self.actors = config, list[Actor]()

    def start(self, name: str, factory: Callable[[], Any], place: remote.Placement) -> Any:
        inline = self.config.runtime.kind == "inline"  # one copy does the work of all workers
        self.actors.append(
            Actor(
                role=name.split()[0],
                learner=place.stateful,
                workers=1 if inline else place.workers * place.ranks,
                gpus=place.gpus,
                threads=place.threads,
            )
        )

    def wait_built(self) -> None:
        pass

    def close(self, logs: bool = False) -> None:
        pass


def actors_of(config: Config) -> list[Actor]:
    """Who a run starts, in this order."""
    from coevo.team import Team

    recorder = _Recorder(config)
    Team(config, recorder)
    return recorder.actors


def longest_question(config: Config) -> int:
    """Characters of the longest question to expect: twice the longest held-out one's, for problems
    grow."""
    environment = make_environment(config.environment)
    problems = held_out(config, environment)
    return 2 * max((len(environment.prompt(problem)) for problem in problems), default=0)


def _member(name: str, config: Config, trained: bool, question: int) -> Member:
    role: RoleConfig = getattr(config.agents, name)
    model, unknown = None, ""
    if role.policy.name in ("hf", "vllm"):
        try:
            model = architecture.find(role.model)
            unknown = "its config.json is neither a folder's nor in the Hugging Face cache"
        except ValueError as error:
            unknown = str(error)
    characters, completion = len(role.template) + question, role.sampling.max_tokens
    attempt = 0
    if name == "solver":
        completion = max(completion, config.evaluation.sampling.max_tokens)
    elif isinstance(role, TeacherConfig):
        asked = max(dataclasses.astuple(role.prompts), key=len)
        characters += len(role.prompts.system) + len(asked) + role.longest_attempt
        completion = max(completion, role.judging.max_tokens)
    elif "{attempt}" in role.template:
        attempt = config.agents.solver.sampling.max_tokens
    return Member(
        name=name,
        role=role,
        model=model,
        unknown=unknown,
        prompt=footprint.tokens(characters, model) + attempt,
        completion=completion,
        trained=trained,
    )


def _with_footprint(actor: Actor, member: Member, config: Config) -> Actor:
    if member.model is None:
        return actor
    if not actor.learner:
        size = footprint.rollouts(member.role, member.model, member.prompt, member.completion)
    else:
        sequences, completion = group_of(member, config), member.role.sampling.max_tokens
        size = footprint.learner(
            member.role, member.model, sequences, member.prompt, completion, _taught_by(member)
        )
    return replace(actor, footprint=size)


def _taught_by(member: Member) -> architecture.Architecture | None:
    """The model that a learner distils, if it does and the model is known here."""
    if member.role.learner.objective != "distill":
        return None
    try:
        return architecture.find(member.role.learner.teacher)
    except ValueError:
        return None


def group_of(member: Member, config: Config) -> int:
    """Sequences in one group: a problem's rollouts, with its reference solution under preferences."""
    if member.name != "solver":
        return 1
    reference = member.role.learner.objective in PREFERENCE and config.loop.too_hard != "drop"
    return config.loop.group_size + reference


# -- what has no room, and what would give it -----------------------------------------------------


def machine_gib() -> float:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / footprint.GIB


def _too_much_for_host(plan: Plan, machine: float) -> list[Misfit]:
    """A misfit where everything runs on this machine's CPU and what is counted alone fills it."""
    parts = ("weights", "adapters", "gradients", "optimizer")
    held = [(actor, actor.footprint) for actor in plan.actors if actor.footprint is not None]
    certain = sum(a.workers * size.parts.get(part, 0.0) for a, size in held for part in parts)
    if plan.config.runtime.address or any(a.gpus for a, _ in held) or certain <= machine:
        return []
    return [
        Misfit(
            where="the memory of this machine",
            why=f"{', '.join(parts)} take {certain:.1f} GiB, and it has {machine:.1f}",
            write="smaller models (agents.solver.model), fewer workers, or GPUs "
            "(agents.solver.gpus, agents.solver.learner.gpus)",
        )
    ]


def _excess(plan: Plan) -> list[tuple[Gpu, float, Actor]]:
    """GPUs that would be overfull: GiB at their fullest, and whose turn that is."""
    result = []
    for gpu in plan.layout.gpus:
        needs, turn = fullest(gpu.actors)
        if turn is not None and needs > plan.config.runtime.gpu_gib:
            result.append((gpu, needs, turn))
    return result


def _overfull(plan: Plan) -> Iterator[Misfit]:
    """One misfit for each turn that fills a GPU, with settings that were tried and fit."""
    told = set()
    for gpu, needs, turn in _excess(plan):
        if turn.name in told:
            continue
        told.add(turn.name)
        yield Misfit(
            where=f"{gpu.name}, while {turn.name} works",
            why=f"{needs:.1f} GiB are needed, and it has {plan.config.runtime.gpu_gib:g}",
            write=advice(plan.config, turn, gpu),
        )


def advice(config: Config, turn: Actor, gpu: Gpu) -> str:
    """Overrides with which no GPU is overfull in that turn: one if one is enough."""
    together: Changes = {}
    for change in _candidates(config, turn, gpu):
        for changes in (change, together | change):
            plan = _sketch(with_values(config, changes))
            if len(plan.layout.waiting) > len(_sketch(config).layout.waiting):
                continue  # it would take the place of another
            if all(actor.name != turn.name for *_, actor in _excess(plan)):
                return _as_overrides(changes)
            together = changes
    return f"a smaller agents.{turn.role}.model, or runtime.gpu_gib of larger GPUs"


def _candidates(config: Config, turn: Actor, gpu: Gpu) -> Iterator[Changes]:
    """Changes that save memory, those that change least of the training first."""
    role: RoleConfig = getattr(config.agents, turn.role)
    path = f"agents.{turn.role}"
    if turn.learner:
        yield from _for_learner(role.learner, path)
        engine = any(actor.role == turn.role and not actor.learner for actor in gpu.actors)
        if engine and role.policy.name == "vllm" and not role.policy.vllm.sleep:
            yield {f"{path}.policy.vllm.sleep": 1}
        for more in (1, 2):
            if role.learner.ranks > 1:
                yield {f"{path}.learner.ranks": role.learner.ranks * 2 * more}
            else:
                yield {f"{path}.learner.gpus": float(int(role.learner.gpus) + more)}
        if not role.learner.lora.rank:
            yield {f"{path}.learner.lora.rank": 64, f"{path}.learner.dtype": "bfloat16"}
        yield {f"{path}.sampling.max_tokens": role.sampling.max_tokens // 2}
    elif role.policy.name == "hf":
        for batch in (64, 16, 4, 1):
            if batch < role.policy.batch_size:
                yield {f"{path}.policy.batch_size": batch}
    else:
        for share in (0.5, 0.25):
            yield {f"{path}.policy.vllm.kv_cache_gib": role.policy.vllm.kv_cache_gib * share}
        split = role.policy.vllm.tensor_parallel * 2
        yield {f"{path}.policy.vllm.tensor_parallel": split, f"{path}.gpus": float(split)}


def _for_learner(learner: Any, path: str) -> Iterator[Changes]:
    """What leaves the mathematics of an update as it is, and then Adafactor."""
    if not learner.gradient_checkpointing:
        yield {f"{path}.learner.gradient_checkpointing": True}
    if learner.tokens_per_micro_batch > 1024:
        yield {f"{path}.learner.tokens_per_micro_batch": 1024}
    if learner.optimizer == "adamw" and not learner.lora.rank and learner.ranks == 1:
        yield {f"{path}.learner.optimizer": "adafactor"}


def with_values(config: Config, changes: Changes) -> Config:
    """A copy of a configuration with other values at some dotted paths."""
    changed = copy.deepcopy(config)
    for path, value in changes.items():
        *blocks, leaf = path.split(".")
        block: Any = changed
        for name in blocks:
            block = getattr(block, name)
        setattr(block, leaf, value)
    return changed


def _as_overrides(changes: Changes) -> str:
    return " ".join(f"{path}={_as_text(value)}" for path, value in changes.items())


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def main(configs: Sequence[Config]) -> int:
    """Prints the plan of each configuration; 0 if all fit, else 1."""
    from rich.console import Console

    from coevo.plan_report import render

    plans = [make(config) for config in configs]
    for plan in plans:
        render(plan, Console())
    return 0 if all(plan.fits for plan in plans) else 1
