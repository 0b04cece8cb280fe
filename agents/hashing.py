"""Numbers made from words: the same in every process, and in every run."""

from __future__ import annotations

import hashlib


def number(*words: str | int) -> int:
    """62 bits that depend on the words alone."""
    text = "\x1f".join(map(str, words)).encode(errors="replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 2
