"""What of a model's files is known before its weights are read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from agents.model_files import TINY
from agents.model_kinds import misfit
from coevo import machine_check, means, model_check
from coevo.compose import compose
from coevo.config import ConfigError
from coevo.run import check_start
from tests.families import FAMILIES

BASE = ["runtime=inline", "curriculum.seeds=4"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def refusal(tmp_path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_start(compose([*BASE, f"runs_dir={tmp_path / 'runs'}", *overrides]))
    assert not (tmp_path / "runs").exists()
    return str(caught.value)


PLACES = {
    "agents.solver.model": [],
    "agents.generator.model": [],
    "agents.teacher.model": [
        "policy@agents.teacher.policy=hf",
        "prompts@agents.teacher.prompts=math",
    ],
    "agents.solver.learner.teacher": [
        "learner@agents.solver.learner=distill",
        "agents.solver.learner.rft_weight=0",
    ],
}


@pytest.mark.parametrize("key", PLACES)
def test_every_model_that_is_loaded_is_looked_at(key: str, model: Path, tmp_path: Path) -> None:
    (model / "tokenizer.json").write_text('{"version"')
    told = refusal(tmp_path, f"{key}={model}", *PLACES[key])
    assert told.startswith(f"{key}={model}: {model / 'tokenizer.json'} cannot be read")


def test_a_model_that_is_not_loaded_is_not_looked_at(tmp_path: Path) -> None:
    idle = ["loop.feed=teacher", "loop.train_generator=false", "agents.generator.model=/nowhere"]
    check_start(compose([*BASE, f"runs_dir={tmp_path}", *idle]))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_files_that_are_no_json(name: str, model: Path) -> None:
    (model / name).write_text("{")
    assert f"{name} cannot be read as JSON" in model_check.of_folder(model)


def test_a_configuration_without_an_architecture(model: Path) -> None:
    (model / "config.json").write_text("{}")
    assert "names no model_type" in model_check.of_folder(model)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model_type": "bert"}, "'bert' is an encoder"),
        ({"model_type": "xlm-roberta", "is_decoder": False}, "'xlm-roberta' is an encoder"),
        ({"model_type": "bart", "is_encoder_decoder": True}, "has an encoder and a decoder"),
        ({"model_type": "t5"}, "no causal language model of type 't5'"),
        ({"model_type": "frobnicate"}, "no causal language model of type 'frobnicate'"),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            r"quantized \(quantization_config, gptq",
        ),
    ],
)
def test_models_that_cannot_write_or_be_trained(
    settings: dict[str, Any], told: str, model: Path, tmp_path: Path
) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | settings))
    assert re.search(told, refusal(tmp_path, f"agents.solver.model={model}"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_can(family: str) -> None:
    assert misfit(AutoConfig.for_model(family).to_dict()) == ""
    assert misfit({"model_type": "bert", "is_decoder": True}) == ""


def test_a_quantized_model_may_be_sampled(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    quantized = config | {"quantization_config": {"quant_method": "fp8"}}
    (model / "config.json").write_text(json.dumps(quantized))
    means.check_kinds(
        compose([f"agents.solver.model={model}", "learner@agents.solver.learner=none"])
    )


def test_a_folder_without_a_tokenizer(model: Path) -> None:
    for file in model.glob("tokenizer*"):
        file.unlink()
    assert "has no tokenizer" in model_check.of_folder(model)


def test_files_of_weights_that_are_not_there(model: Path) -> None:
    assert model_check.weights(model) == ""
    shard = "model-00001-of-00002.safetensors"
    (model / "model.safetensors").rename(model / "away")
    assert "holds no weights" in model_check.weights(model)
    (model / model_check.INDEX).write_text(json.dumps({"weight_map": {"a": shard}}))
    assert f"lacks {shard}" in model_check.weights(model)
    (model / "away").rename(model / shard)
    assert model_check.weights(model) == ""


def test_weights_that_are_half_there(model: Path, tmp_path: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    told = refusal(tmp_path, f"agents.generator.model={model}")
    assert f"{file} is damaged or only half there" in told


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under a name that no resolver has (RFC 6761)."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    told = refusal(tmp_path, "agents.solver.model=nosuch/model")
    assert told.startswith(
        "agents.solver.model=nosuch/model: there is no such folder, and the Hugg"
    )


# -- the machine ----------------------------------------------------------------------------------


def test_gpus_where_there_is_none() -> None:
    config = compose(["agents.solver.gpus=1", "agents.solver.learner.gpus=1"])
    with pytest.raises(
        ConfigError, match=r"agents.solver.gpus=1, agents.solver.learner.gpus=1: torch"
    ):
        machine_check.check_gpus(config, lambda: 0)


@pytest.mark.parametrize(
    ("workers", "share", "fits"), [(2, 0.5, True), (4, 0.5, True), (3, 0.6, False), (3, 1, False)]
)
def test_gpus_that_are_too_few(workers: int, share: float, fits: bool) -> None:
    """Of two GPUs: three workers of 0.6 are less than two GPUs in sum, and do not fit."""
    config = compose([f"agents.solver.workers={workers}", f"agents.solver.gpus={share}"])
    if fits:
        machine_check.check_gpus(config, lambda: 2)
        return
    with pytest.raises(ConfigError, match=rf"{workers} x {share} GPUs of the solver.*machine's 2"):
        machine_check.check_gpus(config, lambda: 2)


def test_no_gpu_is_looked_for_where_none_is_asked_for() -> None:
    def never() -> int:
        raise AssertionError

    machine_check.check_gpus(compose([]), never)


@pytest.mark.parametrize(("version", "gpus"), [("0.32.0+cpu", 1), ("0.32.0", 0)])
def test_a_vllm_for_the_other_device(
    version: str, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_check.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(machine_check.importlib.metadata, "version", lambda name: version)
    config = compose(["policy@agents.solver.policy=vllm", f"agents.solver.gpus={gpus}"])
    with pytest.raises(ConfigError, match=rf"agents.solver.gpus={gpus}: the vLLM .* is built for"):
        machine_check.check_engine("solver", config.agents.solver)
    config.agents.solver.gpus = 1 - gpus
    machine_check.check_engine("solver", config.agents.solver)


def test_a_place_for_runs_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is a file; write a folder"):
        machine_check.check_runs_dir(tmp_path / "file" / "runs")
    machine_check.check_runs_dir(tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()
