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
