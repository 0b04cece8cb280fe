"""A learner on the tiny model: what one update does, and that saving it loses nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import safetensors.torch
import torch

from agents.learners.batching import TokenGroup, collate
from agents.learners.learner import Learner
from agents.learners.objectives import resolved
from agents.learners.prepare import prepare
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from coevo.config import LearnerConfig
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout

RIGHT = ("7+5=12#12", "12+30=42;42-2=40#40")
WRONG = ("7+5=13#13", "12+30=42;42-2=44#44")
PROMPTS = ("S:7+5?", "S:12+30-2?")
Weights = dict[str, torch.Tensor]


def learner(objective: str, temperature: float = 1.0, **changes: object) -> Learner:
    values: dict[str, object] = {"lr": 1e-3, "threads": 1} | changes
    return Learner("tiny", LearnerConfig(objective=objective, **values), temperature=temperature)


def weights(of: Learner) -> Weights:
    return {name: tensor.clone() for name, tensor in of.model.state_dict().items()}


def changed(before: Weights, after: Weights) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def text(text: str) -> Completion:
    return Completion(text=text, finish_reason="reference")


def pairs() -> list[Group]:
    return [
        Group(
            problem_id=prompt,
            prompt=prompt,
            completions=(text(right), text(wrong)),
            rewards=(1.0, 0.0),
            pairs=((0, 1),),
        )
        for prompt, right, wrong in zip(PROMPTS, RIGHT, WRONG, strict=True)
    ]


def lessons(weight: float = 1.0) -> list[Group]:
    return [
        Group(problem_id=prompt, prompt=prompt, completions=(text(right),), rewards=(weight,))
        for prompt, right in zip(PROMPTS, RIGHT, strict=True)
    ]


def drawn(temperature: float = 1.0, rewards: bool = True) -> list[Group]:
    """Completions that the tiny model itself draws; every other one is called right."""
    problem = Arithmetic().parse_problem("7+5")
    prompts = [Prompt(text=prompt, task="solve", problem=problem) for prompt in PROMPTS]
    sampling = Sampling(temperature=temperature, max_tokens=24)
    return [
        Group(
            problem_id=prompt.text,
            prompt=prompt.text,
            completions=tuple(completions),
            rewards=(1.0, 0.0, 1.0, 0.0) if rewards else (0.0,) * 4,
        )
        for prompt, completions in zip(
            prompts, HFPolicy("tiny").sample(prompts, 4, sampling, [5, 6]), strict=True
        )
    ]


def tokenized(of: Learner, groups: list[Group]) -> list[TokenGroup]:
    """The groups as supervised learning reads them."""
    kind, settings = resolved(of.config, "sft")
    return prepare(groups, kind, settings, of.tokens, {})[0]


def logprobs(of: Learner, groups: list[Group]) -> list[torch.Tensor]:
    """log π of each completion's tokens, group by group."""
    with torch.no_grad():
        batch = collate(tokenized(of, groups), of.tokenizer.pad_token_id)
        table = of.forward.logprobs(of.model, batch)
    return [line[: len(row.token_ids)] for line, row in zip(table, batch.rows, strict=True)]


def nll(of: Learner, groups: list[Group]) -> float:
    return -sum(line.sum().item() for line in logprobs(of, groups))


GROUPS = {"dpo": pairs, "sft": lessons, "grpo": drawn}


# -- what is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", GROUPS)
def test_every_parameter_changes(objective: str) -> None:
    trained = learner(objective)
    before = weights(trained)
    metrics = trained.update(GROUPS[objective](), seed=1, version=7)
    assert changed(before, weights(trained)) == set(before)
    assert trained.version == 7
    assert metrics["steps"] == 1
    assert metrics["groups"] == 2
    assert metrics["skipped_steps"] == 0
    assert math.isfinite(metrics["loss"])
    assert metrics["grad_norm"] > 0


def test_dpo_raises_the_margin() -> None:
    """After eight steps the chosen gained on the rejected, on each pair."""
    trained = learner("dpo", lr=2e-4, epochs=8)

    def margins() -> list[float]:
        rows = [line.sum().item() for line in logprobs(trained, all_completions)]
        return [rows[0] - rows[1], rows[2] - rows[3]]

    all_completions = [
        Group(problem_id=g.prompt, prompt=g.prompt, completions=g.completions, rewards=(1.0, 1.0))
        for g in pairs()
    ]
    before = margins()
    metrics = trained.update(pairs(), seed=1, version=1)
    assert all(new > old + 1 for old, new in zip(before, margins(), strict=True))
    assert metrics["steps"] == 8
    assert metrics["margin"] > 0


def test_dpo_starts_at_its_own_reference() -> None:
    """The reference is the weights before the call: the first step's loss is log 2, every call."""
    trained = learner("dpo", lr=1e-3)
    for version in (1, 2):
        metrics = trained.update(pairs(), seed=version, version=version)
        assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-5)
        assert metrics["margin"] == pytest.approx(0.0, abs=1e-4)


def test_sft_raises_the_likelihood() -> None:
    trained = learner("sft", epochs=4)
    before = nll(trained, lessons())
    trained.update(lessons(), seed=1, version=1)
    assert nll(trained, lessons()) < 0.5 * before


def test_grpo_moves_towards_the_rewarded() -> None:
    """The rewarded completions gain on those that are not."""
    trained, groups = learner("grpo", lr=2e-4, epochs=4), drawn()
    rewards = torch.tensor([reward for group in groups for reward in group.rewards])
    flat = [
        Group(problem_id=g.prompt, prompt=g.prompt, completions=g.completions, rewards=(1.0,) * 4)
        for g in groups
    ]

    def advantage() -> float:
        means = torch.stack([line.mean() for line in logprobs(trained, flat)])
        return (means[rewards == 1].mean() - means[rewards == 0].mean()).item()

    before = advantage()
    trained.update(groups, seed=1, version=1)
    assert advantage() > before + 0.01


def test_grpo_on_fresh_samples_has_ratio_one() -> None:
    """Drawn at temperature 0.7 and learnt at 0.7: nothing is clipped on the first step."""
    trained = learner("grpo", temperature=0.7)
    metrics = trained.update(drawn(temperature=0.7), seed=1, version=1)
    assert metrics["clip_share"] == 0.0
    assert metrics["mismatch_kl"] == pytest.approx(0.0, abs=1e-6)


def test_micro_batches_give_the_same_step() -> None:
    """One micro-batch or one a group: the same loss and gradient norm."""
    whole = learner("dpo").update(pairs(), seed=1, version=1)
    split = learner("dpo", tokens_per_micro_batch=16).update(pairs(), seed=1, version=1)
    assert split["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert split["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)


def test_groups_per_step_counts_steps() -> None:
    """And their trained tokens: each completion in three epochs, without its prompt."""
    trained = learner("sft", groups_per_step=1, epochs=3)
    metrics = trained.update(lessons(), seed=1, version=1)
    assert metrics["steps"] == 6
    once = sum(len(row.token_ids) for group in tokenized(trained, lessons()) for row in group.rows)
    assert metrics["trained_tokens"] == 3 * once > 0


# -- what is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", GROUPS)
def test_groups_without_gradient_are_left_out_and_counted(objective: str) -> None:
    empty = {
        "dpo": Group(problem_id="x", prompt="S:1+1?", completions=(text("1"),), rewards=(1.0,)),
        "sft": lessons(weight=0.0)[0],
        "grpo": drawn(rewards=False)[0],
    }[objective]
    trained, reference = learner(objective), learner(objective)
    metrics = trained.update([empty, *GROUPS[objective](), empty], seed=1, version=1)
    expected = reference.update(GROUPS[objective](), seed=1, version=1)
    assert metrics["groups"] == 2
    assert metrics["groups_without_gradient"] == 2
    assert expected["groups_without_gradient"] == 0
    assert trained.weights() == reference.weights()


@pytest.mark.parametrize("objective", GROUPS)
def test_no_groups_leave_the_weights_untouched(objective: str) -> None:
    trained = learner(objective)
    before = weights(trained)
    metrics = trained.update([], seed=1, version=3)
    assert changed(before, weights(trained)) == set()
    assert (metrics["steps"], metrics["trained_tokens"]) == (0, 0)
    assert metrics["groups"] == 0
    assert trained.version == 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_leaves_the_weights_untouched(bad: float) -> None:
    trained = learner("sft")
    before = weights(trained)
    metrics = trained.update(lessons(weight=bad), seed=1, version=1)
    assert changed(before, weights(trained)) == set()
    assert (metrics["skipped_steps"], metrics["trained_tokens"]) == (1, 0)
    assert "loss" not in metrics
    assert not trained.optimizer.state_dict()["state"]
    trained.update(lessons(), seed=1, version=2)  # and the next one works
    assert changed(before, weights(trained)) == set(before)


# -- log-probabilities ----------------------------------------------------------------------------


def plain_logprobs(of: Learner, groups: list[Group]) -> list[torch.Tensor]:
    """By a forward of each sequence alone: no padding, no cache, log_softmax over all positions."""
    lines = []
    for group in tokenized(of, groups):
        for row in group.rows:
            ids = torch.tensor([[*group.prompt_ids, *row.token_ids]])
            table = of.model(input_ids=ids).logits[0].log_softmax(-1)
            start = len(group.prompt_ids) - 1
            lines.append(
                torch.stack([table[start + i, token] for i, token in enumerate(row.token_ids)])
            )
    return lines


def test_logprobs_equal_those_of_a_plain_forward() -> None:
    trained, groups = learner("sft"), lessons() + drawn()
    with torch.no_grad():
        plain = plain_logprobs(trained, groups)
    for line, expected in zip(logprobs(trained, groups), plain, strict=True):
        assert line.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_gradients_equal_those_of_a_plain_forward() -> None:
    """The prompt that completions share must receive the gradient of them all."""
    trained, groups = learner("sft"), lessons() + drawn()
    parameters = list(trained.model.parameters())
    batch = collate(tokenized(trained, groups), trained.tokenizer.pad_token_id)
    shared = torch.autograd.grad(trained.forward.logprobs(trained.model, batch).sum(), parameters)
    total = torch.stack([line.sum() for line in plain_logprobs(trained, groups)]).sum()
    for got, expected in zip(shared, torch.autograd.grad(total, parameters), strict=True):
        assert torch.allclose(got, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_those_of_the_sampling_policy(temperature: float) -> None:
    groups = drawn(temperature=temperature)
    flat = [
        Group(problem_id=g.prompt, prompt=g.prompt, completions=g.completions, rewards=(1.0,) * 4)
        for g in groups
    ]
    completions = [completion for group in groups for completion in group.completions]
    got = logprobs(learner("sft", temperature=temperature), flat)
    for line, completion in zip(got, completions, strict=True):
        assert line.tolist() == pytest.approx(completion.logprobs, abs=1e-4)


def test_a_reference_text_ends_with_the_end_token() -> None:
    trained = learner("sft")
    group, _ = tokenized(trained, lessons())
    (row,) = group.rows
    assert trained.tokenizer.decode(group.prompt_ids) == PROMPTS[0]
    assert trained.tokenizer.decode(row.token_ids[:-1]) == RIGHT[0]
    assert row.token_ids[-1] == trained.tokenizer.eos_token_id


# -- weights and checkpoints ----------------------------------------------------------------------


def test_weights_are_what_the_policy_then_samples_from() -> None:
    trained = learner("sft")
    trained.update(lessons(), seed=1, version=4)
    policy = HFPolicy("tiny")
    policy.load_weights(trained.weights(), 4)
    assert changed(weights(trained), dict(policy.model.state_dict())) == set()
    assert policy.version == 4


def test_two_updates_equal_update_save_load_update(tmp_path: Path) -> None:
    straight, first, second = learner("dpo"), learner("dpo"), learner("dpo")
    for version in (1, 2):
        straight.update(pairs(), seed=version, version=version)
    first.update(pairs(), seed=1, version=1)
    first.save(tmp_path / "saved")
    second.load(tmp_path / "saved", version=1)
    second.update(pairs(), seed=2, version=2)

    assert second.version == 2
    assert second.weights() == straight.weights()
    for index, slots in straight.optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            assert torch.equal(value, second.optimizer.state_dict()["state"][index][name])


def test_saved_folder_is_safetensors_and_loads_as_a_model(tmp_path: Path) -> None:
    trained = learner("sft")
    trained.update(lessons(), seed=1, version=1)
    trained.save(tmp_path / "saved")
    suffixes = {path.suffix for path in (tmp_path / "saved").iterdir()}
    assert suffixes <= {".safetensors", ".json", ".jinja"}
    on_disk = safetensors.torch.load_file(tmp_path / "saved" / "model.safetensors")
    assert changed(weights(trained), dict(on_disk)) == set()
    assert HFPolicy(str(tmp_path / "saved")).tokenizer.eos_token == trained.tokenizer.eos_token


def test_a_fresh_learner_can_be_saved_and_loaded(tmp_path: Path) -> None:
    """Before any update the optimizer has no state; it must come back without any."""
    fresh, other = learner("sft"), learner("sft")
    fresh.save(tmp_path / "saved")
    other.update(lessons(), seed=1, version=1)
    other.load(tmp_path / "saved", version=0)
    assert other.weights() == fresh.weights()
    fresh.update(lessons(), seed=1, version=1)
    other.update(lessons(), seed=1, version=1)
    assert other.weights() == fresh.weights()


def test_two_threads_give_the_same_weights_every_time() -> None:
    """Gradients of a shared prompt must be summed in a fixed order, whatever the threads do."""
    environment = Arithmetic()
    problems = heldout(environment, 2)
    prompts = [Prompt(text=f"S:{p.statement}?", task="solve", problem=p) for p in problems]
    drawn = HFPolicy("tiny").sample(prompts, 8, Sampling(max_tokens=80), range(len(prompts)))
    groups = [
        Group(
            problem_id=problem.id,
            prompt=prompt.text,
            completions=tuple(completions),
            pairs=tuple((i, j) for i in range(4) for j in range(4, 8)),
        )
        for problem, prompt, completions in zip(problems, prompts, drawn, strict=True)
    ]
    config = LearnerConfig(objective="dpo", lr=1e-4, tokens_per_micro_batch=2048)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        results = set()
        for _ in range(4):
            learner = Learner("tiny", config)
            learner.update(groups, 0, 1)
            results.add(learner.weights())
    finally:
        torch.set_num_threads(threads)
    assert len(results) == 1
