"""The objectives by name: each a loss with the data, advantages and normaliser that its paper gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from agents.learners import policy_gradient, preference, supervised
from agents.learners.inputs import LossInputs, Metrics, Settings

Loss = Callable[[LossInputs, Settings], tuple[torch.Tensor, Metrics]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a learner minimises.

    `learns_from`: preference `pairs`; `labels`, right or wrong; `rewards`, turned into advantages;
    `weights`, as they are; `positives`, each right completion once; `everything`, all weighing 1.
    `reference`: whether log π_ref is needed, `kl` meaning where `kl_weight` is above 0. `advantage`
    and `reduction` are what `default` stands for in a configuration.
    """

    loss: Loss
    learns_from: Literal["pairs", "labels", "rewards", "weights", "positives", "everything"]
    reference: Literal["always", "kl", "never"] = "never"
    advantage: str = "none"
    reduction: Literal["sum", "mean", "token", "constant"] = "mean"


def _on_pairs(loss: Loss, reference: Literal["always", "never"] = "always") -> Objective:
    return Objective(loss=loss, learns_from="pairs", reference=reference)


def _on_rewards(loss: Loss, advantage: str, reduction: Any) -> Objective:
    return Objective(
        loss=loss, learns_from="rewards", reference="kl", advantage=advantage, reduction=reduction
    )


OBJECTIVES: dict[str, Objective] = {
    "dpo": _on_pairs(preference.dpo),
    "cdpo": _on_pairs(preference.cdpo),
    "robust": _on_pairs(preference.robust),
    "ipo": _on_pairs(preference.ipo),
    "hinge": _on_pairs(preference.hinge),
    "apo_zero": _on_pairs(preference.apo_zero),
    "contrastive": _on_pairs(preference.contrastive),
    "simpo": _on_pairs(preference.simpo, "never"),
    "redi": _on_pairs(preference.redi, "never"),
    "kto": Objective(loss=preference.kto, learns_from="labels", reference="always"),
    "grpo": _on_rewards(policy_gradient.grpo, "mean_std", "mean"),
    "dr_grpo": _on_rewards(policy_gradient.grpo, "mean", "constant"),
    "dapo": _on_rewards(policy_gradient.grpo, "mean_std", "token"),
    "gspo": _on_rewards(policy_gradient.gspo, "mean_std", "mean"),
    "cispo": _on_rewards(policy_gradient.cispo, "mean_std", "token"),
    "rloo": _on_rewards(policy_gradient.rloo, "leave_one_out", "sum"),
    "reinforce_pp": _on_rewards(policy_gradient.grpo, "batch", "token"),
    "oreal": _on_rewards(policy_gradient.oreal, "none", "mean"),
    "sft": Objective(loss=supervised.sft, learns_from="weights", reduction="sum"),
    "rft": Objective(loss=supervised.sft, learns_from="positives", reduction="token"),
    "distill": Objective(loss=supervised.distill, learns_from="everything", reduction="token"),
}


def resolved(config: Any, name: str | None = None) -> tuple[Objective, Any]:
    """The objective called `name` (by default that of the `LearnerConfig`), and the configuration with its
    `default`s filled in. Raises `KeyError` for an unknown name."""
    name = name or config.objective
    objective = OBJECTIVES[name]
    chosen = {
        field: getattr(objective, field)
        for field in ("advantage", "reduction")
        if getattr(config, field) == "default"
    }
    return objective, dataclasses.replace(config, objective=name, **chosen)
