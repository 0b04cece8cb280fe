"""Whether what a configuration needs is here, asked before anything is written."""

from __future__ import annotations

import importlib.util
import os

from coevo.config import Config, ConfigError


def check_means(config: Config) -> None:
    """Raises `ConfigError` if a policy lacks its engine, or the variable that should hold its key."""
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
