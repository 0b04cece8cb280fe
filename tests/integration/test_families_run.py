"""Whole runs of models whose files are laid out otherwise than the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.learners import models
from coevo.claim import RunError
from coevo.run import resume
from tests.families import save_family
from tests.integration.small import run

SHORT = ("agents.solver.sampling.max_tokens=12", "evaluation.sampling.max_tokens=12")


def of_families(folder: Path) -> tuple[str, ...]:
    """Experts that lie one by one in a file, and names that are others there."""
    solver, generator = (save_family(name, folder / name) for name in ("mixtral", "gpt_neox"))
    return (f"agents.solver.model={solver}", f"agents.generator.model={generator}", *SHORT)


def test_a_resumed_run_is_one_that_was_never_stopped(tmp_path: Path) -> None:
    chosen = of_families(tmp_path)
    straight, _ = run(tmp_path, *chosen, "name=straight")
    _, folder = run(tmp_path, *chosen, "rounds=1")
    assert resume(folder, ["rounds=2"], trust=True)["digest"] == straight["digest"]


def test_a_checkpoint_that_cannot_be_read_at_all_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = models.save

    def cut(model: Any, folder: Path, state: dict[str, Any], role: str) -> None:
        save(model, folder, state, role)
        with (folder / "model.safetensors").open("r+b") as file:
            file.truncate(1000)  # safetensors' error is none of Python's own

    monkeypatch.setattr(models, "save", cut)
    with pytest.raises(RunError, match=r"could not be resumed.*agents\.solver\.model"):
        run(tmp_path, *of_families(tmp_path), "rounds=1")


def test_a_run_that_could_not_be_resumed_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = models.restore

    def wrong(model: Any, folder: Path, role: str) -> None:
        restore(model, folder, role)
        model.get_output_embeddings().weight.data[3, 5] += 1

    monkeypatch.setattr(models, "restore", wrong)
    with pytest.raises(RunError, match=r"could not be resumed.*mixtral.*lm_head\.weight"):
        run(tmp_path / "runs", *of_families(tmp_path), "rounds=1")
    assert not (tmp_path / "runs").exists()
