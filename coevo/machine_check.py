"""Whether this machine has the GPUs, the engine and the folder that a configuration asks for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from agents import gpus
from coevo.config import Config, ConfigError, RoleConfig
from coevo.placement import Actor, place
from coevo.plan import actors_of


def check_engine(role: str, block: RoleConfig) -> None:
    """Raises `ConfigError` if policy vllm has no vLLM here, or one that is built for the other device."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            f"agents.{role}: policy vllm needs vLLM, which is not installed here: write "
            "pip install 'coevo[vllm]' on a machine with a GPU, run scripts/setup_vllm_cpu.sh on "
            f"one without, or take policy@agents.{role}.policy=hf"
        )
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return  # whose build is not known by a version
    on_cpu = "cpu" in version  # as vLLM itself tells
    if on_cpu == (block.gpus > 0):
        built, fit = ("CPU", "0") if on_cpu else ("GPU", "1, or a fraction")
        raise ConfigError(
            f"agents.{role}.gpus={block.gpus:g}: the vLLM that is installed here ({version}) is built "
            f"for the {built}; write agents.{role}.gpus={fit}"
        )


def check_gpus(config: Config, available: Callable[[], int] = gpus.visible) -> None:
    """Raises `ConfigError` if roles and learners ask for GPUs that this machine has not.

    Where the workers share this process, they share its GPUs too.
    """
    asking = [actor for actor in actors_of(config) if actor.gpus]
    if not asking:
        return
    count = available()
    where = ", ".join(f"{_key(actor)}={actor.gpus:g}" for actor in asking)
    if count == 0:
        raise ConfigError(
            f"{where}: torch sees no GPU here (coevo doctor says why); write 0 for the CPU, or "
            "runtime.address= of a Ray cluster that has GPUs"
        )
    if config.runtime.kind == "ray" and (waiting := place(asking, 1, count).waiting):
        actor = waiting[0]
        raise ConfigError(
            f"{where}: with {actor.workers} x {actor.gpus:g} GPUs of the {actor.name} these need more "
            f"than this machine's {count}; coevo run … --dry-run prints the plan; write less, or "
            "runtime.address= of a larger cluster"
        )


def _key(actor: Actor) -> str:
    return f"agents.{actor.role}.{'learner.' * actor.learner}gpus"


def check_runs_dir(root: Path) -> None:
    """Raises `ConfigError` if no folder can be made there."""
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"runs_dir={root}: {there} is a file; write a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"runs_dir={root}: {there} cannot be written to; choose a folder that is yours, or change "
            "its owner or mode"
        )
