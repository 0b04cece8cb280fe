"""Sizes of models: exact totals, KV caches and adapters, from files and from the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.model_files import PARAMETERS, TINY
from coevo import architecture
from coevo.architecture import KNOWN, find, parse
from tests.families import FAMILIES, save_family


@pytest.mark.parametrize(
    ("model", "total"),
    [
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-1.7B", 1_720_574_976),
        ("Qwen/Qwen3-4B", 4_022_468_096),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("Qwen/Qwen3-8B-Base", 8_190_735_360),
        ("Qwen/Qwen3-14B", 14_768_307_200),
        ("Qwen/Qwen3-32B", 32_762_123_264),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 235_093_634_560),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", PARAMETERS),
        ("HuggingFaceTB/SmolLM2-1.7B", 1_711_376_384),
        ("smollm2", PARAMETERS),
    ],
)
def test_published_totals(model: str, total: int) -> None:
    assert KNOWN[model].parameters == total


def test_the_total_of_qwen3_06b_by_hand() -> None:
    """Embedding 151,936 · 1,024 = 155,582,464, shared with the head. Each of 28 layers: queries and
    output 2 · 1,024 · 2,048 = 4,194,304; keys and values 2 · 1,024 · 1,024 = 2,097,152; norms of
    queries and keys 2 · 128 = 256; MLP 3 · 1,024 · 3,072 = 9,437,184; norms 2 · 1,024 = 2,048:
    15,730,944. Last norm 1,024. Sum 155,582,464 + 28 · 15,730,944 + 1,024 = 596,049,920."""
    assert KNOWN["Qwen/Qwen3-0.6B"].parameters == 155_582_464 + 28 * 15_730_944 + 1_024


def test_the_tiny_models_total_is_that_of_its_weights() -> None:
    header = (TINY / "model.safetensors").read_bytes()
    tensors = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    sizes = []
    for name, tensor in tensors.items():
        if name != "__metadata__":
            size = 1
            for side in tensor["shape"]:
                size *= side
            sizes.append(size)
    model = find("tiny")
    assert model is not None
    assert model.parameters == sum(sizes)


def test_transformers_counts_the_same() -> None:
    """Kinds of layers that no shipped model has: biases, and experts beside few heads."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    common = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 70,
        "max_position_embeddings": 64, "head_dim": 8,
    }  # fmt: skip
    variants = [
        {"model_type": "llama", "tie_word_embeddings": True, "mlp_bias": True},
        {"model_type": "llama", "attention_bias": True, "tie_word_embeddings": False},
        {"model_type": "mistral", "tie_word_embeddings": False},
        {"model_type": "qwen2", "tie_word_embeddings": True},
        {"model_type": "qwen3", "tie_word_embeddings": False, "attention_bias": True},
        {
            "model_type": "qwen3_moe", "num_experts": 6, "num_experts_per_tok": 2,
            "moe_intermediate_size": 16, "tie_word_embeddings": False,
        },
    ]  # fmt: skip
    for variant in variants:
        config = common | variant
        with torch.device("meta"):
            made = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        assert parse(config).parameters == sum(p.numel() for p in made.parameters()), variant


@pytest.mark.parametrize("family", FAMILIES)
def test_any_family_is_counted(family: str, tmp_path: Path) -> None:
    """Parameters and adapters against the model itself, PEFT's adapters among them."""
    from agents.learners.learner import Learner
    from coevo.config import LearnerConfig, LoraConfig

    folder = save_family(family, tmp_path)
    found = find(str(folder))
    assert found is not None
    trained = Learner(str(folder), LearnerConfig(objective="sft", lora=LoraConfig(rank=4)))
    numbers = {True: 0, False: 0}
    for parameter in trained.model.parameters():
        numbers[parameter.requires_grad] += parameter.numel()
    assert found.parameters == numbers[False]
    adapters = found.adapters(4, ["all-linear"])
    assert sum(weight.copies * weight.size for weight in adapters) == numbers[True]


def test_layers_without_keys_and_values_have_no_cache(tmp_path: Path) -> None:
    """Of Qwen3-Next's two layers one attends, with one KV head of 16; of Mamba 2's none does."""
    sizes = {}
    for family in ("qwen3_next", "mamba2"):
        found = find(str(save_family(family, tmp_path / family)))
        assert found is not None
        sizes[family] = found.cache_elements()
    assert sizes == {"qwen3_next": 2 * 16, "mamba2": 0}


def test_the_kv_cache_of_qwen3_8b() -> None:
    """2 · 36 layers · 8 heads · 128 = 73,728 elements a token: 144 KiB in bfloat16."""
    assert KNOWN["Qwen/Qwen3-8B"].cache_elements() == 73_728


def test_adapters_of_qwen3_8b() -> None:
    """Rank 64: 64 · (inputs + outputs) of each layer. q and o: 2 · (4,096 + 4,096); k and v:
    2 · (4,096 + 1,024); gate, up, down: 3 · (4,096 + 12,288). 75,776 · 64 · 36 = 174,587,904."""
    model = KNOWN["Qwen/Qwen3-8B"]
    every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert sum(w.copies * w.size for w in model.adapters(64, every)) == 174_587_904
    two = sum(w.copies * w.size for w in model.adapters(8, ["q_proj", "v_proj"]))
    assert two == 8 * 36 * (8_192 + 5_120)
    assert model.adapters(0, every) == []


def test_a_folder_comes_first(tmp_path: Path) -> None:
    config = json.loads((TINY / "config.json").read_text()) | {"vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = find(str(tmp_path))
    assert model is not None
    assert (model.vocabulary, model.head_dim, model.positions) == (100, 32, 512)


def test_the_hugging_face_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--someone--model"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    text = (TINY / "config.json").read_text()
    (folder / "snapshots" / commit / "config.json").write_text(text)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model, tiny = find("someone/model"), find("tiny")
    assert model is not None and model == tiny
    assert find("someone/other") is None
    assert find("a/b/c") is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "mamba"}, "type 'mamba' are not known, only llama"),
        ({}, "type None"),
        ({"model_type": "llama", "num_attention_heads": 4}, "lacks 'hidden_size'"),
        ({"model_type": "qwen3_moe", "mlp_only_layers": [0]}, "some of its layers are dense"),
    ],
)
def test_what_cannot_be_sized_is_said(config: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse(config)


def test_a_damaged_config_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        architecture.find(str(tmp_path))
