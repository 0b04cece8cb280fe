"""The options of an environment that the command line puts in place of the experiment's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coevo.packages import conf_dir

CHOICES = ("environment", "environment.name")


def chosen(overrides: Sequence[str]) -> list[str]:
    """The overrides that choose an environment: a file of conf/environment, or a name."""
    return [override for override in overrides if override.partition("=")[0] in CHOICES]


def without(overrides: Sequence[str]) -> list[str]:
    """The overrides of all that is not the environment's."""
    return [one for one in overrides if not one.lstrip("+").startswith("environment")]


def options(overrides: Sequence[str], name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Those of the chosen file, if it is of the environment `name`, with the `given` ones over them.

    The experiment's are not among them: they are of another environment, which `name` replaces.
    """
    import yaml
    from omegaconf import OmegaConf

    own: dict[str, Any] = {}
    for override in chosen(overrides):
        key, _, value = override.partition("=")
        if key == "environment":
            own = yaml.safe_load((conf_dir() / "environment" / f"{value}.yaml").read_text())
    base = own.get("options", {}) if own.get("name") == name else {}
    merged = OmegaConf.to_container(OmegaConf.merge(base, given), resolve=False)
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}
