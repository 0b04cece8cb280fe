"""What a configuration needs of the models at hand is asked before a run has a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agents.model_files import TINY
from coevo.compose import compose
from coevo.config import ConfigError
from coevo.run import start


def refused(tmp_path: Path, *overrides: str) -> str:
    runs = tmp_path / "runs"
    with pytest.raises(ConfigError) as caught:
        start(compose(["runtime=inline", f"runs_dir={runs}", *overrides]))
    assert not runs.exists()
    return str(caught.value)


def copy(to: Path) -> Path:
    shutil.copytree(TINY, to, ignore=shutil.ignore_patterns("*.safetensors"))
    return to


def test_a_teacher_of_other_tokens(tmp_path: Path) -> None:
    """Its weights are not read: this one has none."""
    other = copy(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    told = refused(
        tmp_path,
        "learner@agents.solver.learner=distill",
        f"agents.solver.learner.teacher={other}",
    )
    assert f"agents.solver.learner.teacher={other} has another vocabulary than tiny" in told


@pytest.mark.parametrize("kind", ["rwkv", "xlstm"])
def test_a_model_that_policy_hf_cannot_sample_from(tmp_path: Path, kind: str) -> None:
    other = copy(tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": kind}))
    told = refused(tmp_path, f"agents.solver.model={other}")
    assert f"agents.solver.model={other} is of type {kind}" in told
