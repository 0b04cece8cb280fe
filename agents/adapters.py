"""LoRA adapters (Hu et al., arXiv 2106.09685) as they travel: tensors and settings in one piece.

The bytes are a safetensors file as PEFT writes it, with PEFT's `adapter_config.json` in its
metadata; so a policy needs nothing else to take an adapter over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import safetensors.torch

if TYPE_CHECKING:
    import torch

KEY = "adapter_config"


def pack(tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> bytes:
    """An adapter's tensors, by PEFT's names, and its settings as bytes."""
    return safetensors.torch.save(dict(tensors), metadata={KEY: json.dumps(dict(settings))})


def adapter_config(weights: bytes) -> dict[str, Any] | None:
    """The settings of an adapter; None for the weights of a whole model."""
    length = int.from_bytes(weights[:8], "little")
    metadata = json.loads(weights[8 : 8 + length]).get("__metadata__") or {}
    return json.loads(metadata[KEY]) if KEY in metadata else None
