"""Which layers get adapters: all linear ones of every family, and nothing that is misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents.learners import targets
from agents.learners.learner import Learner
from agents.learners.models import causal
from agents.learners.shared import SharedLearners
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from coevo.adapter_check import check_targets
from coevo.compose import compose
from coevo.config import ConfigError, LearnerConfig, LoraConfig
from tests.families import FAMILIES, save_family

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
GATED = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
NEOX = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
# Experts are tensors of three dimensions; PEFT cannot adapt Mamba's out_proj, nor a shared expert.
LAYERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "cohere", "granite"), GATED
    ),
    **dict.fromkeys(("olmo2", "smollm3"), GATED),
    **dict.fromkeys(("mixtral", "qwen3_moe", "gpt_oss"), ATTENTION),
    **dict.fromkeys(("gpt_neox", "falcon"), NEOX),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "project_in", "project_out"),
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "mamba2": ("in_proj",),
    "qwen3_next": (*ATTENTION, "in_proj_qkvz", "in_proj_ba", "out_proj", "shared_expert_gate"),
}
PROMPT = "S:7+5?"
LESSON = Group(
    problem_id="a",
    prompt=PROMPT,
    completions=(Completion(text="7+5=12#12", finish_reason="reference"),),
    rewards=(1.0,),
)


def config(*names: str, **changes: object) -> LearnerConfig:
    chosen = {"targets": list(names)} if names else {}
    values = {"objective": "sft", "lr": 1e-2, "threads": 1, **changes}
    return LearnerConfig(lora=LoraConfig(rank=2, alpha=4.0, **chosen), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_layers_have_adapters_that_a_policy_takes_over(
    family: str, tmp_path: Path
) -> None:
    """Named as they are without weights, in the blocks and not on the head; the sampled model changes as
    the trained one does."""
    folder = str(save_family(family, tmp_path))
    trained, policy = Learner(folder, config()), HFPolicy(folder)
    names = {
        name.split(".lora_A")[0] for name, _ in trained.model.named_parameters() if "lora_A" in name
    }
    expected = {f"base_model.model.{name}" for name in targets.of_folder(tmp_path)}
    assert names == expected
    assert {name.rpartition(".")[2] for name in names} == set(LAYERS[family])
    trained.update([LESSON], seed=1, version=1)
    policy.load_weights(trained.weights(), 1)
    ids = trained.tokenizer(PROMPT, return_tensors="pt").input_ids
    with torch.no_grad():
        drawn_from, learnt = (
            causal(of)(input_ids=ids).logits for of in (policy.model, trained.model)
        )
    torch.testing.assert_close(drawn_from, learnt, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "names", "expected"),
    [
        ("llama", ["q_prj"], "no linear layer q_prj; write some of q_proj, k_proj"),
        ("llama", ["q_proj", "c_attn"], "no linear layer c_attn; write some of q_proj"),
        ("phi3", ["q_proj", "o_proj"], "no linear layer q_proj; write some of .*qkv_proj"),
        ("llama", ["lm_head"], "no linear layer lm_head"),
        ("llama", ["embed_tokens"], "no linear layer embed_tokens"),
        ("mixtral", ["q_proj", "w1"], "no linear layer w1; write some of q_proj, k_proj"),
        ("mamba2", ["out_proj"], r"no linear layer out_proj; write some of in_proj, or \[all-linear\]"),
        ("qwen3_next", ["down_proj"], "no linear layer down_proj"),
        ("llama", ["all-linear", "q_proj"], "neither"),
        ("llama", [], "neither"),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_an_error_that_lists_what_there_is(
    family: str, names: list[str], expected: str, tmp_path: Path
) -> None:
    """At load, and before: of the configuration alone."""
    folder = save_family(family, tmp_path)
    lora = LoraConfig(rank=2, targets=names)
    with pytest.raises(ValueError, match=f"learner.lora.targets: .*{expected}"):
        Learner(str(folder), LearnerConfig(objective="sft", lora=lora))
    asked = compose([f"agents.solver.model={folder}", "agents.solver.learner.lora.rank=2"])
    asked.agents.solver.learner.lora.targets = names
    with pytest.raises(ConfigError, match=f"agents.solver.learner.lora.targets of .*{expected}"):
        check_targets(asked)


@pytest.mark.parametrize("names", [["c_attn"], ["h.0.attn.c_proj", "c_fc"], ["all-linear"]])
def test_what_there_is_passes(names: list[str], tmp_path: Path) -> None:
    folder = save_family("gpt2", tmp_path)
    asked = compose([f"agents.solver.model={folder}", "agents.solver.learner.lora.rank=2"])
    asked.agents.solver.learner.lora.targets = names
    check_targets(asked)
    made = Learner(str(folder), config(*names)).model
    found = {name for name, _ in made.named_parameters() if "lora_A" in name}
    assert all(any(f".{n}." in name for name in found) for n in names if n != "all-linear")
    assert found


def test_two_roles_on_one_base_have_layers_of_their_own(tmp_path: Path) -> None:
    """The second finds the model's layers beneath the first's adapters; each learns as it would alone."""
    folder = str(save_family("gpt2", tmp_path))
    roles = {"solver": config(), "generator": config("c_attn")}
    shared = SharedLearners({role: {"model": folder, "config": c} for role, c in roles.items()})
    for role, own in roles.items():
        alone, beside = Learner(folder, own), getattr(shared, role)
        for one in (alone, beside):
            one.update([LESSON], seed=1, version=1)
        assert beside.weights() == alone.weights()


def test_a_name_that_another_layer_has_too_is_written_out() -> None:
    """The last part of a name would reach PEFT's adapters to the head as well."""

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.up = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

    class Model(torch.nn.Module):
        config = LearnerConfig()

        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.out = torch.nn.ModuleList([Block()]), torch.nn.Linear(2, 3)

        def get_output_embeddings(self) -> torch.nn.Module:
            return self.out

    class Empty(Model):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.out = torch.nn.Linear(2, 3)

    Model.config.model_type = "none"  # type: ignore[attr-defined]
    assert targets.chosen(Model(), ["all-linear"]) == ["blocks.0.out", "up"]
    assert targets.chosen(Model(), ["out"]) == ["blocks.0.out"]
    with pytest.raises(ValueError, match=r"has no linear layer .* write lora\.rank=0"):
        targets.chosen(Empty(), ["all-linear"])
