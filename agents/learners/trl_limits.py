"""What TRL's trainers have not, as far as a configuration tells. Imports neither TRL nor torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PAIRS = {  # objective: DPOTrainer's loss type
    "dpo": "sigmoid",
    "robust": "robust",
    "ipo": "ipo",
    "hinge": "hinge",
    "apo_zero": "apo_zero",
}
REWARDS = ("grpo", "dr_grpo", "dapo", "gspo", "cispo", "reinforce_pp")  # GRPOTrainer
IMITATION = ("sft", "rft")  # SFTTrainer
SUPPORTED = (*PAIRS, *REWARDS, *IMITATION)
BY_REDUCTION = {"mean": "grpo", "constant": "dr_grpo", "token": "dapo"}  # GRPOTrainer's loss types


def refusal(settings: Any, temperature: float, role: str = "") -> str | None:
    """Why TRL cannot train as a `LearnerConfig` says, and what to write instead; None if it can.

    `role` is the path of the role's block with its dot (`agents.solver.`), for the names of settings.
    """
    learner, objective = f"{role}learner", settings.objective
    if objective not in SUPPORTED:
        return (
            f"{learner}.backend=trl has no objective {objective}: write one of "
            f"{', '.join(SUPPORTED)}, or {learner}.backend=own"
        )
    rehearsal = (
        settings.rft_weight > 0,
        "no trainer of TRL's has a loss on right completions beside its own",
        "learner.rft_weight=0",
    )
    for wrong, found, instead in (*_misfits(settings, temperature), rehearsal):
        if wrong:
            return (
                f"{learner}.backend=trl, objective {objective}: {found}; write {role}{instead}, or "
                f"{learner}.backend=own"
            )
    return None


def _misfits(settings: Any, temperature: float) -> Iterator[tuple[bool, str, str]]:
    """(whether it is so, what TRL lacks, what to write instead)."""
    yield settings.clip == 0, "TRL reads clip=0 as no clipping at all", "learner.clip above 0"
    yield settings.gpus > 1, "the layers cannot be spread over several GPUs", "learner.gpus=1"
    yield settings.ranks > 1, "a trainer runs in one process", "learner.ranks=1"
    if settings.objective in REWARDS:
        yield from _misfits_of_rewards(settings)
        return
    yield (
        (temperature or 1.0) != 1,
        f"TRL reads log-probabilities at temperature 1, and the sampling has {temperature:g}",
        "sampling.temperature=1",
    )
    if settings.objective in IMITATION:
        usual = settings.reduction == "default"
        yield (
            settings.reduction != "token" and not (usual and settings.objective == "rft"),
            "SFTTrainer takes the mean over all tokens, not reduction "
            f"{'sum' if usual else settings.reduction}",
            "learner.reduction=token",
        )
        return
    yield settings.nll_weight > 0, "DPOTrainer has no NLL a sequence", "learner.nll_weight=0"
    yield (
        settings.length_normalised and settings.objective not in ("dpo", "ipo"),
        "DPOTrainer normalises lengths for dpo alone",
        "learner.length_normalised=false",
    )


def _misfits_of_rewards(settings: Any) -> Iterator[tuple[bool, str, str]]:
    fixed = {"gspo": ("mean",), "cispo": ("token",)}.get(settings.objective, tuple(BY_REDUCTION))
    yield (
        settings.reduction not in (*fixed, "default"),
        f"GRPOTrainer has no reduction {settings.reduction} for it",
        f"learner.reduction={' or '.join(fixed)}",
    )
    yield (
        settings.correction != "none",
        "GRPOTrainer corrects for the engine's log-probabilities with a vLLM of its own alone",
        "learner.correction=none",
    )
    yield (
        settings.kl_weight > 0 and settings.kl_estimator != "k3",
        f"GRPOTrainer has no estimator {settings.kl_estimator}",
        "learner.kl_estimator=k3",
    )
    yield (
        settings.objective == "cispo" and settings.clip_low != 1,
        f"GRPOTrainer's CISPO has no lower bound, and clip_low is {settings.clip_low:g}",
        "learner.clip_low=1",
    )
