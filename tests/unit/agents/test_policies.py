"""Policies: the contract of all, exact oracles, and sampling from a model done right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from agents.learners.learner import Learner
from agents.policies import Policy, Prompt, Sampling, make_policy
from agents.policies.hf import HFPolicy, distribution
from agents.policies.rules import RulesPolicy
from agents.records import Completion
from coevo.config import LearnerConfig
from environments.arithmetic import Arithmetic
from environments.base import DIRECTIONS

ENVIRONMENT = Arithmetic()
SAMPLING = Sampling(max_tokens=24)


def prompts(count: int) -> list[Prompt]:
    """Solver prompts of different lengths."""
    rng = np.random.default_rng(7)
    problems = [ENVIRONMENT.sample(rng, {"level": 2 + i % 7}) for i in range(count)]
    return [Prompt(text=f"S:{p.statement}?", task="solve", problem=p) for p in problems]


@pytest.fixture(scope="module")
def hf() -> HFPolicy:
    return HFPolicy("tiny")


def check_policy(policy: Policy) -> None:
    """The contract of every policy: `n` completions of each prompt, in order; sample j of prompt i
    depends on seed i and j alone."""
    asked, seeds = prompts(5), [11, 12, 13, 14, 15]
    drawn = policy.sample(asked, 3, SAMPLING, seeds)
    assert [len(completions) for completions in drawn] == [3] * 5
    for completion in (c for completions in drawn for c in completions):
        assert isinstance(completion, Completion)
        assert completion.policy_version == policy.version
        assert len(completion.logprobs) == len(completion.token_ids) <= SAMPLING.max_tokens
        assert all(value <= 0 for value in completion.logprobs)
    texts = [[c.text for c in completions] for completions in drawn]
    assert texts == [[c.text for c in g] for g in policy.sample(asked, 3, SAMPLING, seeds)]
    back = policy.sample(asked[::-1], 3, SAMPLING, seeds[::-1])[::-1]
    assert texts == [[c.text for c in completions] for completions in back]
    fewer = policy.sample(asked, 2, SAMPLING, seeds)
    assert [line[:2] for line in texts] == [[c.text for c in completions] for completions in fewer]
    assert policy.sample([], 3, SAMPLING, []) == []


@pytest.mark.parametrize("name", ["rules", "hf"])
def test_contract(name: str) -> None:
    check_policy(make_policy(name, ENVIRONMENT, "" if name == "rules" else "tiny"))


def test_unknown_policy_is_named_with_the_known() -> None:
    with pytest.raises(
        ValueError, match=r"'hff' does not exist; write one of endpoint, hf, rules, vllm"
    ):
        make_policy("hff", ENVIRONMENT)


# -- rules ----------------------------------------------------------------------------------------


def test_rules_solve_every_problem() -> None:
    for prompt, (completion,) in zip(
        prompts(30), RulesPolicy(ENVIRONMENT).sample(prompts(30), 1, SAMPLING, [0] * 30),
        strict=True,
    ):  # fmt: skip
        assert ENVIRONMENT.verify(prompt.problem, completion.text).correct


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_rules_refine_in_the_direction(direction: str) -> None:
    problem = ENVIRONMENT.parse_problem("7+5-3+8")
    prompt = Prompt(text="", task="refine", problem=problem, direction=direction)
    drawn = RulesPolicy(ENVIRONMENT).sample([prompt], 8, SAMPLING, [3])[0]
    level = 4 + {"easier": -1, "harder": 1}.get(direction, 0)
    for completion in drawn:
        variant = ENVIRONMENT.parse_problem(completion.text)
        assert variant.level == level
        assert variant.family == "differences"
    assert len({completion.text for completion in drawn}) > 1  # a stream of its own for each


def test_rules_have_no_weights() -> None:
    with pytest.raises(ValueError, match="no weights"):
        RulesPolicy(ENVIRONMENT).load_weights(b"", 1)


# -- a model: what is drawn -----------------------------------------------------------------------


def test_a_sample_does_not_depend_on_its_batch(hf: HFPolicy) -> None:
    """The same prompt and seed alone, as one of 16 prompts of other lengths, and in small batches."""
    asked, seeds = prompts(16), list(range(100, 116))
    together = hf.sample(asked, 2, SAMPLING, seeds)
    small = HFPolicy("tiny", batch_size=6).sample(asked, 2, SAMPLING, seeds)
    for i, prompt in enumerate(asked):
        (alone,) = hf.sample([prompt], 2, SAMPLING, [seeds[i]])
        for one, other in zip(alone + alone, together[i] + small[i], strict=True):
            assert one.token_ids == other.token_ids
            assert one.prompt_ids == other.prompt_ids
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_samples_and_seeds_have_streams_of_their_own(hf: HFPolicy) -> None:
    prompt = Prompt(text="S:", task="solve", problem=prompts(1)[0].problem)
    hot = Sampling(temperature=3.0, max_tokens=12)
    drawn = hf.sample([prompt] * 4, 4, hot, [1, 2, 3, 4])
    assert len({c.token_ids for completions in drawn for c in completions}) == 16
    same = hf.sample([prompt] * 2, 2, hot, [9, 9])
    assert [c.token_ids for c in same[0]] == [c.token_ids for c in same[1]]


def plain_logits(hf: HFPolicy, prompt_ids: tuple[int, ...], token_ids: tuple[int, ...]):
    """(tokens, vocabulary): of each completion token, by one forward without cache or padding."""
    with torch.no_grad():
        logits = hf.model(input_ids=torch.tensor([[*prompt_ids, *token_ids]])).logits[0]
    return logits[len(prompt_ids) - 1 : -1]


def test_greedy_is_the_argmax(hf: HFPolicy) -> None:
    drawn = hf.sample(prompts(6), 2, Sampling(temperature=0.0, max_tokens=24), [1] * 6)
    for first, second in drawn:
        logits = plain_logits(hf, first.prompt_ids, first.token_ids)
        assert tuple(logits.argmax(-1).tolist()) == first.token_ids == second.token_ids
        assert first.logprobs == (0.0,) * len(first.token_ids)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.5, 0.8), (1.0, 0.5)])
def test_logprobs_are_of_the_distribution_drawn_from(
    hf: HFPolicy, temperature: float, top_p: float
) -> None:
    """Recomputed by hand from a plain forward: the nucleus is the fewest likeliest tokens whose
    mass reaches top_p; every drawn token is in it, its probability renormalised."""
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=24)
    outside = 0
    for completions in hf.sample(prompts(6), 4, sampling, list(range(6))):
        for completion in completions:
            logits = plain_logits(hf, completion.prompt_ids, completion.token_ids)
            rows = (logits.double() / temperature).softmax(-1).tolist()
            for row, token, logprob in zip(
                rows, completion.token_ids, completion.logprobs, strict=True
            ):
                mass, nucleus = 0.0, []
                for candidate in sorted(range(len(row)), key=lambda i, row=row: -row[i]):
                    nucleus.append(candidate)
                    mass += row[candidate]
                    if mass >= top_p and top_p < 1:
                        break
                assert token in nucleus
                assert logprob == pytest.approx(np.log(row[token] / mass), abs=1e-4)
                outside += len(row) - len(nucleus)
    assert (outside > 0) == (top_p < 1)


def test_first_tokens_follow_the_distribution(hf: HFPolicy) -> None:
    """4096 draws of one token: each frequency within five standard errors of its probability."""
    n = 4096
    prompt = Prompt(text="S:2+3?", task="solve", problem=prompts(1)[0].problem)
    hot = Sampling(temperature=4.0, max_tokens=1)
    (drawn,) = hf.sample([prompt], n, hot, [1])
    logits = plain_logits(hf, drawn[0].prompt_ids, drawn[0].token_ids)
    expected = (logits[0].double() / 4).softmax(-1).numpy()
    counts = np.bincount([c.token_ids[0] for c in drawn], minlength=len(expected))
    error = np.sqrt(expected * (1 - expected) / n)
    assert np.all(np.abs(counts / n - expected) <= 5 * error + 1 / n)
    assert np.sum(expected > 0.01) > 5  # the test would see a wrong draw


def test_distribution_by_hand() -> None:
    """Probabilities 0.5, 0.3, 0.2. top_p 0.6 keeps the first two: 0.625 and 0.375. At temperature
    1/2 they are squared: 25, 9, 4 of 38. Greedy puts all on the first."""
    logits = torch.tensor([[0.3, 0.5, 0.2]]).log()
    nucleus = distribution(logits, Sampling(top_p=0.6))
    assert nucleus[0].tolist() == pytest.approx([0.375, 0.625, 0.0], abs=1e-6)
    cold = distribution(logits, Sampling(temperature=0.5))
    assert cold[0].tolist() == pytest.approx([9 / 38, 25 / 38, 4 / 38], abs=1e-6)
    greedy = distribution(logits, Sampling(temperature=0.0))
    assert greedy[0].tolist() == [0.0, 1.0, 0.0]
    one = distribution(logits, Sampling(top_p=0.001))
    assert one[0].tolist() == [0.0, 1.0, 0.0]


def test_finish_reason_says_how_a_completion_ended(hf: HFPolicy) -> None:
    """`stop` iff the end token is last (and only there); `length` iff all tokens were used."""
    hot = Sampling(temperature=2.0, max_tokens=12)
    reasons = set()
    for completion in hf.sample([prompts(1)[0]], 64, hot, [1])[0]:
        ids, reason = completion.token_ids, completion.finish_reason
        assert (hf.tokens.end in ids) == (reason == "stop")
        assert hf.tokens.end not in ids[:-1]
        assert len(ids) == 12 or reason == "stop"
        assert completion.text == hf.tokenizer.decode(ids, skip_special_tokens=True)
        reasons.add(reason)
    assert reasons == {"stop", "length"}


def test_a_stop_text_ends_a_completion_and_is_not_in_it(hf: HFPolicy) -> None:
    """What is drawn up to the stop is what is drawn without it."""
    free = Sampling(max_tokens=40)
    stopped = Sampling(max_tokens=40, stop=(";", "#"))
    for long, short in zip(
        hf.sample(prompts(4), 3, free, [1, 2, 3, 4]),
        hf.sample(prompts(4), 3, stopped, [1, 2, 3, 4]),
        strict=True,
    ):
        for whole, cut in zip(long, short, strict=True):
            first = min((whole.text.index(c) for c in ";#" if c in whole.text), default=None)
            assert cut.text == whole.text[:first]
            assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]
            assert hf.tokenizer.decode(cut.token_ids)[-1] in ";#" or first is None
            assert cut.finish_reason == "stop" or first is None
            assert len(cut.logprobs) == len(cut.token_ids)


# -- a model: its weights -------------------------------------------------------------------------


def test_loaded_weights_change_what_is_drawn() -> None:
    policy = HFPolicy("tiny")
    before = policy.sample(prompts(2), 2, SAMPLING, [1, 2])
    learner = Learner("tiny", LearnerConfig(objective="sft"))
    original = learner.weights()
    state = {k: v + 0.02 * torch.randn_like(v) for k, v in safetensors.torch.load(original).items()}
    policy.load_weights(safetensors.torch.save(state), 3)
    changed = policy.sample(prompts(2), 2, SAMPLING, [1, 2])
    assert [c.logprobs for c in changed[0]] != [c.logprobs for c in before[0]]
    assert {c.policy_version for group in changed for c in group} == {3}
    policy.load_weights(original, 0)
    assert policy.sample(prompts(2), 2, SAMPLING, [1, 2]) == before


@pytest.mark.parametrize("name", ["lm_head.weight", "model.norm.weight"])
def test_weights_that_do_not_fit_are_refused(name: str) -> None:
    policy = HFPolicy("tiny")
    state = safetensors.torch.load(Learner("tiny", LearnerConfig(objective="sft")).weights())
    wrong_shape = safetensors.torch.save({**state, name: torch.zeros(3)})
    missing = safetensors.torch.save({k: v for k, v in state.items() if k != name})
    unexpected = safetensors.torch.save({**state, "adapter": torch.zeros(3)})
    for damaged in (wrong_shape, missing, unexpected):
        with pytest.raises(RuntimeError):
            policy.load_weights(damaged, 1)
    assert policy.version == 0


def test_a_hand_over_goes_where_there_is_room(tmp_path: Path) -> None:
    from agents.policies.vllm import _memory_folder

    assert _memory_folder(1000, str(tmp_path)) == str(tmp_path)
    assert _memory_folder(2**60, str(tmp_path)) is None  # more than any memory holds
    assert _memory_folder(1000, str(tmp_path / "missing")) is None
