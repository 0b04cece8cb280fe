"""What a configuration must fulfil before anything starts: ranges, choices, and what fits together."""

from __future__ import annotations

import re
from pathlib import Path

from coevo.config import Config, ConfigError, RoleConfig, TeacherConfig, fields_of, nearest
from coevo.utility import UTILITIES


def validate(config: Config) -> None:
    """Raises `ConfigError` on the first value that is out of range or fits no choice."""
    for path, value, entry in fields_of(config):
        if choices := entry.metadata.get("choices"):
            if value not in choices:
                hint = nearest(str(value), choices)
                raise ConfigError(f"{path}={value!r} is not one of {', '.join(choices)}{hint}")
        elif bounds := entry.metadata.get("range"):
            low, high = bounds
            if not low <= value <= high:  # also refuses nan
                raise ConfigError(
                    f"{path}={value} is out of range: write a value from {low} to {high}"
                )
    _validate_relations(config)


def _validate_relations(config: Config) -> None:
    if config.utility.name not in UTILITIES:
        hint = nearest(config.utility.name, list(UTILITIES))
        raise ConfigError(
            f"utility.name={config.utility.name!r} is not one of {', '.join(UTILITIES)}{hint}"
        )
    if len(config.loop.generator_share) != 2 or not all(
        0 <= share <= 1 for share in config.loop.generator_share
    ):
        raise ConfigError(
            f"loop.generator_share={config.loop.generator_share} is not two shares from 0 to 1 "
            "(of the first and the last round), such as [0.25,0.75]"
        )
    levels = config.curriculum.seed_levels
    if len(levels) != 2 or levels[0] > levels[1]:
        raise ConfigError(
            f"curriculum.seed_levels={levels} is not a lowest and a highest level, such as [2,5]"
        )
    if config.curriculum.replay_share + config.curriculum.backlog_share >= 1:
        raise ConfigError(
            "curriculum.replay_share + curriculum.backlog_share must leave room for new problems: "
            f"{config.curriculum.replay_share} + {config.curriculum.backlog_share} is not below 1"
        )
    if config.name is not None and (
        config.name in ("", ".", "..") or Path(config.name).name != config.name
    ):
        raise ConfigError(f"name={config.name!r} is not a plain folder name")
    for role in ("solver", "teacher", "generator"):
        block: RoleConfig = getattr(config.agents, role)
        if block.policy.name == "rules" and block.learner.objective != "none":
            raise ConfigError(
                f"agents.{role}: policy rules has no weights to train; "
                f"write learner@agents.{role}.learner=none, or give it policy hf"
            )
        if block.learner.objective == "grpo" and block.sampling.top_p < 1:
            raise ConfigError(
                f"agents.{role}.sampling.top_p={block.sampling.top_p}: learner grpo compares "
                "probabilities with those of the sampling, and needs top_p=1"
            )
        if block.policy.name != "rules" and not block.model:
            raise ConfigError(
                f"agents.{role}.model is empty; write tiny, smollm2 or a model folder"
            )
    _validate_teacher(config.agents.teacher)
    for role in ("solver", "teacher", "generator"):
        _validate_engine(f"agents.{role}", getattr(config.agents, role), config.runtime.kind)
    needs_generator = config.loop.feed != "teacher" or config.loop.train_generator
    if needs_generator and config.loop.proposals == 0 and config.loop.feed != "teacher":
        raise ConfigError(f"loop.feed={config.loop.feed} needs loop.proposals of at least 1")


def _validate_teacher(teacher: TeacherConfig) -> None:
    speaks, prompts = teacher.policy.name != "rules", teacher.prompts
    if speaks and not (prompts.solve and prompts.resolve and prompts.weakness):
        raise ConfigError(
            f"agents.teacher: policy {teacher.policy.name} needs prompts; write "
            "prompts@agents.teacher.prompts=math, or give it policy rules"
        )
    if speaks and teacher.judge != "never" and not prompts.verify:
        raise ConfigError(
            f"agents.teacher.judge={teacher.judge} needs agents.teacher.prompts.verify"
        )


def _validate_engine(where: str, block: RoleConfig, runtime: str) -> None:
    """What the policies `vllm` and `endpoint` ask of a role."""
    policy, trained = block.policy, block.learner.objective != "none"
    if policy.name == "vllm":
        if runtime == "inline":
            raise ConfigError(
                f"{where}: policy vllm changes torch's threads in its process and needs an actor of "
                "its own; write runtime=ray, or policy hf"
            )
        if trained and block.learner.lora.rank > 0 and policy.vllm.sleep == 2:
            raise ConfigError(
                f"{where}.policy.vllm.sleep=2 drops the base weights, which adapters do not bring "
                "back; write sleep=1"
            )
        if block.sampling.max_tokens >= policy.vllm.max_model_len:
            raise ConfigError(
                f"{where}.sampling.max_tokens={block.sampling.max_tokens} leaves no room for a "
                f"prompt within {where}.policy.vllm.max_model_len={policy.vllm.max_model_len}"
            )
    if policy.name == "endpoint":
        if trained:
            raise ConfigError(
                f"{where}: policy endpoint has no weights to train; write "
                f"learner@{where}.learner=none, or give it policy hf or vllm"
            )
        endpoint = policy.endpoint
        if not endpoint.url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{where}.policy.endpoint.url is no address of a server; write one such as "
                "http://localhost:8000/v1"
            )
        if "@" in endpoint.url.partition("://")[2].partition("/")[0]:
            raise ConfigError(
                f"{where}.policy.endpoint.url has a name or password in it, which a run's files "
                "would show; put the key into an environment variable and its NAME into key_env"
            )
        if endpoint.key_env and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", endpoint.key_env):
            raise ConfigError(  # without the value: it may be a key
                f"{where}.policy.endpoint.key_env is not the NAME of an environment variable; "
                "write a name in capitals such as OPENAI_API_KEY, and the key into that variable"
            )
