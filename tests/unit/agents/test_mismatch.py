"""A learner whose policy draws something else than it computes stops, before any weight if it can."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch

from agents.learners.learner import Learner
from agents.learners.mismatch import MismatchTooLarge
from agents.learners.trl import TRLLearner
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from coevo.config import LearnerConfig
from environments.arithmetic import Arithmetic

# Log-probabilities off by log 2 at every token: k3 = 2 - 1 - log 2.
DOUBLED, FIGURE = math.log(2), 1 - math.log(2)


@pytest.fixture(scope="module")
def drawn() -> list[list[Completion]]:
    problem = Arithmetic().parse_problem("7+5")
    prompts = [
        Prompt(text=f"S:{text}?", task="solve", problem=problem)  # type: ignore[arg-type]
        for text in ("7+5", "12+34", "3*4", "8+9")
    ]
    return HFPolicy("tiny").sample(prompts, 3, Sampling(max_tokens=12), range(4))


def groups(
    drawn: list[list[Completion]], off: float = 0.0, version: int = 0, logprobs: bool = True
) -> list[Group]:
    """What was drawn, with log-probabilities that are `off` too low."""
    return [
        Group(
            problem_id=str(number),
            prompt="",
            completions=tuple(
                Completion(
                    text=one.text,
                    prompt_ids=one.prompt_ids,
                    token_ids=one.token_ids,
                    logprobs=tuple(value - off for value in one.logprobs) if logprobs else (),
                    policy_version=version,
                )
                for one in row
            ),
            rewards=(1.0, 0.0, 0.0),
            pairs=((0, 1), (0, 2)),
        )
        for number, row in enumerate(drawn)
    ]


def learner(objective: str = "grpo", kind: type[Learner] = Learner, **settings: Any) -> Learner:
    temperature, top_p = settings.pop("temperature", 1.0), settings.pop("top_p", 1.0)
    values = {"lr": 1e-5, "threads": 1, "groups_per_step": 2, **settings}
    config = LearnerConfig(objective=objective, **values)
    return kind("tiny", config, temperature=temperature, longest=12, top_p=top_p)


def weights(one: Learner) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in one.model.parameters()]


def unchanged(one: Learner, before: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, one.model.parameters(), before))


@pytest.mark.parametrize(
    ("objective", "kind", "settings"),
    [
        ("grpo", Learner, {}),
        ("grpo", Learner, {"correction": "truncate"}),
        ("dpo", Learner, {}),
        ("sft", Learner, {"dropout": True}),
        ("kto", Learner, {}),
        ("dpo", TRLLearner, {}),
        ("grpo", TRLLearner, {}),
    ],
)
def test_no_weight_is_touched(
    drawn: list[list[Completion]], objective: str, kind: type[Learner], settings: dict[str, Any]
) -> None:
    one = learner(objective, kind, mismatch_kl_max=0.3, **settings)
    before = weights(one)
    with pytest.raises(MismatchTooLarge) as raised:
        one.update(groups(drawn, DOUBLED), seed=0, version=1)
    assert raised.value.untouched and raised.value.limit == 0.3
    assert raised.value.figure == pytest.approx(FIGURE, rel=1e-4)
    assert unchanged(one, before)
    assert all(parameter.grad is None for parameter in one.model.parameters())
    assert one.version == 0 and not one.optimizer.state


def test_below_the_bound_it_goes_on_and_logs_the_figure(drawn: list[list[Completion]]) -> None:
    one = learner(mismatch_kl_max=0.31)
    metrics = one.update(groups(drawn, DOUBLED), seed=0, version=1)
    assert metrics["mismatch_kl"] == pytest.approx(FIGURE, rel=1e-3)
    assert one.version == 1


def test_null_bounds_nothing(drawn: list[list[Completion]]) -> None:
    one = learner(mismatch_kl_max=None)
    assert one.update(groups(drawn, 3.0), seed=0, version=1)["mismatch_kl"] > 1


def test_the_bound_changes_nothing_of_an_update(drawn: list[list[Completion]]) -> None:
    with_bound, without = learner(), learner(mismatch_kl_max=None)
    assert with_bound.update(groups(drawn), 0, 1) == without.update(groups(drawn), 0, 1)
    assert with_bound.weights() == without.weights()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1000.0])
def test_what_is_no_number_counts_as_above(drawn: list[list[Completion]], bad: float) -> None:
    one = learner("dpo", mismatch_kl_max=1e6)
    before = weights(one)
    with pytest.raises(MismatchTooLarge):
        one.update(groups(drawn, -bad), seed=0, version=1)
    assert unchanged(one, before)


def test_weights_that_run_away_within_an_update(drawn: list[list[Completion]]) -> None:
    """The first step finds nothing; the second reads its groups after a step of far too large a size."""
    one = learner("sft", lr=0.05)
    with pytest.raises(MismatchTooLarge) as raised:
        one.update(groups(drawn), seed=0, version=1)
    assert not raised.value.untouched and raised.value.limit == 0.1


def test_older_versions_are_old_and_no_mismatch(drawn: list[list[Completion]]) -> None:
    """Rejected attempts of earlier versions (`loop.negatives`) are meant to be far away."""
    one = learner("dpo", mismatch_kl_max=1e-3)
    one.version = 2
    fresh = groups(drawn[:2], version=2)
    metrics = one.update([*fresh, *groups(drawn[2:], DOUBLED, version=1)], seed=0, version=3)
    assert metrics["staleness_max"] == 1 and metrics["mismatch_kl"] < 1e-3
    assert metrics["ratio_max"] == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"top_p": 0.9}])
def test_other_distributions_are_not_compared(
    drawn: list[list[Completion]], sampling: dict[str, float]
) -> None:
    """Greedy tokens have probability one, those of a nucleus more than their own: no engine is at fault."""
    one = learner("dpo", mismatch_kl_max=1e-6, **sampling)
    metrics = one.update(groups(drawn, -0.1), seed=0, version=1)
    assert metrics["staleness"] == 0.0
    assert not {"mismatch_kl", "ratio_max"} & metrics.keys()


def test_completions_without_logprobs_are_not_compared(drawn: list[list[Completion]]) -> None:
    one = learner("dpo", mismatch_kl_max=1e-6)
    metrics = one.update(groups(drawn, logprobs=False), seed=0, version=1)
    assert metrics["steps"] == 2 and "mismatch_kl" not in metrics


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MismatchTooLarge(0.5, 0.05, True)))
    assert (error.figure, error.limit, error.untouched) == (0.5, 0.05, True)
    assert "0.5" in str(error) and "0.05" in str(error)
