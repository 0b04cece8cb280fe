"""What a configuration asks of tokenizers and positions, as far as a model's files tell."""

from __future__ import annotations

import json
from pathlib import Path

from agents.tokens import no_template, positions
from coevo.architecture import KNOWN, config_file
from coevo.config import Config, ConfigError

TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")


def check_templates(config: Config) -> None:
    """Raises `ConfigError` on a role that wants a chat template where its model has none.

    Of the hub's models only those that are on this machine can be asked.
    """
    for name in ("solver", "teacher", "generator"):
        role = getattr(config.agents, name)
        idle = name == "generator" and not config.loop.train_generator
        if not role.policy.chat or role.policy.name not in ("hf", "vllm"):
            continue
        if idle and config.loop.feed == "teacher":
            continue
        file = config_file(role.model)
        if file is not None and not _has_template(file.parent):
            raise ConfigError(no_template(role.model, f"agents.{name}.policy.chat"))


def _has_template(folder: Path) -> bool:
    """Whether a tokenizer's folder has one; True where the tokenizer is not there."""
    if any((folder / name).exists() for name in TEMPLATES):
        return True
    settings = folder / "tokenizer_config.json"
    if not settings.is_file():
        return True
    try:
        return bool(json.loads(settings.read_bytes()).get("chat_template"))
    except (ValueError, AttributeError):
        return True  # whoever loads it says what is wrong with it


def check_engines(config: Config) -> None:
    """Raises `ConfigError` on a vLLM engine that is to read more tokens at once than its model can."""
    for name in ("solver", "teacher", "generator"):
        role = getattr(config.agents, name)
        limit = longest(role.model) if role.policy.name == "vllm" else None
        if limit is not None and role.policy.vllm.max_model_len > limit:
            path = f"agents.{name}.policy.vllm.max_model_len"
            raise ConfigError(
                f"{path}={role.policy.vllm.max_model_len}: the context of {role.model} is {limit} tokens; "
                f"write {path}={limit} or less"
            )


def longest(model: str) -> int | None:
    """Tokens that a model reads in one sequence; None where it has no limit, or none is known here."""
    if (file := config_file(model)) is None:
        return KNOWN[model].positions if model in KNOWN else None
    try:
        return positions(json.loads(file.read_bytes()))
    except (OSError, ValueError):
        return None  # a file that cannot be read is told of by whoever needs its sizes
