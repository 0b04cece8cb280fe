"""Questions from the reasoning-gym package, at given steps of a family's attributes.

The package is imported at the first question. Importing it changes the state of `random`, which is
put back; drawing uses generators of its own, so that questions depend on nothing but the arguments.
"""

from __future__ import annotations

import random
import threading
from functools import lru_cache
from typing import Any

from environments.reasoning.families import FAMILIES

SEEDS = 2**31

_IMPORT = threading.Lock()


def question(name: str, steps: tuple[int, ...], seed: int) -> dict[str, Any]:
    """The package's entry (`question`, `answer`, ...) of a seed below `SEEDS`."""
    return _dataset(name, steps)[seed]  # entry i of a dataset is drawn by Random(0 + i)


@lru_cache(maxsize=512)
def _dataset(name: str, steps: tuple[int, ...]) -> Any:
    with _IMPORT:
        state = random.getstate()
        from reasoning_gym.coaching.base_curriculum import (
            DefaultCurriculumContext,
            RangeAttributeMode,
        )
        from reasoning_gym.factory import CURRICULA, DATASETS

        random.setstate(state)
    family, curriculum = FAMILIES[name], CURRICULA[name]()
    for constant, value in family.constants.items():
        curriculum.attributes[constant].levels = [value]
    for attribute, step in zip(family.attributes, steps, strict=True):
        for field, levels in attribute.curriculum().items():
            curriculum.attributes[field].levels = levels
            curriculum.set_attr_level(field, step)
    context = DefaultCurriculumContext(mode=RangeAttributeMode.UPPER_BOUND)
    options = {"seed": 0, "size": SEEDS, **family.options}
    return DATASETS[name][0](curriculum.generate_configuration(options, context))
