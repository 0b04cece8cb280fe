"""From the command line's overrides to a checked `Config`, with errors that name the way out."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from coevo import overrides as reading
from coevo import own_environment
from coevo.config import Config, ConfigError, nearest
from coevo.files import read_text, write_whole
from coevo.overrides import OPEN
from coevo.overrides import options as group_options
from coevo.packages import conf_dir
from coevo.saved import load as load
from coevo.saved import refuse_foreign_values
from coevo.trainable import check_trainable
from coevo.validate import validate
from coevo.wandb_variables import resolved

__all__ = ["OPEN", "group_options"]  # and all that is defined here


def compose(overrides: Sequence[str]) -> Config:
    """The configuration that `conf/` and the overrides make.

    Raises `ConfigError`, with the nearest valid name, if they make none.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    words = checked(overrides)
    try:
        composed = _composed(words)
        if own_environment.chosen(words):
            _take_options(composed, words)
        config = OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    config.tracker.wandb = resolved(config.tracker.wandb, os.environ)
    check_trainable(config)
    validate(config)
    refuse_foreign_values(to_plain(config))
    return config


def _composed(words: Sequence[str]) -> Any:
    """What Hydra makes of checked overrides."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    _offer_schema()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra_compose("config", overrides=[_for_hydra(word) for word in words])


def _take_options(composed: Any, words: Sequence[str]) -> None:
    """Takes the options of the experiment's environment from another one that the user chose."""
    from omegaconf import flag_override

    name = composed.environment.name
    if _composed(own_environment.without(words)).environment.name == name:
        return
    given = [
        word.lstrip("+") for word in words if word.lstrip("+").startswith("environment.options")
    ]
    own = nested(given).get("environment", {}).get("options", {})
    with flag_override(composed, ["struct", "readonly"], False):
        composed.environment.options = own_environment.options(words, name, own)


@cache
def _offer_schema() -> None:
    """Tells Hydra of the dataclasses, once: converting them is a third of a composition."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)


LONGEST_SWEEP = 1000  # jobs


def checked(overrides: Sequence[str]) -> list[str]:
    """The overrides, each of the form `key=value` with a value that fits; nothing can be added or
    taken away.

    Only the blocks of `OPEN` take new keys: theirs get the `++` that Hydra wants for one.
    Raises `ConfigError`, with the nearest valid name.
    """
    return [_checked(override) for override in named(overrides)]


def named(overrides: Sequence[str]) -> list[str]:
    """The overrides, each `key=…` of a key or group that there is."""
    result = []
    known = [*all_keys(), *groups()]
    for override in overrides:
        key, equals, value = override.partition("=")
        if re.fullmatch(r"~[\w./-]*", value):  # Hydra's grammar has no ~ outside quotes
            override = f"{key}='{value}'"
        name = key.lstrip("+~").split("@")[0]
        exists = name in known
        unknown = "" if exists else f"there is no key {name!r}{reading.near(name, known)}"
        hint = f"{unknown}; " if unknown else ""
        if key.startswith("~"):
            raise ConfigError(f"{override}: {hint}no key can be removed, only given another value")
        if not equals or not name:
            raise ConfigError(f"{override}: {_without_a_value(name, exists, hint)}")
        if name.startswith(OPEN):
            override = f"++{override.lstrip('+')}"
        elif key.startswith("+"):
            raise ConfigError(
                f"{override}: write {override.lstrip('+')}" if exists else f"{override}: {unknown}"
            )
        elif not exists:
            raise ConfigError(f"{override}: {unknown}")
        result.append(override)
    return result


def _without_a_value(word: str, exists: bool, hint: str) -> str:
    """What to write instead of a word that has no `=`, or nothing before it."""
    if exists or not word:
        return "write it as key=value, such as rounds=12, without spaces around the ="
    places = [reading.places()[one][0] for one in groups() if word in group_options(one)]
    if places:
        return f"write {' or '.join(f'{place}={word}' for place in places)}"
    hint = hint if re.fullmatch(r"[\w.]+", word) else ""
    return (
        f"{hint}write it as key=value, such as rounds=12; one with spaces goes in quotes: "
        "'key=two words'"
    )


def made_choices(override: str) -> ConfigError:
    """A run's groups have been chosen, and only single keys of it can be given."""
    place = override.partition("=")[0].split("@")[-1]
    leaves = (one for one in reading.kinds() if one.startswith(f"{place}."))
    return ConfigError(
        f"{override} chooses a group, and a run has made its choices: write single keys, such as "
        f"{next(leaves, 'rounds')}=…"
    )


def _checked(override: str) -> str:
    """An override of a known key: its value is read once, and refused if it does not fit."""
    key, _, text = override.lstrip("+").partition("=")
    if key.split("@")[0] in groups():
        return reading.choice(key, text)
    if key in reading.kinds() or key.startswith(OPEN):
        reading.value(key, text)
    elif not text.lstrip().startswith("{"):
        place = f"{key.rsplit('.', 1)[-1]}@{key}"
        if place in reading.places().get(place.split("@")[0], ()):
            raise ConfigError(f"{override}: write {place}={text}")
        inside = dict.fromkeys(
            one.removeprefix(f"{key}.").split(".")[0]
            for one in reading.kinds()
            if one.startswith(f"{key}.")
        )
        raise ConfigError(
            f"{override}: {key} is a block; write its keys, such as {key}.{next(iter(inside))}=… "
            f"(it has {', '.join(inside)})"
        )
    return override


def _for_hydra(override: str) -> str:
    key, _, text = override.partition("=")
    if key in reading.kinds() and reading.kinds()[key].base is dict:
        return f"++{override}"  # its keys are the user's: new ones, beside those there are
    if key not in reading.kinds():
        return override
    return f"{key}={reading.for_hydra(reading.value(key, text))}"


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The override lists of a sweep: `seed=0,1` gives two, `seed=range(0,3)` three."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    words = [_swept(one) for one in named(overrides)]
    try:
        parsed = OverridesParser.create().parse_overrides(words)
    except HydraException as error:
        raise ConfigError(explain(error)) from error
    refuse_endless(parsed)
    return [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def _swept(override: str) -> str:
    key, _, text = override.partition("=")
    return f"{key}={reading.swept(key, text)}" if key in reading.kinds() else override


def refuse_endless(parsed: Sequence[Any]) -> None:
    """Raises `ConfigError` if a sweep has more than `LONGEST_SWEEP` jobs, counted but not made."""
    from hydra.core.override_parser.types import RangeSweep

    jobs = 1
    for override in parsed:
        value = override.value()
        if isinstance(value, RangeSweep):
            try:
                count = math.ceil((value.stop - value.start) / value.step)
            except (ArithmeticError, ValueError) as error:
                raise ConfigError(
                    f"{override.input_line} cannot be counted ({error}); write a range such as "
                    f"{override.key_or_group}=range(0,10)"
                ) from error
        else:
            count = len(getattr(value, "list", [value]))
        jobs *= max(0, count)
        if jobs > LONGEST_SWEEP:
            raise ConfigError(
                f"{override.input_line} makes a sweep of {jobs:,} jobs or more; a sweep has at most "
                f"{LONGEST_SWEEP:,}: write fewer values, such as {override.key_or_group}=range(0,10), "
                "and sweep the rest later"
            )


def explain(error: BaseException) -> str:
    """Hydra's or OmegaConf's error in a line, with what fits where that is known."""
    message = str(error)
    parts = [message, str(error.__cause__ or "")]
    if "Key '" in " ".join(parts) and (found := re.search(r"full_key: ([\w.]+)", " ".join(parts))):
        key = found.group(1)
        return f"there is no key {key!r}{nearest(key, all_keys())}"
    if found := re.search(r"full_key: ([\w.]+)", " ".join(parts)):
        key = found.group(1).rstrip(".")
        first = next(line for line in " ".join(parts).splitlines() if line.strip())
        wrong = re.match(r"Value (.*) of type '\w+' (?:could not be|is not) ", first)
        if wrong and (kind := reading.kinds().get(key)):
            return f"{key}={wrong[1].strip(chr(39))}: write {kind.told}"
        return f"{key}: {first}"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())[:600]


def groups() -> list[str]:
    """Every configuration group."""
    return sorted(path.name for path in conf_dir().iterdir() if path.is_dir())


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
    """Writes `config.yaml`, whole, with a checksum that `as_written` reads; `load` reads it."""
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


def single_keys(overrides: Sequence[str]) -> list[str]:
    """Overrides of a saved configuration, which has no groups but `runtime` to choose from."""
    single = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "runtime":
            override = f"runtime.kind={value}"
            if value == "inline":
                single.append("runtime.address=null")
        elif key.lstrip("+~").split("@")[0] in groups():
            raise made_choices(override)
        single.append(override)
    return single


def from_plain(plain: dict[str, Any], overrides: Sequence[str] = ()) -> Config:
    """A saved configuration with further overrides (`key=value` only), checked again.

    An interpolation in what was saved is refused; one that the user writes now is resolved.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = [override.lstrip("+") for override in checked(overrides)]
    given = nested(overrides)
    refuse_foreign_values(plain)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), plain, given)
        config = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    config.tracker.wandb = resolved(config.tracker.wandb, {})  # a run keeps what it had
    validate(config)
    refuse_foreign_values(to_plain(config))
    return config


def completed(plain: dict[str, Any]) -> dict[str, Any]:
    """A saved configuration that `from_plain` takes, with the defaults of keys that it has not.

    A run keeps going when coevo gets a new key, whose default is what the run did all along.
    """
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(OmegaConf.structured(Config), plain)
    filled = OmegaConf.to_container(merged, resolve=False)
    assert isinstance(filled, dict)
    return {str(key): value for key, value in filled.items()}


def nested(overrides: Sequence[str]) -> dict[str, Any]:
    """Checked overrides of single keys as blocks of values: `a.b=1` is `{"a": {"b": 1}}`."""
    result: dict[str, Any] = {}
    for override in overrides:
        key, _, text = override.partition("=")
        if "@" in key or (key in groups() and not text.lstrip().startswith("{")):
            raise made_choices(override)
        *blocks, leaf = key.split(".")
        inner = result
        for name in blocks:
            inner = inner.setdefault(name, {})
        inner[leaf] = reading.value(key, text)
    return result
