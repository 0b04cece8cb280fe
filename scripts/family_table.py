"""How far twenty families are sampled, trained, kept and handed over from what their own code does.

    python -m scripts.family_table [FAMILY ...]

Prints the table of docs/families.md: for each family two lines, all weights and LoRA. The models are the
small random ones of `tests/families.py`, in float32 on the CPU; the tests hold each figure to its bound.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.learners.learner import Learner
from agents.parity import HEAT, furthest
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from environments import Problem
from tests.families import FAMILIES, save_family
from tests.unit.agents.families_learning import STEPS, dpo, groups, grpo, learner, plain_steps

TEXTS = ("7", "1+2=", "S:12+345-67?", "S:1+2+3+4+5-6-7-8-9+10?")
COLUMNS = (
    "family", "weights", "nats", "DPO, lr 0", "ratio, lr 0", "3 steps of DPO", "of GRPO",
    "T = 0", "disk", "hand-over",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Largest differences; whether greedy completions, files and handed-over weights are the same."""

    nats: float
    loss: float
    ratio: float
    dpo: float
    grpo: float
    greedy: bool
    disk: bool
    handed: bool

    def cells(self) -> str:
        numbers = (self.nats, self.loss, self.ratio, self.dpo, self.grpo)
        same = (self.greedy, self.disk, self.handed)
        told = [f"{one:.0e}" if one else "0" for one in numbers]
        return " | ".join([*told, *("same" if one else "OTHER" for one in same)])


def measure(folder: Path, lora: bool) -> Figures:
    """One family's figures, its model being in `folder`."""
    still = learner(folder, "dpo", lora, epochs=2)
    drawn = groups(still.model)
    loss = still.update(drawn, seed=1, version=1)["loss"] - math.log(2)
    metrics = still.update(drawn, seed=1, version=2, objective="grpo")
    ratios = [metrics[f"ratio_{name}"] for name in ("p01", "p50", "p99", "max")]
    policy = HFPolicy(str(folder))
    policy.load_weights(still.weights(), 1)
    return Figures(
        nats=_nats(policy, still),
        loss=abs(loss),
        ratio=max(abs(ratio - 1) for ratio in ratios),
        dpo=_steps(folder, lora, dpo),
        grpo=_steps(folder, lora, grpo),
        greedy=_greedy(policy, still.model),
        disk=_disk(folder, lora, drawn),
        handed=_same(still.model.state_dict(), policy.model.state_dict()),
    )


def _prompts() -> list[Prompt]:
    problems = [Problem(domain="none", family="none", statement=t, answer=None) for t in TEXTS]
    return [Prompt(text=one.statement, task="solve", problem=one) for one in problems]


def _nats(policy: HFPolicy, still: Learner) -> float:
    """The largest difference of a token's log-probability between any two of policy, learner and the
    model's own code."""
    sampling = Sampling(temperature=HEAT, max_tokens=16)
    seeds = list(range(len(TEXTS)))
    completions = [
        one for row in policy.sample(_prompts(), 3, sampling, seeds) for one in row if one.token_ids
    ]
    readings = [*still.read(completions, HEAT, HEAT).readings]
    readings += policy.read(completions, HEAT).readings
    lines = tuple(one.logprobs for one in completions)
    drawn = type(readings[0])(by="the policy", process="policy", lines=lines, precise=True)
    found = furthest([drawn, *readings])
    assert found is not None
    return found.largest


def _steps(folder: Path, lora: bool, loss: Callable[..., torch.Tensor]) -> float:
    """The largest difference of a weight after three steps."""
    ours, beside = (learner(folder, loss.__name__, lora, **STEPS) for _ in range(2))
    drawn = groups(beside.model)
    plain_steps(beside.model, loss, drawn)
    ours.update(drawn, seed=1, version=1)
    expected = beside.model.state_dict()
    return max(
        float((tensor - expected[name]).abs().max())
        for name, tensor in ours.model.state_dict().items()
        if tensor.is_floating_point()
    )


def _greedy(policy: HFPolicy, model: Any) -> bool:
    """All prompts together by the policy, each alone by `generate`."""
    cold = Sampling(temperature=0.0, max_tokens=16)
    drawn = policy.sample(_prompts(), 1, cold, [1] * len(TEXTS))
    for (one,) in drawn:
        ids = torch.tensor([one.prompt_ids])
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
            max_new_tokens=cold.max_tokens, pad_token_id=0,
        )  # fmt: skip
        if made[0, ids.shape[1] :].tolist() != list(one.token_ids):
            return False
    return True


def _disk(folder: Path, lora: bool, drawn: list[Any]) -> bool:
    """A learner that goes on from a checkpoint against one that was never stopped, after another step."""
    straight = learner(folder, "grpo", lora, lr=1e-2)
    straight.update(drawn, seed=1, version=1)
    again = learner(folder, "grpo", lora, lr=1e-2)
    with tempfile.TemporaryDirectory() as scratch:
        straight.save(Path(scratch))
        again.load(Path(scratch), 1)
    for one in (straight, again):
        one.update(drawn, seed=2, version=2)
    return _same(straight.model.state_dict(), again.model.state_dict())


def _same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def main() -> None:
    torch.set_num_threads(1)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for family in sys.argv[1:] or FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = save_family(family, Path(scratch))
            for lora in (False, True):
                figures = measure(folder, lora)
                name, kind = ("", "LoRA") if lora else (family, "all")
                print(f"| {name} | {kind} | {figures.cells()} |", flush=True)


if __name__ == "__main__":
    main()
