"""Policies: where completions come from."""

from __future__ import annotations

from agents.policies.base import Policy, Prompt, Sampling
from environments import Environment

__all__ = ["POLICIES", "Policy", "Prompt", "Sampling", "make_policy"]

POLICIES = ("endpoint", "hf", "rules", "vllm")


def make_policy(name: str, environment: Environment, model: str = "", **options: object) -> Policy:
    """The policy called `name`; `options` are those of its constructor.

    Raises `ValueError` for an unknown name. Imports torch only where the policy needs it.
    """
    if name == "rules":
        from agents.policies.rules import RulesPolicy

        return RulesPolicy(environment)
    if name == "hf":
        from agents.policies.hf import HFPolicy

        return HFPolicy(model, **options)  # type: ignore[arg-type]
    if name == "vllm":
        from agents.policies.vllm import VLLMPolicy

        return VLLMPolicy(model, **options)  # type: ignore[arg-type]
    if name == "endpoint":
        from agents.policies.endpoint import EndpointPolicy

        return EndpointPolicy(model, **options)  # type: ignore[arg-type]
    raise ValueError(f"policy {name!r} does not exist; write one of {', '.join(POLICIES)}")
