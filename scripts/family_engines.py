"""Which of twenty families vLLM samples as their own code does, and takes over from a learner.

    .venv-vllm/bin/python -m scripts.family_engines [FAMILY ...]

Runs the check at load on each: an engine and a learner in actors of their own, the weights handed over, a
few tokens drawn and compared in float32. Prints one line a family: the largest difference in nats, or why a
run with it is refused. The models are those of `tests/families.py`, with heads of 32.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from agents.remote import RayRuntime
from coevo.compose import compose
from coevo.load_check import check
from coevo.team import Team
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout
from tests.families import FAMILIES, save_family

SETTINGS = (
    "experiment=arithmetic", "policy@agents.solver.policy=vllm",
    "agents.solver.policy.vllm.max_model_len=256", "agents.solver.policy.vllm.kv_cache_gib=0.25",
    "agents.solver.workers=1",
    "loop.feed=teacher", "loop.train_generator=false",
)  # fmt: skip
WIDE: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 128, "n_positions": 256},
    "mamba2": {"hidden_size": 128, "num_heads": 32},
}


def changes(family: str) -> dict[str, Any]:
    """Of a family's configuration: vLLM's attention has heads of 32 or more."""
    sized = "head_dim" in FAMILIES[family] and family != "mamba2"
    wide = {"head_dim": 32} if sized else {"hidden_size": 128}
    return WIDE.get(family, {"max_position_embeddings": 256} | wide)


def verdict(folder: Path) -> str:
    """What a run with this model as its Solver would be told."""
    runtime = RayRuntime()
    try:
        team = Team(compose([*SETTINGS, f"agents.solver.model={folder}"]), runtime)
        (compared,) = check(team, Arithmetic(), heldout(Arithmetic(), 1))
        return f"{compared.found.largest:.0e} nats" if compared.found else compared.told
    except Exception as error:  # whatever an engine raises is what the table is for
        return f"refused: {' '.join(str(error).split())[:300]}"
    finally:
        runtime.close()


def main() -> None:
    for family in sys.argv[1:] or FAMILIES:
        with tempfile.TemporaryDirectory() as scratch:
            told = verdict(save_family(family, Path(scratch), **changes(family)))
            print(f"{family}: {told}", flush=True)


if __name__ == "__main__":
    main()
