"""The frontier: the highest level at which the Solver is right at least half of the time.

What readers are shown pools all families, and of a round takes at least two problems a level. New problems
are made from the frontier of each family apart, of which one problem a level is enough
(`coevo.sources`, `loop.sources=frontier`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coevo.evaluate import Score

SUCCESS = 0.5  # share of right completions from which a level counts
PROBLEMS = 2  # of a level that were tried in a round, so that no single one makes the frontier
NAME = "curriculum/frontier"


def frontier(tried: Iterable[tuple[int, int, int]], problems: int = PROBLEMS) -> int | None:
    """The highest level with at least `problems` problems tried and a success of at least `SUCCESS`.

    `tried` has (level, right completions, completions) of each problem. A level's success is the share
    of right completions over all its problems, whatever their family. Lower levels are not looked at.
    None if there is no such level.
    """
    cells: dict[int, list[tuple[int, int]]] = {}
    for level, correct, count in tried:
        cells.setdefault(level, []).append((correct, count))
    reached = []
    for level, rows in cells.items():
        right, drawn = (sum(column) for column in zip(*rows, strict=True))
        if len(rows) >= problems and drawn and right >= SUCCESS * drawn:
            reached.append(level)
    return max(reached, default=None)


def of_scores(scores: Sequence[Score]) -> int | None:
    """The frontier on a benchmark, of which one problem a level is enough."""
    return frontier(((score.level, score.correct, score.k) for score in scores), problems=1)


def block(
    rounds: Sequence[Mapping[str, Any]], base: Sequence[Score], final: Sequence[Score]
) -> dict[str, Any]:
    """The block `frontier` of `summary.json`: `by_round`, [round, level] of each round that has one, and
    `heldout`, base and final of the evaluations, None for none. `rounds` are those of `Store.rounds`."""
    return {
        "by_round": [
            [row["round"], int(row["metrics"][NAME])] for row in rounds if NAME in row["metrics"]
        ],
        "heldout": [of_scores(base), of_scores(final)],
    }
