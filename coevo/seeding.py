"""All randomness of a run: numbers derived from the seed and what they are for, never from state.

So a resumed run draws what the uninterrupted one would have, and no generator need be saved.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit number for a purpose, such as `derive(seed, "rollout", round, problem.id)`."""
    text = "\x1f".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A random generator for a purpose."""
    return np.random.default_rng(derive(seed, *purpose))
