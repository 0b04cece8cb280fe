"""Twenty families learn as their own code says: against transformers alone, written the obvious way.

The loops beside ours take one sequence at a time through the model's own `forward`, unpadded, in `eval`
mode. Where a family has dropout, its configuration here has it on.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.learners.learner import Learner
from agents.learners.trl import TRLLearner
from agents.records import Completion, Group
from coevo.config import LearnerConfig, LoraConfig
from tests.families import FAMILIES, save_family

LONGEST = 20
LORA = LoraConfig(rank=2, alpha=4.0)
# Prompts of several lengths, completions of several lengths; windows of eight tokens are left behind.
IDS: tuple[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]], ...] = (
    ((5, 9, 12, 7), ((8, 11, 4, 13, 6, 1), (9, 4, 1), (14, 10, 1))),
    ((6, 3, 15, 8, 9, 12, 5, 11, 7, 10, 13), ((7, 12, 1), (5, 8, 9, 14, 3, 12, 6, 10, 1), (4, 1))),
    ((10,), ((3, 5, 1), (13, 6, 9, 7, 1), (12, 1))),
)
REWARDS = (1.0, 0.0, 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("families")
    return functools.cache(lambda family: save_family(family, root / family))


def learner(folder: Path, objective: str, lora: bool = False, **changes: Any) -> Learner:
    values = {
        "lr": 0.0,
        "threads": 1,
        "tokens_per_micro_batch": 40,
        "groups_per_step": 3,
        **changes,
    }
    config = LearnerConfig(objective=objective, lora=LORA if lora else LoraConfig(), **values)
    made = Learner(str(folder), config, longest=LONGEST)
    if lora:  # adapters that do something from the start
        torch.manual_seed(3)
        for name, parameter in made.model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(0, 0.3)
    return made


def alone(model: Any, prompt: tuple[int, ...], ids: tuple[int, ...]) -> torch.Tensor:
    """(t,): log-probabilities of a completion, by the model's own forward of that sequence alone."""
    logits = model(input_ids=torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0].float()
    table = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return table.gather(-1, torch.tensor(ids)[:, None])[:, 0]


def groups(model: Any) -> list[Group]:
    """As if the model had drawn each completion, with its own log-probabilities."""
    result = []
    for number, (prompt, completions) in enumerate(IDS):
        with torch.no_grad():
            lines = [tuple(alone(model, prompt, ids).tolist()) for ids in completions]
        result.append(
            Group(
                problem_id=str(number),
                prompt="".join(map(str, prompt)),
                completions=tuple(
                    Completion(text="", prompt_ids=prompt, token_ids=ids, logprobs=line)
                    for ids, line in zip(completions, lines, strict=True)
                ),
                rewards=REWARDS,
                pairs=((0, 1), (2, 1)),
            )
        )
    return result


BOTH = pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
EACH = pytest.mark.parametrize("family", FAMILIES)


@EACH
@BOTH
def test_no_step_is_no_change(family: str, lora: bool, folder: Callable[[str], Path]) -> None:
    """With lr 0, twice over: DPO's loss is ln 2 and its margin 0; ratios are 1, and none is clipped."""
    trained = learner(folder(family), "dpo", lora, epochs=2, gradient_checkpointing=True)
    drawn = groups(trained.model)
    metrics = trained.update(drawn, seed=1, version=1)
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert metrics["margin"] == pytest.approx(0, abs=1e-5)
    for objective in ("grpo", "gspo"):
        metrics = trained.update(drawn, seed=1, version=2, objective=objective)
        for name in ("ratio_p01", "ratio_p50", "ratio_p99", "ratio_max"):
            assert metrics[name] == pytest.approx(1, abs=2e-5)
        assert metrics["mismatch_kl"] == pytest.approx(0, abs=1e-9)
        assert metrics["clip_share"] == 0
        assert metrics["grad_norm"] > 1e-3


def dpo(model: Any, drawn: list[Group], before: Any) -> torch.Tensor:
    """Mean over pairs of -log σ(β · (log ratio of the chosen - that of the rejected)), β = 0.1."""
    losses = []
    for group in drawn:
        ratios = []
        for one in group.completions:
            with torch.no_grad():
                reference = before(one.prompt_ids, one.token_ids).sum()
            ratios.append(alone(model, one.prompt_ids, one.token_ids).sum() - reference)
        for chosen, rejected in group.pairs:
            losses.append(
                -torch.nn.functional.logsigmoid(0.1 * (ratios[chosen] - ratios[rejected]))
            )
    return torch.stack(losses).mean()


def grpo(model: Any, drawn: list[Group], _: Any) -> torch.Tensor:
    """Mean over sequences of the mean over tokens of -min(ρ A, clip(ρ, 0.8, 1.2) A), without KL."""
    losses = []
    for group in drawn:
        rewards = torch.tensor(group.rewards)
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        for one, advantage in zip(group.completions, advantages, strict=True):
            now = alone(model, one.prompt_ids, one.token_ids)
            ratio = (now - torch.tensor(one.logprobs)).exp()
            clipped = ratio.clamp(0.8, 1.2)
            losses.append(-torch.minimum(ratio * advantage, clipped * advantage).mean())
    return torch.stack(losses).mean()


@EACH
@BOTH
@pytest.mark.parametrize("loss", [dpo, grpo], ids=["dpo", "grpo"])
def test_three_steps_equal_a_plain_loop(
    family: str, lora: bool, loss: Callable[..., torch.Tensor], folder: Callable[[str], Path]
) -> None:
    settings = {"lr": 1e-3, "epochs": 3, "weight_decay": 0.01}
    ours = learner(folder(family), loss.__name__, lora, **settings)
    plain = learner(folder(family), loss.__name__, lora, **settings).model.eval()
    start = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    drawn = groups(plain)
    references = {
        (one.prompt_ids, one.token_ids): torch.tensor(one.logprobs)
        for group in drawn
        for one in group.completions
    }
    trained = [parameter for parameter in plain.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01, eps=EPSILON)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        step = loss(plain, drawn, lambda *key: references[key])
        step.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(step.item())
    ours.optimizer.param_groups[0]["eps"] = EPSILON
    metrics = ours.update(drawn, seed=1, version=1)
    assert metrics["steps"] == 3
    assert metrics["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5, abs=1e-5)
    moved = 0
    for name, tensor in ours.model.state_dict().items():
        torch.testing.assert_close(tensor, plain.state_dict()[name], rtol=1e-5, atol=1e-5)
        changed = not torch.equal(tensor, start[name])
        moved += changed
        if lora:
            assert changed == ("lora_" in name), name
    assert moved


EPSILON = (
    1e-5  # of AdamW: with 1e-8 a gradient that is rounding alone would move a weight by all of lr
)


@EACH
@pytest.mark.parametrize("objective", ["dpo", "grpo", "sft"])
def test_backend_trl_is_the_same(
    family: str, objective: str, folder: Callable[[str], Path]
) -> None:
    """Two epochs of one step each, prompts of several lengths in one micro-batch."""
    changes: dict[str, Any] = {"lr": 1e-3, "epochs": 2, "tokens_per_micro_batch": 400}
    if objective == "sft":
        changes["reduction"] = "token"
    own = learner(folder(family), objective, **changes)
    trl = TRLLearner(str(folder(family)), own.config, longest=LONGEST)
    drawn = groups(own.model)
    if objective == "sft":
        drawn = [dataclasses.replace(group, rewards=(1.0,) * 3) for group in drawn]
    for one in (own, trl):
        one.optimizer.param_groups[0]["eps"] = EPSILON
    ours, theirs = (one.update(drawn, seed=1, version=1) for one in (own, trl))
    for name in ("loss", "grad_norm"):
        assert theirs[name] == pytest.approx(ours[name], rel=1e-4, abs=1e-6)
    weights = trl.model.state_dict()
    for name, tensor in own.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-5)
