"""Which floating-point numbers a model computes with."""

from __future__ import annotations

import torch


def multiplies_bfloat16(device: str) -> bool:
    """Whether the device has instructions for bfloat16; a CPU is asked by way of oneDNN.

    A CPU without them emulates bfloat16, and takes a hundred times as long as with float32.
    """
    return device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def chosen(dtype: str, device: str) -> str:
    """`float32` or `bfloat16`, for a configured one or `auto`: bfloat16 where the device multiplies it."""
    if dtype != "auto":
        return dtype
    return "bfloat16" if multiplies_bfloat16(device) else "float32"
