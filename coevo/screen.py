"""Text of others in rich's tables and lines: as it is to be seen, and no more than that."""

from __future__ import annotations

from rich.text import Text

from environments.printable import LONGEST, printable


def plain(text: object, style: str = "", *, longest: int = LONGEST) -> Text:
    """One printable line: `[red]` is a word in brackets, nothing acts on the terminal or hides."""
    return Text(printable(text, longest=longest), style)
