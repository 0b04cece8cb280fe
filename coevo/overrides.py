"""One override of the command line, `key=value`, read by the type of its field.

Hydra's grammar guesses a value's type from its text and has errors of its own. Here a text field
keeps what was written (`name=1e5`), and what cannot be read is refused by field, value and what fits.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from coevo.config import Config, ConfigError, nearest
from coevo.packages import conf_dir
from coevo.trainable import OBJECTIVES, OF_ROLE

# Blocks whose keys are the user's.
OPEN = (
    "environment.options.", "decontamination.against.",
    *(
        f"agents.{role}.policy.endpoint.{block}."
        for role in ("solver", "teacher", "generator") for block in ("fields", "extra")
    ),
)  # fmt: skip
# Fields of running text, in which `\n` is a newline and a comma parts nothing.
TEXT = re.compile(r"agents\.\w+\.template|.*\.stop|agents\.teacher\.prompts\.\w+")
SWEEP = re.compile(r"(range|choice|shuffle|sort|interval|glob)\(.*\)", re.DOTALL)
SEVERAL = "is several values: `coevo run -m` runs each of them"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field holds: `base` is str, int, float, bool, list or dict; `item` is of a list."""

    base: type
    item: type | None
    optional: bool
    bounds: tuple[float, float] | None

    @property
    def told(self) -> str:
        """What fits, for a message."""
        low, high = self.bounds or (None, None)
        told = {
            str: "a text",
            int: "a whole number",
            float: "a number",
            bool: "true or false",
            dict: "a block such as {key: value}",
            list: {
                int: "a list of whole numbers, such as [2,5]",
                float: "a list of numbers, such as [0.25,0.75]",
            }.get(self.item or str, "a list of texts, such as ['one','two']"),
        }[self.base]
        return f"{told}{f' from {low} to {high}' * bool(self.bounds)}{', or null' * self.optional}"


@cache
def kinds() -> dict[str, Kind]:
    """The kind of every leaf of the configuration, by its dotted path."""
    return dict(_kinds(Config, ""))


def _kinds(block: type, prefix: str) -> Iterator[tuple[str, Kind]]:
    hints = typing.get_type_hints(block)
    for entry in dataclasses.fields(block):
        hint, path = hints[entry.name], f"{prefix}{entry.name}"
        if dataclasses.is_dataclass(hint):
            yield from _kinds(typing.cast(type, hint), f"{path}.")
            continue
        optional = isinstance(hint, types.UnionType)
        if optional:
            (hint,) = (one for one in typing.get_args(hint) if one is not types.NoneType)
        item = typing.get_args(hint)[0] if typing.get_origin(hint) is list else None
        base = typing.get_origin(hint) or hint
        yield path, Kind(base, item, optional, entry.metadata.get("range"))


@cache
def places() -> dict[str, tuple[str, ...]]:
    """Where each group is chosen: `("loop",)`, `("learner@agents.solver.learner", …)`."""
    import yaml

    found: dict[str, tuple[str, ...]] = {}
    for entry in yaml.safe_load((conf_dir() / "config.yaml").read_text())["defaults"]:
        for place in entry if isinstance(entry, dict) else ():
            group = place.split("@")[0]
            found[group] = (*found.get(group, ()), place)
    return found


def options(group: str) -> list[str]:
    """Every choice of a group such as `utility`, or `learner` for `learner@agents.solver.learner`."""
    return sorted(path.stem for path in (conf_dir() / group.split("@")[0]).glob("*.yaml"))


def near(name: str, known: Sequence[str]) -> str:
    """`; did you mean …?` for a key that there is not: keys of the same end, or the nearest one."""
    parts = name.split(".")
    same = [
        key
        for key in known
        if key.endswith(f".{parts[-1]}") and set(parts) <= set(key.split("."))
        if "teacher" in parts or not key.startswith("agents.teacher.learner.")  # is never trained
    ]
    if parts[0] == "environment" and len(parts) > 1:
        same = [f"environment.options.{'.'.join(parts[1:])}"]
    if not same:
        return nearest(name, list(known))
    *others, last = map(repr, same[:4])
    return f"; did you mean {', '.join(others) + ' or ' if others else ''}{last}?"


# -- reading --------------------------------------------------------------------------------------


def value(key: str, text: str) -> Any:
    """The value of a leaf as its field has it, that of an open block as Hydra's grammar has it.

    An interpolation (`${…}`) stays text. Raises `ConfigError`.
    """
    kind = kinds().get(key)
    if kind is None:
        return _free(key, text)
    if kind.base is dict:
        block = _free(key, text)
        if not isinstance(block, dict):
            raise ConfigError(f"{key}={text}: write its keys one by one, such as {key}.NAME=…")
        return block
    running = TEXT.fullmatch(key) is not None
    if kind.optional and text.strip().lower() in ("null", "none"):
        return None
    if "${" in text and running:
        raise ConfigError(f"{key}: ${{…}} is filled in by no prompt; write $ and a space")
    if "${" in text:
        return _unquoted(text, False)
    if kind.base is list:
        inner = re.fullmatch(r"\s*\[(.*)\]\s*", text, re.DOTALL)
        if inner is None:
            raise ConfigError(f"{key}={text}: write {kind.told}")
        pieces = split(inner[1]) if inner[1].strip() else []
        return [_one(key, text, kind, kind.item or str, piece, running) for piece in pieces]
    if not running and len(split(text)) > 1:
        one = "in quotes it is one" if kind.base is str else f"one is {kind.told}"
        raise ConfigError(f"{key}={text} {SEVERAL}; {one}")
    return _one(key, text, kind, kind.base, text, running)


def _one(key: str, text: str, kind: Kind, base: type, piece: str, running: bool) -> Any:
    if base is str:
        if not running and piece.strip().lower() == "null":
            raise ConfigError(f"{key}={text}: write {kind.told}, not null")
        if kind.base is list:
            piece = piece.strip()
        return _unquoted(piece, running)
    read = {int: _int, float: _float, bool: _bool}[base]
    found = read(_unquoted(piece, False))
    if found is None:
        raise ConfigError(f"{key}={text}: write {kind.told}")
    return found


def _int(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?\d+(_\d+)*", text, re.ASCII) else None


def _float(text: str) -> float | None:
    try:
        found = float(text) if text.isascii() else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _bool(text: str) -> bool | None:
    return {"true": True, "yes": True, "on": True, "1": True,
            "false": False, "no": False, "off": False, "0": False}.get(text.lower())  # fmt: skip


def _free(key: str, text: str) -> Any:
    """A value of an open block: Hydra's grammar says what it is."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"++x={text}")
    except HydraException as error:
        raise ConfigError(
            f"{key}={text} cannot be read: put the value in quotes, and the whole in others for "
            f'the shell: "{key}={quoted(text)}"'
        ) from error
    if override.is_sweep_override():
        raise ConfigError(f"{key}={text} {SEVERAL}")
    return override.value()


def split(text: str) -> list[str]:
    """The pieces between commas, those within quotes and brackets left alone."""
    pieces, start, depth, quote, escaped, before = [], 0, 0, "", False, ","
    for at, char in enumerate(text):
        if escaped or char == "\\":
            escaped = not escaped
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and before in ",([{:=":  # and no apostrophe
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth <= 0:
            pieces.append(text[start:at])
            start = at + 1
        before = char if not char.isspace() else before
    return [*pieces, text[start:]]


def _unquoted(text: str, running: bool) -> str:
    r"""The text that was meant. In quotes `\\` is a backslash and `\'` a quote; in running text `\n` is
    a newline and `\\` a backslash, quoted or not. All other backslashes stay."""
    stripped = text.strip()
    quote = stripped[:1]
    inside = f"(?:[^\\\\{quote}]|\\\\.)*" if quote and quote in "'\"" else None
    if inside and re.fullmatch(f"{quote}{inside}{quote}", stripped, re.DOTALL):
        text, known = stripped[1:-1], {"\\": "\\", quote: quote}
    elif running:
        known = {"\\": "\\"}
    else:  # the escapes of Hydra's grammar
        text, known = stripped, {char: char for char in "\\()[]{}:=, \t"}
    known |= {"n": "\n"} if running else {}
    return re.sub(r"\\(.)", lambda one: known.get(one[1], one[0]), text, flags=re.DOTALL)


# -- writing --------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    r"""The text as `value` reads it back: in quotes, with `\\` and `\'`."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def literal(found: Any, text: Callable[[str], str] | None = None) -> str:
    """A leaf's value in the words of the command line, such that `value` gives it back.

    `text` writes the strings; without it, they are quoted where they must be.
    """
    if isinstance(found, str):
        plain = re.fullmatch(r"[\w./+:-]+", found, re.ASCII) and found.lower() not in (
            "null",
            "none",
        )
        return text(found) if text else found if plain else quoted(found)
    if isinstance(found, list):
        return f"[{','.join(literal(one, text) for one in found)}]"
    if found is None or isinstance(found, bool):
        return "null" if found is None else str(found).lower()
    return repr(found)


def for_hydra(found: Any) -> str:
    """The value as Hydra's grammar reads it back."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return literal(found, lambda text: QuotedString(text, Quote.single).with_quotes())


def swept(key: str, text: str) -> str:
    """The values of a sweep over a leaf, `a,b` or `choice(a,b)`, as Hydra's sweeper takes them.

    `range(…)` and its kin are Hydra's own. Running text is several values only where each is quoted.
    """
    running, stripped = TEXT.fullmatch(key) is not None, text.strip()
    if not running and SWEEP.fullmatch(stripped):
        if not stripped.startswith("choice("):
            return stripped
        text = stripped.removeprefix("choice(").removesuffix(")")
    pieces = split(text)
    if (
        running
        and kinds()[key].base is str
        and any(one.strip()[:1] not in ("'", '"') for one in pieces)
    ):
        pieces = [text]
    return ",".join(literal(value(key, piece), _word) for piece in pieces)


def _word(text: str) -> str:
    """The text as it is, where Hydra's grammar takes it for a text too, else in quotes."""
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", text, re.ASCII)
    other = text.lower() in ("true", "false", "null", "none", "nan", "inf")
    return text if plain and not other else quoted(text)


# -- groups ---------------------------------------------------------------------------------------


def choice(place: str, text: str) -> str:
    """`place=choice` of a group, checked; a block of values (`{…}`) is left to Hydra.

    Raises `ConfigError` with the places of a group that several blocks choose from.
    """
    group, known = place.split("@")[0], places()[place.split("@")[0]]
    if place not in known:
        known = tuple(one for one in known if _takes(one, text)) or known
        *others, last = (f"{one}={text}" for one in known)
        written = f"{', '.join(others)} or {last}" if others else last
        each = f"each role has its own {group}: " if others else ""
        raise ConfigError(f"{place}={text}: {each}write {written}")
    if text.lstrip().startswith("{"):
        return f"{place}={text}"
    pieces, all_choices = split(text), options(group)
    if len(pieces) > 1:
        raise ConfigError(f"{place}={text} {SEVERAL}")
    chosen = _unquoted(text, False)
    if chosen not in all_choices:
        hint = nearest(chosen, all_choices)
        own = "; a class of your own is environment.name=module:Class" * (group == "environment")
        raise ConfigError(
            f"{place}={text} does not exist{hint or ';'} {place} is one of {', '.join(all_choices)}{own}"
        )
    return f"{place}={chosen}"


def _takes(place: str, text: str) -> bool:
    """Whether a learner can be that of the role that the place is of."""
    role = re.fullmatch(r"learner@agents\.(\w+)\.learner", place)
    return role is None or text not in OBJECTIVES or text in OF_ROLE[role[1]]
