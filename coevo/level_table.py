"""mean@k and pass@k by level, side by side where the screen is wide enough, else one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from coevo.screen import plain, points, share

Bounds = Sequence[float] | None
Figure = tuple[float, Bounds]  # a value and its 95 % interval
UNLIMITED = 10_000  # columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure by level: of each of the weights, in order, and how the last differ from the first."""

    name: str  # mean@8
    weights: tuple[str, ...]  # base, final
    levels: Mapping[str, Sequence[Figure]]
    changes: Mapping[str, Figure] = field(default_factory=dict)


def of_block(block: Mapping[str, Any]) -> list[Measure]:
    """The measures by level in a benchmark's block of `summary.json`, as far as it has them; of one
    completion mean@1 alone, which pass@1 is too."""
    metric = str(block.get("metric", "accuracy"))
    names = {"by_level": metric}
    if metric != "mean@1":
        names["pass_by_level"] = metric.replace("mean@", "pass@")
    found = []
    for key, name in names.items():
        if not (levels := block.get(key)):
            continue
        bounds = block.get("ci95", {}).get(key, {})
        own = {str(level): bounds.get(level, {}) for level in levels}
        found.append(
            Measure(
                name=name,
                weights=("base", "final"),
                levels={
                    str(level): [(base, own[level].get("base")), (final, own[level].get("final"))]
                    for level, (base, final) in levels.items()
                },
                changes={
                    str(level): (final - base, own[level].get("delta"))
                    for level, (base, final) in levels.items()
                },
            )
        )
    return found


def of_estimates(
    k: int, weights: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any] | None
) -> list[Measure]:
    """Likewise of `weights` and `change` in an `eval-<benchmark>.json`."""
    levels = next(iter(weights.values()))["by_level"]
    found = []
    for name in (f"mean@{k}", f"pass@{k}")[: 1 + (k > 1)]:
        figures = {
            level: [
                (own["by_level"][level][name]["value"], own["by_level"][level][name]["ci95"])
                for own in weights.values()
            ]
            for level in levels
        }
        differences = {
            level: (own[name]["delta"], own[name]["ci95"])
            for level, own in (changes or {"by_level": {}})["by_level"].items()
        }
        found.append(
            Measure(name=name, weights=tuple(weights), levels=figures, changes=differences)
        )
    return found


def level_tables(title: str, measures: Sequence[Measure], console: Console) -> list[Table]:
    """One table if it fits on the console, with the change of the first measure; else one of each.

    A level at which the first weights, which are the base's where there are two, never were right in
    any completion of any problem is marked. None is wider than 60 columns.
    """
    if not measures:
        return []
    together = _table(title, measures, measures[:1])
    unlimited = console.options.update_width(UNLIMITED)
    if Measurement.get(console, unlimited, together).maximum <= console.width:
        return [together]
    return [_table(title, [measure], [measure]) for measure in measures]


def _table(title: str, measures: Sequence[Measure], changed: Sequence[Measure]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(plain(f"{title},").append("\nlevel"))
    hopeless = {
        level for measure in measures for level, own in measure.levels.items() if own[0][0] == 0
    }  # of both measures alike: a pass@k of 0 is a mean@k of 0
    for measure in measures:
        headings = [f"{name}, %" for name in measure.weights]
        if measure in changed and measure.changes:
            headings.append("change, points")
        for heading in headings:
            label = plain(measure.name).append("\n").append_text(plain(heading))
            table.add_column(label, justify="right", no_wrap=True)
    for level in _in_order(measures[0].levels):
        cells = []
        for measure in measures:
            cells += [share(*figure) for figure in measure.levels[level]]
            if measure in changed and measure.changes:
                cells.append(points(*measure.changes[level]))
        table.add_row(plain(f"{level}{'*' * (level in hopeless)}"), *cells)
    if hopeless:
        first = measures[0].weights[0]
        whose = f"{first} " if len(measures[0].weights) > 1 else ""
        table.caption = plain(f"* no {whose}completion was right on any problem of this level")
        table.caption_justify = "left"
    return table


def _in_order(levels: Iterable[str]) -> list[str]:
    """By number; what is no number comes last, as it stands there."""
    return sorted(
        levels, key=lambda level: (not level.isdecimal(), int(level) if level.isdecimal() else 0)
    )
