"""Whether a model has the layers that adapters are asked for, known without its weights."""

from __future__ import annotations

from agents.learners.targets import ALL, of_folder, unknown
from coevo.architecture import config_file
from coevo.config import Config, ConfigError


def check_targets(config: Config) -> None:
    """Raises `ConfigError` on `lora.targets` that the model lacks, where its `config.json` is at hand."""
    for name in ("solver", "generator"):
        role = getattr(config.agents, name)
        lora, path = role.learner.lora, f"agents.{name}.learner.lora.targets"
        if role.learner.objective == "none" or not lora.rank or lora.targets == [ALL]:
            continue
        if (file := config_file(role.model)) is None:
            continue
        if (found := unknown(of_folder(file.parent), lora.targets)) is not None:
            raise ConfigError(f"{path} of {role.model}: {found}")
