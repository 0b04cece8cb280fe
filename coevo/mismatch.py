"""What a user is told when a policy no longer draws what its learner computes."""

from __future__ import annotations

from pathlib import Path

from agents.learners.mismatch import MismatchTooLarge
from coevo.config import Config, RoleConfig
from coevo.program import command


def told(error: MismatchTooLarge, config: Config, role: str, t: int) -> str:
    """The message that ends a run in round t."""
    block: RoleConfig = getattr(config.agents, role)
    where, learner = f"agents.{role}", block.learner
    bound = f"{where}.learner.mismatch_kl_max"
    resume = command("resume", Path(config.runs_dir) / str(config.name), f"{bound}=")
    return (
        f"round {t}, {where}: {_found(error)}, above {bound}={error.limit:g}. "
        f"{_cause(error, where, block)}. A higher bound is sound with {where}.learner.correction="
        f"truncate{' (as it is)' if learner.correction != 'none' else ''}. All finished rounds are safe: "
        f"`{resume}` with a higher bound, or null for none, goes on; other settings need --allow-changes"
    )


def _found(error: MismatchTooLarge) -> str:
    figure = f"mismatch_kl is {error.figure:.3g} nats a token"
    if error.untouched:
        return f"{figure} before any weight was touched"
    return f"{figure} over the whole update, whose weights are not kept"


def _cause(error: MismatchTooLarge, where: str, block: RoleConfig) -> str:
    policy, learner = block.policy, block.learner
    dtypes = f"policy {policy.name} in {policy.dtype}, learner in {learner.dtype}"
    if error.untouched:
        return (
            f"The policy does not draw what the learner computes from the same weights ({dtypes}): write "
            f"float32 for {where}.policy.dtype and {where}.learner.dtype"
        )
    return (
        f"The weights moved so far within the update, or policy and learner round apart ({dtypes}): write "
        f"a lower {where}.learner.lr (now {learner.lr:g}), or float32 for both dtypes"
    )
