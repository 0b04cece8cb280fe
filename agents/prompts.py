"""Filling prompts in, so that what a model wrote stays what it is: quoted text."""

from __future__ import annotations

import hashlib
import re

_SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, **values: str) -> str:
    """The template with `{name}` filled in for each value, in one pass.

    A value with braces in it is not filled in again; other braces of the template stay.
    """
    return _SLOT.sub(lambda slot: values.get(slot.group(1), slot.group(0)), template)


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
