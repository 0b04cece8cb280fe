"""What the tests of families learn from, and log-probabilities by a model's own forward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.learners.learner import Learner
from agents.records import Completion, Group
from coevo.config import LearnerConfig, LoraConfig
from tests.families import FAMILIES

LONGEST = 20
LORA = LoraConfig(rank=2, alpha=4.0)
# of AdamW: with 1e-8 a weight whose gradient is rounding alone would move by all of lr
EPSILON = 1e-5
# Prompts of several lengths, completions of several lengths; windows of eight tokens are left behind.
IDS: tuple[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]], ...] = (
    ((5, 9, 12, 7), ((8, 11, 4, 13, 6, 1), (9, 4, 1), (14, 10, 1))),
    ((6, 3, 15, 8, 9, 12, 5, 11, 7, 10, 13), ((7, 12, 1), (5, 8, 9, 14, 3, 12, 6, 10, 1), (4, 1))),
    ((10,), ((3, 5, 1), (13, 6, 9, 7, 1), (12, 1))),
)
REWARDS = (1.0, 0.0, 0.5)
EACH = pytest.mark.parametrize("family", FAMILIES)
Folder = Callable[[str], Path]


def config(objective: str, lora: bool = False, **changes: Any) -> LearnerConfig:
    """A step is all of the groups, in micro-batches of several sizes; nothing moves unless lr is given."""
    values = {
        "lr": 0.0,
        "threads": 1,
        "tokens_per_micro_batch": 40,
        "groups_per_step": 3,
        **changes,
    }
    return LearnerConfig(objective=objective, **{"lora": LORA if lora else LoraConfig(), **values})


def learner(folder: Path, objective: str, lora: bool = False, **changes: Any) -> Learner:
    made = Learner(str(folder), config(objective, lora, **changes), longest=LONGEST)
    made.optimizer.param_groups[0]["eps"] = EPSILON
    torch.manual_seed(3)
    for name, parameter in made.model.named_parameters():
        if "lora_B" in name:  # adapters that do something from the start
            parameter.data.normal_(0, 0.3)
    return made


def alone(model: Any, prompt: tuple[int, ...], ids: tuple[int, ...]) -> torch.Tensor:
    """(t,): log-probabilities of a completion, by the model's own forward of that sequence alone."""
    logits = model(input_ids=torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0].float()
    table = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return table.gather(-1, torch.tensor(ids)[:, None])[:, 0]


def groups(model: Any, rewards: tuple[float, ...] = REWARDS) -> list[Group]:
    """As if the model had drawn each completion, with its own log-probabilities."""
    result = []
    for number, (prompt, completions) in enumerate(IDS):
        with torch.no_grad():
            lines = [tuple(alone(model, prompt, ids).tolist()) for ids in completions]
        drawn = [
            Completion(text="", prompt_ids=prompt, token_ids=ids, logprobs=line)
            for ids, line in zip(completions, lines, strict=True)
        ]
        result.append(
            Group(
                problem_id=str(number),
                prompt="".join(map(str, prompt)),
                completions=tuple(drawn),
                rewards=rewards,
                pairs=((0, 1), (2, 1)),
            )
        )
    return result


# -- training, the obvious way --------------------------------------------------------------------

STEPS: dict[str, Any] = {"lr": 1e-3, "epochs": 3, "weight_decay": 0.01}
References = dict[tuple[tuple[int, ...], tuple[int, ...]], torch.Tensor]


def dpo(model: Any, drawn: list[Group], before: References) -> torch.Tensor:
    """Mean over pairs of -log σ(β · (log ratio of the chosen - that of the rejected)), β = 0.1."""
    losses = []
    for group in drawn:
        ratios = [
            alone(model, one.prompt_ids, one.token_ids).sum()
            - before[one.prompt_ids, one.token_ids].sum()
            for one in group.completions
        ]
        for chosen, rejected in group.pairs:
            losses.append(
                -torch.nn.functional.logsigmoid(0.1 * (ratios[chosen] - ratios[rejected]))
            )
    return torch.stack(losses).mean()


def grpo(model: Any, drawn: list[Group], before: References) -> torch.Tensor:
    """Mean over sequences of the mean over tokens of -min(ρ A, clip(ρ, 0.8, 1.2) A), without KL."""
    losses = []
    for group in drawn:
        rewards = torch.tensor(group.rewards)
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        for one, advantage in zip(group.completions, advantages, strict=True):
            now = alone(model, one.prompt_ids, one.token_ids)
            ratio = (now - before[one.prompt_ids, one.token_ids]).exp()
            losses.append(
                -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            )
    return torch.stack(losses).mean()


def plain_steps(model: Any, loss: Callable[..., torch.Tensor], drawn: list[Group]) -> list[float]:
    """The losses of three steps by AdamW, each of all groups; the model's weights change as `STEPS` says."""
    before = {
        (one.prompt_ids, one.token_ids): torch.tensor(one.logprobs)
        for group in drawn
        for one in group.completions
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01, eps=EPSILON)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        step = loss(model, drawn, before)
        step.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(step.item())
    return losses
