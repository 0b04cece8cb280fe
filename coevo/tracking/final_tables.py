"""The tables that end a run, from the content of `summary.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coevo.level_table import level_tables, of_block
from coevo.program import command
from coevo.screen import percent, plain, points, share


def print_summary(
    console: Console, summary: dict[str, Any], name: str, folder: Path, example: str = "PROBLEM"
) -> None:
    """The tables that end a run, from `summary.json`'s content, and what to try next.

    `example` is a problem's id for the suggested `coevo explain`. Parts that the summary
    lacks are left out.
    """
    for benchmark, result in summary.get("benchmarks", {}).items():
        reached = summary.get("frontier", {}).get("heldout") if benchmark == "heldout" else None
        _show(console, _benchmark_table(benchmark, result, reached))
        for table in level_tables(benchmark, of_block(result), console):
            _show(console, table)
    for failed in summary.get("all_failed", []):
        rounds = ", ".join(map(str, failed["rounds"]))
        told = f"round{'s' * (len(failed['rounds']) > 1)} {rounds}: {failed['message']}"
        console.print(Padding(plain(told, "yellow"), (1, 0, 0, 0), expand=False))
    if "generator" in summary:
        _show(console, _generator_table(summary["generator"]))
    if summary.get("training"):
        _show(console, _training_table(summary["training"]))
    if "curriculum" in summary:
        counts = dict(summary["curriculum"])
        total = counts.pop("problems", sum(counts.values()))
        if untried := total - sum(counts.values()):
            counts["untried"] = untried
        _show(console, _share_table("curriculum", "problems", counts, total))
    if "seconds" in summary:
        seconds = dict(summary["seconds"])
        total = seconds.pop("total", sum(seconds.values()))
        _show(console, _share_table("time", "seconds", seconds, total, digits=1))
    run = name if folder == Path("runs") / name else str(folder)
    lines = [
        ("\nThe run is in ", str(folder)),
        ("Next: ", command("eval", run)),
        ("      ", command("explain", run, example)),
        ("      ", command("export", run, "--what", "model", "--to", f"{name}-model")),
    ]
    for label, content in lines:  # not wrapped, so that they can be copied
        console.print(Text.assemble(label, plain(content, "bold")), soft_wrap=True)


def _show(console: Console, table: Table) -> None:
    console.print(Padding(table, (1, 0, 0, 0), expand=False))


def _table(title: str, *headings: str, width: int = 16) -> Table:
    """The first column, of this width at least, names the row; the others are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(plain(title), min_width=width)
    for heading in headings:
        table.add_column(heading, justify="right", min_width=8, no_wrap=True)
    return table


def _benchmark_table(
    benchmark: str, result: dict[str, Any], reached: Sequence[int | None] | None = None
) -> Table:
    """`reached`: the frontier of base and final, a level each.

    Every figure has its interval, `44.8 ±2.1` or in brackets; the table fits in 60 columns."""
    bounds = result.get("ci95", {})
    metric = result.get("metric", "accuracy")
    table = _table(benchmark, "base, %", "final, %", "change, points", width=9)
    rows = [(metric, result["base"], result["final"], bounds.get(metric, {}))]
    rows += [
        (key, pair["base"], pair["final"], bounds.get(key, {}))
        for key, pair in result.items()
        if "@" in key
    ]
    for number, (label, base, final, own) in enumerate(rows):
        delta = own.get("delta") or (None if number else result.get("delta_ci95"))
        table.add_row(
            plain(label),
            share(base, own.get("base")),
            share(final, own.get("final")),
            points(final - base, delta),
            style="" if number else "bold",
        )
    if reached is not None and any(level is not None for level in reached):
        base, final = reached
        change = "" if base is None or final is None else f"{final - base:+d}"
        table.add_row(
            "frontier", *("-" if level is None else f"{level}" for level in reached), change
        )
    if bounds:
        table.caption = "± and brackets: 95 % intervals, over problems"
        table.caption_justify = "left"
    return table


def _generator_table(generator: dict[str, Any]) -> Table:
    table = _table("generator", "first", "last", width=13)
    for key, label, show in (
        ("valid_rate", "valid rate, %", _rate),
        ("mean_utility", "mean utility", _worth),
    ):
        if key in generator:
            bounds = generator.get(f"{key}_ci95", (None, None))
            table.add_row(label, *map(show, generator[key], bounds))
    if "proposals" in generator:
        table.add_row("proposals", "", f"{generator['proposals']}")
    return table


def _training_table(training: dict[str, dict[str, int]]) -> Table:
    """What each role's updates were made of; a figure that the run does not know is a dash."""
    table = _table("training", "steps", "tokens", width=13)
    for role, own in training.items():
        cells = (f"{own[key]:,}" if key in own else "-" for key in ("steps", "tokens"))
        table.add_row(plain(role.capitalize()), *cells)
    return table


def _rate(value: float | None, bounds: Sequence[float] | None) -> str:
    if value is None or bounds is None:
        return "-" if value is None else f"{100 * value:.0f}"
    return f"{100 * value:.0f} [{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]"


def _worth(value: float | None, bounds: Sequence[float] | None) -> str:
    if value is None or bounds is None:
        return "-" if value is None else f"{value:.2f}"
    return f"{value:.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def _share_table(
    title: str, heading: str, parts: dict[str, float], total: float, digits: int = 0
) -> Table:
    table = _table(title, heading, "share")
    for part, amount in parts.items():
        share = percent(amount / total) if total else "-"
        table.add_row(plain(part.replace("_", " ")), f"{amount:.{digits}f}", share)
    table.add_row("total", f"{total:.{digits}f}", "", style="bold")
    return table
