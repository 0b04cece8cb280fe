"""A model is data: no class, kernel or pickle that it brings along is ever run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.learners import models
from agents.model_files import TINY, ModelUnavailable, model_folder
from agents.model_loading import load_model, load_tokenizer


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mknod, (self.path,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny model, with a module whose import leaves a marker."""
    copy = tmp_path / "model"
    shutil.copytree(TINY, copy)
    code = f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Evil: pass\n"
    (copy / "evil.py").write_text(code)
    return copy


def edit(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


AUTO_MAP = {name: "evil.Evil" for name in ("AutoConfig", "AutoModelForCausalLM")}


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"auto_map": AUTO_MAP}),
        ("config.json", {"model_type": "evil", "auto_map": AUTO_MAP}),
        ("config.json", {"text_config": {"deep": [{"auto_map": AUTO_MAP}]}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}),
        ("config.json", {"attn_implementation": "evil/kernel"}),
        ("config.json", {"attn_implementation": {"": "evil/kernel@main:f"}}),
        ("config.json", {"experts_implementation": "evil/kernel"}),
    ],
)
def test_a_folder_that_names_code_is_refused(
    file: str, values: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    edit(folder / file, **values)
    for load in (model_folder, load_model, load_tokenizer):
        with pytest.raises(ModelUnavailable, match=rf"{file} names code \(.*never run here"):
            load(str(folder))
    assert not (tmp_path / "was-run").exists()


def test_a_folder_of_data_is_loaded_whatever_lies_beside(folder: Path, tmp_path: Path) -> None:
    assert load_model(str(folder)).config.model_type == "llama"
    assert load_tokenizer(str(folder)).vocab_size == load_tokenizer("tiny").vocab_size
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth"])
def test_a_pickle_is_never_loaded(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / name).write_bytes(pickle.dumps(Touch(tmp_path / "was-run")))
    load_model(str(folder))  # the safetensors beside it
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=f"{name} is a pickle"):
        load_model(str(folder))
    assert not (tmp_path / "was-run").exists()


def test_adapters_that_name_a_base_are_no_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/repo"}')
    with pytest.raises(ModelUnavailable, match="holds adapters and names another model"):
        model_folder(str(folder))


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"{", b" " * (2**23 + 1)])
def test_a_configuration_that_is_none_is_one_message(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"config\.json (cannot be read|is no config)"):
        model_folder(str(folder))


def test_a_pipe_in_a_model_s_folder_does_not_block(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    os.mkfifo(folder / "tokenizer_config.json")
    with pytest.raises(ModelUnavailable, match="expected a file"):
        model_folder(str(folder))


# -- the hub, as it lies in its cache -------------------------------------------------------------


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options under which `org/model` is the folder, as the hub's cache keeps it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--org--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(folder)
    return {"cache_dir": tmp_path / "hub", "local_files_only": True}


def test_code_on_the_hub_is_left_where_transformers_has_the_model_itself(
    folder: Path, hub: dict[str, Any], tmp_path: Path
) -> None:
    """What is saved then names no code either, so that it can be resumed and exported."""
    edit(folder / "config.json", auto_map=AUTO_MAP)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]})
    load_model("org/model", **hub).save_pretrained(tmp_path / "saved")
    load_tokenizer("org/model", **hub).save_pretrained(tmp_path / "saved")
    for file in (tmp_path / "saved").glob("*.json"):
        assert "auto_map" not in file.read_text(), file
    model_folder(str(tmp_path / "saved"))
    assert not (tmp_path / "was-run").exists()


def test_a_model_on_the_hub_that_needs_its_code_is_refused(
    folder: Path, hub: dict[str, Any], tmp_path: Path
) -> None:
    edit(folder / "config.json", model_type="evil", auto_map=AUTO_MAP)
    with pytest.raises(ModelUnavailable, match="org/model needs code of its own"):
        load_model("org/model", **hub)
    assert not (tmp_path / "was-run").exists()


# -- adapters of a checkpoint ---------------------------------------------------------------------


def test_adapters_are_merged_without_what_else_their_configuration_asks_for(tmp_path: Path) -> None:
    """PEFT's own loading would make another kind of adapter, with the tokenizer named in it."""
    from peft import LoraConfig

    settings = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    model = models.with_adapters(load_model("tiny"), settings)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.5)
    models.save(model, tmp_path / "adapters", model.state_dict())
    models.merge("tiny", tmp_path / "adapters", tmp_path / "plain")
    edit(
        tmp_path / "adapters" / "adapter_config.json",
        peft_type="PROMPT_TUNING",
        prompt_tuning_init="TEXT",
        tokenizer_name_or_path=str(tmp_path / "evil"),
        tokenizer_kwargs={"trust_remote_code": True},
        base_model_name_or_path="evil/repo",
    )
    models.merge("tiny", tmp_path / "adapters", tmp_path / "merged")
    merged = (tmp_path / "merged" / "model.safetensors").read_bytes()
    assert merged == (tmp_path / "plain" / "model.safetensors").read_bytes()
    base = load_model("tiny").state_dict()["model.layers.0.self_attn.q_proj.weight"]
    own = load_model(str(tmp_path / "merged")).state_dict()[
        "model.layers.0.self_attn.q_proj.weight"
    ]
    assert not base.allclose(own.to(base.dtype))


def test_tensors_of_another_shape_are_named(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=40)
    told = r"have another shape.*such as model\.layers\.0\.mlp\.down_proj\.weight: \(\d+, \d+\)"
    with pytest.raises(ModelUnavailable, match=told):
        load_model(str(folder))


def test_a_package_that_a_format_of_weights_needs_is_named(folder: Path) -> None:
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    edit(folder / "config.json", quantization_config=gptq)
    with pytest.raises(ModelUnavailable, match=r"needs a package that is not installed.*optimum"):
        load_model(str(folder))
