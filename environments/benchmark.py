"""Built-in benchmarks: problems drawn from an environment by a fixed seed."""

from __future__ import annotations

import numpy as np

from environments.base import Environment, Problem

HELDOUT_SEED = 20250924


def heldout(environment: Environment, per_cell: int, seed: int = HELDOUT_SEED) -> list[Problem]:
    """`per_cell` problems of every (family, level), no two of them near duplicates.

    An environment with held-out problems of its own gives those, fewer where it has fewer. The
    set depends on nothing but its arguments, and each cell has its own generator, so a larger
    `per_cell` only adds problems. No role may see them: the quality gate refuses them. Raises
    `ValueError` if a cell has not that many.
    """
    own = environment.heldout(per_cell)
    if own is not None:
        return own
    problems: list[Problem] = []
    for cell, (family, level) in enumerate(environment.cells()):
        rng = np.random.default_rng([seed, cell])
        seen: set[str] = set()
        for _ in range(1000 * per_cell):
            if len(seen) == per_cell:
                break
            problem = environment.sample(rng, {"level": level}, family)
            if environment.signature(problem) not in seen:
                seen.add(environment.signature(problem))
                problems.append(problem)
        else:
            raise ValueError(
                f"{family} at level {level} has only {len(seen)} problems of which no two are nearly "
                f"the same, and {per_cell} are to be held out"
            )
    return problems
