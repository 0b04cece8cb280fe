"""Preference pairs and learner groups from a round's attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agents.records import Attempt, Completion, Group, PreferencePair
from coevo.config import LoopConfig
from environments import Diagnosis, Problem


def make_pairs(
    problem: Problem,
    attempts: Sequence[Attempt],
    config: LoopConfig,
    rng: np.random.Generator,
    earlier: Sequence[Attempt] = (),
) -> list[PreferencePair]:
    """`Y_w × Y_l` of one problem: Socratic-Zero (arXiv 2509.24726), §3.2.

    `Y_w` are the correct attempts, or the reference solution where none is and `too_hard` is not
    `drop`; `Y_l` are the others. With `negatives` they are (or are joined by) failed attempts of
    `earlier` versions of the Solver, as in QCRD (arXiv 2405.13014). Under `capped`, a random
    `pairs_cap` of the product.
    """
    chosen = [(a.id, a.completion) for a in attempts if a.verdict.correct]
    failed = [] if config.negatives == "earlier" else list(attempts)
    failed += [] if config.negatives == "current" else list(earlier)
    rejected = [(a.id, a.completion) for a in failed if not a.verdict.correct]
    if not chosen and problem.solution is not None and config.too_hard != "drop":
        reference = Completion(text=problem.solution, finish_reason="reference")
        chosen = [(f"{problem.id}-ref", reference)]
    product = [
        PreferencePair(problem_id=problem.id, chosen_id=w, rejected_id=l, chosen=y_w, rejected=y_l)
        for w, y_w in chosen
        for l, y_l in rejected  # noqa: E741
    ]
    if config.pairs == "capped" and len(product) > config.pairs_cap:
        kept = sorted(rng.choice(len(product), size=config.pairs_cap, replace=False))
        return [product[i] for i in kept]
    return product


def make_group(
    problem: Problem,
    prompt: str,
    attempts: Sequence[Attempt],
    pairs: Sequence[PreferencePair],
    diagnoses: Mapping[str, Diagnosis | None],
) -> Group:
    """One problem's attempts for a learner: reward 1 for a correct one, pairs by position.

    A reference solution that pairs use is appended, and so are failed attempts of earlier versions;
    their reward is 0. A failed attempt with a diagnosis (by attempt id) ends with its first wrong
    step, so that what follows rightly from a wrong step is not held against it: Step-DPO (arXiv
    2406.18629), §3.1.
    """
    completions = {attempt.id: attempt.completion for attempt in attempts}
    rewards = [float(attempt.verdict.correct) for attempt in attempts]
    used = [(pair.chosen_id, pair.chosen) for pair in pairs]
    used += [(pair.rejected_id, pair.rejected) for pair in pairs]
    for name, completion in used:
        if name not in completions:
            completions[name] = completion
            rewards.append(0.0)
    found = [diagnoses.get(name) for name in completions]
    place = {name: position for position, name in enumerate(completions)}
    return Group(
        problem_id=problem.id,
        prompt=prompt,
        completions=tuple(completions.values()),
        rewards=tuple(rewards),
        pairs=tuple((place[pair.chosen_id], place[pair.rejected_id]) for pair in pairs),
        ends=tuple(diagnosis.end if diagnosis else None for diagnosis in found),
    )
