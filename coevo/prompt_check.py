"""Whether the placeholders of a configuration's prompts are those that are filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from agents.prompts import SLOTS, Slots, missing, placeholders
from coevo.config import Config, ConfigError, nearest


def refuse_unknown(config: Config) -> None:
    """Raises `ConfigError` on a placeholder that nothing is filled in for: it would be sent as it is."""
    if config.agents.teacher.template != "{prompt}":
        raise ConfigError(
            "agents.teacher.template is of no use: the Teacher is asked by agents.teacher.prompts.*"
        )
    for key, prompt, slots in _prompts(config):
        if not prompt.strip():
            raise ConfigError(f"{key} is empty; write one with {{{slots.needed[0]}}}")
        for name in placeholders(prompt):
            if name not in slots.known:
                hint = nearest(name, slots.known)
                known = ", ".join(f"{{{one}}}" for one in slots.known) or "no placeholder"
                raise ConfigError(
                    f"{key}: {{{name}}} is no placeholder of this prompt{hint or ';'}"
                    f" it has {known}; braces that are to be sent are doubled: {{{{{name}}}}}"
                )


def warnings(config: Config) -> list[str]:
    """What prompts lack: without it a role is asked the same whatever the problem is."""
    return [
        f"{key} has no {{{name}}}: what is asked does not depend on it"
        for key, prompt, slots in _prompts(config)
        for name in missing(prompt, slots)
    ]


def _prompts(config: Config) -> Iterator[tuple[str, str, Slots]]:
    """(key, prompt, placeholders) of every prompt that a role's model is asked."""
    agents = config.agents
    idle = config.loop.feed == "teacher" and not config.loop.train_generator
    for name, role in (("solver", agents.solver), ("generator", agents.generator)):
        if role.policy.name != "rules" and not (name == "generator" and idle):
            yield f"agents.{name}.template", role.template, SLOTS[name]
    for entry in dataclasses.fields(agents.teacher.prompts):
        if prompt := getattr(agents.teacher.prompts, entry.name):
            yield f"agents.teacher.prompts.{entry.name}", prompt, SLOTS[entry.name]
