"""What a learner refuses of its configuration, whatever the model. Imports no torch."""

from __future__ import annotations

from typing import Any

SUPERVISED = ("sft", "rft", "distill")  # which compare no probability with one of before


def refusal(settings: Any, role: str = "") -> str | None:
    """Why a learner cannot train as a `LearnerConfig` says, and what to write instead; None if it can.

    `role` is the path of the role's block with its dot (`agents.solver.`), for the names of settings.
    """
    learner, lora = f"{role}learner", settings.lora
    if settings.rft_weight > 0 and settings.objective in SUPERVISED:
        return (
            f"{learner}.rft_weight={settings.rft_weight:g} adds a loss on right completions to that of "
            f"preferences or rewards, and objective {settings.objective} imitates completions already; "
            f"write {learner}.rft_weight=0"
        )
    asked = {f"{learner}.dropout=true": settings.dropout}
    asked[f"{learner}.lora.dropout={lora.dropout:g}"] = lora.dropout > 0
    off = {f"{learner}.dropout=true": f"{learner}.dropout=false"}
    for setting in (setting for setting, given in asked.items() if given):
        instead = off.get(setting, f"{learner}.lora.dropout=0")
        if settings.objective not in SUPERVISED:
            return (
                f"{setting}: objective {settings.objective} compares probabilities with those of the "
                f"sampling or of a reference, and dropout would change them at random; write {instead}, "
                f"or one of the objectives {', '.join(SUPERVISED)}"
            )
    if lora.dropout > 0 and not settings.dropout:
        return (
            f"{learner}.lora.dropout={lora.dropout:g} is used only with {learner}.dropout=true, which "
            f"also turns on the model's own dropout; write that, or {learner}.lora.dropout=0"
        )
    if lora.dropout > 0 and not lora.rank:
        return (
            f"{learner}.lora.dropout={lora.dropout:g} is of adapters, and {learner}.lora.rank=0 has "
            f"none; write {learner}.lora.rank=16, or {learner}.lora.dropout=0"
        )
    return None
