"""Text of others (a model's, a file's, a server's) made fit for a terminal or a page.

What is stored stays as it is; what is shown to people goes through here.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 2000  # characters that are shown of a text
# Letters and marks by category, yet nothing is seen of them: Unicode's Default_Ignorable_Code_Point.
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def printable(text: object, *, lines: bool = False, longest: int = LONGEST) -> str:
    r"""`text` with every character that acts or hides written out, such as `\x1b` or `\u202e`.

    These are control characters (escape sequences, carriage returns, NUL), marks of direction and
    of no width, separators of lines and paragraphs, lone surrogates, and what has no meaning. The
    result can be encoded in UTF-8 and has one line; with `lines` line feeds stay. A text of more than
    `longest` characters is cut. Backslashes stay: LaTeX is to be read.
    """
    shown = str(text)
    cut = "…" if len(shown) > longest else ""
    return "".join(
        char if _safe(char) or (lines and char == "\n") else _written_out(char)
        for char in shown[:longest]
    ) + cut  # fmt: skip


def _safe(char: str) -> bool:
    if char.isprintable():
        return not UNSEEN.match(char)
    return unicodedata.category(char) == "Zs"  # spaces of other widths


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def in_cell(text: object, *, longest: int = LONGEST) -> str:
    """The text as a cell of a Markdown table: one line, no end of the cell, no markup of HTML."""
    shown = printable(text, longest=longest)
    return shown.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def in_code(text: object) -> str:
    """The text as inline code of Markdown, behind a fence longer than any in it."""
    shown = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{space}{shown}{space}{fence}"


def in_block(text: object) -> str:
    """The text as a fenced block of Markdown, whole, its lines kept."""
    shown = printable(text, lines=True, longest=len(str(text)))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=2))
    return f"{fence}\n{shown}\n{fence}"
