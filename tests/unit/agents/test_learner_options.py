"""What a learner does beside its loss: reference, corrections, schedules, teachers, state that is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from agents.learners.inputs import LossInputs
from agents.learners.learner import Learner
from agents.learners.objectives import OBJECTIVES
from agents.learners.prepare import BadGroup
from agents.records import Completion, Group
from coevo.config import PREFERENCE, LearnerConfig
from tests.unit.agents.test_learner import changed, drawn, learner, lessons, pairs, weights

Seen = list[tuple[LossInputs, LearnerConfig]]


def watched(monkeypatch: pytest.MonkeyPatch, name: str) -> Seen:
    """What the objective is given at every micro-batch."""
    seen: Seen = []
    kind = OBJECTIVES[name]

    def loss(inputs: LossInputs, settings: LearnerConfig) -> object:
        seen.append((inputs, settings))
        return kind.loss(inputs, settings)

    monkeypatch.setitem(OBJECTIVES, name, dataclasses.replace(kind, loss=loss))
    return seen


@pytest.mark.parametrize("name", [n for n in OBJECTIVES if n not in ("dpo", "sft", "grpo")])
def test_every_objective_changes_every_parameter(name: str) -> None:
    groups = pairs() if name in PREFERENCE else drawn()
    trained = learner(name, teacher="tiny", temperature=1.0)
    if name == "distill":  # from another model, or there would be nothing to learn
        trained.forward = dataclasses.replace(trained.forward, temperature=1.0)
        trained.update(lessons(), seed=1, version=1, objective="sft")
    before = weights(trained)
    metrics = trained.update(groups, seed=1, version=2)
    assert changed(before, weights(trained)) == set(before)
    assert metrics["groups"] == 2 and metrics["skipped_steps"] == 0


def test_distillation_draws_the_learner_to_its_teacher() -> None:
    """Forward KL from the teacher: it falls, and is that of P from Q and not of Q from P."""
    trained = learner("distill", teacher="tiny", lr=3e-4, divergence="forward")
    trained.update(lessons(), seed=1, version=1, objective="sft", epochs=10)
    found = [trained.update(drawn(), seed=1, version=v)["teacher_divergence"] for v in range(2, 22)]
    assert found[-1] < 0.7 * found[0]
    other = learner("distill", teacher="tiny", lr=3e-4, divergence="reverse")
    other.update(lessons(), seed=1, version=1, objective="sft", epochs=10)
    reverse = other.update(drawn(), seed=1, version=2)["teacher_divergence"]
    batch = trained._batches(_tokens(trained, drawn()))[0]
    teacher = trained.frozen["tiny"]
    before = learner("sft", lr=3e-4)
    before.update(lessons(), seed=1, version=1, epochs=10)
    with torch.no_grad():
        p = trained.forward._logits(teacher, batch).log_softmax(-1)
        q = before.forward._logits(before.model, batch).log_softmax(-1)
    drawn_tokens = batch.loss_mask.bool()
    per_token = torch.zeros(drawn_tokens.shape).masked_scatter(
        drawn_tokens, (p.exp() * (p - q)).sum(-1)
    )
    forward = (per_token.sum(-1) / batch.loss_mask.sum(-1)).mean().item()
    assert found[0] == pytest.approx(forward, rel=1e-3)
    assert reverse != pytest.approx(forward, rel=1e-2)


def _tokens(of: Learner, groups: list[Group]) -> list:
    from agents.learners.objectives import resolved
    from agents.learners.prepare import prepare

    kind, settings = resolved(of.config, "distill")
    return prepare(groups, kind, settings, of.tokens, {})[0]


def test_a_teacher_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from agents.model_files import TINY, ModelUnavailable

    other = tmp_path / "other"
    other.mkdir()
    for file in TINY.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    tokenizer.add_tokens(["@"])
    tokenizer.save_pretrained(other)
    with pytest.raises(ModelUnavailable, match="another vocabulary"):
        learner("distill", teacher=str(other)).update(drawn(), seed=1, version=1)


def test_ktos_baseline_is_never_below_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the update begins the policy is its reference: 0. Later steps of an update measure it."""
    seen = watched(monkeypatch, "kto")
    learner("kto", lr=1e-3, epochs=6).update(pairs(), seed=1, version=1)
    baselines = [inputs.baseline for inputs, _ in seen]
    assert baselines[0] == pytest.approx(0.0, abs=1e-4)
    assert min(baselines) >= 0.0
    away = learner("kto", lr=1e-3)
    others = [dataclasses.replace(group, rewards=(0.0, 0.0)) for group in pairs()]
    hushed = [
        dataclasses.replace(g, completions=tuple(_as_drawn(away, c) for c in g.completions))
        for g in others
    ]
    seen.clear()
    away.config.epochs = 8  # all are undesirable: on any prompt they become less likely
    away.update(hushed, seed=1, version=1)
    assert [inputs.baseline for inputs, _ in seen][-1] == 0.0


def _as_drawn(of: Learner, completion: Completion) -> Completion:
    """With token ids, so that it is not taken for a reference solution, which is desirable."""
    ids = of.tokenizer(completion.text, add_special_tokens=False).input_ids
    return Completion(text=completion.text, token_ids=(*ids, of.tokenizer.eos_token_id))


def test_the_base_is_a_reference_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round's reference moves with the rounds; the base's log-probabilities do not."""
    for reference, stays in (("round", False), ("base", True)):
        seen = watched(monkeypatch, "dpo")
        trained = learner("dpo", reference=reference)
        for version in (1, 2):
            trained.update(pairs(), seed=1, version=version)
        first, second = (inputs.ref_logprobs for inputs, _ in seen)
        assert first is not None and second is not None
        assert torch.allclose(first, second, atol=1e-5) is stays


def test_a_correction_takes_the_ratio_to_the_updates_own_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine is said to be 0.5 off on every token: the ratio is 1 all the same, the weight e^-0.5."""
    seen = watched(monkeypatch, "grpo")
    groups = [
        dataclasses.replace(
            group,
            completions=tuple(
                dataclasses.replace(c, logprobs=tuple(v + 0.5 for v in c.logprobs))
                for c in group.completions
            ),
        )
        for group in drawn()
    ]
    trained = learner("grpo", correction="truncate", epochs=2, mismatch_kl_max=None)
    metrics = trained.update(groups, seed=1, version=1)
    inputs, _ = seen[0]
    assert inputs.old_logprobs is not None
    mask = inputs.loss_mask
    assert torch.allclose(inputs.old_logprobs * mask, inputs.logprobs * mask, atol=1e-5)
    assert torch.equal(seen[1][0].old_logprobs.sum(), inputs.old_logprobs.sum())
    assert metrics["ratio_p50"] == pytest.approx(0.6065, abs=1e-3)
    assert metrics["correction"] == pytest.approx(0.6065, abs=1e-3)


def test_staleness_is_counted_in_versions() -> None:
    trained = learner("grpo")
    trained.version = 3
    metrics = trained.update(drawn(), seed=1, version=4)
    assert metrics["staleness"] == metrics["staleness_max"] == 3


def test_beta_and_step_size_follow_their_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over two rounds: β 0.1, 0.2, 0.3; with two warm-up steps lr is 1/2, then 1, times 1 - progress."""
    seen = watched(monkeypatch, "dpo")
    trained = learner(
        "dpo",
        beta=0.1,
        beta_final=0.3,
        schedule="linear",
        schedule_rounds=2,
        warmup_steps=2,
        lr=1e-4,
    )
    sizes = []
    for version in (1, 2, 3):
        trained.update(pairs(), seed=1, version=version)
        sizes.append(trained.optimizer.param_groups[0]["lr"])
    assert [settings.beta for _, settings in seen] == pytest.approx([0.1, 0.2, 0.3])
    assert sizes == pytest.approx([0.5e-4, 0.5e-4, 0.0])
    assert trained.steps == 3


def test_gradients_of_a_step_do_not_reach_the_next() -> None:
    """With a step size of 0 the second step's gradient is the first's, not twice it."""
    trained = learner("sft", lr=0.0)
    norms = [trained.update(lessons(), seed=1, version=v)["grad_norm"] for v in (1, 2)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


def test_moving_baselines_and_steps_are_in_the_checkpoint(tmp_path: Path) -> None:
    settings = {"advantage": "ema", "warmup_steps": 5}
    straight, first, second = (learner("grpo", **settings) for _ in range(3))
    for version in (1, 2):
        straight.update(drawn(), seed=version, version=version)
    first.update(drawn(), seed=1, version=1)
    first.save(tmp_path / "saved")
    second.load(tmp_path / "saved", 1)
    assert second.baselines == first.baselines == {"solve": pytest.approx(0.05 * 0.5)}
    second.update(drawn(), seed=2, version=2)
    assert second.weights() == straight.weights()


@pytest.mark.parametrize(
    ("completion", "message"),
    [
        (Completion(text="x", prompt_ids=(3,), token_ids=(4, 99)), "token id 99 is outside"),
        (Completion(text="x", prompt_ids=(-1,), token_ids=(4,)), "token id -1 is outside"),
    ],
)
def test_bad_ids_leave_the_weights_untouched(completion: Completion, message: str) -> None:
    trained = learner("sft")
    before = weights(trained)
    bad = Group(problem_id="p", prompt="", completions=(completion,), rewards=(1.0,))
    with pytest.raises(BadGroup, match=message):
        trained.update([*lessons(), bad], seed=1, version=1)
    assert changed(before, weights(trained)) == set()
    assert trained.version == 0
