"""What tables and lines show: text of others as it is to be seen, figures with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from environments.printable import LONGEST, printable


def plain(text: object, style: str = "", *, longest: int = LONGEST) -> Text:
    """One printable line: `[red]` is a word in brackets, nothing acts on the terminal or hides."""
    return Text(printable(text, longest=longest), style)


def percent(value: float | None, digits: int = 0) -> str:
    """A share in percent, `-` for None or no number."""
    return "-" if value is None or value != value else f"{100 * value:.{digits}f}%"


def share(value: float | None, bounds: Sequence[float] | None) -> str:
    """A share in percent with the wider side of its 95 % interval, `44.8 ±2.1`; `-` for None."""
    if value is None or value != value:
        return "-"
    if bounds is None:
        return f"{100 * value:.1f}"
    low, high = bounds
    half = max(high - value, value - low)  # one side may be cut at 0 or 1
    return f"{100 * value:.1f} ±{100 * half:.1f}"


def points(value: float, bounds: Sequence[float] | None) -> str:
    """A change of a share in points with its 95 % interval: `+13.8 [+10.1, +17.5]`."""
    told = f"{100 * value:+.1f}"
    return told if bounds is None else f"{told} [{100 * bounds[0]:+.1f}, {100 * bounds[1]:+.1f}]"
