"""Numbers that are none: weights and logits with NaN or infinity, which stop a run."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

# By kind of number in a safetensors file: what holds its bits, and the bits of the exponent. NaN and
# infinity have all of them (IEEE 754).
EXPONENTS = {
    "F64": (np.uint64, 0x7FF0 << 48),
    "F32": (np.uint32, 0x7F80 << 16),
    "BF16": (np.uint16, 0x7F80),
    "F16": (np.uint16, 0x7C00),
}


class BrokenModel(RuntimeError):
    """A model computes or holds NaN or infinity; the message says which, where, and what to write."""


def not_finite(packed: bytes) -> list[str]:
    """Names of the tensors in a safetensors file that have NaN or infinity in them, in its order."""
    size = 8 + int.from_bytes(packed[:8], "little")
    tensors: dict[str, Any] = json.loads(packed[8:size])
    tensors.pop("__metadata__", None)
    found = []
    for name, tensor in tensors.items():
        start, end = tensor["data_offsets"]
        if tensor["dtype"] in EXPONENTS:
            kind, exponent = EXPONENTS[tensor["dtype"]]
            count = (end - start) // np.dtype(kind).itemsize
            bits = np.frombuffer(packed, kind, count, size + start) if count else np.empty(0, kind)
            if np.any((bits & kind(exponent)) == kind(exponent)):
                found.append(name)
    return found


def check_weights(packed: bytes, told: str) -> None:
    """Raises `BrokenModel`, in whose message the weights are `told`, if one of them is not finite."""
    if bad := not_finite(packed):
        raise BrokenModel(
            f"{told} are not finite: {len(bad)} tensors have NaN or infinity in them, {bad[0]} first; no "
            "policy takes them over, and the last checkpoint is whole: go on from there with a smaller "
            "agents.….learner.lr (coevo resume … --allow-changes)"
        )
