"""Whether a `summary.json` has what is read of it: it may be cut short, edited, or another program's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Test = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_number, value))


def _pair_if_any(value: Any) -> bool:
    """A rate of 0 of 0 is no number."""
    return value == [None, None] or _pair(value)


def _pairs(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_pair, value.values()))


def _training(value: Any) -> bool:
    """Whole numbers by role and figure."""
    return isinstance(value, dict) and all(
        isinstance(own, dict) and all(map(_whole, own.values())) for own in value.values()
    )


def _curve(value: Any) -> bool:
    """[round, value, low, high] of each point."""
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 4 and _whole(row[0]) and all(map(_number, row))
        for row in value
    )


def _frontier(value: Any) -> bool:
    """Levels by round, and base and final on the held-out problems, None where there is none."""
    if not isinstance(value, dict) or not {"by_round", "heldout"} <= value.keys():
        return False
    rounds, ends = value["by_round"], value["heldout"]
    return (
        isinstance(rounds, list)
        and all(_pair(row) and all(map(_whole, row)) for row in rounds)
        and isinstance(ends, list)
        and len(ends) == 2
        and all(level is None or _whole(level) for level in ends)
    )


SUMMARY: dict[str, Test] = {
    "seed": _whole,
    "rounds": _whole,
    "benchmarks": lambda value: isinstance(value, dict),
    "generator": lambda value: isinstance(value, dict),
}
OPTIONAL: dict[str, Test] = {  # runs of before have none of these
    "curve": _curve,
    "frontier": _frontier,
    "training": _training,
}
GENERATOR: dict[str, Test] = {"valid_rate": _pair_if_any, "mean_utility": _pair_if_any}
BENCHMARK: dict[str, Test] = {
    "metric": lambda value: isinstance(value, str),
    "base": _number,
    "final": _number,
    "delta": _number,
    "delta_ci95": _pair,
    "by_level": _pairs,
    "problems": _whole,
}
ENDS: dict[str, Test] = {"base": _number, "final": _number}


def fault(summary: Any) -> str:
    """What is wrong with the content of `summary.json`, in words; empty if nothing is."""
    if not isinstance(summary, dict):
        return "it is not a JSON object"
    if summary.get("schema") != 1:
        return f"it has schema {summary.get('schema')!r}; this coevo reads schema 1"
    if found := _fault(summary, SUMMARY, ""):
        return found
    if found := _fault(summary, {k: t for k, t in OPTIONAL.items() if k in summary}, ""):
        return found
    if found := _fault(summary["generator"], GENERATOR, "generator."):
        return found
    for name, block in summary["benchmarks"].items():
        where = f"benchmarks.{name}."
        if found := _fault(block, BENCHMARK, where):
            return found
        if "pass_by_level" in block and not _pairs(block["pass_by_level"]):
            return f"{where}pass_by_level is not what a run writes"
        for key in (key for key in block if key.startswith(("pass@", "maj@"))):
            if found := _fault(block[key], ENDS, f"{where}{key}."):
                return found
    return ""


def _fault(block: Any, tests: dict[str, Test], where: str) -> str:
    if not isinstance(block, dict):
        return f"{where.rstrip('.')} is not an object"
    missing = [key for key, test in tests.items() if key not in block or not test(block[key])]
    return f"{where}{missing[0]} is missing, or is not what a run writes" if missing else ""
