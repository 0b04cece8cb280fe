"""Filling prompts in, so that what a model wrote stays what it is: quoted text."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_SLOT = re.compile(r"\{\{([^\W\d]\w*)\}\}|\{([^\W\d]\w*)\}")
# A command of LaTeX with its arguments, an exponent, an index: braces that nobody means to be filled.
_LATEX = re.compile(r"\\[A-Za-z]+\*?(?:\[[^\]]*\])?(?:\{[^{}]*\})+|[\^_]\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Slots:
    """The placeholders of a prompt: those that are filled in, and those without which it makes no
    sense."""

    known: tuple[str, ...]
    needed: tuple[str, ...]


_ABOUT_AN_ATTEMPT = Slots(("statement", "attempt", "answer"), ("statement", "attempt"))
_REFINING = Slots(("statement", "attempt", "answer", "error"), ("statement",))
_UNSEEN = Slots(("statement",), ("statement",))

# Solver's and Generator's template, and the Teacher's prompts. Who solves a problem anew sees the
# statement alone: that is what makes the answer a second one.
SLOTS = {
    "solver": Slots(("prompt",), ("prompt",)),
    "generator": Slots(("statement", "attempt"), ("statement",)),
    "system": Slots((), ()),
    "solve": _UNSEEN,
    "resolve": _UNSEEN,
    "verify": _ABOUT_AN_ATTEMPT,
    "diagnose": _ABOUT_AN_ATTEMPT,
    "weakness": _REFINING,
    "harder": _REFINING,
    "easier": _REFINING,
    "similar": _REFINING,
}


def fill(template: str, **values: str) -> str:
    """The template with `{name}` filled in for each value, in one pass, and `{{name}}` as `{name}`.

    A value with braces in it is not filled in again; other braces of the template stay.
    """

    def filled(slot: re.Match[str]) -> str:
        return f"{{{slot[1]}}}" if slot[1] else values.get(slot[2], slot[0])

    return _SLOT.sub(filled, template)


def placeholders(template: str) -> list[str]:
    """The names in single braces, in order, without those that are arguments of LaTeX."""
    rest, before = template, None
    while rest != before:  # from the innermost command outwards
        before, rest = rest, _LATEX.sub("", rest)
    return [slot[2] for slot in _SLOT.finditer(rest) if slot[2]]


def missing(template: str, slots: Slots) -> list[str]:
    """The needed placeholders that a prompt lacks."""
    there = {slot[2] for slot in _SLOT.finditer(template)}
    return [name for name in slots.needed if name not in there]


def fence(text: str, longest: int) -> str:
    """A model's text between two marks that it cannot write itself, cut to `longest` characters.

    The mark depends on the text (its hash), so a text that quoted its own mark would have
    another. Control characters, which could hide or repaint the marks, are shown as `�`.
    """
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text[:longest])
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
    cut = (
        f"\n[{len(text) - longest} further characters are not shown]" if len(text) > longest else ""
    )
    return f"<<<ATTEMPT {mark}\n{shown}\nATTEMPT {mark}>>>{cut}"
