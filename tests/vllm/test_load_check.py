"""The check at load on real engines: trained with a learner beside it, and sampled alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.remote import RayRuntime
from coevo.compose import compose
from coevo.load_check import CodeDisagrees, check
from coevo.team import Team
from environments.arithmetic import Arithmetic
from tests.families import save_family

pytestmark = pytest.mark.vllm

SETTINGS = (
    "experiment=arithmetic", "policy@agents.solver.policy=vllm",
    "agents.solver.policy.vllm.max_model_len=256", "agents.solver.policy.vllm.kv_cache_gib=0.25",
    "agents.solver.workers=1",
    "loop.feed=teacher", "loop.train_generator=false",
)  # fmt: skip
PROBLEMS = [Arithmetic().parse_problem(text) for text in ("1+2", "(12+34)*5")]


@pytest.mark.parametrize("learner", ["dpo", "none"])
def test_an_engine_agrees_and_another_temperature_does_not(ray: RayRuntime, learner: str) -> None:
    config = compose([*SETTINGS, f"learner@agents.solver.learner={learner}"])
    team = Team(config, ray)
    (compared,) = check(team, Arithmetic(), PROBLEMS)  # type: ignore[arg-type]
    assert compared.found is not None and compared.found.tolerance == 1e-4
    assert not compared.told
    if learner == "dpo":
        config.agents.solver.sampling.temperature = 0.5  # the learner was built with another
        with pytest.raises(CodeDisagrees, match="the learner"):
            check(team, Arithmetic(), PROBLEMS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("gemma2", r"family gemma2.*differ by"),  # vLLM's attention on CPU leaves its soft cap out
        ("qwen3_moe", "does not take over the weights"),  # of experts, on CPU
    ],
)
def test_what_an_engine_does_otherwise_is_refused(
    ray: RayRuntime, family: str, message: str, tmp_path: Path
) -> None:
    folder = save_family(family, tmp_path, head_dim=32, max_position_embeddings=256)
    team = Team(compose([*SETTINGS, f"agents.solver.model={folder}"]), ray)
    with pytest.raises(CodeDisagrees, match=message):
        check(team, Arithmetic(), PROBLEMS)  # type: ignore[arg-type]
