"""Reads a run's `config.yaml` as plain data: nothing in it is resolved, repeated or run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from coevo.config import ConfigError
from coevo.folder_files import FileRefused, read_bytes

LARGEST_FILE = 2**20  # bytes; a configuration has about ten thousand
DEEPEST = 30  # blocks within blocks
LARGEST_NUMBER = 2**63
INTERPOLATION = "${"
MISSING = "???"  # OmegaConf would put the default in its place, or fail


def load(path: Path) -> dict[str, Any]:
    """The configuration in a file, as nested dictionaries of plain values.

    Raises `ConfigError` that names the file, and the key where there is one, if it cannot be read, is
    no configuration, or holds what coevo never writes: links between its parts (YAML aliases), a key
    twice, interpolations, values that are neither texts, numbers, truth values nor lists of them.
    """
    import yaml

    try:
        data = read_bytes(path, LARGEST_FILE)
        plain = yaml.load(data.decode(), _strict_loader())
    except FileRefused as error:
        raise ConfigError(str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from error
    except RecursionError:
        raise ConfigError(f"{path} is not a run's configuration: it is too deep") from None
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({_first_line(error)})") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} is not a run's configuration")
    refuse_foreign_values(plain, f"{path}: ")
    return plain


def refuse_foreign_values(plain: Any, where: str = "") -> None:
    """Raises `ConfigError` naming the first key of a configuration whose value is no plain one.

    Interpolations are refused and never resolved: a folder could ask for a variable's value.
    """
    for keys, value in _leaves(plain):
        key = ".".join(one if isinstance(one, str) else type(one).__name__ for one in keys)
        if len(keys) > DEEPEST:
            raise ConfigError(f"{where}{key[:80]}…: more than {DEEPEST} blocks within blocks")
        if not all(isinstance(one, str) for one in keys):
            raise ConfigError(f"{where}{key[:80]}: a key that is no text; write it in quotes")
        if any(isinstance(part, str) and INTERPOLATION in part for part in (*keys, value)):
            raise ConfigError(
                f"{where}{key[:80]!r} holds an interpolation, {INTERPOLATION}…}}: a run's "
                "configuration has none; write the value itself (in a text, write $ and a space)"
            )
        if value == MISSING:
            raise ConfigError(f"{where}{key[:80]}={MISSING} stands for no value; write one")
        if not _is_plain(value):
            raise ConfigError(
                f"{where}{key[:80]}: expected a text, a number of sane size, true, false or null"
            )


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < LARGEST_NUMBER
    return value is None or isinstance(value, str)


def _leaves(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value that is no block or list, with the keys (or places) on the way to it.

    An empty block is none, so its own keys are nobody's; those of a full one come with its leaves.
    """
    if len(keys) > DEEPEST or not isinstance(value, dict | list):
        yield keys, None if isinstance(value, dict | list) else value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*keys, key), None  # the key itself, whatever is under it
            yield from _leaves(inner, (*keys, key))
    else:
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*keys, str(place)))


@cache
def _strict_loader() -> Any:
    """PyYAML's safe loader without aliases (a file of a kilobyte can mean gigabytes) and repeats."""
    import yaml

    class Strict(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.MarkedYAMLError(problem="it has aliases, which coevo does not write")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            if twice := next((key for key, count in keys.items() if count > 1), None):
                raise yaml.MarkedYAMLError(problem=f"the key {twice!r} is there twice")
            return super().construct_mapping(node, deep=deep)

    return Strict


def _first_line(error: BaseException) -> str:
    """What is wrong, without the lines of the file that PyYAML quotes."""
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    place = f", line {mark.line + 1}" if mark is not None else ""
    return f"{str(problem).splitlines()[0][:200]}{place}"
