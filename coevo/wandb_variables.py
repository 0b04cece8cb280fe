"""What W&B's own environment variables say, where the command line says nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from coevo.config import ConfigError, WandbConfig, nearest

MODES = {
    "online": "online", "offline": "offline", "disabled": "disabled",
    "run": "online", "dryrun": "offline",  # W&B's older names
}  # fmt: skip
TEXTS = {
    "project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP", "notes": "WANDB_NOTES", "dir": "WANDB_DIR",
}  # fmt: skip


def resolved(config: WandbConfig, variables: Mapping[str, str]) -> WandbConfig:
    """The settings with each null replaced: by its variable if that is set, else by its default.

    Raises `ConfigError` for a `WANDB_MODE` that is none.
    """
    said: dict[str, Any] = {
        key: variables[name] for key, name in TEXTS.items() if variables.get(name)
    }
    if tags := variables.get("WANDB_TAGS"):
        said["tags"] = [tag.strip() for tag in tags.split(",") if tag.strip()]
    if config.mode is None and (mode := _mode(variables)):
        said["mode"] = mode
    values: dict[str, Any] = {"mode": "offline", "project": "coevo", "tags": [], **said}
    return dataclasses.replace(
        config, **{key: value for key, value in values.items() if getattr(config, key) is None}
    )


def _mode(variables: Mapping[str, str]) -> str | None:
    if said := variables.get("WANDB_MODE"):
        if said.lower() not in MODES:
            raise ConfigError(
                f"the environment variable WANDB_MODE={said!r} is not one of online, offline, "
                f"disabled{nearest(said, list(MODES))}; set one, or write tracker.wandb.mode=offline"
            )
        return MODES[said.lower()]
    switched_off = variables.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on")
    return "disabled" if switched_off else None
