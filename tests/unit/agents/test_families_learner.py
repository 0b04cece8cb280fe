"""Twenty families learn as their own code says: against transformers alone, written the obvious way.

The loops beside ours take one sequence at a time through the model's own `forward`, unpadded, in `eval`
mode. Where a family has dropout, its configuration here has it on.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from transformers import GPT2LMHeadModel
from transformers.modeling_layers import GradientCheckpointingLayer

from agents.learners.batching import Row, TokenGroup
from agents.learners.forward import Forward
from agents.model_loading import ModelUnavailable, load_model
from tests.families import save_family
from tests.unit.agents.families_learning import (
    EACH,
    IDS,
    STEPS,
    Folder,
    dpo,
    groups,
    grpo,
    learner,
    plain_steps,
)

BOTH = pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
ONES = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("families")
    return functools.cache(lambda family: save_family(family, root / family))


# -- no step is no change -------------------------------------------------------------------------


def unmoved(model: Path, lora: bool = False, within: float = 1e-5) -> None:
    """With lr 0, twice over: DPO's loss is ln 2 and its margin 0; ratios are 1, and none is clipped."""
    trained = learner(model, "dpo", lora, epochs=2, gradient_checkpointing=True)
    drawn = groups(trained.model)
    metrics = trained.update(drawn, seed=1, version=0)  # weights that do not move have no new one
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert metrics["margin"] == pytest.approx(0, abs=1e-5)
    for objective in ("grpo", "gspo"):
        metrics = trained.update(drawn, seed=1, version=0, objective=objective)
        for name in ("ratio_p01", "ratio_p50", "ratio_p99", "ratio_max"):
            assert metrics[name] == pytest.approx(1, abs=within)
        assert metrics["mismatch_kl"] == pytest.approx(0, abs=1e-9)
        assert metrics["clip_share"] == 0
        assert metrics["grad_norm"] > 1e-3


@EACH
@BOTH
def test_no_step_is_no_change(family: str, lora: bool, folder: Folder) -> None:
    # Qwen3-Next's recurrence in float32 differs by 1.03e-5 on one token when rows are read together
    unmoved(folder(family), lora, within=2e-5 if family == "qwen3_next" else 1e-5)


@pytest.mark.parametrize(
    ("family", "noise"), [("mixtral", {"router_jitter_noise": 0.3}), ("opt", {"layerdrop": 0.5})]
)
def test_other_noise_of_training_is_off_too(
    family: str, noise: dict[str, float], tmp_path: Path
) -> None:
    unmoved(save_family(family, tmp_path, **noise))


# -- three steps ----------------------------------------------------------------------------------


@EACH
@BOTH
@pytest.mark.parametrize("loss", [dpo, grpo], ids=["dpo", "grpo"])
def test_three_steps_equal_a_plain_loop(
    family: str, lora: bool, loss: Callable[..., torch.Tensor], folder: Folder
) -> None:
    """The same loss, and the same weights to 1e-5; every adapter has moved, and nothing beside them."""
    ours, beside = (learner(folder(family), loss.__name__, lora, **STEPS) for _ in range(2))
    plain = beside.model
    start = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    drawn = groups(plain)
    losses = plain_steps(plain, loss, drawn)
    metrics = ours.update(drawn, seed=1, version=1)
    assert metrics["steps"] == 3
    assert metrics["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5, abs=1e-5)
    expected = plain.state_dict()
    changed = set()
    for name, tensor in ours.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-5)
        if not torch.equal(tensor, start[name]):
            changed.add(name)
    assert changed if not lora else changed == {name for name in start if "lora_" in name}


# -- passes ---------------------------------------------------------------------------------------


@EACH
def test_logits_of_the_whole_vocabulary_are_the_models_own(family: str, folder: Folder) -> None:
    """By the divergence from a teacher of another family, with caps and scales of its own."""
    teacher = load_model(str(folder("gemma2" if family == "cohere" else "cohere"))).eval()
    trained = learner(folder(family), "distill", tokens_per_micro_batch=400)
    forward = Forward(device="cpu", dtype="float32", temperature=0.7)
    (batch,) = trained._batches(_tokenized())
    found, apart = forward.with_divergences(trained.model, teacher, batch, "forward", 0.5)
    lines = (ids for _, completions in _in_order() for ids in completions)
    prompts = (prompt for prompt, completions in _in_order() for _ in completions)
    for row, (prompt, ids) in enumerate(zip(prompts, lines, strict=True)):
        whole = torch.tensor([[*prompt, *ids]])
        tables = [
            (model(input_ids=whole, use_cache=False).logits[0] / 0.7)[len(prompt) - 1 : -1]
            for model in (teacher, trained.model)
        ]
        p, q = (table.float().log_softmax(-1) for table in tables)
        own = q.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        torch.testing.assert_close(found[row, : len(ids)], own, rtol=1e-6, atol=1e-5)
        divergence = (p.exp() * (p - q)).sum(-1)
        torch.testing.assert_close(apart[row, : len(ids)], divergence, rtol=1e-5, atol=1e-5)


@EACH
def test_checkpointing_runs_each_layer_again_and_changes_nothing(
    family: str, folder: Folder
) -> None:
    kept, again = (
        learner(folder(family), "sft", gradient_checkpointing=on, tokens_per_micro_batch=400)
        for on in (False, True)
    )
    runs: list[str] = []
    for name, layer in again.model.named_modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.register_forward_pre_hook(lambda _, __, name=name: runs.append(name))
    drawn = groups(kept.model, ONES)
    first, second = (one.update(drawn, seed=1, version=1) for one in (kept, again))
    assert len(runs) == 2 * len(set(runs)) > 0
    assert second["loss"] == first["loss"]
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=1e-5)


@pytest.mark.parametrize("family", ["llama", "opt", "gemma2"])
def test_layers_that_accelerate_places_are_read_as_they_are(family: str, folder: Folder) -> None:
    """The hooks of `device_map`, as with several GPUs, around each part of the model and around it all."""
    trained = learner(folder(family), "sft", tokens_per_micro_batch=400)
    (batch,) = trained._batches(_tokenized())
    expected = trained.forward.logprobs(trained.model, batch)
    parts = {
        name: "cpu" for name, module in trained.model.named_modules() if list(module.parameters())
    }
    placed = dispatch_model(trained.model, {n: d for n, d in parts.items() if n}, force_hooks=True)
    assert hasattr(placed, "_hf_hook")
    assert torch.equal(trained.forward.logprobs(placed, batch), expected)


def test_a_model_with_more_than_a_body_and_a_head_is_refused_by_name(folder: Folder) -> None:
    class Other(GPT2LMHeadModel):
        def forward(self, input_ids: Any = None, **_: Any) -> Any:
            return self.lm_head(self.transformer.wte(input_ids))

    trained = learner(folder("gpt2"), "sft")
    trained.model.__class__ = Other
    with pytest.raises(
        ModelUnavailable, match="a model of type gpt2 cannot be trained: its logits"
    ):
        trained.update(groups(load_model(str(folder("gpt2"))), ONES), seed=1, version=1)


# -- dropout by choice ----------------------------------------------------------------------------

DROPPING = ("gpt2", "opt", "gpt_neox", "llama", "qwen2", "phi3", "falcon")


@pytest.mark.parametrize("family", DROPPING)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_a_supervised_objective_may_have_dropout(
    family: str, checkpointing: bool, folder: Folder
) -> None:
    """Then a loss depends on the seed, and on it alone; and what it is to learn from is read without."""
    made = [
        learner(folder(family), "rft", dropout=on, gradient_checkpointing=checkpointing)
        for on in (False, True)
    ]
    drawn = groups(made[0].model)
    off, first, again, other = (
        made[on].update(drawn, seed=seed, version=1)
        for on, seed in ((False, 1), (True, 1), (True, 1), (True, 2))
    )
    assert first["loss"] == again["loss"]
    assert len({one["loss"] for one in (off, first, other)}) == 3
    assert first["mismatch_kl"] == off["mismatch_kl"] == pytest.approx(0, abs=1e-9)
    assert not any(module.training for module in made[1].model.modules())


def _in_order() -> list[tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]]:
    """As a micro-batch has the groups: the shortest first."""
    return sorted(IDS, key=lambda group: len(group[0]) + max(map(len, group[1])))


def _tokenized() -> list[TokenGroup]:
    return [
        TokenGroup(prompt_ids=prompt, rows=[Row(token_ids=ids) for ids in completions], pairs=[])
        for prompt, completions in IDS
    ]
