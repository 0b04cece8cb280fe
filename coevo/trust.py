"""What a run's folder asks for beyond itself: code, addresses, variables, files, models, an account.

A folder may come from a stranger, so none of it is used before the user has confirmed it: with the
flag `--trust`, or by giving the value himself on the command line. `reaches` is the one list of it; a
new key that names a file, an address, a variable or code belongs there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.model_files import NAMES
from coevo.config import Config, ConfigError, RoleConfig, WandbConfig, fields_of
from coevo.wandb_variables import resolved
from environments.data_files import user_path

FLAG = "--trust"
PLAIN_OPTIONS = (
    "families",
    "sha256",
    "heldout_share",
    "rows",
)  # texts of built-in environments: no files
CODE = "code that would be run"
FILE = "a file that is read"
MODEL = "a model from a folder or the hub"
UPLOAD = "where the run is uploaded to"

Keys = tuple[str, ...]


class Unconfirmed(ConfigError):
    """What a folder asks for and nobody has confirmed; `FLAG` confirms it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One value of a configuration that leads out of the run's folder, and what it is."""

    keys: Keys  # agents, solver, model
    value: str
    what: str

    @property
    def key(self) -> str:
        return ".".join(self.keys)


def confirm(
    config: Config,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    trust: bool,
    only: Sequence[str] = (),
) -> None:
    """Raises `Unconfirmed`, with all that a folder asks for, unless it is trusted.

    `config` is the folder's with the `overrides` of the command line, whose values are confirmed.
    With `only`, other keys and blocks than these are left out, for the command does not use them.
    """
    if trust:
        return
    given = _given(overrides)
    found = [
        reach
        for reach in reaches(config, folder)
        if (not only or any(f"{reach.key}.".startswith(f"{key}.") for key in only))
        and not _has(given, reach.keys)
    ]
    if found:
        listed = ", ".join(f"{one.key}={one.value[:120]!r} ({one.what})" for one in found)
        raise Unconfirmed(
            f"{folder} asks for what lies outside of it: {listed}. Give the same values on the "
            f"command line, or, if you know whose folder it is, confirm all of it with {FLAG}"
        )


def reaches(config: Config, folder: Path) -> list[Reach]:
    """All that a run of this configuration, whose folder is `folder`, would use from elsewhere.

    What comes with coevo is not in it: built-in environments, `model_files.NAMES`, a local Ray, published
    benchmarks by their names.
    """
    found = [
        Reach(keys=tuple(path.split(".")), value=value, what=CODE)
        for path, value, _ in fields_of(config)
        if path.endswith(".name") and _is_code(value)
    ]
    found += _environment(("environment",), config.environment.name, config.environment.options)
    for name in ("solver", "teacher", "generator"):
        idle = name == "generator" and not config.loop.train_generator
        if not (idle and config.loop.feed == "teacher"):
            found += _role(("agents", name), getattr(config.agents, name), trained=not idle)
    if config.curriculum.seed_file is not None:
        found.append(_file(("curriculum", "seed_file"), config.curriculum.seed_file))
    for name, path in config.decontamination.against.items():
        if path is not None:
            found.append(_file(("decontamination", "against", name), path))
    if config.runtime.kind == "ray" and config.runtime.address is not None:
        found.append(
            Reach(
                keys=("runtime", "address"),
                value=config.runtime.address,
                what="a Ray cluster, which runs code in this process",
            )
        )
    found += _wandb(config.tracker.wandb)
    return [one for one in found if not _within(one, folder)]


def _wandb(config: WandbConfig) -> Iterator[Reach]:
    """Where a run is uploaded to; what the user's own variables say too is his own word."""
    if config.mode == "disabled":
        return
    mine = resolved(WandbConfig(), os.environ)
    for key, what in (("mode", UPLOAD), ("entity", UPLOAD), ("dir", "a folder that is written to")):
        value = getattr(config, key)
        if value not in (None, "offline", getattr(mine, key)):
            yield Reach(keys=("tracker", "wandb", key), value=value, what=what)


def _environment(keys: Keys, name: Any, options: Any) -> Iterator[Reach]:
    """The files of an environment, and for a mixture the code and the files of each part."""
    parts = options.get("parts") if name == "mixture" and isinstance(options, Mapping) else None
    if isinstance(parts, Mapping):
        for own, part in parts.items():
            if isinstance(part, Mapping):
                inner = (*keys, "options", "parts", str(own))
                if _is_code(part.get("name")):
                    yield Reach(keys=(*inner, "name"), value=part["name"], what=CODE)
                yield from _environment(inner, part.get("name"), part.get("options"))
    elif isinstance(options, Mapping):
        for option, value in options.items():
            if option not in PLAIN_OPTIONS:
                yield from _texts((*keys, "options", str(option)), value)


def code_of(name: Any, options: Any) -> list[str]:
    """The code that an environment names, `package.module:Class`, of its own and of its parts."""
    parts = options.get("parts") if name == "mixture" and isinstance(options, Mapping) else None
    found = [name] if _is_code(name) else []
    for part in parts.values() if isinstance(parts, Mapping) else ():
        if isinstance(part, Mapping):
            found += code_of(part.get("name"), part.get("options"))
    return found


def _is_code(name: Any) -> bool:
    """Whether a name is a path, as in `package.module:Class`, and not one of coevo's own."""
    return isinstance(name, str) and ":" in name


def _texts(keys: Keys, value: Any) -> Iterator[Reach]:
    """Every text within an option: it may be the name of a file."""
    if isinstance(value, str):
        yield _file(keys, value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts((*keys, str(key)), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(keys, inner)


def _role(keys: Keys, role: RoleConfig, trained: bool) -> Iterator[Reach]:
    policy, learner = role.policy, role.learner
    trained = trained and learner.objective != "none"
    models = []
    if trained or policy.name in ("hf", "vllm"):
        models.append(((*keys, "model"), role.model))
    if trained and learner.objective == "distill":
        models.append(((*keys, "learner", "teacher"), learner.teacher))
    for place, model in models:
        if model not in NAMES:
            yield Reach(keys=place, value=model, what=MODEL)
    if policy.name == "endpoint":
        endpoint, place = policy.endpoint, (*keys, "policy", "endpoint")
        yield Reach(
            keys=(*place, "url"), value=endpoint.url, what="a server that prompts are sent to"
        )
        if endpoint.key_env:
            what = "an environment variable whose value is sent there"
            yield Reach(keys=(*place, "key_env"), value=endpoint.key_env, what=what)
        for name, value in endpoint.extra.items():
            what = "a field that is sent there"
            yield Reach(keys=(*place, "extra", name), value=str(value), what=what)
        if endpoint.cache is not None:
            what = "a file that is written"
            yield Reach(keys=(*place, "cache"), value=endpoint.cache, what=what)


def _file(keys: Keys, value: Any) -> Reach:
    return Reach(keys=keys, value=str(value), what=FILE)


def _within(reach: Reach, folder: Path) -> bool:
    """Whether a file or a model lies in the run's folder itself."""
    if reach.what not in (FILE, MODEL):
        return False
    try:
        path = user_path(reach.value).resolve()
    except (OSError, ValueError):  # no path, such as one with a NUL
        return False
    return path.is_relative_to(folder.resolve()) and path.exists()


def _given(overrides: Sequence[str]) -> Any:
    from coevo.compose import nested

    return nested([override.lstrip("+") for override in overrides])


def _has(given: Any, keys: Keys) -> bool:
    """Whether the command line gave this very value, and not only a block around it."""
    for key in keys:
        if not isinstance(given, Mapping) or key not in given:
            return False
        given = given[key]
    return True
