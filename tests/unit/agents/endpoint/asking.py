"""An endpoint policy with short waits, and what it is asked."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from agents.policies import Prompt, Sampling
from agents.policies.endpoint import EndpointPolicy
from agents.records import Completion
from coevo.config import EndpointConfig
from environments.arithmetic import Arithmetic

PROBLEM = Arithmetic().sample(np.random.default_rng(7), {"level": 3})
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=64)
SENTINEL = "sk-sentinel-6c1f0e9d2b7a"


def prompts(count: int, **fields: Any) -> list[Prompt]:
    return [
        Prompt(text=f"question {i}", task="solve", problem=PROBLEM, **fields) for i in range(count)
    ]


def make(folder: Path, url: str, role: str = "teacher", **settings: Any) -> EndpointPolicy:
    """A policy with short waits."""
    short = {"timeout": 5.0, "retries": 2, "backoff": 0.01, "backoff_max": 0.05}
    config = EndpointConfig(url=url, **{**short, **settings})
    return EndpointPolicy("model-a", config, role, folder / "cache.db", folder / "ledger.db")


def ask(policy: EndpointPolicy, count: int = 1, sampling: Sampling = SAMPLING) -> list[Completion]:
    drawn = policy.sample(prompts(count), 1, sampling, list(range(count)))
    return [completion for (completion,) in drawn]


def attempts(folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "ledger.db") as db:
        return db.execute(f"SELECT {','.join(columns)} FROM attempts ORDER BY id").fetchall()


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"
