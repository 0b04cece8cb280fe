"""Which models of transformers write text, and which can be trained, by their `config.json` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def misfit(config: Mapping[str, Any]) -> str:
    """Why the model of a `config.json` cannot write text from left to right with transformers; empty if it
    can, as far as its type tells."""
    from transformers import __version__
    from transformers.models.auto import modeling_auto as known

    name = config["model_type"]
    if name not in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return (
            f"transformers {__version__} has no causal language model of type {name!r}; write a model of "
            "a type that it has"
        )
    if config.get("is_encoder_decoder"):
        return (
            f"a model of type {name!r} has an encoder and a decoder; write a causal language model"
        )
    if name in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.get("is_decoder"):
        return (
            f"a model of type {name!r} is an encoder, whose tokens see those that follow them, so that it "
            "writes no text; write a causal language model"
        )
    return ""


def quantized(config: Mapping[str, Any]) -> str:
    """Why the model of a `config.json` cannot be trained; empty if its weights are not quantized."""
    if not (found := config.get("quantization_config")):
        return ""
    method = found.get("quant_method", "unknown") if isinstance(found, Mapping) else "unknown"
    return (
        f"its weights are quantized (quantization_config, {method}), and a learner needs them whole; write "
        "the model that it was made of, or save this one dequantized, in bfloat16"
    )
