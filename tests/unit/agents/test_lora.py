"""LoRA adapters: what is trained, what is frozen, and how adapters travel and are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from agents import adapters
from agents.learners.learner import Learner
from agents.learners.models import causal, merge
from agents.model_files import TINY
from agents.model_loading import load_model, load_settings
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from coevo.config import LearnerConfig, LoraConfig
from environments.arithmetic import Arithmetic

PROMPT = "S:7+5-3+8?"
TEXT = "7+5=12;12-3=9;9+8=17#17"
LESSON = Group(
    problem_id="a",
    prompt=PROMPT,
    completions=(Completion(text=TEXT, finish_reason="reference"),),
    rewards=(1.0,),
)


def learner(rank: int = 4, **values: object) -> Learner:
    values = {"objective": "sft", "lr": 1e-2, "epochs": 2, **values}
    share = values.pop("lora_dropout", 0.0)
    lora = LoraConfig(rank=rank, alpha=8, dropout=share)  # type: ignore[arg-type]
    return Learner("tiny", LearnerConfig(lora=lora, **values))  # type: ignore[arg-type]


def state(of: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in of.model.state_dict().items()}


def logprob(policy: HFPolicy, trained: Learner) -> float:
    """Of the lesson's text, by the learner's forward on the policy's weights."""
    ids = trained.tokenizer(PROMPT + TEXT, add_special_tokens=False, return_tensors="pt").input_ids
    start = len(trained.tokenizer(PROMPT, add_special_tokens=False).input_ids)
    table = causal(policy.model)(input_ids=ids).logits[0].log_softmax(-1)
    return sum(table[i - 1, ids[0, i]].item() for i in range(start, ids.shape[1]))


def test_adapters_are_trained_and_the_base_is_frozen() -> None:
    trained = learner()
    before = state(trained)
    metrics = trained.update([LESSON], seed=1, version=1)
    after = state(trained)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if ".lora_" in name}
    assert metrics["loss"] > 0
    again = trained.update([LESSON], seed=2, version=2)
    assert again["loss"] < metrics["loss"]


def test_an_adapter_is_a_small_piece_that_says_what_it_is() -> None:
    whole, small = Learner("tiny", LearnerConfig(objective="sft")).weights(), learner().weights()
    assert adapters.adapter_config(whole) is None
    settings = adapters.adapter_config(small)
    assert settings is not None
    assert (settings["r"], settings["lora_alpha"], settings["peft_type"]) == (4, 8, "LORA")
    layers = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    assert settings["target_modules"] == list(layers)
    assert len(small) < len(whole) / 4


def test_a_policy_takes_adapters_over_again_and_again() -> None:
    trained, policy = learner(), HFPolicy("tiny")
    values = [logprob(policy, trained)]
    for version in (1, 2):
        trained.update([LESSON], seed=version, version=version)
        policy.load_weights(trained.weights(), version)
        values.append(logprob(policy, trained))
        own = causal(trained.model)
        ids = trained.tokenizer(PROMPT, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            expected = own(input_ids=ids).logits
        assert torch.equal(causal(policy.model)(input_ids=ids).logits, expected)
    assert values[0] < values[1] < values[2]
    problem = Arithmetic().parse_problem("7+5-3+8")
    prompt = Prompt(text=PROMPT, task="solve", problem=problem)  # type: ignore[arg-type]
    ((drawn,),) = policy.sample([prompt], 1, Sampling(temperature=0, max_tokens=32), [0])
    assert drawn.text == TEXT
    assert drawn.policy_version == 2


def test_another_rank_is_refused() -> None:
    policy = HFPolicy("tiny")
    policy.load_weights(learner(rank=4).weights(), 1)
    with pytest.raises(RuntimeError):
        policy.load_weights(learner(rank=8).weights(), 2)


def test_unknown_targets_are_named() -> None:
    lora = LoraConfig(rank=2, targets=["q_prj"])
    with pytest.raises(ValueError, match="q_prj"):
        Learner("tiny", LearnerConfig(lora=lora))


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_checkpoint_goes_on_bit_for_bit(tmp_path: Path, optimizer: str, dropout: float) -> None:
    values = {"optimizer": optimizer, "lora_dropout": dropout, "dropout": dropout > 0}
    straight = learner(**values)  # type: ignore[arg-type]
    straight.update([LESSON], seed=1, version=1)
    straight.save(tmp_path)
    straight.update([LESSON], seed=2, version=2)
    resumed = learner(**values)  # type: ignore[arg-type]
    resumed.load(tmp_path, 1)
    resumed.update([LESSON], seed=2, version=2)
    assert resumed.weights() == straight.weights()


def test_merged_weights_answer_as_base_and_adapters_do(tmp_path: Path) -> None:
    trained = learner()
    trained.update([LESSON], seed=1, version=1)
    trained.save(tmp_path / "adapters")
    merge("tiny", tmp_path / "adapters", tmp_path / "merged")
    one, two = HFPolicy(str(tmp_path / "merged")), HFPolicy("tiny")
    two.load_weights(trained.weights(), 1)
    assert logprob(one, trained) == pytest.approx(logprob(two, trained), abs=1e-4)
    assert logprob(one, trained) > logprob(HFPolicy("tiny"), trained) + 0.1


@pytest.mark.parametrize("rank", [0, 4])
def test_checkpointing_gives_the_same_gradients(rank: int) -> None:
    plain, saving = learner(rank), learner(rank, gradient_checkpointing=True)
    group = Group(
        problem_id="a",
        prompt=PROMPT,
        completions=tuple(
            Completion(text=text, finish_reason="reference") for text in (TEXT, "7+5=13#13")
        ),
        rewards=(1.0, 0.5),
    )
    runs: list[object] = []
    for layer in causal(saving.model).model.layers:
        layer.register_forward_pre_hook(lambda layer, _: runs.append(layer))
    first, second = (one.update([group], 1, 1, epochs=1) for one in (plain, saving))
    assert second["loss"] == pytest.approx(first["loss"], abs=1e-6)
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=1e-4)
    assert len(runs) == 2 * len(set(runs)) == 2 * len(causal(saving.model).model.layers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merged_weights_are_stored_as_the_models_own(dtype: torch.dtype, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    load_model("tiny", dtype=dtype).save_pretrained(base)
    learner().save(tmp_path / "adapters")
    merge(str(base), tmp_path / "adapters", tmp_path / "merged")
    assert load_settings(str(tmp_path / "merged"))[0].dtype == dtype
    assert {
        one.dtype for one in load_model(str(tmp_path / "merged"), dtype="auto").parameters()
    } == {dtype}
