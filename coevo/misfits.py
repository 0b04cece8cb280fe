"""What in a configuration cannot work on the machines it is planned for, and what to write."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.learners.targets import ALL
from coevo import footprint
from coevo.architecture import Architecture, config_file
from coevo.config import Config, RoleConfig
from coevo.placement import Actor
from coevo.token_check import longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """One thing that does not fit: the setting, why, and what to write instead."""

    where: str
    why: str
    write: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A role of the planned run, with its model's architecture where one is held and known.

    `prompt` and `completion` are assumed and configured lengths in tokens, `trained` whether
    it has a learner.
    """

    name: str
    role: RoleConfig
    model: Architecture | None
    unknown: str  # why the model's sizes are unknown, if they are
    prompt: int
    completion: int
    trained: bool

    @property
    def path(self) -> str:
        return f"agents.{self.name}"

    @property
    def loads(self) -> bool:
        """Whether a worker of this role holds a model."""
        return self.role.policy.name in ("hf", "vllm")


def find(config: Config, members: list[Member]) -> list[Misfit]:
    """Every misfit but those of room on the GPUs."""
    found = list(_runtime(config))
    checks: tuple[Callable[[Member], Iterator[Misfit]], ...] = (
        _model, _gpus, _engine, _cache, _context, _lora,
    )  # fmt: skip
    return found + [misfit for member in members for check in checks for misfit in check(member)]


def _runtime(config: Config) -> Iterator[Misfit]:
    runtime = config.runtime
    if runtime.nodes > 1 and runtime.address is None and runtime.kind == "ray":
        yield Misfit(
            where=f"runtime.nodes={runtime.nodes}",
            why="without an address Ray starts on this machine alone",
            write="runtime.address=auto on a machine of the cluster, or runtime.nodes=1",
        )


def homeless(actor: Actor, config: Config) -> Misfit:
    """The misfit of an actor for which no GPU has room."""
    runtime = config.runtime
    where = f"agents.{actor.role}.{'learner.' if actor.learner else ''}gpus={actor.gpus:g}"
    total = f"{runtime.nodes} x {runtime.node_gpus} GPUs"
    if actor.gpus > runtime.node_gpus:
        why = f"no node has that many: there are {total}"
        write = f"runtime.node_gpus={actor.gpus:g} if a node has them, or fewer GPUs for it"
    else:
        why = f"not every worker of {actor.name} finds room: {total} are taken by those before it"
        many = f"agents.{actor.role}." + ("learner.ranks" if actor.learner else "workers")
        fewer = f"{many}=1, " if actor.workers > 1 else ""
        write = f"runtime.nodes={runtime.nodes + 1} if there are, {fewer}or a share such as 0.5"
    return Misfit(where=where, why=why, write=write)


def _model(member: Member) -> Iterator[Misfit]:
    if member.loads and member.model is None:
        write = f"{member.path}.model=FOLDER, a folder with the model's config.json"
        if config_file(member.role.model) is not None:
            write = f"another {member.path}.model, a causal language model that transformers has"
        yield Misfit(
            where=f"{member.path}.model={member.role.model}", why=member.unknown, write=write
        )


def _gpus(member: Member) -> Iterator[Misfit]:
    role, path = member.role, member.path
    amounts = {f"{path}.gpus": role.gpus} if member.loads else {}
    if member.trained:
        amounts[f"{path}.learner.gpus"] = role.learner.gpus
    for where, amount in amounts.items():
        if amount > 1 and amount != int(amount):
            yield Misfit(
                where=f"{where}={amount:g}",
                why="Ray gives a worker a share of one GPU, or whole ones",
                write=f"{where}={int(amount)} or {where}={int(amount) + 1}",
            )
    if role.policy.name == "hf" and role.gpus > 1:
        yield Misfit(
            where=f"{path}.gpus={role.gpus:g}",
            why="a worker with policy hf uses one GPU",
            write=f"{path}.gpus=1 {path}.workers={int(role.gpus) * role.workers}",
        )
    if not member.loads and role.gpus > 0:
        yield Misfit(
            where=f"{path}.gpus={role.gpus:g}",
            why=f"a worker with policy {role.policy.name} holds no model",
            write=f"{path}.gpus=0",
        )


def _engine(member: Member) -> Iterator[Misfit]:
    """Settings of vLLM that its engine refuses at start."""
    role, path = member.role, f"{member.path}.policy.vllm"
    if role.policy.name != "vllm":
        return
    split, model = role.policy.vllm.tensor_parallel, member.model
    if model is not None and (
        model.heads % split or (model.kv_heads % split and split % model.kv_heads)
    ):
        fits = [n for n in (1, 2, 4, 8) if model.heads % n == 0 and model.kv_heads % n == 0]
        yield Misfit(
            where=f"{path}.tensor_parallel={split}",
            why=f"{split} GPUs cannot share {model.heads} heads ({model.kv_heads} for KV) evenly",
            write=f"{path}.tensor_parallel={max(n for n in fits if n <= max(1, split))}",
        )
    if split > 1 and role.gpus != split:
        yield Misfit(
            where=f"{member.path}.gpus={role.gpus:g}",
            why=f"a worker with tensor_parallel={split} needs that many GPUs",
            write=f"{member.path}.gpus={split}",
        )
    if role.policy.vllm.sleep and not role.gpus:
        yield Misfit(
            where=f"{path}.sleep={role.policy.vllm.sleep}",
            why="vLLM sleeps on GPUs only",
            write=f"{path}.sleep=0, or {member.path}.gpus of more than 0",
        )


def _cache(member: Member) -> Iterator[Misfit]:
    """Room for at least one sequence of the longest length in vLLM's KV cache."""
    role, model, path = member.role, member.model, f"{member.path}.policy.vllm"
    if role.policy.name != "vllm" or model is None:
        return
    settings = role.policy.vllm
    need = footprint.cache_bytes(role, model) * settings.max_model_len / footprint.GIB
    if need > settings.kv_cache_gib:
        enough = -(-need * 10 // 1) / 10
        yield Misfit(
            where=f"{path}.kv_cache_gib={settings.kv_cache_gib:g}",
            why=f"one sequence of max_model_len={settings.max_model_len} takes {need:.2f} GiB",
            write=f"{path}.kv_cache_gib={enough:.1f}, or a smaller max_model_len",
        )


def _context(member: Member) -> Iterator[Misfit]:
    """Prompt and completion within the model's positions, and those that its engine is given.

    Of an architecture that is not known too: its config.json says how many there are."""
    role, path = member.role, member.path
    if not member.loads:
        return
    limit, setting = longest(role.model), f"{path}.model={role.model}"
    most = math.inf if limit is None else limit
    if role.policy.name == "vllm":
        configured = f"{path}.policy.vllm.max_model_len"
        if role.policy.vllm.max_model_len > most:
            yield Misfit(
                where=f"{configured}={role.policy.vllm.max_model_len}",
                why=f"the context of {role.model} is {limit} tokens",
                write=f"{configured}={limit} or less",
            )
        limit = role.policy.vllm.max_model_len
        setting = f"{configured}={limit}"
    need = member.prompt + member.completion
    if limit is not None and need > limit:
        instead = [f"{path}.sampling.max_tokens={limit - member.prompt} or less"]
        if limit - member.prompt < 1:
            instead = [f"a shorter {path}.template, or a smaller agents.solver.sampling.max_tokens"]
        if role.policy.name == "vllm" and need <= most:
            instead = [f"{path}.policy.vllm.max_model_len={need}", *instead]
        yield Misfit(
            where=setting,
            why=f"a prompt (about {member.prompt} tokens) and its completion (up to "
            f"{member.completion}) take {need}",
            write=", or ".join(instead),
        )


def _lora(member: Member) -> Iterator[Misfit]:
    lora, model, path = member.role.learner.lora, member.model, f"{member.path}.learner.lora"
    if not member.trained or not lora.rank:
        return
    if member.role.policy.name == "vllm" and lora.rank > max(footprint.LORA_RANKS):
        yield Misfit(
            where=f"{path}.rank={lora.rank}",
            why=f"vLLM serves adapters of rank {max(footprint.LORA_RANKS)} at most",
            write=f"{path}.rank={max(footprint.LORA_RANKS)}, or rank=0 to train all weights",
        )
    if model is not None:
        layers = sorted({weight.name for weight in model.weights() if weight.linear})
        if (unknown := sorted(set(lora.targets) - {*layers, ALL})) or not lora.targets:
            yield Misfit(
                where=f"{path}.targets",
                why=f"{member.role.model} has no linear layer {', '.join(unknown) or 'without a name'}",
                write=f"some of {', '.join(layers)}, or [{ALL}]",
            )
