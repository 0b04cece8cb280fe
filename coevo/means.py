"""Whether what a configuration needs is here, asked before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from agents.model_files import NAMES, ModelUnavailable, model_folder
from agents.model_kinds import misfit, quantized
from coevo.adapter_check import check_targets
from coevo.architecture import config_file
from coevo.config import Config, ConfigError
from coevo.machine_check import check_engine, check_gpus
from coevo.model_check import of_folder, of_hub, weights
from coevo.token_check import check_engines, check_templates

# Model types whose state is no `transformers.Cache`, or a kind of their own; the last has none.
UNCACHED = ("rwkv", "xlstm", "recurrent_gemma", "minimax", "openai-gpt")


def check_means(config: Config) -> None:
    """Raises `ConfigError` if a policy lacks its engine, or the variable that should hold its key, and
    if a model, a GPU or one of a model's layers is not there."""
    here = config.runtime.address is None  # the nodes of a cluster have packages of their own
    check_models(config)
    check_kinds(config)
    check_targets(config)
    check_templates(config)
    for name in ("solver", "teacher", "generator"):
        policy = getattr(config.agents, name).policy
        if policy.name == "vllm" and here and not is_idle(config, name):
            check_engine(name, getattr(config.agents, name))
        variable = policy.endpoint.key_env if policy.name == "endpoint" else ""
        if variable and not policy.endpoint.offline and not os.environ.get(variable):
            raise ConfigError(
                f"agents.{name}.policy.endpoint.key_env={variable}: the environment variable "
                f"{variable} is not set; write export {variable}=… with the key"
            )
        if policy.name == "hf":
            _check_cache(name, getattr(config.agents, name).model)
    check_engines(config)
    for name in ("solver", "generator"):
        role = getattr(config.agents, name)
        if role.learner.objective == "distill":
            _check_vocabulary(name, role.model, role.learner.teacher)
    if here:
        check_weights(config)
        check_gpus(config)


def check_models(config: Config) -> None:
    """Raises `ConfigError` if a model that a role works with cannot be had, or its configuration or
    tokenizer cannot be read.

    Raises `ModelUnavailable` if one that comes with coevo cannot be had. Everything is taken as it is
    where the nodes of a cluster have files of their own.
    """
    if config.runtime.address is not None:
        return
    for key, model in _used(config):
        try:
            folder = model_folder(model)
        except ModelUnavailable as error:
            if model in NAMES:
                raise
            raise ConfigError(f"{key}={model}: {error}") from error
        reason = of_hub(model) if isinstance(folder, str) else of_folder(folder)
        if reason:
            raise ConfigError(f"{key}={model}: {reason}")


def check_kinds(config: Config) -> None:
    """Raises `ConfigError` on a model that transformers is to run and that is no causal language model, and
    on one to be trained whose weights are quantized. An engine has kinds of its own."""
    for name in ("solver", "teacher", "generator"):
        role = getattr(config.agents, name)
        trained = role.learner.objective != "none"
        if is_idle(config, name) or not (trained or role.policy.name == "hf"):
            continue
        models = {"model": role.model}
        if role.learner.objective == "distill":
            models["learner.teacher"] = role.learner.teacher
        for key, model in models.items():
            file = None if model in NAMES else config_file(model)
            if file is None:
                continue
            settings = json.loads(file.read_bytes())
            reason = misfit(settings)
            if not reason and trained and key == "model":
                reason = quantized(settings)
            if reason:
                raise ConfigError(f"agents.{name}.{key}={model}: {reason}")


def check_weights(config: Config) -> None:
    """Raises `ConfigError` if a folder of a model lacks files of its weights, which are not read."""
    for key, model in _used(config):
        if model in NAMES:  # checked whole
            continue
        folder = model_folder(model)
        if not isinstance(folder, str) and (reason := weights(folder)):
            raise ConfigError(f"{key}={model}: {reason}")


def _used(config: Config) -> Iterator[tuple[str, str]]:
    """(key, model) of every model that the run loads, each model once."""
    seen = set()
    for name in ("solver", "teacher", "generator"):
        role = getattr(config.agents, name)
        if is_idle(config, name):
            continue
        trained = role.learner.objective != "none"
        used = {"model": role.model} if trained or role.policy.name in ("hf", "vllm") else {}
        if role.learner.objective == "distill":
            used["learner.teacher"] = role.learner.teacher
        for key, model in used.items():
            if model not in seen:
                seen.add(model)
                yield f"agents.{name}.{key}", model


def is_idle(config: Config, role: str) -> bool:
    """Whether a role is in the configuration, but has no part in the loop."""
    loop = config.loop
    return role == "generator" and not loop.train_generator and loop.feed == "teacher"


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
