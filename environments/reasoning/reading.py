"""What a solver reads off a statement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What a statement says: one measure for each attribute of its family, its answer, the steps."""

    measures: tuple[int, ...]
    answer: str
    steps: tuple[str, ...] = ()
