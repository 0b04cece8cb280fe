"""Whole runs on vLLM: engines follow the learners, and a resumed run is the straight one."""

from __future__ import annotations

from pathlib import Path

import pytest

from coevo.compose import compose
from coevo.config import ConfigError
from coevo.run import resume, start
from tests.integration.small import SMALL, read

pytestmark = pytest.mark.vllm

VLLM = [
    *SMALL,
    "runtime=ray",
    "policy@agents.solver.policy=vllm",
    "policy@agents.generator.policy=vllm",
    "agents.solver.workers=1",
    "agents.solver.policy.vllm={max_model_len: 256, kv_cache_gib: 0.25}",
    "agents.generator.policy.vllm={max_model_len: 256, kv_cache_gib: 0.25}",
]


def test_a_resumed_run_equals_the_straight_one(tmp_path: Path) -> None:
    """Two rounds at once, and one round and another: same digest; every version was sampled from."""
    straight = start(compose([*VLLM, f"runs_dir={tmp_path}", "name=straight"]))
    start(compose([*VLLM, f"runs_dir={tmp_path}", "name=halves", "rounds=1"]))
    halves = resume(tmp_path / "halves", ["rounds=2"])
    assert halves["digest"] == straight["digest"]
    versions = read(tmp_path / "straight").query("SELECT DISTINCT policy_version FROM attempts")
    assert {row[0] for row in versions} == {0, 1, 2}
    seconds = read(tmp_path / "straight").rounds()[1]["seconds"]
    assert 0 < seconds["hand_over/solver"] < 5


def test_inline_is_refused() -> None:
    with pytest.raises(ConfigError, match="runtime=ray"):
        compose([*VLLM, "runtime=inline"])
