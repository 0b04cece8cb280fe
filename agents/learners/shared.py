"""Several roles' learners on one base model: one copy of its weights, adapters for each role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.learners.learner import Learner


class SharedLearners:
    """Learners by role, each an attribute; the first holds the base that all put their adapters on.

    `arguments` are those of each role's `Learner`; their model, dtype and GPUs must be the same.
    """

    def __init__(self, arguments: Mapping[str, Mapping[str, Any]]):
        base: Any = None
        for role, own in arguments.items():
            learner = Learner(**{**own, "role": role, "base": base})
            base = learner.model
            setattr(self, role, learner)
