"""What a user is told of a policy that draws something else than its learner computes."""

from __future__ import annotations

import math

from agents.learners.mismatch import MismatchTooLarge
from coevo.compose import compose
from coevo.mismatch import told


def test_before_any_weight() -> None:
    config = compose(
        ["experiment=dpo", "name=trial", "runs_dir=there", "agents.solver.policy.dtype=bfloat16"]
    )
    message = told(MismatchTooLarge(0.0834, 0.05, True), config, "solver", 3)
    for part in (
        "round 3, agents.solver", "0.0834 nats", "before any weight was touched",
        "agents.solver.learner.mismatch_kl_max=0.05", "policy hf in bfloat16, learner in float32",
        "float32 for agents.solver.policy.dtype and agents.solver.learner.dtype",
        "resume there/trial agents.solver.learner.mismatch_kl_max=0.2",
    ):  # fmt: skip
        assert part in message
    assert "correction" not in message  # dpo has none


def test_after_an_update_of_grpo() -> None:
    config = compose(["experiment=grpo", "name=trial", "agents.solver.learner.lr=0.001"])
    message = told(MismatchTooLarge(math.nan, 0.05, False), config, "solver", 1)
    for part in (
        "nan nats", "over the whole update", "a lower agents.solver.learner.lr than 0.001",
        "agents.solver.learner.correction=truncate",
    ):  # fmt: skip
        assert part in message
    assert "go on as it is" not in message  # with no number
    assert "float32 for" not in message  # both are


def test_another_engine_where_rounding_is_not_to_blame() -> None:
    message = told(MismatchTooLarge(1.0, 0.05, True), compose(["name=trial"]), "generator", 2)
    assert "another engine (policy@agents.generator.policy)" in message
