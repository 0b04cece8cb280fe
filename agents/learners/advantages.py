"""Advantage estimators: from a round's rewards, group by group, to their advantages.

Pure functions, but for the moving baselines of `ema`, which the caller keeps.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, MutableMapping, Sequence

Rewards = Sequence[Sequence[float]]

EPSILON = 1e-4  # beside a deviation, as in TRL


def estimate(
    name: str,
    rewards: Rewards,
    tasks: Sequence[str],
    baselines: MutableMapping[str, float],
    decay: float = 0.95,
) -> list[list[float]]:
    """Advantages in the shape of `rewards`: one list a group; `tasks[i]` is what group i was asked.

    `baselines` holds a moving mean for each task, which `ema` updates. Raises `KeyError` for an
    unknown name.
    """
    if name in BY_GROUP:
        return [BY_GROUP[name](group) for group in rewards]
    if name == "ema":
        return ema(rewards, tasks, baselines, decay)
    return BY_BATCH[name](rewards, tasks)


# -- within a group -------------------------------------------------------------------------------


def mean_std(rewards: Sequence[float]) -> list[float]:
    """`(r - mean) / (std + 1e-4)` with the sample deviation: GRPO (arXiv 2402.03300), §4.1.2.

    Zeros where all rewards are equal.
    """
    centred = mean(rewards)
    spread = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
    return [value / (spread + EPSILON) for value in centred] if spread > 0 else [0.0] * len(rewards)


def mean(rewards: Sequence[float]) -> list[float]:
    """`r - mean`: Dr. GRPO (arXiv 2503.20783), which does not divide by the deviation."""
    baseline = statistics.fmean(rewards)
    return [reward - baseline for reward in rewards]


def leave_one_out(rewards: Sequence[float]) -> list[float]:
    """`r - mean of the others`: RLOO (arXiv 2402.14740). Zero for a group of one."""
    count, total = len(rewards), sum(rewards)
    if count < 2:
        return [0.0] * count
    return [reward - (total - reward) / (count - 1) for reward in rewards]


def none(rewards: Sequence[float]) -> list[float]:
    """The reward itself, without a baseline."""
    return [float(reward) for reward in rewards]


# -- over the round's batch -----------------------------------------------------------------------


def batch(rewards: Rewards, tasks: Sequence[str]) -> list[list[float]]:
    """`(r - mean) / std` over all completions of the batch: REINFORCE++ (arXiv 2501.03262)."""
    return _standardised(rewards, ["all"] * len(rewards))


def group_batch(rewards: Rewards, tasks: Sequence[str]) -> list[list[float]]:
    """`r - group mean`, divided by the deviation over the batch: REINFORCE++ with baseline (arXiv
    2501.03262)."""
    return _divided([mean(group) for group in rewards], ["all"] * len(rewards))


def task(rewards: Rewards, tasks: Sequence[str]) -> list[list[float]]:
    """`(r - mean) / std` over the completions of the same task: task-relative REINFORCE++, Absolute Zero
    (arXiv 2505.03335), eq. 8."""
    return _standardised(rewards, tasks)


def ema(
    rewards: Rewards, tasks: Sequence[str], baselines: MutableMapping[str, float], decay: float
) -> list[list[float]]:
    """`r - b`, b the moving mean of the task's rewards, `b ← α b + (1-α) r̄`, from 0: SPIRAL's
    role-conditioned advantage (arXiv 2506.24119), §3 and algorithm 1, with one step of b a batch."""
    for name in sorted(set(tasks)):
        own = [
            r for group, asked in zip(rewards, tasks, strict=True) if asked == name for r in group
        ]
        if own:
            before = baselines.get(name, 0.0)
            baselines[name] = decay * before + (1 - decay) * statistics.fmean(own)
    return [
        [reward - baselines[asked] for reward in group]
        for group, asked in zip(rewards, tasks, strict=True)
    ]


def _standardised(rewards: Rewards, keys: Sequence[str]) -> list[list[float]]:
    means = {key: statistics.fmean(values) for key, values in _by_key(rewards, keys).items()}
    centred = [[r - means[key] for r in group] for group, key in zip(rewards, keys, strict=True)]
    return _divided(centred, keys)


def _divided(values: Rewards, keys: Sequence[str]) -> list[list[float]]:
    """Divided by the sample deviation of the values with the same key; zeros where that is 0."""
    spreads = {
        key: statistics.stdev(own) if len(own) > 1 else 0.0
        for key, own in _by_key(values, keys).items()
    }
    return [
        [value / (spreads[key] + EPSILON) if spreads[key] > 0 else 0.0 for value in group]
        for group, key in zip(values, keys, strict=True)
    ]


def _by_key(values: Rewards, keys: Sequence[str]) -> dict[str, list[float]]:
    result: dict[str, list[float]] = {}
    for group, key in zip(values, keys, strict=True):
        if group:
            result.setdefault(key, []).extend(group)
    return result


BY_GROUP: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "mean_std": mean_std,
    "mean": mean,
    "leave_one_out": leave_one_out,
    "none": none,
}
BY_BATCH: dict[str, Callable[[Rewards, Sequence[str]], list[list[float]]]] = {
    "batch": batch,
    "group_batch": group_batch,
    "task": task,
}
ADVANTAGES = (*BY_GROUP, *BY_BATCH, "ema")
