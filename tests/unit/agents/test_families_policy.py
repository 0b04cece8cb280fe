"""Policy hf with twenty families of models: sampled as transformers' own code does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion
from environments import Problem
from tests.families import FAMILIES, save_family

# of several lengths, the longer ones longer than a sliding window, which has 8 tokens
TEXTS = ("7", "1+2=", "S:12+345-67?", "S:1+2+3+4+5-6-7-8-9+10?")
COLD = Sampling(temperature=0.0, max_tokens=16)


def prompt(text: str) -> Prompt:
    problem = Problem(domain="none", family="none", statement=text, answer=None)
    return Prompt(text=text, task="solve", problem=problem)


HOT = 4.0  # at which models that are sure of themselves draw many tokens


def own_logprobs(model: Any, one: Completion) -> torch.Tensor:
    """Of each token, by one pass of the model over this sequence alone: (t,)."""
    ids = torch.tensor([[*one.prompt_ids, *one.token_ids]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(one.prompt_ids) - 1 : -1]
    table = (logits.float() / HOT).log_softmax(-1)
    return table[range(len(one.token_ids)), list(one.token_ids)]


def greedy(model: Any, prompt_ids: tuple[int, ...], tokens: int, ends: list[int]) -> list[int]:
    """What `generate` makes of this prompt alone."""
    ids = torch.tensor([prompt_ids])
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=tokens,
        eos_token_id=ends,
        pad_token_id=0,
    )
    return made[0, len(prompt_ids) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_as_its_own_code_does(family: str, tmp_path: Path) -> None:
    """Prompts of several lengths together, some completions ending before the others. Greedy ones are
    those of `generate` for each prompt alone, with each end token; drawn ones have the log-probabilities
    of a pass over each alone."""
    folder = save_family(family, tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompts = [prompt(text) for text in TEXTS]
    policy = HFPolicy(str(folder))
    free = policy.sample(prompts, 2, COLD, [1] * 4)
    first = free[0][0].token_ids
    ends = [1, first[len(first) // 2]]  # now one ends there
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    ended = HFPolicy(str(folder)).sample(prompts, 2, COLD, [1] * 4)
    for own_ends, found in (([1], free), (ends, ended)):
        for one, other in found:
            own = greedy(plain, one.prompt_ids, COLD.max_tokens, own_ends)
            assert list(one.token_ids) == list(other.token_ids) == own
            assert one.finish_reason == ("stop" if own[-1] in own_ends else "length")
    assert len(ended[0][0].token_ids) < len(first)
    hot = Sampling(temperature=HOT, max_tokens=20, stop=("1", "2"))
    completions = [one for group in policy.sample(prompts, 6, hot, [5, 6, 7, 8]) for one in group]
    assert len({len(one.token_ids) for one in completions}) > 3
    for one in completions:
        drawn = torch.tensor(one.logprobs)
        torch.testing.assert_close(drawn, own_logprobs(plain, one), atol=1e-4, rtol=0)
