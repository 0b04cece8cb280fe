"""Which of the valid proposals enter the pool: who feeds the curriculum."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from agents.records import Proposal
from coevo.config import LoopConfig
from environments import Problem


def share_of_generator(config: LoopConfig, t: int, rounds: int) -> float:
    """The Generator's share of admissions in round t of `rounds`: under `mixed`, from the first of
    `generator_share` to the second in equal steps."""
    if config.feed != "mixed":
        return float(config.feed == "generator")
    first, last = config.generator_share
    return first + (last - first) * (t - 1) / max(1, rounds - 1)


def admit(
    proposals: Sequence[Proposal], quota: int, share: float
) -> tuple[list[Proposal], list[Problem]]:
    """At most `quota` proposals that nothing speaks against, the Generator's share of them its own.

    Where one author has too few, the other fills up, unless the share is 0 or 1. Those left over
    are `surplus`.
    """
    open_ = [p for p in proposals if p.status == "proposed"]
    by_author = {a: [p for p in open_ if p.author == a] for a in ("generator", "teacher")}
    count = {"generator": min(round(share * quota), len(by_author["generator"]))}
    count["teacher"] = (
        min(quota - count["generator"], len(by_author["teacher"])) if share < 1 else 0
    )
    if share > 0:
        count["generator"] = min(quota - count["teacher"], len(by_author["generator"]))
    chosen = {id(p) for author, own in by_author.items() for p in own[: count[author]]}
    decided, admitted = [], []
    for proposal in proposals:
        if proposal.status == "proposed":
            status = "admitted" if id(proposal) in chosen else "surplus"
            proposal = dataclasses.replace(proposal, status=status)
            if status == "admitted":
                admitted.append(proposal.problem)
        decided.append(proposal)
    return decided, admitted
