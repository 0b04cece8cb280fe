"""GPUs of this machine."""

from __future__ import annotations


def visible() -> int:
    """How many torch sees, which is what `CUDA_VISIBLE_DEVICES` leaves of them; imports torch."""
    import torch

    return torch.cuda.device_count()
