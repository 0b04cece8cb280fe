"""Policy hf and the learner with models whose layers keep other states than keys and values, beside those
of `tests/families.py`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from agents.learners.learner import Learner
from agents.model_files import TINY
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Group
from coevo.config import LearnerConfig
from environments import Problem

SIZES: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2},
    "falcon_h1": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 32, "mamba_d_ssm": 32,
        "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1,
        "mamba_chunk_size": 8,
    },
}  # fmt: skip


@pytest.fixture(params=SIZES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model of random weights with the tiny model's tokens."""
    small = AutoConfig.from_pretrained(TINY)
    ids = {name: getattr(small, name) for name in ("vocab_size", "pad_token_id", "eos_token_id")}
    config = AutoConfig.for_model(request.param, **SIZES[request.param], **ids)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for file in TINY.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    return tmp_path


def problem(text: str) -> Problem:
    return Problem(domain="none", family="none", statement=text, answer=None)


def test_drawn_from_the_models_own_distribution_and_learned_from(folder: Path) -> None:
    """Several prompts of several lengths, several samples of each, some ending before the others:
    log-probabilities are those of a pass over each completion alone."""
    policy = HFPolicy(str(folder))
    texts = ("1+2=", "12+345=?", "7")
    prompts = [
        Prompt(
            text=text,
            task="solve",
            problem=Problem(domain="none", family="none", statement=text, answer=None),
        )
        for text in texts
    ]
    drawn = policy.sample(prompts, 3, Sampling(max_tokens=12, stop=("1", "2")), seeds=[1, 2, 3])
    lengths = {len(one.token_ids) for row in drawn for one in row}
    assert len(lengths) > 1
    for row in drawn:
        for one in row:
            ids = torch.tensor([[*one.prompt_ids, *one.token_ids]])
            logits = policy.model(input_ids=ids).logits[0, len(one.prompt_ids) - 1 : -1]
            own = logits.float().log_softmax(-1)[range(len(one.token_ids)), list(one.token_ids)]
            torch.testing.assert_close(torch.tensor(one.logprobs), own, atol=1e-4, rtol=1e-4)
    learner = Learner(str(folder), LearnerConfig(objective="grpo", lr=1e-2), longest=12)
    groups = [
        Group(
            problem_id=text,
            prompt=prompt,
            completions=tuple(row),
            rewards=tuple(float(i % 2) for i in range(len(row))),
        )
        for text, prompt, row in zip(texts, texts, drawn, strict=True)
    ]
    metrics = learner.update(groups, seed=0, version=1)
    assert metrics["skipped_steps"] == 0
    policy.load_weights(learner.weights(), 1)
    again = policy.sample(prompts, 3, Sampling(max_tokens=12), seeds=[1, 2, 3])
    assert again != drawn
