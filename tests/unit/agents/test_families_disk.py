"""What twenty families write to disk and hand over is read back bit for bit."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from agents.learners import models
from agents.learners.learner import Learner
from agents.learners.on_disk import CheckpointDiffers
from agents.model_loading import ModelUnavailable, load_model
from agents.policies.hf import HFPolicy
from tests.families import save_family
from tests.unit.agents.families_learning import EACH, LORA, Folder, groups, learner

BOTH = pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
SETTINGS: dict[str, Any] = {"lr": 1e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("families")
    return functools.cache(lambda family: save_family(family, root / family))


def everything(trained: Learner) -> dict[str, torch.Tensor]:
    """A copy of every tensor of the model and of the optimizer."""
    state = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    for index, slots in trained.optimizer.state_dict()["state"].items():
        state |= {f"optimizer {index} {name}": value.clone() for name, value in slots.items()}
    return state


def assert_same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@EACH
@BOTH
def test_a_checkpoint_is_read_back_bit_for_bit(
    family: str, lora: bool, folder: Folder, tmp_path: Path
) -> None:
    """One learner takes two steps; another takes over the checkpoint between them and takes the second."""
    trained = learner(folder(family), "grpo", lora, **SETTINGS)
    drawn = groups(trained.model)
    before = everything(trained)
    trained.update(drawn, seed=1, version=1)
    assert any(not torch.equal(before[name], everything(trained)[name]) for name in before)
    trained.save(tmp_path)
    again = learner(folder(family), "grpo", lora, **SETTINGS)
    again.load(tmp_path, 1)
    assert_same(everything(trained), everything(again))
    for one in (trained, again):
        one.update(drawn, seed=2, version=2)
    assert_same(everything(trained), everything(again))


@EACH
@BOTH
def test_a_policy_has_the_learners_weights_bit_for_bit(
    family: str, lora: bool, folder: Folder
) -> None:
    trained = learner(folder(family), "grpo", lora, **SETTINGS)
    trained.update(groups(trained.model), seed=1, version=1)
    policy = HFPolicy(str(folder(family)))
    policy.load_weights(trained.weights(), 1)
    assert_same(trained.model.state_dict(), policy.model.state_dict())


@EACH
def test_other_engines_are_given_what_a_models_files_hold(
    family: str, folder: Folder, tmp_path: Path
) -> None:
    """A hand-over renamed for vLLM, put where the model's weights were, is read as the learner's."""
    trained = learner(folder(family), "grpo", **SETTINGS)
    trained.update(groups(trained.model), seed=1, version=1)
    handed = safetensors.torch.load(trained.weights(as_in_files=True))
    published = safetensors.torch.load_file(folder(family) / "model.safetensors")
    assert handed.keys() == published.keys()
    shutil.copytree(folder(family), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    safetensors.torch.save_file(handed, file, metadata={"format": "pt"})
    read = load_model(str(tmp_path / "model"), dtype=torch.float32)
    assert_same(trained.model.state_dict(), read.state_dict())
    if family == "mixtral":
        assert "model.layers.0.block_sparse_moe.experts.3.w2.weight" in handed


@EACH
def test_merged_adapters_are_a_whole_model(family: str, folder: Folder, tmp_path: Path) -> None:
    """W + B A · alpha / rank of each adapted layer, and every other weight, in float32 as the base."""
    trained = learner(folder(family), "grpo", lora=True, **SETTINGS)
    trained.update(groups(trained.model), seed=1, version=1)
    trained.save(tmp_path / "adapters")
    models.merge(str(folder(family)), tmp_path / "adapters", tmp_path / "merged")
    merged = load_model(str(tmp_path / "merged"), dtype=torch.float32).state_dict()
    expected = load_model(str(folder(family)), dtype=torch.float32).state_dict()
    adapted = 0
    for name, module in models.causal(trained.model).named_modules():
        if not hasattr(module, "lora_A"):
            continue
        (a,), (b,) = module.lora_A.values(), module.lora_B.values()
        update = (b.weight @ a.weight).detach() * LORA.alpha / LORA.rank
        if type(module.get_base_layer()).__name__ == "Conv1D":  # GPT-2's are (input, output)
            update = update.T
        assert update.abs().max() > 1e-3
        expected[f"{name}.weight"] = expected[f"{name}.weight"] + update
        adapted += 1
    assert adapted
    assert merged.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(merged[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_a_large_model_is_several_files(
    family: str, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LARGEST_FILE", "20KB")
    trained = learner(folder(family), "sft", **SETTINGS)
    trained.update(groups(trained.model), seed=1, version=1)
    trained.save(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    again = learner(folder(family), "sft")
    again.load(tmp_path, 1)
    assert_same(everything(trained), everything(again))


def test_a_generation_configuration_that_transformers_refuses_to_write(tmp_path: Path) -> None:
    folder = save_family("qwen2", tmp_path / "model")
    settings = {"eos_token_id": [1, 7], "temperature": 0.7, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    learner(folder, "sft").save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert settings.items() <= saved.items()


def test_a_tensor_that_is_not_there_is_no_random_one(folder: Folder, tmp_path: Path) -> None:
    trained = learner(folder("llama"), "sft")
    trained.save(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    del state["model.layers.1.mlp.up_proj.weight"]
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"lack 1 tensors .*layers\.1\.mlp\.up_proj"):
        trained.load(tmp_path, 0)


@EACH
def test_a_tensor_that_has_no_place_is_not_left_out(
    family: str, folder: Folder, tmp_path: Path
) -> None:
    trained = learner(folder(family), "sft")
    trained.save(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    state["model.layers.0.strange.weight"] = torch.ones(2)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"hold 1 tensors .*strange\.weight"):
        trained.load(tmp_path, 0)


def test_a_tensor_of_another_shape_is_refused(folder: Folder, tmp_path: Path) -> None:
    trained = learner(folder("llama"), "sft")
    trained.save(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    state["model.norm.weight"] = torch.ones(5)
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelUnavailable, match=r"model\.norm\.weight: \(5,\) where a LlamaForCausalLM has \(32,\)"
    ):
        trained.load(tmp_path, 0)


def test_adapters_of_another_shape_are_refused(folder: Folder, tmp_path: Path) -> None:
    trained = learner(folder("llama"), "sft", lora=True)
    trained.save(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    state = safetensors.torch.load_file(file)
    state.pop(next(iter(state)))
    safetensors.torch.save_file(state, file)
    with pytest.raises(RuntimeError, match="adapters do not fit"):
        trained.load(tmp_path, 0)


# -- the first checkpoint of a run is read back ---------------------------------------------------


@BOTH
def test_reading_back_changes_nothing(lora: bool, folder: Folder, tmp_path: Path) -> None:
    trained = learner(folder("mixtral"), "grpo", lora, **SETTINGS)
    drawn = groups(trained.model)
    trained.update(drawn, seed=1, version=1)
    trained.save(tmp_path)
    before = everything(trained)
    trained.read_back(tmp_path)
    assert_same(before, everything(trained))
    assert (trained.version, trained.steps) == (1, 1)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
def test_a_checkpoint_that_is_not_the_learner_is_found(
    file: str, folder: Folder, tmp_path: Path
) -> None:
    trained = learner(folder("llama"), "grpo", **SETTINGS)
    trained.update(groups(trained.model), seed=1, version=1)
    trained.save(tmp_path)
    with safetensors.safe_open(tmp_path / file, "pt") as opened:
        metadata = opened.metadata()
    state = safetensors.torch.load_file(tmp_path / file)
    name = sorted(state)[3]
    state[name].view(-1)[0] += 1
    safetensors.torch.save_file(state, tmp_path / file, metadata=metadata)
    with pytest.raises(CheckpointDiffers, match="llama"):
        trained.read_back(tmp_path)
