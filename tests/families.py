"""Small random models of the families that people train, made on the spot from transformers' configurations.

Every tensor is random, norms and biases too, and logits spread over several nats: a factor or a layer
that is left out shows. What a family has of its own (soft caps, scales, dropout, experts, states) has a
value at which it matters. Tokens are the tiny model's.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from agents.model_files import TINY

POSITIONS = 96  # of every family: prompt and completion together

_PLAIN = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": POSITIONS,
}  # fmt: skip
_HEADS = _PLAIN | {"head_dim": 8}
_EXPERTS = _HEADS | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

# What AutoConfig.for_model is given, by model type. Dropout stands where the family has any.
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS,
        "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
    },
    "opt": {
        "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "word_embed_proj_dim": 16, "max_position_embeddings": POSITIONS, "dropout": 0.1,
    },
    "gpt_neox": {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": POSITIONS, "hidden_dropout": 0.1,
        "attention_dropout": 0.1,
    },
    "llama": _PLAIN | {"attention_dropout": 0.1},
    "mistral": _HEADS | {"sliding_window": 8},
    "mixtral": _PLAIN | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2": _PLAIN | {"attention_dropout": 0.1},
    "qwen3": _HEADS | {"tie_word_embeddings": True},
    "qwen3_moe": _EXPERTS,
    "gemma2": _HEADS | {
        "final_logit_softcapping": 4.0, "attn_logit_softcapping": 3.0, "sliding_window": 8,
        "query_pre_attn_scalar": 8,
    },
    "gemma3_text": _HEADS | {
        "sliding_window": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 4.0,
    },
    "phi3": _PLAIN | {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attention_dropout": 0.1},
    "cohere": _PLAIN | {"logit_scale": 0.25, "use_qk_norm": False},
    "granite": _PLAIN | {
        "logits_scaling": 4.0, "residual_multiplier": 0.5, "embedding_multiplier": 3.0,
        "attention_multiplier": 0.3,
    },
    "olmo2": _PLAIN,
    "falcon": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "new_decoder_architecture": False, "multi_query": True, "parallel_attn": True,
        "hidden_dropout": 0.1, "attention_dropout": 0.1, "max_position_embeddings": POSITIONS,
    },
    "smollm3": _PLAIN | {"no_rope_layers": [1, 0], "use_sliding_window": False},
    "gpt_oss": _HEADS | {
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "mamba2": {
        "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 8,
        "n_groups": 1, "chunk_size": 8,
    },
    "qwen3_next": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 32,
        "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 2,
        "num_experts_per_tok": 1, "linear_num_value_heads": 2, "linear_num_key_heads": 2,
        "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        "max_position_embeddings": POSITIONS,
    },
}  # fmt: skip


def save_family(family: str, folder: Path, **changes: Any) -> Path:
    """Writes the model of a family, with the tiny model's tokenizer; `changes` go into its configuration."""
    small = AutoConfig.from_pretrained(TINY)
    ids = {name: getattr(small, name) for name in ("vocab_size", "pad_token_id", "eos_token_id")}
    settings = FAMILIES[family] | {**ids, "bos_token_id": None} | changes
    config = AutoConfig.for_model(family, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        _shake(model)
        model.save_pretrained(folder)
    for file in TINY.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


@torch.no_grad()
def _shake(model: Any) -> None:
    """Random values in place of those that a fresh model has, at which all its parts count."""
    table = model.get_input_embeddings().weight
    for name, parameter in model.named_parameters():
        if parameter is table:
            parameter.normal_(0, 1)
        elif parameter.dim() >= 2:
            parameter.normal_(0, 1.5 * parameter.shape[-1] ** -0.5)
        elif not name.endswith(("A_log", "dt_bias", ".D")):  # these are decays of a state
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
