"""What a configuration needs of the models at hand is asked before a run has a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agents.model_files import NOPE
from coevo.compose import compose
from coevo.config import ConfigError
from coevo.means import UNCACHED
from coevo.run import start
from coevo.token_check import check_engines, check_templates, longest


def refused(tmp_path: Path, *overrides: str) -> str:
    runs = tmp_path / "runs"
    with pytest.raises(ConfigError) as caught:
        start(compose(["runtime=inline", f"runs_dir={runs}", *overrides]))
    assert not runs.exists()
    return str(caught.value)


def copy(to: Path) -> Path:
    shutil.copytree(NOPE, to, ignore=shutil.ignore_patterns("*.safetensors"))
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
        "agents.solver.learner.rft_weight=0",
        f"agents.solver.learner.teacher={other}",
    )
    assert f"agents.solver.learner.teacher={other} has another vocabulary than nope" in told


@pytest.mark.parametrize("kind", UNCACHED)
def test_a_model_that_policy_hf_cannot_sample_from(tmp_path: Path, kind: str) -> None:
    other = copy(tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": kind}))
    told = refused(tmp_path, f"agents.solver.model={other}")
    assert f"agents.solver.model={other} is of type {kind}" in told


@pytest.mark.parametrize("policy", ["hf", "vllm"])
def test_chat_without_a_template(tmp_path: Path, policy: str) -> None:
    """The packaged model has none; a folder with one, in either place, is taken."""
    words = [f"policy@agents.solver.policy={policy}", "agents.solver.policy.chat=true"]
    told = refused(tmp_path, "agents.solver.policy.chat=true")
    assert "agents.solver.policy.chat=true, but the model nope has no chat template" in told
    assert "write agents.solver.policy.chat=false" in told
    other = copy(tmp_path / "other")
    config = compose([*words, f"agents.solver.model={other}"])
    settings = json.loads((other / "tokenizer_config.json").read_text())
    for name, text in (
        ("chat_template.jinja", "{{ messages[0].content }}"),
        ("tokenizer_config.json", json.dumps(settings | {"chat_template": "{{ messages }}"})),
    ):
        with pytest.raises(ConfigError):
            check_templates(config)
        before = (other / name).read_text() if (other / name).exists() else None
        (other / name).write_text(text)
        check_templates(config)
        (other / name).unlink() if before is None else (other / name).write_text(before)


def test_an_engine_that_reads_more_than_its_model(tmp_path: Path) -> None:
    words = ["experiment=arithmetic", "policy@agents.solver.policy=vllm"]
    with pytest.raises(ConfigError, match=r"max_model_len=513: the context of tiny is 512 tokens"):
        check_engines(compose([*words, "agents.solver.policy.vllm.max_model_len=513"]))
    check_engines(compose([*words, "agents.solver.policy.vllm.max_model_len=512"]))


def test_the_longest_sequence_of_a_model(tmp_path: Path) -> None:
    """By its config.json whatever its kind, else by the table; None where nothing is known."""
    assert longest("tiny") == 512
    assert longest("nope") == 256 * 10**6  # its rotations are so much slower that there are none
    assert longest("Qwen/Qwen3-8B") == 40_960
    assert longest("some/model") is None
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_positions": 77}')
    assert longest(str(tmp_path)) == 77
    (tmp_path / "config.json").write_text("{")
    assert longest(str(tmp_path)) is None
