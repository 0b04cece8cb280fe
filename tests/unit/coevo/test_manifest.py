"""A manifest lists every file of its checkpoint, and export takes nothing else out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.model_files import ModelUnavailable
from coevo import cli
from coevo.checkpoint import CheckpointError, verify
from coevo.config import ConfigError
from coevo.export import main as export
from coevo.run_folder import open_run
from tests.unit.coevo.strangers import add_checkpoint, make, sign


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make(tmp_path)


@pytest.fixture
def checkpoint(run: Path) -> Path:
    return add_checkpoint(run)


def rewrite(checkpoint: Path, change: Any) -> None:
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    change(manifest["files"])
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda files: files.clear(), "is not in the manifest"),
        (
            lambda files: files.pop("solver/model.safetensors"),
            "model.safetensors is not in the man",
        ),
        (lambda files: files.pop("state.json"), "state.json is not in the manifest"),
        (lambda files: files.update({"../mine": 64 * "0"}), r"lists '\.\./mine', which is no file"),
        (lambda files: files.update({"/etc/passwd": 64 * "0"}), "lists '/etc/passwd', which is no"),
        (lambda files: files.update({"a/../../b": 64 * "0"}), "which is no file of a checkpoint"),
        (
            lambda files: files.update({"./state.json": 64 * "0"}),
            "which is no file of a checkpoint",
        ),
        (lambda files: files.update({"": 64 * "0"}), "which is no file of a checkpoint"),
        (lambda files: files.update({"a\0b": 64 * "0"}), "which is no file of a checkpoint"),
        (lambda files: files.update({"solver/config.json": 3}), "which is no file of a checkpoint"),
        (lambda files: files.update({"solver/config.json": None}), "which is no file of a check"),
        (lambda files: files.update({"solver/gone.json": 64 * "0"}), "gone.json is missing"),
    ],
)
def test_a_manifest_that_lists_other_than_what_is_there(
    change: Any, expected: str, checkpoint: Path
) -> None:
    assert verify(checkpoint)["round"] == 0
    rewrite(checkpoint, change)
    with pytest.raises(CheckpointError, match=expected):
        verify(checkpoint)


def test_damaged_weights_under_an_empty_manifest_are_not_exported(
    run: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "solver" / "model.safetensors").write_bytes(b"damaged")
    rewrite(checkpoint, lambda files: files.clear())
    words = ["export", str(run), "--what", "model", "--to", str(tmp_path / "out")]
    assert cli.main(words) == 1
    assert "is not in the manifest" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["state.json", "solver/model.safetensors"])
def test_what_a_checkpoint_needs_is_in_its_manifest(name: str, checkpoint: Path) -> None:
    (checkpoint / name).unlink()
    sign(checkpoint)
    with pytest.raises(CheckpointError, match=f"does not list {name}"):
        verify(checkpoint)


def test_a_link_in_a_checkpoint_is_no_file(checkpoint: Path, tmp_path: Path) -> None:
    weights = checkpoint / "solver" / "model.safetensors"
    copy = tmp_path / "copy"
    copy.write_bytes(weights.read_bytes())
    weights.unlink()
    weights.symlink_to(copy)  # of the right content
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a link"):
        verify(checkpoint)


def test_export_takes_the_model_s_files_alone(run: Path, checkpoint: Path, tmp_path: Path) -> None:
    export(open_run(str(run)), "model", tmp_path / "out", "solver")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == b"model.safetensors"


@pytest.mark.parametrize("name", ["modeling_evil.py", "weights.bin", "x.so", "deep/config.json"])
def test_code_and_pickles_are_not_exported_even_if_they_are_listed(
    name: str, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "solver" / name).parent.mkdir(exist_ok=True)
    (checkpoint / "solver" / name).write_text("{}")
    sign(checkpoint)
    with pytest.raises(ConfigError, match=f"{name} is no file of a model"):
        export(open_run(str(run)), "model", tmp_path / "out", "solver")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_that_names_code_is_not_exported(
    file: str, run: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "solver" / file).write_text('{"auto_map": {"AutoConfig": "evil/repo--x.Y"}}')
    sign(checkpoint)
    with pytest.raises(ModelUnavailable, match=r"names code \(auto_map\)"):
        export(open_run(str(run)), "model", tmp_path / "out", "solver")
    assert not (tmp_path / "out").exists()
