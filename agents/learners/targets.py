"""Which layers of a model get LoRA adapters: all linear ones, or those that are named.

As PEFT's `all-linear` has it, the head gets none. Experts that are one tensor of three dimensions are
no linear layers. Left out is what PEFT cannot adapt: layers whose weights a model reads past the layer
(Mamba's `out_proj`), and, in mixtures of experts, layers beside the experts that are called as they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ALL = "all-linear"
# What PEFT refuses (`_check_lora_target_modules_mamba`): fused kernels read these weights themselves.
READ_PAST = {
    kind: ("out_proj", "conv1d")
    for kind in ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")
}


def chosen(model: Any, targets: Sequence[str]) -> list[str]:
    """PEFT's `target_modules`: the last parts of the layers' names, or the whole ones where that part is
    another layer's too. `model` is the causal language model, with or without adapters.

    Raises `ValueError` on a target that is no linear layer of the model; the message lists those.
    """
    layers = linear(model)
    if (found := unknown(layers, targets)) is not None:
        raise ValueError(f"learner.lora.targets: {found}")
    by_leaf = defaultdict(list)
    for name in layers:
        if any(_matches(name, target) for target in targets):
            by_leaf[_leaf(name)].append(name)
    everything = [name for name, _ in _modules(model)]
    result: list[str] = []
    for leaf, names in by_leaf.items():
        others = {name for name in everything if _leaf(name) == leaf} - set(names)
        result += names if others else [leaf]
    return result


def linear(model: Any) -> list[str]:
    """The names of the layers that can have an adapter."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    left_out = {*READ_PAST.get(model.config.model_type, ()), *_of_experts(model.config.model_type)}
    return [
        name
        for name, module in _modules(model)
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and not type(module).__name__.endswith("Router")  # these return more than a layer does
        and _leaf(name) not in left_out
    ]


def _of_experts(kind: str) -> Iterable[str]:
    """Names that PEFT takes for the experts' of older checkpoints, whatever layer has them now."""
    from peft.utils import transformers_weight_conversion as conversion

    pattern = conversion._MODEL_TO_CONVERSION_PATTERN.get(kind)
    return conversion._MOE_TARGET_MODULE_MAPPING.get(pattern, ())


def unknown(layers: Sequence[str], targets: Sequence[str]) -> str | None:
    """What is wrong with targets, given the names of the linear layers; None if nothing is."""
    if not layers:
        return "the model has no linear layer that can have an adapter; write lora.rank=0"
    known = ", ".join(dict.fromkeys(map(_leaf, layers)))
    if not targets or (ALL in targets and len(targets) > 1):
        return f"{list(targets)} is neither [{ALL}] nor some of {known}"
    missing = [target for target in targets if not any(_matches(name, target) for name in layers)]
    if missing:
        return (
            f"the model has no linear layer {', '.join(missing)}; write some of {known}, or [{ALL}]"
        )
    return None


def of_folder(folder: Path) -> list[str]:
    """As `linear`, of the model in a folder, without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"):
        return linear(AutoModelForCausalLM.from_config(config, trust_remote_code=False))


def _modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Every module by its name in the model; of one with adapters the layer that they are beside."""
    inside = None
    for name, module in model.named_modules():
        if inside is not None and name.startswith(inside):
            continue
        inside = f"{name}." if hasattr(module, "get_base_layer") else None
        yield name, module.get_base_layer() if inside else module


def _matches(name: str, target: str) -> bool:
    """As PEFT has it: a whole name, or its last parts."""
    return target == ALL or f".{name}".endswith(f".{target}")


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
