"""Policy hf with twenty families of models: sampled as transformers' own code does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

from agents.finite import BrokenModel, not_finite
from agents.learners.learner import Learner
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy, distribution
from agents.records import Completion, Group
from coevo.config import LearnerConfig, LoraConfig
from environments import Problem
from tests.families import FAMILIES, POSITIONS, save_family
from tests.unit.agents.made_tokenizers import EOS, SIZE, USER, VOCABULARY, folder_of

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


@pytest.mark.parametrize("family", FAMILIES)
def test_prompt_and_completion_stay_within_the_positions(family: str, tmp_path: Path) -> None:
    """The room that each prompt leaves bounds its completions alone, and one without room is an error;
    a state (Mamba 2) has no such limit. Most completions go on when the first have to leave the batch."""
    endless = family == "mamba2"
    policy = HFPolicy(str(save_family(family, tmp_path)))
    assert policy.tokens.positions == (None if endless else POSITIONS)
    lengths = (POSITIONS - 6, 3, POSITIONS - 1, POSITIONS, POSITIONS + 9, 5, 7, 9, 11)
    prompts = [prompt("1+2=" * 30) for _ in lengths]
    prompts = [replace(one, text=one.text[:n]) for one, n in zip(prompts, lengths, strict=True)]
    hot = Sampling(temperature=HOT, max_tokens=20)
    drawn = policy.sample(prompts, 3, hot, list(range(1, 10)))
    for group, room in zip(drawn, (6, 20, 1, 0, -9, 20, 20, 20, 20), strict=True):
        expected = 20 if endless else room
        for one in group:
            if expected <= 0:
                assert (one.finish_reason, one.error) == ("error", "prompt_too_long")
                assert (one.text, one.token_ids) == ("", ())
                continue
            assert one.finish_reason == ("stop" if one.token_ids[-1] == 1 else "length")
            assert len(one.token_ids) == expected or one.finish_reason == "stop"
            found = torch.tensor(one.logprobs)
            torch.testing.assert_close(found, own_logprobs(policy.model, one), atol=1e-4, rtol=0)
    alone = policy.sample([prompts[1]], 3, hot, [2])[0]
    assert [one.token_ids for one in alone] == [one.token_ids for one in drawn[1]]


# -- what is drawn ends where it ends ---------------------------------------------------------------


def test_nothing_is_drawn_after_an_end(tmp_path: Path) -> None:
    """A completion that a stop text or an end token has ended may stay in the batch for a while: its ids
    and log-probabilities end there all the same. Characters are tokens here."""
    policy = HFPolicy(str(save_family("llama", tmp_path)))
    hot = Sampling(temperature=HOT, max_tokens=30, stop=("1", "2="))
    drawn = policy.sample([prompt("1+2=")], 16, hot, [3])[0]
    assert len({len(one.token_ids) for one in drawn}) > 4
    for one in drawn:
        whole = policy.tokenizer.decode(one.token_ids, skip_special_tokens=True)
        assert not any(stop in whole[:-1] for stop in hot.stop)
        assert one.text == whole.removesuffix("1").removesuffix("2=")
        assert 1 not in one.token_ids[:-1]
        ended = whole.endswith(hot.stop) or one.token_ids[-1] == 1
        assert one.finish_reason == ("stop" if ended else "length")


def test_a_stop_text_that_is_a_special_token_ends_by_its_id(tmp_path: Path) -> None:
    """It is in no text: where its id is no end token, its text as a stop still works."""
    policy = HFPolicy(folder_of(tmp_path, "gpt2", vocab_size=SIZE))
    hot = Sampling(temperature=HOT, max_tokens=40, stop=("<user>", "zz"))
    drawn = policy.sample([prompt("1+2=")], 16, hot, [3])[0]
    ends = [one.token_ids[-1] for one in drawn if one.finish_reason == "stop"]
    assert {USER} <= set(ends) <= {USER, EOS}
    assert all(USER not in one.token_ids[:-1] for one in drawn)


def test_an_end_token_that_is_an_ordinary_one_is_not_in_the_text(tmp_path: Path) -> None:
    seven = VOCABULARY["7"]
    policy = HFPolicy(folder_of(tmp_path, "llama", ends=[EOS, seven]))
    hot = Sampling(temperature=HOT, max_tokens=40)
    drawn = policy.sample([prompt("1+2=")], 16, hot, [3])[0]
    assert {one.token_ids[-1] for one in drawn if one.finish_reason == "stop"} == {EOS, seven}
    assert not any("7" in one.text for one in drawn)


# -- numbers that are none ------------------------------------------------------------------------


def test_a_row_of_logits_that_are_not_finite_has_no_distribution() -> None:
    """-inf in some places is a token that cannot be drawn; NaN, +inf, or -inf throughout is nothing."""
    inf, nan = torch.inf, torch.nan
    logits = torch.tensor([[1.0, -inf], [1.0, nan], [inf, 1.0], [-inf, -inf], [nan, nan]])
    for numbers in (torch.float32, torch.bfloat16):
        for sampling in (COLD, Sampling(), Sampling(temperature=0.5, top_p=0.5)):
            found = distribution(logits.to(numbers), sampling)
            assert found[0].tolist() == [1.0, 0.0]
            assert not found[1:].sum(-1).isfinite().any()


@pytest.mark.parametrize("sampling", [COLD, Sampling(), Sampling(top_p=0.9)])
@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mamba2", "mixtral"])
def test_logits_that_are_not_finite_are_no_text(
    family: str, sampling: Sampling, tmp_path: Path
) -> None:
    policy = HFPolicy(str(save_family(family, tmp_path)))
    name, value = list(policy.model.named_parameters())[-1]
    value.view(-1)[0] = torch.nan
    with pytest.raises(BrokenModel) as error:
        policy.sample([prompt("1+2="), prompt("7")], 2, sampling, [1, 2])
    assert f"the model {tmp_path}, version 0, computes logits that are NaN" in str(error.value)
    assert f"4 of 4 completions: 1 of its {len(list(policy.model.parameters()))}" in str(
        error.value
    )
    assert f"{name} first" in str(error.value)


def test_weights_that_are_too_large_are_told_from_broken_ones(tmp_path: Path) -> None:
    policy = HFPolicy(str(save_family("llama", tmp_path)))
    policy.model.lm_head.weight.fill_(3e38)
    policy.version = 4
    with pytest.raises(
        BrokenModel, match=r"version 4, .*its weights are finite, but too large; go"
    ):
        policy.sample([prompt("1+2=")], 2, COLD, [1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("rank", [0, 2])
def test_weights_that_are_not_finite_are_not_handed_over(bad: float, rank: int) -> None:
    lora = LoraConfig(rank=rank, alpha=4, targets=["q_proj"])
    learner = Learner("tiny", LearnerConfig(objective="sft", lora=lora))
    assert not_finite(learner.weights()) == []
    value = [one for one in learner.model.parameters() if one.requires_grad][-1]
    with torch.no_grad():
        value.view(-1)[-1] = bad
    with pytest.raises(
        BrokenModel, match=r"weights of tiny after update 0 are not finite: 1 tensors"
    ):
        learner.weights()


def test_what_only_its_rounding_makes_infinite_is_not_handed_over_either() -> None:
    learner = Learner("tiny", LearnerConfig(objective="sft", dtype="bfloat16"))
    largest = torch.finfo(torch.float32).max  # more than bfloat16 has
    with torch.no_grad():
        next(learner.model.parameters()).view(-1)[0] = largest
    with pytest.raises(BrokenModel):
        learner.weights()


@pytest.mark.parametrize("numbers", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_not_finite_tells_the_largest_numbers_from_infinity(numbers: torch.dtype) -> None:
    most = torch.finfo(numbers).max
    fine = torch.tensor([0.0, -0.0, most, -most, torch.finfo(numbers).tiny], dtype=numbers)
    named = {"fine": fine, "none": fine[:0], "whole": torch.tensor([2**62])}
    bad = {
        str(value): torch.tensor([1.0, value], dtype=numbers) for value in (torch.nan, torch.inf)
    }
    assert not_finite(safetensors.torch.save(named, metadata={"a": "b"})) == []
    assert sorted(not_finite(safetensors.torch.save(named | bad))) == ["inf", "nan"]


# -- the learner's positions ----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama", "falcon"])
@pytest.mark.parametrize("objective", ["sft", "dpo", "kto"])
def test_a_learner_stays_within_the_positions(objective: str, family: str, tmp_path: Path) -> None:
    """A reference that goes on beyond them is left out and counted; so, for KTO's baseline, are
    completions that the prompt they are put on leaves no room for."""
    folder = save_family(family, tmp_path)
    learner = Learner(str(folder), LearnerConfig(objective=objective), longest=POSITIONS)

    def group(prompt_length: int, *lengths: int) -> Group:
        texts = [("3+4=" * 30)[:length] for length in lengths]
        return Group(
            problem_id=f"p{prompt_length}",
            prompt=("1+2=" * 30)[:prompt_length],
            completions=tuple(Completion(text=one, finish_reason="reference") for one in texts),
            rewards=(1.0,) * len(texts),
            pairs=((0, 1),),
        )

    fits = POSITIONS - 40 - 1  # with the end token
    groups = [
        group(40, fits, fits - 1),
        group(40, fits, fits + 1),
        group(90, 5, 4),
        group(96, 1, 2),
    ]
    metrics = learner.update(groups, seed=0, version=1)
    assert metrics["completions_too_long"] == 1 + 2
    assert metrics["sequences"] == {"sft": 5, "dpo": 4, "kto": 5}[objective]
    assert metrics["skipped_steps"] == 0


def test_a_distilled_teacher_has_positions_too(tmp_path: Path) -> None:
    student = save_family("llama", tmp_path / "student")
    teacher = save_family("gpt2", tmp_path / "teacher", n_positions=32)
    config = LearnerConfig(objective="distill", teacher=str(teacher))
    learner = Learner(str(student), config, longest=POSITIONS)
    drawn = Completion(text="1" * 30, token_ids=(5,) * 30, prompt_ids=(5,) * 10)
    short = Completion(text="1" * 22, token_ids=(5,) * 22, prompt_ids=(5,) * 10)
    groups = [Group(problem_id="p", prompt="", completions=(drawn, short), rewards=(1.0, 1.0))]
    metrics = learner.update(groups, seed=0, version=1)
    assert (metrics["completions_too_long"], metrics["sequences"]) == (1, 1)
