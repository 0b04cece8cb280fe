"""Run folders as a stranger could make them: whole enough to be opened, hostile where a test says."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from agents.records import Attempt, Completion, PreferencePair
from coevo import checkpoint, compose
from coevo.config import Config
from coevo.store import Store
from environments import Problem
from environments.arithmetic import Arithmetic

WORLD = Arithmetic()


@cache
def _default() -> Config:
    return compose.compose(["runtime=inline", "tracker.wandb.mode=disabled"])


def plain(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A default configuration as plain data, with dotted keys changed."""
    config = copy.deepcopy(compose.to_plain(_default()))
    for key, value in (changes or {}).items():
        *blocks, leaf = key.split(".")
        block = config
        for name in blocks:
            block = block[name]
        block[leaf] = value
    return config


def make(root: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """A run's folder with one seed, two attempts at it, a pair of these, and no checkpoint."""
    folder = root / "stranger"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(changes), sort_keys=False))
    seed = WORLD.parse_problem("26+46+10")
    assert isinstance(seed, Problem)
    right, wrong = _attempt(seed, 0, seed.solution or ""), _attempt(seed, 1, "26+46=62")
    store = Store(folder / "run.db", create=True)
    with store.transaction():
        store.add_problems([seed])
        store.add_attempts([right, wrong])
        pair = PreferencePair(
            problem_id=seed.id, chosen_id=right.id, rejected_id=wrong.id,
            chosen=right.completion, rejected=wrong.completion,
        )  # fmt: skip
        store.add_pairs(1, [pair])
        store.add_round(0, {}, {})
    store.close()
    return folder


def _attempt(seed: Problem, sample: int, text: str) -> Attempt:
    return Attempt(
        problem_id=seed.id,
        round=1,
        sample=sample,
        completion=Completion(text=text, policy_version=0),
        verdict=WORLD.verify(seed, text),
    )


def add_checkpoint(folder: Path) -> Path:
    """Puts a checkpoint of round 0 into a run's folder, with files in place of the Solver's weights."""

    def fill(scratch: Path) -> None:
        solver = scratch / "solver"
        solver.mkdir()
        (solver / "config.json").write_text('{"model_type": "llama"}')
        for name in ("model.safetensors", "optimizer.safetensors", "tokenizer.json"):
            (solver / name).write_bytes(name.encode())

    return checkpoint.write(folder / "checkpoints", 0, fill, {"versions": {"solver": 0}})


def sign(folder: Path) -> None:
    """Writes the manifest anew over whatever a checkpoint's folder holds, as a stranger would."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {
        str(path.relative_to(folder)): checkpoint.sha256(path)
        for path in files
        if path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": sums}))
