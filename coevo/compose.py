"""From the command line's overrides to a checked `Config`, with errors that name the way out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from coevo.config import Config, ConfigError, nearest
from coevo.files import read_text, write_whole
from coevo.packages import conf_dir
from coevo.validate import validate


def compose(overrides: Sequence[str]) -> Config:
    """The configuration that `conf/` and the overrides make.

    Raises `ConfigError`, with the nearest valid name, if they make none.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = checked(overrides)
    _offer_schema()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = hydra_compose("config", overrides=list(overrides))
        config = OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error, overrides)) from error
    assert isinstance(config, Config)
    validate(config)
    return config


@cache
def _offer_schema() -> None:
    """Tells Hydra of the dataclasses, once: converting them is a third of a composition."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)


# Blocks whose keys are the user's.
OPEN = ("environment.options.", "decontamination.against.")


def checked(overrides: Sequence[str]) -> list[str]:
    """The overrides, each of the form `key=value`; nothing can be added or taken away.

    Only the blocks of `OPEN` take new keys: theirs get the `++` that Hydra wants for one.
    Raises `ConfigError`, with the nearest valid name.
    """
    result = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if re.fullmatch(r"~[\w./-]*", value):  # Hydra's grammar has no ~ outside quotes
            override = f"{key}='{value}'"
        name = key.lstrip("+~").split("@")[0]
        known = [*all_keys(), *groups()]
        exists = name in known
        hint = "" if exists else f"there is no key {name!r}{nearest(name, known)}; "
        if key.startswith("~"):
            raise ConfigError(f"{override}: {hint}no key can be removed, only given another value")
        if not equals:
            raise ConfigError(f"{override}: {hint}write it as key=value, such as rounds=12")
        if name.startswith(OPEN):
            override = f"++{override.lstrip('+')}"
        elif key.startswith("+"):
            raise ConfigError(
                f"{override}: write {override.lstrip('+')}"
                if exists
                else f"{override}: there is no key {name!r}{nearest(name, known)}"
            )
        result.append(override)
    return result


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The override lists of a sweep: `seed=0,1` gives two, `seed=range(0,3)` three."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def explain(error: BaseException, overrides: Sequence[str]) -> str:
    """Hydra's error in a line or two, with the nearest valid name where one is near."""
    message = str(error)
    parts = [message, str(error.__cause__ or "")]
    if found := re.search(r"Could not find '([\w@./-]+)/([\w.-]+)'", message):
        group, choice = found.group(1), found.group(2)
        options = group_options(group)
        hint = nearest(choice, options)
        return f"{group}={choice} does not exist{hint}; {group} is one of {', '.join(options)}"
    if found := re.search(r"Could not override '([\w@./-]+)'", message):
        key = found.group(1)
        known = sorted({*all_keys(), *groups()})
        given = next((o for o in overrides if o.lstrip("+~").startswith(key)), key)
        return f"{given}: there is no key {key!r}{nearest(key, known)}"
    if found := re.search(r"full_key: ([\w.]+)", " ".join(parts)):
        first = next(line for line in " ".join(parts).splitlines() if line.strip())
        return f"{found.group(1)}: {first}"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())[:600]


def groups() -> list[str]:
    """Every configuration group."""
    return sorted(path.name for path in conf_dir().iterdir() if path.is_dir())


def group_options(group: str) -> list[str]:
    """Every choice of a group such as `utility`, or `learner` for `learner@agents.solver.learner`."""
    folder = conf_dir() / group.split("@")[0]
    return sorted(path.stem for path in folder.glob("*.yaml"))


@cache
def all_keys() -> tuple[str, ...]:
    """Every dotted key of the configuration, leaves and blocks."""
    from coevo.config import fields_of

    keys: set[str] = set()
    for path, _, _ in fields_of(Config()):
        pieces = path.split(".")
        keys |= {".".join(pieces[:n]) for n in range(1, len(pieces) + 1)}
    return tuple(sorted(keys))


def to_plain(config: Config) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values."""
    import dataclasses

    return dataclasses.asdict(config)


def save(config: Config, path: Path, run_id: str = "") -> None:
    """Writes `config.yaml`, with a checksum that `as_written` reads."""
    import yaml

    text = yaml.safe_dump(to_plain(config), sort_keys=False)
    write_whole(path, [text + SEAL + _checksum(text, run_id)])


SEAL = "# as it was written: "  # the last line: a checksum of the run's id and the lines above


def _checksum(text: str, run_id: str) -> str:
    return hashlib.sha256(f"{run_id}\n{text}".encode()).hexdigest()


def as_written(path: Path, run_id: str) -> bool:
    """Whether `config.yaml` is what `save` wrote for this run; without a checksum, nobody knows."""
    text, mark, found = read_text(path).rpartition(SEAL)
    return not mark or found.strip() == _checksum(text, run_id)


def load(path: Path) -> dict[str, Any]:
    """Reads `config.yaml`; raises `ConfigError` if it is missing or is none."""
    import yaml

    try:
        plain = yaml.safe_load(read_text(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "it"
        raise ConfigError(f"{path} cannot be read ({where} is not YAML)") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read ({error})") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} is not a run's configuration")
    return plain


def single_keys(overrides: Sequence[str]) -> list[str]:
    """Overrides of a saved configuration, which has no groups but `runtime` to choose from."""
    single = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "runtime":
            override = f"runtime.kind={value}"
        elif key.lstrip("+~").split("@")[0] in groups():
            raise ConfigError(
                f"{override} chooses a group, and a run has made its choices: write single keys, "
                f"such as {key.split('@')[-1]}.…=…"
            )
        single.append(override)
    return single


def from_plain(plain: dict[str, Any], overrides: Sequence[str] = ()) -> Config:
    """A saved configuration with further overrides (`key=value` only), checked again."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = [override.lstrip("+") for override in checked(overrides)]
    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(Config), plain, OmegaConf.from_dotlist(list(overrides))
        )
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error, overrides)) from error
    assert isinstance(config, Config)
    validate(config)
    return config
