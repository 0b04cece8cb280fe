"""`rft_weight`: what right completions add to an objective's loss, in steps of a learner.

The model is a small random Llama; the loops beside ours take one sequence at a time. Each test says which
groups teach the objective itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.learners.batching import TokenGroup
from agents.learners.learner import Learner
from agents.learners.ranks import Alone, shares
from agents.records import Completion, Group
from coevo.config import POLICY_GRADIENT, PREFERENCE, SUPERVISED
from tests.families import save_family
from tests.unit.agents.families_learning import STEPS, alone, dpo, grpo, learner, plain_steps

WEIGHT = 0.7
PAIRED = tuple(name for name in PREFERENCE if name != "kto")
Drawn = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[float, ...]]

# Prompt, completions, rewards. MIXED teaches every objective; one of its right completions is there twice.
MIXED: Drawn = (
    (5, 9, 12),
    ((8, 11, 4, 1), (9, 4, 1), (8, 11, 4, 1), (14, 1)),
    (1.0, 0.0, 1.0, 1.0),
)
OTHER: Drawn = ((6, 3, 15, 8, 9), ((7, 12, 1), (5, 8, 9, 14, 3, 12, 1), (4, 1)), (0.0, 0.0, 1.0))
# MASTERED teaches none that compares; one of its two completions is there three times. HARD teaches none.
MASTERED: Drawn = ((10, 7), ((3, 5, 1), (12, 1), (3, 5, 1), (3, 5, 1)), (1.0,) * 4)
HARD: Drawn = ((11, 4), ((5, 5, 1), (8, 1)), (0.0, 0.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family("llama", tmp_path_factory.mktemp("families") / "llama")


@pytest.fixture(scope="module")
def still(folder: Path) -> dict[float, Learner]:
    """By `rft_weight`: learners whose weights do not move, for updates by any objective."""
    return {
        weight: learner(folder, "dpo", rft_weight=weight, nll_weight=0.1, groups_per_step=4)
        for weight in (0.0, WEIGHT)
    }


def group(model: Any, drawn: Drawn) -> Group:
    """As if the model had drawn the completions; each right one is preferred to each wrong one."""
    prompt, completions, rewards = drawn
    with torch.no_grad():
        lines = [tuple(alone(model, prompt, ids).tolist()) for ids in completions]
    right = [i for i, reward in enumerate(rewards) if reward]
    wrong = [i for i, reward in enumerate(rewards) if not reward]
    return Group(
        problem_id=str(prompt),
        prompt="".join(map(str, prompt)),
        completions=tuple(
            Completion(text="", prompt_ids=prompt, token_ids=ids, logprobs=line)
            for ids, line in zip(completions, lines, strict=True)
        ),
        rewards=rewards,
        pairs=tuple((w, l) for w in right for l in wrong),  # noqa: E741
    )


def groups(of: Learner, *drawn: Drawn) -> list[Group]:
    return [group(of.model, one) for one in drawn]


def update(of: Learner, given: Sequence[Group], **changes: Any) -> dict[str, float]:
    return of.update(given, seed=1, version=0, **changes)


def right_nll(model: Any, *drawn: Drawn) -> torch.Tensor:
    """Mean over the right completions of these groups, each of a group once, of -log π(y) / |y|."""
    each = [
        -alone(model, prompt, ids).sum() / len(ids)
        for prompt, completions, rewards in drawn
        for ids in dict.fromkeys(
            ids for ids, reward in zip(completions, rewards, strict=True) if reward
        )
    ]
    return torch.stack(each).mean()


# -- against a plain loop -------------------------------------------------------------------------


def grpo_of_kept(model: Any, drawn: list[Group], before: Any) -> torch.Tensor:
    """The groups with an advantage, 7 completions; the mean counts the 2 that are only rehearsed too."""
    return grpo(model, drawn[:2], before) * 7 / 9


@pytest.mark.parametrize("budget", [16, 40, 10_000])
@pytest.mark.parametrize(("objective", "own"), [("dpo", dpo), ("grpo", grpo_of_kept)])
def test_three_steps_equal_a_plain_loop(
    objective: str, own: Callable[..., torch.Tensor], budget: int, folder: Path
) -> None:
    """Loss and weights, whatever the micro-batches; every weight moves."""

    def loss(model: Any, drawn: list[Group], before: Any) -> torch.Tensor:
        return own(model, drawn, before) + WEIGHT * right_nll(model, MIXED, OTHER, MASTERED)

    settings = STEPS | {
        "rft_weight": WEIGHT,
        "groups_per_step": 4,
        "tokens_per_micro_batch": budget,
    }
    ours, beside = (learner(folder, objective, **settings) for _ in range(2))
    given = groups(beside, MIXED, OTHER, MASTERED, HARD)
    start = {name: tensor.clone() for name, tensor in beside.model.state_dict().items()}
    losses = plain_steps(beside.model, loss, given)
    metrics = ours.update(given, seed=1, version=1)
    assert metrics["steps"] == 3
    assert metrics["groups"] == 3 and metrics["groups_without_gradient"] == 1
    assert metrics["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    for name, tensor in ours.model.state_dict().items():
        torch.testing.assert_close(tensor, beside.model.state_dict()[name], rtol=1e-5, atol=1e-5)
        assert not torch.equal(tensor, start[name])


# -- what is added --------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [*PREFERENCE, *POLICY_GRADIENT])
def test_to_its_own_loss_every_objective_adds_the_same(
    objective: str, still: dict[float, Learner]
) -> None:
    """Where each group teaches the objective itself; and with `rft_weight` 0, nothing."""
    given = groups(still[0.0], MIXED, OTHER)
    expected, got = (update(one, given, objective=objective) for one in still.values())
    nll = right_nll(still[0.0].model, MIXED, OTHER).item()
    assert "right_nll" not in expected
    assert got["right_nll"] == pytest.approx(nll, rel=1e-5)
    assert got["loss"] == pytest.approx(expected["loss"] + WEIGHT * nll, rel=1e-5)
    assert got["trained_tokens"] == expected["trained_tokens"]  # all are in the loss already
    for name in ("sequences", "groups", "groups_without_gradient"):
        assert got[name] == expected[name]


@pytest.mark.parametrize("objective", PAIRED)
def test_of_pairs_the_own_loss_is_the_same_beside_mastered_groups(
    objective: str, still: dict[float, Learner]
) -> None:
    given = groups(still[0.0], MASTERED, MIXED, HARD, OTHER)
    expected, got = (update(one, given, objective=objective) for one in still.values())
    nll = right_nll(still[0.0].model, MIXED, OTHER, MASTERED).item()
    assert got["loss"] == pytest.approx(expected["loss"] + WEIGHT * nll, rel=1e-5)
    assert (expected["groups"], got["groups"]) == (2, 3)
    assert (expected["groups_without_gradient"], got["groups_without_gradient"]) == (2, 1)
    assert got["sequences"] == expected["sequences"] + 2
    assert got["trained_tokens"] == expected["trained_tokens"] + 3 + 2
    for name in ("margin", "accuracy"):
        assert got[name] == pytest.approx(expected[name], abs=1e-5)


@pytest.mark.parametrize("objective", [*PAIRED, "grpo", "rloo", "dr_grpo"])
def test_steps_without_anything_to_compare_rehearse_alone(
    objective: str, still: dict[float, Learner]
) -> None:
    """No pairs, no advantage, in the whole update: the loss is the term, no metric is NaN."""
    trained = still[WEIGHT]
    nll = right_nll(trained.model, MASTERED).item()
    metrics = update(trained, groups(trained, MASTERED, HARD), objective=objective)
    assert metrics["loss"] == pytest.approx(WEIGHT * nll, rel=1e-5)
    assert metrics["right_nll"] == pytest.approx(nll, rel=1e-5)
    assert metrics["grad_norm"] > 0.1
    assert all(map(math.isfinite, metrics.values()))
    assert (metrics["steps"], metrics["skipped_steps"], metrics["trained_tokens"]) == (1, 0, 5)


@pytest.mark.parametrize("objective", ["dpo", "grpo"])
def test_nothing_right_is_no_step(objective: str, still: dict[float, Learner]) -> None:
    metrics = update(still[WEIGHT], groups(still[WEIGHT], HARD), objective=objective)
    assert (metrics["steps"], metrics["groups"], metrics["trained_tokens"]) == (0, 0, 0)
    assert metrics["groups_without_gradient"] == 1


@pytest.mark.parametrize("objective", ["dpo", "grpo"])
def test_a_step_with_nothing_right_is_its_own_loss(
    objective: str, still: dict[float, Learner]
) -> None:
    """Two wrong completions, of which one is better: a pair, and rewards of which none is above 0."""
    (hard,) = groups(still[0.0], HARD)
    given = dataclasses.replace(hard, rewards=(0.0, -1.0), pairs=((0, 1),))
    expected, got = (update(one, [given], objective=objective) for one in still.values())
    assert got.pop("right_nll") == 0
    assert got == expected


def test_a_reference_counts_as_right_beside_pairs(still: dict[float, Learner]) -> None:
    """Though its reward is 0, as `make_group` has it."""
    (hard,) = groups(still[0.0], HARD)
    prompt, completions, _ = HARD
    own = (7, 3, 1)
    reference = Completion(text="", token_ids=own, finish_reason="reference")
    given = dataclasses.replace(
        hard,
        completions=(*hard.completions, reference),
        rewards=(0.0,) * 3,
        pairs=((2, 0), (2, 1)),
    )
    expected, got = (update(one, [given]) for one in still.values())
    nll = right_nll(still[0.0].model, (prompt, (own,), (1.0,))).item()
    assert got["loss"] == pytest.approx(expected["loss"] + WEIGHT * nll, rel=1e-5)
    assert got["trained_tokens"] == len(own) + sum(map(len, completions))


# -- ranks ----------------------------------------------------------------------------------------


class OneOfTwo(Alone):
    """What one of two ranks does of a step; sums are left to the test."""

    def __init__(self, rank: int):
        self.place = rank

    def share(self, groups: Sequence[TokenGroup]) -> Sequence[TokenGroup]:
        return shares(groups, 2)[self.place]


@pytest.mark.parametrize("objective", ["dpo", "grpo"])
def test_the_shares_of_two_ranks_add_up(
    objective: str, still: dict[float, Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean is over the right completions of all ranks, of which one has more."""
    one = still[WEIGHT]
    given = groups(one, MIXED, OTHER, MASTERED)
    expected = update(one, given, objective=objective)
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(one, "world", OneOfTwo(rank))
        found.append(update(one, given, objective=objective))
    assert all(part["right_nll"] > 0 for part in found)
    for name in ("right_nll", "loss"):
        assert sum(part[name] for part in found) == pytest.approx(expected[name], rel=1e-5)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", SUPERVISED)
def test_beside_imitation_it_is_refused(
    objective: str, folder: Path, still: dict[float, Learner]
) -> None:
    """As a learner's own objective, and as that of one update, such as an initial SFT."""
    told = f"learner.rft_weight=0.7 adds .* objective {objective} imitates .*learner.rft_weight=0$"
    with pytest.raises(ValueError, match=told):
        learner(folder, objective, rft_weight=WEIGHT)
    with pytest.raises(ValueError, match=told):
        update(still[WEIGHT], groups(still[WEIGHT], MIXED), objective=objective)
