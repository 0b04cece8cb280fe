"""What a user is told when a policy no longer draws what its learner computes."""

from __future__ import annotations

import math
from pathlib import Path

from agents.learners.mismatch import MismatchTooLarge
from coevo.config import POLICY_GRADIENT, Config, RoleConfig
from coevo.program import command


def told(error: MismatchTooLarge, config: Config, role: str, t: int) -> str:
    """The message that ends a run in round t."""
    block: RoleConfig = getattr(config.agents, role)
    where = f"agents.{role}"
    bound = f"{where}.learner.mismatch_kl_max"
    folder = Path(config.runs_dir) / str(config.name)
    anyway = ""
    if math.isfinite(error.figure):
        higher = f"{bound}={2 * error.figure:.1g}"
        anyway = f"; or go on as it is, `{command('resume', folder, higher)}`"
    return (
        f"round {t}, {where}: mismatch_kl is {error.figure:.3g} nats a token "
        f"{'before any weight was touched' if error.untouched else 'over the whole update'}, above "
        f"{bound}={error.limit:g}: {_cause(error, block)}. Write {_mend(error, where, block)}, with "
        f"--allow-changes{anyway}. All finished rounds are safe"
    )


def _cause(error: MismatchTooLarge, block: RoleConfig) -> str:
    dtypes = f"policy {block.policy.name} in {block.policy.dtype}, learner in {block.learner.dtype}"
    if error.untouched:
        return f"the policy draws something else than the learner computes ({dtypes})"
    return f"the weights moved too far within one update ({dtypes})"


def _mend(error: MismatchTooLarge, where: str, block: RoleConfig) -> str:
    learner, ways = block.learner, []
    if not error.untouched:
        ways.append(f"a lower {where}.learner.lr than {learner.lr:g}")
    if {block.policy.dtype, learner.dtype} != {"float32"}:
        ways.append(f"float32 for {where}.policy.dtype and {where}.learner.dtype")
    elif error.untouched:
        ways.append(f"another engine (policy@{where}.policy)")
    if learner.objective in POLICY_GRADIENT and learner.correction == "none":
        ways.append(f"{where}.learner.correction=truncate and a higher bound")
    return ", or ".join(ways)
