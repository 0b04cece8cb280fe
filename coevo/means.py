"""Whether what a configuration needs is here, asked before anything is written."""

from __future__ import annotations

import importlib.util
import json
import os

from agents.model_files import ModelUnavailable, model_folder
from coevo.adapter_check import check_targets
from coevo.architecture import config_file
from coevo.config import Config, ConfigError

UNCACHED = ("rwkv", "xlstm")  # model types whose state is no `transformers.Cache`


def check_means(config: Config) -> None:
    """Raises `ConfigError` if a policy lacks its engine, or the variable that should hold its key, and
    if there is no such model."""
    check_models(config)
    check_targets(config)
    for name in ("solver", "teacher", "generator"):
        policy = getattr(config.agents, name).policy
        here = config.runtime.address is None  # the nodes of a cluster have packages of their own
        if policy.name == "vllm" and here and importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                f"agents.{name}: policy vllm needs vLLM, which is not installed here: write "
                "pip install 'coevo[vllm]' on a machine with a GPU, run scripts/setup_vllm_cpu.sh on "
                f"one without, or take policy@agents.{name}.policy=hf"
            )
        variable = policy.endpoint.key_env if policy.name == "endpoint" else ""
        if variable and not policy.endpoint.offline and not os.environ.get(variable):
            raise ConfigError(
                f"agents.{name}.policy.endpoint.key_env={variable}: the environment variable "
                f"{variable} is not set; write export {variable}=… with the key"
            )
        if policy.name == "hf":
            _check_cache(name, getattr(config.agents, name).model)
    for name in ("solver", "generator"):
        role = getattr(config.agents, name)
        if role.learner.objective == "distill":
            _check_vocabulary(name, role.model, role.learner.teacher)


def check_models(config: Config) -> None:
    """Raises `ConfigError` if a model that a role works with has no files here.

    Raises `ModelUnavailable` if one that comes with coevo cannot be had. Names of the hub are taken
    as they are, and so is everything where the nodes of a cluster have files of their own.
    """
    if config.runtime.address is not None:
        return
    for name in ("solver", "teacher", "generator"):
        role = getattr(config.agents, name)
        idle = name == "generator" and not config.loop.train_generator
        if idle and config.loop.feed == "teacher":
            continue
        trained = role.learner.objective != "none"
        used = {"model": role.model} if trained or role.policy.name in ("hf", "vllm") else {}
        if role.learner.objective == "distill":
            used["learner.teacher"] = role.learner.teacher
        for key, model in used.items():
            try:
                model_folder(model)
            except ModelUnavailable as error:
                if model in ("tiny", "smollm2"):
                    raise
                raise ConfigError(f"agents.{name}.{key}={model}: {error}") from error


def _check_cache(role: str, model: str) -> None:
    """Raises `ConfigError` on a model that is known to keep its state in a way of its own."""
    file = config_file(model)
    kind = json.loads(file.read_text()).get("model_type") if file else None
    if kind in UNCACHED:
        raise ConfigError(
            f"agents.{role}.model={model} is of type {kind}, which policy hf cannot sample from: it "
            "has no cache of transformers' usual kind; take another model, or another policy"
        )


def _check_vocabulary(role: str, student: str, teacher: str) -> None:
    """Raises `ConfigError` on a teacher of other tokens. What is not on this machine yet is compared
    when the learner has it."""
    files = [config_file(model) for model in (student, teacher)]
    tokenizers = [file.with_name("tokenizer.json") for file in files if file is not None]
    if len(tokenizers) < 2 or not all(file.is_file() for file in tokenizers):
        return
    from tokenizers import Tokenizer

    own, other = (Tokenizer.from_file(str(file)).get_vocab() for file in tokenizers)
    if own != other:
        raise ConfigError(
            f"agents.{role}.learner.teacher={teacher} has another vocabulary than {student}: "
            "distillation compares distributions over the same tokens; write a teacher of the same "
            "family"
        )
