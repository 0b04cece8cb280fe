"""Twenty families under backend `trl`: TRL's trainers on them do what our learner does, noise included."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from agents.learners.trl import TRLLearner
from tests.families import save_family
from tests.unit.agents.families_learning import EACH, EPSILON, LONGEST, Folder, groups, learner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    root = tmp_path_factory.mktemp("families")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "1")  # no telemetry
        yield functools.cache(lambda family: save_family(family, root / family))


@EACH
@pytest.mark.parametrize("objective", ["dpo", "grpo", "sft"])
def test_backend_trl_is_the_same(family: str, objective: str, folder: Folder) -> None:
    """Two epochs of one step each, prompts of several lengths in one micro-batch."""
    changes: dict[str, Any] = {"lr": 1e-3, "epochs": 2, "tokens_per_micro_batch": 400}
    changes["gradient_checkpointing"] = objective != "sft"
    if objective == "sft":
        changes["reduction"] = "token"
    own = learner(folder(family), objective, **changes)
    trl = TRLLearner(str(folder(family)), own.config, longest=LONGEST)
    trl.optimizer.param_groups[0]["eps"] = EPSILON
    drawn = groups(own.model, (1.0,) * 3) if objective == "sft" else groups(own.model)
    ours, theirs = (one.update(drawn, seed=1, version=1) for one in (own, trl))
    for name in ("loss", "grad_norm"):
        assert theirs[name] == pytest.approx(ours[name], rel=1e-4, abs=1e-6)
    weights = trl.model.state_dict()
    for name, tensor in own.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "opt", "falcon"])
def test_dropout_is_on_where_it_is_asked_for(family: str, folder: Folder) -> None:
    losses = []
    for dropout, seed in ((False, 1), (True, 1), (True, 1), (True, 2)):
        own = learner(folder(family), "rft", dropout=dropout)
        trl = TRLLearner(str(folder(family)), own.config, longest=LONGEST)
        metrics = trl.update(groups(own.model, (1.0, 0.0, 1.0)), seed=seed, version=1)
        assert metrics["mismatch_kl"] == pytest.approx(0, abs=1e-9)
        losses.append(metrics["loss"])
    off, first, again, other = losses
    assert first == again
    assert len({off, first, other}) == 3
