"""The three roles of a run with their learners, each behind a handle of the runtime."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import environments
from agents.finite import BrokenModel
from agents.model_files import ModelUnavailable
from agents.policies import Sampling, make_policy
from agents.records import Group
from agents.remote import Handle, Placement, Runtime
from coevo.config import Config, EnvironmentConfig, RoleConfig, SamplingConfig, TeacherConfig
from environments.data_files import user_path


@contextmanager
def named(role: str) -> Iterator[None]:
    """Says whose model it is that is broken, or cannot be had."""
    try:
        yield
    except (BrokenModel, ModelUnavailable) as error:
        told = str(error).replace("agents.…", f"agents.{role}")
        raise type(error)(f"agents.{role}: {told}") from error


def make_role(role: str, config: RoleConfig, environment: EnvironmentConfig, folder: Path) -> Any:
    """A Teacher, Solver or Generator with its policy; called inside the worker that holds it.

    `folder` is the run's, where a policy keeps what it has spent.
    """
    from agents.roles.generator import Generator
    from agents.roles.solver import Solver

    domain = environments.make(environment.name, **environment.options)
    with named(role):
        policy = make_policy(
            config.policy.name, domain, config.model, **policy_options(role, config, folder)
        )
    sampling = to_sampling(config.sampling)
    if isinstance(config, TeacherConfig):
        from agents.roles.teacher import Teacher

        return Teacher(domain, policy, sampling, to_sampling(config.judging), config)
    kind: Callable[..., Any] = {"solver": Solver, "generator": Generator}[role]
    return kind(domain, policy, sampling, config.template)


def policy_options(role: str, config: RoleConfig, folder: Path) -> dict[str, Any]:
    """The arguments of a policy's constructor, but for the model."""
    policy = config.policy
    local = {"dtype": policy.dtype, "chat": policy.chat, "batch_size": policy.batch_size}
    if policy.name == "hf":
        return local | {"gpus": config.gpus}
    if policy.name == "vllm":
        rank = config.learner.lora.rank if config.learner.objective != "none" else 0
        return local | {
            "gpus": config.gpus,
            "threads": policy.threads,
            "config": policy.vllm,
            "lora_rank": rank,
        }
    if policy.name == "endpoint":
        cache = user_path(policy.endpoint.cache or folder.parent / "endpoint-cache.db")
        return {
            "config": policy.endpoint,
            "role": role,
            "cache": cache.absolute(),
            "ledger": (folder / "spending.db").absolute(),
        }
    return {}


def make_learner(role: str, config: RoleConfig) -> Any:
    """A role's learner; called inside the worker that holds it."""
    kind: Callable[..., Any]
    if config.learner.backend == "trl":
        from agents.learners.trl import TRLLearner as kind
    else:
        from agents.learners.learner import Learner as kind

    with named(role):
        return kind(**_learner_arguments(config))


def make_shared_learners(configs: dict[str, RoleConfig]) -> Any:
    """Several roles' learners on one base; called inside the worker that holds them."""
    from agents.learners.shared import SharedLearners

    return SharedLearners({role: _learner_arguments(own) for role, own in configs.items()})


def _learner_arguments(config: RoleConfig) -> dict[str, Any]:
    return {
        "model": config.model,
        "config": config.learner,
        "chat": config.policy.chat,
        "temperature": config.sampling.temperature,
        "longest": config.sampling.max_tokens,
        "top_p": config.sampling.top_p,
    }


def to_sampling(config: SamplingConfig) -> Sampling:
    fields = dataclasses.asdict(config)
    return Sampling(**{**fields, "stop": tuple(fields["stop"])})


class Calls(Protocol):
    """What a member needs of its learner's handle."""

    def call(self, method: str, *arguments: Any) -> Any: ...


class Share:
    """One role's learner among those that one worker holds."""

    def __init__(self, learners: Handle, role: str):
        self.learners, self.role = learners, role

    def call(self, method: str, *arguments: Any) -> Any:
        return self.learners.call(f"{self.role}.{method}", *arguments)


class Member:
    """A role's workers, its learner if it has one, and the version of its weights.

    `sleepers` are the workers of all roles that give up their GPU's memory while a learner works.
    """

    def __init__(self, name: str, workers: Handle, learner: Calls | None, as_in_files: bool):
        self.name, self.workers, self.learner = name, workers, learner
        self.as_in_files = as_in_files  # the layout of weights that its engine reads
        self.version, self.hand_over_seconds = 0, 0.0
        self.sleepers: list[Handle] = []

    def map(self, method: str, items: Sequence[Any], *shared: Any) -> list[Any]:
        """The method on all items, spread over the workers."""
        with named(self.name):
            return self.workers.map(method, items, *shared) if items else []

    def learn(
        self,
        groups: Sequence[Group],
        seed: int,
        objective: str | None = None,
        epochs: int | None = None,
    ) -> dict[str, float]:
        """Updates the weights from groups, and hands them over to the workers."""
        assert self.learner is not None
        for workers in self.sleepers:
            workers.each("policy.sleep")
        with named(self.name):
            metrics = self.learner.call(
                "update", list(groups), seed, self.version + 1, objective, epochs
            )
        self.version += 1
        for workers in self.sleepers:
            workers.each("policy.wake")
        self.hand_over()
        return metrics

    def hand_over(self) -> None:
        """Gives the learner's weights to the workers, with their version."""
        start = time.perf_counter()
        self.workers.load_weights(self.weights(), self.version)
        self.hand_over_seconds = time.perf_counter() - start

    def weights(self) -> bytes:
        assert self.learner is not None
        with named(self.name):
            return self.learner.call("weights", self.as_in_files)

    def save(self, folder: Path) -> None:
        if self.learner is not None:
            self.learner.call("save", folder / self.name)

    def read_back(self, folder: Path) -> None:
        """Goes on from the checkpoint just written; raises if that is not what the learner has."""
        if self.learner is not None:
            self.learner.call("read_back", folder / self.name)

    def load(self, folder: Path, version: int) -> None:
        """Takes over a checkpoint's weights and optimizer."""
        self.version = version
        if self.learner is not None:
            self.learner.call("load", folder / self.name, version)
            self.hand_over()


class Team:
    """Solver, Teacher and, where the loop has one, Generator."""

    def __init__(self, config: Config, runtime: Runtime):
        self.config = config
        self.folder = Path(config.runs_dir) / (config.name or ".unnamed")
        self.shared: Handle | None = None  # the worker of learners that share a base
        self.solver = self._member("solver", config.agents.solver, runtime)
        self.teacher = self._member("teacher", config.agents.teacher, runtime)
        self.generator: Member | None = None
        if config.loop.feed != "teacher" or config.loop.train_generator:
            self.generator = self._member("generator", config.agents.generator, runtime)
        sleepers = [m.workers for m in self.members() if self._role(m).policy.vllm.sleep]
        for member in self.trained():
            member.sleepers = sleepers

    def _role(self, member: Member) -> RoleConfig:
        return getattr(self.config.agents, member.name)

    def _member(self, name: str, role: RoleConfig, runtime: Runtime) -> Member:
        factory = partial(make_role, name, role, self.config.environment, self.folder)
        gpus = role.gpus if role.policy.name in ("hf", "vllm") else 0.0
        place = Placement(workers=role.workers, threads=role.policy.threads, gpus=gpus)
        workers = runtime.start(name, factory, place)
        trained = role.learner.objective != "none"
        if name == "generator" and not self.config.loop.train_generator:
            trained = False
        learner = self._learner(name, role, runtime) if trained else None
        return Member(name, workers, learner, as_in_files=role.policy.name == "vllm")

    def _learner(self, name: str, role: RoleConfig, runtime: Runtime) -> Calls:
        place = Placement(
            ranks=role.learner.ranks,
            threads=role.learner.threads,
            gpus=role.learner.gpus,
            stateful=True,
        )
        agents = self.config.agents
        if not agents.share_base:
            return runtime.start(f"{name} learner", partial(make_learner, name, role), place)
        if self.shared is None:
            both = {"solver": agents.solver, "generator": agents.generator}
            factory = partial(make_shared_learners, both)
            self.shared = runtime.start("solver and generator learners", factory, place)
        return Share(self.shared, name)

    def members(self) -> list[Member]:
        return [m for m in (self.solver, self.teacher, self.generator) if m is not None]

    def trained(self) -> list[Member]:
        return [member for member in self.members() if member.learner is not None]

    def save(self, folder: Path) -> None:
        for member in self.trained():
            member.save(folder)

    def load(self, folder: Path, versions: dict[str, int]) -> None:
        for member in self.trained():
            member.load(folder, versions[member.name])
