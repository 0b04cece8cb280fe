"""How much each role was trained: its optimizer steps, and the tokens in their losses."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from coevo.seed_intervals import spread

Figures = dict[str, dict[str, int]]  # role -> steps and tokens, as far as they are known
NAMES = {"steps": "optimizer steps", "tokens": "trained tokens"}
COMPARED = "solver"  # the role that benchmarks measure
ALIKE = 1.05  # ratio of two arms up to which they count as trained alike


def figures(rounds: Sequence[Mapping[str, Any]]) -> Figures:
    """Of each role that learns, over all rounds and the initial SFT: `steps`, the optimizer steps that moved
    its weights, and `tokens`, the completion tokens in their losses (`Learner.update` says which).

    `rounds` are those of `Store.rounds`. A figure that an earlier coevo did not write down in one of
    them is left out.
    """
    found: Figures = {}
    for role in ("solver", "generator"):
        updates = [row["metrics"] for row in rounds if f"{role}/steps" in row["metrics"]]
        if not updates:
            continue
        made = (own[f"{role}/steps"] - own.get(f"{role}/skipped_steps", 0) for own in updates)
        found[role] = {"steps": int(sum(made))}
        if all(f"{role}/trained_tokens" in own for own in updates):
            found[role]["tokens"] = int(sum(own[f"{role}/trained_tokens"] for own in updates))
    return found


# -- for `coevo compare` ----------------------------------------------------------------------------


def rows(arms: Mapping[str, Sequence[Figures]]) -> list[list[str]]:
    """A row for each figure of the Solver: its name, and of each arm the mean over its seeds, with half of
    its 95 % interval where it varies; `-` for an arm of which a run does not know it."""
    found = []
    for key, name in NAMES.items():
        values = {label: _values(own, key) for label, own in arms.items()}
        if any(values.values()):
            cells = [spread(own) if own else "-" for own in values.values()]
            found.append([f"{name} ({COMPARED.capitalize()})", *cells])
    return found


def notes(arms: Mapping[str, Sequence[Figures]]) -> list[str]:
    """In words, where arms were not trained alike."""
    told = []
    for key, name in NAMES.items():
        values = {label: _values(own, key) for label, own in arms.items()}
        means = {label: statistics.fmean(own) for label, own in values.items() if own}
        if len(means) > 1 and max(means.values()) > ALIKE * min(means.values()):
            each = ", ".join(f"{label} {mean:,.0f}" for label, mean in means.items())
            told.append(f"the arms differ in {name} of the Solver: {each}")
    return told


def _values(runs: Sequence[Figures], key: str) -> list[int]:
    """The figure in each run; empty if one does not know it."""
    known = [run.get(COMPARED, {}).get(key) for run in runs]
    return [] if None in known else [value for value in known if value is not None]
