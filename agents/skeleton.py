"""The tensors of a model that transformers has, counted without its weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Of configurations that differ in the names of sizes, what transformers' `attribute_map` does not unify.
INTERMEDIATE = (
    "intermediate_size",
    "ffn_dim",
    "n_inner",
    "ffn_hidden_size",
    "moe_intermediate_size",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """`copies` parameters of one name (its last part but `weight`) and shape; of a linear layer
    (output, input)."""

    name: str
    shape: tuple[int, ...]
    copies: int
    linear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Sizes in elements; `attention` is how many layers keep keys and values."""

    kind: str
    tensors: tuple[Tensor, ...]
    hidden: int
    layers: int
    attention: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool


def of_folder(folder: Path) -> Skeleton:
    """Of the causal language model in a folder. Raises `ValueError` if transformers has no such model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        whole = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(whole, trust_remote_code=False)
    except Exception as error:  # a configuration is read by the model's own code
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"transformers makes no causal language model of it ({told[0]})"
        ) from error
    config = whole.get_text_config()
    hidden, heads = config.hidden_size, getattr(config, "num_attention_heads", 0) or 0
    kinds = getattr(config, "layer_types", None) or ["attention" if heads else "state"] * (
        config.num_hidden_layers
    )
    return Skeleton(
        kind=whole.model_type,
        tensors=_tensors(model),
        hidden=hidden,
        layers=config.num_hidden_layers,
        attention=sum("attention" in kind and "linear" not in kind for kind in kinds),
        heads=heads,
        kv_heads=_kv_heads(config, heads),
        head_dim=getattr(config, "head_dim", None) or (hidden // heads if heads else 0),
        intermediate=next(
            (size for name in INTERMEDIATE if (size := getattr(config, name, None))), 4 * hidden
        ),
        vocabulary=config.vocab_size,
        tied=bool(config.tie_word_embeddings),
    )


def _kv_heads(config: Any, heads: int) -> int:
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", 0):
        return 1  # Falcon
    return getattr(config, "num_key_value_heads", None) or heads


def _tensors(model: Any) -> tuple[Tensor, ...]:
    from transformers.pytorch_utils import Conv1D

    from agents.learners.targets import linear

    modules = dict(model.named_modules())
    adaptable = set(linear(model))
    found: Counter[tuple[str, tuple[int, ...], bool]] = Counter()
    for name, parameter in model.named_parameters():  # a tied head once
        owner, _, last = name.rpartition(".")
        shape = tuple(parameter.shape)
        is_linear = last == "weight" and owner in adaptable
        if is_linear and isinstance(modules[owner], Conv1D):
            shape = shape[::-1]
        if parameter is model.get_input_embeddings().weight:
            told = "embed_tokens"
        else:
            told = owner.rpartition(".")[2] if last == "weight" else name.rpartition(".")[2]
        found[told, shape, is_linear] += 1
    return tuple(
        Tensor(name=name, shape=shape, copies=copies, linear=is_linear)
        for (name, shape, is_linear), copies in found.items()
    )
