"""Real vLLM engines, each in an actor of its own, as a run has them.

These tests need the environment that scripts/setup_vllm_cpu.sh makes: `make vllm-test`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from agents.policies.vllm import VLLMPolicy
from agents.remote import Placement, RayHandle, RayRuntime
from coevo.config import VLLMConfig

SETTINGS = VLLMConfig(max_model_len=256, kv_cache_gib=0.25)


def probe() -> type[VLLMPolicy]:
    """An engine whose hand-over can be broken on purpose, to see that the tests would notice.

    A local class, so that Ray carries it by value.
    """

    class Probe(VLLMPolicy):
        fault = ""

        def set_fault(self, fault: str) -> None:
            self.fault = fault

        def _reload(self, folder: Any) -> None:
            if self.fault == "deaf":  # takes nothing over
                return
            packs, self.on_cpu = self.on_cpu, self.on_cpu and self.fault != "stale head"
            super()._reload(folder)
            self.on_cpu = packs

        def threads(self) -> int:
            import torch

            return torch.get_num_threads()

    return Probe


@pytest.fixture(scope="module")
def ray() -> Iterator[RayRuntime]:
    runtime = RayRuntime()
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def engine(ray: RayRuntime) -> Iterator[Callable[..., RayHandle]]:
    """Starts an engine; engines of the same settings are shared."""
    started: dict[str, RayHandle] = {}

    def start(model: str, **options: Any) -> RayHandle:
        key = f"{model} {options}"
        if key not in started:
            factory = partial(probe(), model, SETTINGS, threads=2, **options)
            started[key] = ray.start(f"engine {key}", factory, Placement(threads=2))
        return started[key]

    yield start
