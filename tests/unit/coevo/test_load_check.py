"""Policy, learner and the model's own code are compared before any work, and a difference is a refusal."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.learners import forward, modes
from agents.policies import hf
from agents.records import Completion
from agents.remote import InlineRuntime, RuntimeUnfit
from coevo import load_check
from coevo.compose import compose
from coevo.load_check import CodeDisagrees, Compared
from coevo.team import Team
from environments import Problem
from environments.arithmetic import Arithmetic
from tests.families import FAMILIES, save_family

ARITHMETIC = Arithmetic()
FEW = ("experiment=arithmetic", "runtime=inline", "loop.feed=teacher", "loop.train_generator=false")
SAMPLED = "learner@agents.solver.learner=none"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("families")
    return functools.cache(lambda family: save_family(family, root / family))


def problems() -> list[Problem]:
    found = [ARITHMETIC.parse_problem(text) for text in ("1+2", "(12+34)*5", "3*4")]
    return [problem for problem in found if isinstance(problem, Problem)]


def team(*overrides: str) -> Team:
    return Team(compose([*FEW, *overrides]), InlineRuntime())


def check(one: Team) -> list[Compared]:
    return load_check.check(one, ARITHMETIC, problems())


def of(family: Path, *overrides: str) -> Team:
    return team(f"agents.solver.model={family}", *overrides)


def adapted(one: Team) -> Team:
    """With adapters that do something, handed over to the policy."""
    learner: Any = one.solver.learner
    torch.manual_seed(3)
    for name, parameter in learner.target.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.3)
    one.solver.hand_over()
    return one


# -- what passes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [0, 4], ids=["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_passes(folder: Callable[[str], Path], family: str, lora: int) -> None:
    """In float32 no token of any family is further off than a tenth of what is allowed."""
    one = of(folder(family), f"agents.solver.learner.lora={{rank: {lora}, alpha: 8}}")
    (found,) = check(adapted(one) if lora else one)
    assert found.found is not None and found.found.tolerance == 1e-4
    assert found.found.largest < 1e-5
    assert sum(map(len, found.found.one.lines)) >= 8
    if not lora:
        (alone,) = check(of(folder(family), SAMPLED))
        assert alone.found is not None and alone.found.largest < 1e-5


@pytest.mark.parametrize("family", ["gpt2", "mamba2", "gemma2", "qwen3_moe", "gpt_oss"])
def test_bfloat16_passes_by_its_own_measure(folder: Callable[[str], Path], family: str) -> None:
    for dtypes in (("bfloat16", "bfloat16"), ("bfloat16", "float32"), ("float32", "bfloat16")):
        names = ("agents.solver.policy.dtype", "agents.solver.learner.dtype")
        settings = [f"{name}={dtype}" for name, dtype in zip(names, dtypes, strict=True)]
        (found,) = check(of(folder(family), *settings))
        assert found.found is not None and not found.found.beyond


def test_both_roles_on_one_base_and_a_temperature() -> None:
    """Each role's adapters are asked by themselves, at the temperature that its learner divides by."""
    one = Team(
        compose([
            "experiment=arithmetic", "runtime=inline", "agents.share_base=true",
            "agents.solver.learner.lora.rank=4",
            "agents.generator.learner.lora.rank=4", "agents.solver.sampling.temperature=0.7",
        ]),
        InlineRuntime(),
    )  # fmt: skip
    assert [found.role for found in check(one)] == ["solver", "generator"]


def test_gradient_checkpointing_and_backend_trl_pass() -> None:
    check(team("agents.solver.learner.gradient_checkpointing=true"))
    check(team("agents.solver.learner.backend=trl", "agents.solver.learner.nll_weight=0"))


def test_less_than_a_second() -> None:
    """Of the tiny model, Solver and Generator, processor time: the best of three, on a machine that may
    have other work. 0.17 s was measured."""
    one = Team(compose(["experiment=arithmetic", "runtime=inline"]), InlineRuntime())
    seconds = []
    for _ in range(3):
        start = time.process_time()
        assert len(check(one)) == 2
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0


# -- what is refused ------------------------------------------------------------------------------


class Bare:
    """The vocabulary matrix alone, without what the model does to its logits."""

    def __init__(self, causal: Any):
        self.matrix = causal.get_output_embeddings()
        self.out_features = self.matrix.weight.shape[0]

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return self.matrix(states)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "cohere", "granite"])
def test_a_bare_head_is_refused(
    folder: Callable[[str], Path], family: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "Head", Bare)
    dtypes = [f"agents.solver.{part}.dtype={dtype}" for part in ("policy", "learner")]
    with pytest.raises(
        CodeDisagrees, match=rf"agents\.solver\.model=.*family {family}.*the learner"
    ):
        check(of(folder(family), *dtypes))


def test_scaled_logits_of_a_policy_are_refused_whether_it_is_trained_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = hf.distribution
    monkeypatch.setattr(hf, "distribution", lambda logits, sampling: real(1.01 * logits, sampling))
    for settings in ((), (SAMPLED,)):
        with pytest.raises(RuntimeUnfit, match=r"family llama.*policy hf and"):
            check(team(*settings))


def test_dropout_in_a_learners_passes_is_refused(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modes, "settle", lambda model, dropout: model.train())
    with pytest.raises(CodeDisagrees, match=r"family gpt2.*the learner"):
        check(of(folder("gpt2")))


def test_another_temperature_in_the_learner_is_refused() -> None:
    one = team("agents.solver.sampling.temperature=0.7")
    learner: Any = one.solver.learner
    learner.target.forward = dataclasses.replace(learner.target.forward, temperature=1.0)
    with pytest.raises(CodeDisagrees, match="policy hf"):
        check(one)


def test_weights_that_were_not_handed_over_are_refused() -> None:
    one = team("agents.solver.learner.lora.rank=4")
    handed_over, one.solver.hand_over = one.solver.hand_over, lambda: None  # type: ignore[method-assign]
    adapted(one)
    with pytest.raises(CodeDisagrees, match="policy hf"):
        check(one)
    handed_over()
    check(one)


def test_a_teacher_of_distillation_is_compared_too(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (
        "learner@agents.solver.learner=distill",
        f"agents.solver.learner.teacher={folder('gemma2')}",
    )
    check(team(*settings))
    monkeypatch.setattr(forward, "Head", Bare)  # right for the tiny model's own head
    with pytest.raises(CodeDisagrees, match=r"agents\.solver\.learner\.teacher=.*family gemma2"):
        check(team(*settings))


# -- what cannot be compared, and what is left alone ----------------------------------------------


def test_nothing_drawn_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = team()
    empty = Completion(text="", prompt_ids=(5,), finish_reason="error", error="prompt_too_long")
    policy: Any = one.solver.workers
    monkeypatch.setattr(policy.target.policy, "sample", lambda *_: [[empty]])
    (found,) = check(one)
    assert found.found is None
    told = capsys.readouterr().err
    assert "agents.solver" in told and "prompt_too_long" in told


def test_early_end_tokens_are_compared_as_far_as_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """One completion of one token, and one of none: nothing is made up for what is missing."""
    one = team()
    policy: Any = one.solver.workers
    real = policy.target.policy.sample

    def cut(*arguments: Any) -> list[list[Completion]]:
        rows = real(*arguments)
        first = rows[0][0]
        rows[0][0] = dataclasses.replace(
            first, token_ids=first.token_ids[:1], logprobs=first.logprobs[:1]
        )
        rows[1][0] = dataclasses.replace(rows[1][0], token_ids=(), logprobs=())
        return rows

    monkeypatch.setattr(policy.target.policy, "sample", cut)
    (found,) = check(one)
    assert found.found is not None
    assert sorted(map(len, found.found.one.lines))[0] == 1 and len(found.found.one.lines) == 3


def test_no_state_is_moved() -> None:
    """Neither random streams nor weights, versions, modes or what a policy draws next."""
    one = team("agents.solver.learner.lora.rank=4")
    learner: Any = one.solver.learner
    weights, mode = learner.call("weights"), learner.target.model.training
    torch.manual_seed(11)
    expected = torch.rand(3).tolist()
    torch.manual_seed(11)
    check(one)
    assert torch.rand(3).tolist() == expected
    assert learner.call("weights") == weights
    assert learner.target.model.training == mode
    assert learner.target.version == one.solver.version == 0
