"""The learner with TRL's trainers: it does what our own does, refuses what TRL cannot, leaves nothing."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.learners import models
from agents.learners.learner import Learner
from agents.learners.trl import TRLLearner
from agents.learners.trl_limits import SUPPORTED
from agents.records import Completion, Group
from coevo.compose import compose
from coevo.config import ConfigError, LearnerConfig, LoraConfig, RoleConfig
from coevo.team import make_learner

LONGEST = 24
PROMPTS = ("S:7+5?", "S:12+30-2?", "S:(3+4)*2?")
TEXTS = (
    ("7+5=12#12", "7+5=13#13", "12#12", "7+5=12;12+5=17#17"),
    ("12+30=42;42-2=40#40", "12+30=42;42-2=44#44", "30-2=28#28"),
    ("3+4=7;7*2=14#14", "4*2=8;3+8=11#11", "3+4=7;7*2=15#15"),
)
# What a configuration has to say for TRL to do it, beside the objective.
NEEDED: dict[str, dict[str, Any]] = {
    "sft": {"reduction": "token"},
    "cispo": {"clip_low": 1.0},
    "robust": {"label_smoothing": 0.2},
}


def config(objective: str, **changes: Any) -> LearnerConfig:
    values: dict[str, Any] = {"lr": 1e-4, "threads": 1, **NEEDED.get(objective, {}), **changes}
    return LearnerConfig(objective=objective, **values)


@functools.cache
def groups(weights: tuple[float, ...] = (1.0, 0.0, 0.0)) -> list[Group]:
    """Completions drawn by the tiny model, as far as a learner can tell; a fourth weighs as the second."""
    of = Learner("tiny", config("sft"))
    result = []
    for prompt, texts in zip(PROMPTS, TEXTS, strict=True):
        start = tuple(of.tokenizer(prompt, add_special_tokens=False).input_ids)
        completions = []
        for text in texts:
            ids = (*of.tokenizer(text, add_special_tokens=False).input_ids, 1)
            with torch.no_grad():
                table = of.model(torch.tensor([[*start, *ids]])).logits[0].log_softmax(-1)
            drawn = tuple(table[len(start) - 1 + i, token].item() for i, token in enumerate(ids))
            completions.append(
                Completion(text=text, prompt_ids=start, token_ids=ids, logprobs=drawn)
            )
        result.append(
            Group(
                problem_id=prompt,
                prompt=prompt,
                completions=tuple(completions),
                rewards=(*weights, weights[1])[: len(texts)],
                pairs=((0, 1), (0, 2)),
            )
        )
    return result


def lessons() -> list[Group]:
    return groups(weights=(1.0, 1.0, 1.0))


def fit(objective: str) -> list[Group]:
    """What it learns from; to imitate, texts that it does not know yet: others give no gradient."""
    if objective == "rft":
        return groups(weights=(0.0, 1.0, 1.0))
    return lessons() if objective == "sft" else groups()


def both(objective: str, updates: int = 2, **changes: Any) -> tuple[Learner, TRLLearner]:
    """Our learner and TRL's after the same updates; the losses and gradients of each were equal."""
    settings = config(objective, **changes)
    own = Learner("tiny", settings, longest=LONGEST)
    trl = TRLLearner("tiny", settings, longest=LONGEST)
    for learner in (own, trl):  # see tests/unit/agents/test_trl.py
        learner.optimizer.param_groups[0]["eps"] = 1e-5
    for version in range(1, updates + 1):
        ours = own.update(fit(objective), seed=version, version=version)
        theirs = trl.update(fit(objective), seed=version, version=version)
        for name in ("loss", "grad_norm"):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4, abs=1e-6)
        for name in ("steps", "groups", "sequences", "pairs", "tokens", "skipped_steps"):
            assert theirs[name] == ours[name]
        assert theirs["trained_tokens"] == ours["trained_tokens"] > 0
    return own, trl


def assert_same_weights(one: Learner, other: Learner) -> None:
    tensors = other.model.state_dict()
    for name, tensor in one.model.state_dict().items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-5, atol=1e-6)


# -- it does what our own does --------------------------------------------------------------------


@pytest.mark.parametrize("objective", SUPPORTED)
def test_the_same_as_our_own(objective: str) -> None:
    """Two epochs of one step each, in micro-batches that are not of one size."""
    changes = {"epochs": 2, "tokens_per_micro_batch": 110}
    assert_same_weights(*both(objective, updates=1, **changes))


@pytest.mark.parametrize(
    ("objective", "changes"),
    [
        ("dpo", {"length_normalised": True}),
        ("dpo", {"reference": "base"}),
        ("dpo", {"lora": LoraConfig(rank=4, alpha=8), "reference": "base"}),
        ("dpo", {"gradient_checkpointing": True}),
        ("dpo", {"warmup_steps": 4, "schedule": "cosine", "schedule_rounds": 3, "beta_final": 0.5}),
        ("grpo", {"kl_weight": 0.2, "reference": "base", "epochs": 2}),
        ("grpo", {"lora": LoraConfig(rank=4, alpha=8), "kl_weight": 0.2, "epochs": 2}),
        ("sft", {"optimizer": "adafactor"}),
    ],
)
def test_settings_mean_the_same(objective: str, changes: dict[str, Any]) -> None:
    if changes.get("optimizer") != "adafactor":
        assert_same_weights(*both(objective, **changes))
        return
    settings = config(objective, **changes)
    own, trl = Learner("tiny", settings), TRLLearner("tiny", settings)
    for learner in (own, trl):
        learner.update(lessons(), seed=1, version=1)
    assert_same_weights(own, trl)


def test_bfloat16_goes_under_autocast() -> None:
    """And at a second update still: the losses of the two differ by what bfloat16 rounds."""
    settings = config("sft", dtype="bfloat16")
    own, trl = Learner("tiny", settings), TRLLearner("tiny", settings)
    exact = Learner("tiny", config("sft"))
    for version in (1, 2):
        rounded, theirs, plain = (
            learner.update(lessons(), seed=1, version=version)["loss"]
            for learner in (own, trl, exact)
        )
        assert theirs == pytest.approx(rounded, rel=0.01)
        assert theirs != pytest.approx(plain, rel=1e-5)
    assert {p.dtype for p in trl.model.parameters()} == {torch.float32}


def test_one_update_may_have_another_objective() -> None:
    """As a first round of imitation has: each objective finds the model as if it were the only one."""
    settings = config("dpo", reduction="token")
    own, trl = Learner("tiny", settings), TRLLearner("tiny", settings)
    for version, objective in enumerate(("sft", "dpo", "grpo", "dpo"), start=1):
        first, second = (
            learner.update(fit(objective), 1, version, objective=objective)["loss"]
            for learner in (own, trl)
        )
        assert second == pytest.approx(first, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("name", ["own", "trl"])
def test_the_backend_is_chosen_by_configuration(name: str) -> None:
    role = RoleConfig(model="tiny", learner=config("dpo", backend=name))
    assert type(make_learner("solver", role)) is {"own": Learner, "trl": TRLLearner}[name]


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 4])
def test_a_checkpoint_goes_on_bit_for_bit(rank: int, tmp_path: Path) -> None:
    """With dropout too: a resumed run builds its trainer at another time, which must not be seen."""
    lora = LoraConfig(rank=rank, alpha=8, dropout=0.3 if rank else 0.0)
    settings = config("sft", lora=lora, dropout=True)
    straight = TRLLearner("tiny", settings)
    straight.update(lessons(), seed=1, version=1)
    straight.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {
        ".safetensors",
        ".json",
        ".jinja",
        ".md",
    }
    straight.update(lessons(), seed=2, version=2)
    resumed = TRLLearner("tiny", settings)
    resumed.load(tmp_path, version=1)
    resumed.update(lessons(), seed=2, version=2)
    assert resumed.weights() == straight.weights()
    assert resumed.version == 2


def test_its_checkpoint_is_that_of_our_own(tmp_path: Path) -> None:
    trl, own = TRLLearner("tiny", config("dpo")), Learner("tiny", config("dpo"))
    trl.update(groups(), seed=1, version=1)
    trl.save(tmp_path)
    own.load(tmp_path, version=1)
    assert own.weights() == trl.weights()
    assert own.steps == 1


# -- it leaves nothing ----------------------------------------------------------------------------


def wrappings(model: Any) -> int:
    """How many of TRL's heads are around the model's forward, one within the other."""
    count, forward = 0, model.forward
    while "original_forward" in forward.__code__.co_freevars:
        function = getattr(forward, "__func__", forward)
        place = function.__code__.co_freevars.index("original_forward")
        count, forward = count + 1, function.__closure__[place].cell_contents
    return count


@pytest.mark.parametrize("rank", [0, 4])
def test_nothing_piles_up_on_the_model(rank: int) -> None:
    """Neither wrappings of its forward, nor hooks, nor adapters, while checkpointing stays on."""
    changes = {"reduction": "token", "gradient_checkpointing": True}
    learner = TRLLearner("tiny", config("dpo", lora=LoraConfig(rank=rank, alpha=8), **changes))
    modules = list(learner.model.modules())
    hooks = sum(len(module._forward_hooks) for module in modules)
    for version, objective in enumerate(("dpo", "sft", "dpo", "grpo", "dpo", "dpo"), start=1):
        learner.update(fit(objective), 1, version, objective=objective)
        assert wrappings(models.causal(learner.model)) == 1
        assert sum(len(module._forward_hooks) for module in modules) == hooks
        assert list(learner.model.modules()) == modules
        assert any(getattr(module, "gradient_checkpointing", False) for module in modules)


def test_nothing_is_written_printed_or_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def send(**_: object) -> None:
        raise AssertionError("telemetry")

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", send)
    monkeypatch.chdir(tmp_path)
    learner = TRLLearner("tiny", config("dpo", reduction="token"))
    capfd.readouterr()
    before, dice = random.getstate(), np.random.get_state()[1].tolist()
    for version, objective in enumerate(("dpo", "sft", "grpo"), start=1):
        learner.update(fit(objective), 1, version, objective=objective)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert random.getstate() == before
    assert np.random.get_state()[1].tolist() == dice


def test_a_loss_that_is_not_finite_leaves_the_weights_untouched() -> None:
    unbounded = config("grpo", mismatch_kl_max=None)
    learner, good = TRLLearner("tiny", unbounded, longest=LONGEST), groups()
    bad = [
        Group(
            problem_id=group.problem_id,
            prompt=group.prompt,
            completions=tuple(
                Completion(
                    text=c.text,
                    prompt_ids=c.prompt_ids,
                    token_ids=c.token_ids,
                    logprobs=(float("nan"),) * len(c.token_ids),
                )
                for c in group.completions
            ),
            rewards=group.rewards,
        )
        for group in good
    ]
    before = learner.weights()
    metrics = learner.update(bad, seed=1, version=1)
    assert metrics["skipped_steps"] == 1
    assert "loss" not in metrics
    assert learner.weights() == before
    assert learner.update(good, seed=1, version=2)["skipped_steps"] == 0
    assert learner.weights() != before


# -- it refuses what TRL cannot do ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "changes", "expected"),
    [
        ("kto", {}, "has no objective kto: write one of dpo, "),
        ("dpo", {"nll_weight": 0.5}, "write learner.nll_weight=0"),
        ("hinge", {"length_normalised": True}, "write learner.length_normalised=false"),
        ("dpo", {"clip": 0.0}, "write learner.clip above 0"),
        ("dpo", {"gpus": 2.0}, "write learner.gpus=1"),
        ("dpo", {"ranks": 2}, "write learner.ranks=1"),
        ("sft", {"reduction": "default"}, "write learner.reduction=token"),
        ("grpo", {"reduction": "sum"}, "write learner.reduction=mean or constant or token"),
        ("gspo", {"reduction": "token"}, "write learner.reduction=mean"),
        ("grpo", {"correction": "truncate"}, "write learner.correction=none"),
        ("grpo", {"kl_weight": 0.1, "kl_estimator": "k2"}, "write learner.kl_estimator=k3"),
        ("cispo", {"clip_low": 0.2}, "write learner.clip_low=1"),
        *((name, {"rft_weight": 0.5}, "write learner.rft_weight=0") for name in ("dpo", "grpo")),
    ],
)
def test_what_trl_cannot_do_is_refused(
    objective: str, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        TRLLearner("tiny", config(objective, **changes))


def test_a_temperature_that_trl_would_not_see_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write sampling\.temperature=1"):
        TRLLearner("tiny", config("dpo"), temperature=0.7)
    TRLLearner("tiny", config("grpo"), temperature=0.7)


def test_weights_are_refused_before_anything_changes() -> None:
    learner = TRLLearner("tiny", config("sft"))
    before = learner.weights()
    for weights in ((0.5, 1.0, 1.0), (1.0, 0.0, 1.0)):
        with pytest.raises(ValueError, match=r"write utility\.name=constant"):
            learner.update(groups(weights=weights), seed=1, version=1)
    assert learner.weights() == before
    assert learner.version == 0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["solver.learner.objective=kto"],
            r"agents\.solver\.learner\.backend=trl has no objective",
        ),
        ([], r"write agents\.solver\.learner\.nll_weight=0, or agents\.solver\.learner\.backend"),
        (
            ["solver.learner.nll_weight=0", "solver.sampling.temperature=0.7"],
            r"write agents\.solver\.sampling\.temperature=1",
        ),
        (
            ["solver.learner.nll_weight=0", "solver.learner.rft_weight=1"],
            r"beside its own; write agents\.solver\.learner\.rft_weight=0, or agents\.solver\.learner",
        ),
        (
            ["solver.learner.objective=rft", "loop.initial_sft=true"],
            r"objective sft: .*write agents\.solver\.learner\.reduction=token",
        ),
        (
            ["generator.sampling.temperature=1", "generator.learner.reduction=token"],
            r"write utility\.name=constant, or agents\.generator\.learner\.backend=own",
        ),
    ],
)
def test_a_configuration_is_refused_before_a_run_has_a_folder(
    overrides: list[str], expected: str
) -> None:
    trainer = "solver" if not any(o.startswith("generator") for o in overrides) else "generator"
    full = [o if o.startswith("loop") else f"agents.{o}" for o in overrides]
    with pytest.raises(ConfigError, match=expected):
        compose(["experiment=arithmetic", f"agents.{trainer}.learner.backend=trl", *full])


def test_what_may_be_refused_is_told_without_torch() -> None:
    code = "import coevo.validate, sys; sys.exit('torch' in sys.modules or 'trl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
