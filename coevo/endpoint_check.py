"""What a configuration asks of an OpenAI-compatible server: checked before a run has a name."""

from __future__ import annotations

import re

from coevo import places
from coevo.config import ConfigError, RoleConfig, TeacherConfig


def check_endpoint(where: str, block: RoleConfig) -> None:
    """Raises `ConfigError` on the first setting of policy `endpoint` that cannot be."""
    from agents.policies import fields  # imports numpy

    endpoint, path = block.policy.endpoint, f"{where}.policy.endpoint"
    if reason := places.server(endpoint.url):
        raise ConfigError(f"{path}.url {reason}")
    if "@" in endpoint.url.partition("://")[2].partition("/")[0]:
        raise ConfigError(
            f"{path}.url has a name or password in it, which a run's files "
            "would show; put the key into an environment variable and its NAME into key_env"
        )
    if endpoint.key_env and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", endpoint.key_env):
        raise ConfigError(  # without the value: it may be a key
            f"{path}.key_env is not the NAME of an environment variable; "
            "write a name in capitals such as OPENAI_API_KEY, and the key into that variable"
        )
    stops = list(block.sampling.stop)
    if isinstance(block, TeacherConfig):
        stops += block.judging.stop
    if found := fields.misfit(endpoint.fields, endpoint.extra, stops):
        raise ConfigError(f"{path}.{found[0]} {found[1]}")
