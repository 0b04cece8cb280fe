"""What a family of problems is: its template, its attributes, its solver, its kind of answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from environments.base import Malformed
from environments.reasoning.answers import KINDS
from environments.reasoning.reading import Reading

LONGEST_STATEMENT = 2000  # characters


@dataclass(frozen=True)
class Attribute:
    """One measure of difficulty, in steps: of the package's curriculum, or a little easier.

    Step `i` allows values up to `levels[i]`, with `interval` from `levels[i]` to `levels[i + 1]`.
    `sets` names the curriculum's attributes that follow it, each with the factor of its levels; `low`
    one whose levels are the lower ends.
    """

    name: str
    levels: tuple[int, ...]
    interval: bool = False
    sets: Mapping[str, int] = field(default_factory=dict)
    low: str = ""

    @property
    def bounds(self) -> tuple[int, ...]:
        """The highest value of each step."""
        return self.levels[1:] if self.interval else self.levels

    def step(self, value: int) -> int:
        """The first step that allows a value, or as many as there are if none does."""
        return sum(value > bound for bound in self.bounds)

    def curriculum(self) -> dict[str, list[int]]:
        """The levels of each attribute of the package's curriculum that this one sets."""
        sets = {
            name: [factor * level for level in self.levels] for name, factor in self.sets.items()
        }
        if self.low:
            upper = {name: levels[1:] for name, levels in sets.items()}
            return {**upper, self.low: list(self.levels[:-1])}
        return sets or {self.name: list(self.levels)}


@dataclass(frozen=True)
class Family:
    """A family: its template with named slots, its attributes, its solver and its kind of answer.

    A slot whose name begins with `_` is not passed to the solver.
    `noise` is what is cut from the package's question, `constants` the levels at which other
    attributes of its curriculum are held, `options` further fields of its configuration, and
    `hint` what a question leaves unsaid.
    """

    template: str
    slots: Mapping[str, str]
    attributes: tuple[Attribute, ...]
    solve: Callable[..., Reading]
    kind: str = "integer"
    noise: str = ""
    hint: str = ""
    constants: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def levels(self) -> range:
        return range(1, len(self.attributes[0].bounds) + 1)

    @property
    def ordered(self) -> bool:
        """Whether the same numbers in another order make quite another problem."""
        return not {"matrix", "grid"}.isdisjoint(self.slots)

    @property
    def instruction(self) -> str:
        """What a prompt says after the statement."""
        return f"{self.hint}Put the final answer in \\boxed{{}}{KINDS[self.kind].form}."

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        literal, *rest = re.split(r"\{(\w+)\}", self.template)
        pattern = re.escape(literal)
        for slot, literal in zip(rest[::2], rest[1::2], strict=True):
            pattern += f"(?P<{slot}>{self.slots[slot]}){re.escape(literal)}"
        return re.compile(pattern)

    def statement(self, question: str) -> str:
        """The package's question without what is said of the answer's format."""
        return (
            re.sub(self.noise, "", question, flags=re.DOTALL).strip()
            if self.noise
            else question.strip()
        )

    def read(self, statement: str) -> Reading | Malformed | None:
        """What a statement says; None if it is none of this family, `Malformed` if it is a bad one."""
        match = self.pattern.fullmatch(statement)
        if match is None:
            return None
        try:
            parts = {slot: text for slot, text in match.groupdict().items() if slot[0] != "_"}
            reading = self.solve(**parts)
        except (ValueError, KeyError) as error:
            return Malformed(reason="operand", detail=str(error)[:80])
        for attribute, value in zip(self.attributes, reading.measures, strict=True):
            if attribute.step(value) == len(attribute.bounds):
                return Malformed(reason="level", detail=f"{attribute.name} is {value}")
        return reading

    def steps(self, reading: Reading) -> tuple[int, ...]:
        """The step of each attribute, from 0."""
        measured = zip(self.attributes, reading.measures, strict=True)
        return tuple(attribute.step(value) for attribute, value in measured)

    def difficulty(self, reading: Reading) -> dict[str, float]:
        """The level, one more than the mean step rounded down, and each attribute's measure."""
        steps = self.steps(reading)
        measures = {
            a.name: float(v) for a, v in zip(self.attributes, reading.measures, strict=True)
        }
        return {"level": 1 + sum(steps) // len(steps), **measures}
