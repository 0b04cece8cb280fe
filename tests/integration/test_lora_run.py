"""Runs with adapters in place of whole weights, and with a Teacher that errs."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
from transformers import AutoModelForCausalLM

from agents.model_files import TINY
from coevo.export import main as export
from coevo.run import resume
from coevo.run_folder import open_run
from tests.integration.small import read, run

LORA = [
    "agents.solver.learner.lora.rank=4",
    "agents.generator.learner.lora.rank=4",
    "agents.generator.learner.optimizer=adafactor",
    "agents.generator.learner.dropout=true",
    "agents.generator.learner.lora.dropout=0.1",
]


def test_adapters_learn_are_kept_and_exported(tmp_path: Path) -> None:
    straight, folder = run(tmp_path, *LORA, "name=straight")
    run(tmp_path, *LORA, "name=halves", "rounds=1")
    assert resume(tmp_path / "halves", ["rounds=2"])["digest"] == straight["digest"]

    role = folder / "checkpoints" / "round-0002" / "solver"
    assert not (role / "model.safetensors").exists()
    adapters = safetensors.torch.load_file(role / "adapter_model.safetensors")
    assert all(".lora_" in name for name in adapters)
    assert any(tensor.abs().max() > 0 for name, tensor in adapters.items() if "lora_B" in name)

    export(open_run(str(folder)), "model", tmp_path / "model", "solver")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    base = AutoModelForCausalLM.from_pretrained(TINY)
    changed = {
        name
        for name, tensor in merged.state_dict().items()
        if not tensor.float().allclose(base.state_dict()[name], atol=1e-6, rtol=1e-2)
    }
    assert any("q_proj" in name for name in changed)


def test_one_base_for_both_learners_changes_nothing(tmp_path: Path) -> None:
    apart, _ = run(tmp_path, *LORA, "name=apart")
    together, folder = run(tmp_path, *LORA, "agents.share_base=true", "name=together")
    assert together["digest"] == apart["digest"]
    run(tmp_path, *LORA, "agents.share_base=true", "name=halves", "rounds=1")
    assert resume(tmp_path / "halves", ["rounds=2"])["digest"] == apart["digest"]
    export(open_run(str(folder)), "model", tmp_path / "model", "generator")
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_a_teacher_that_errs(tmp_path: Path) -> None:
    """Half of its verdicts are turned round; evaluation is as if it never erred."""
    clean, folder = run(tmp_path, "name=clean", "rounds=1")
    noise = ["agents.teacher.noise.verdicts=0.5", "agents.teacher.noise.references=0.5"]
    noisy, other = run(tmp_path, *noise, "name=noisy", "rounds=1")
    assert noisy["digest"] != clean["digest"]
    first, second = (read(f).evaluation(0, "heldout") for f in (folder, other))
    assert [tuple(row) for row in first] == [tuple(row) for row in second]
    store = read(other)
    judged = store.query("SELECT exact, verdict, disagrees FROM judgements")
    readable = store.query("SELECT count(*) FROM attempts WHERE status IN ('correct', 'wrong')")[0][
        0
    ]
    assert all(row["disagrees"] and row["exact"] != row["verdict"] for row in judged)
    assert 0.3 < len(judged) / readable < 0.7
    assert store.rounds()[1]["metrics"]["teacher/disagreement"] == pytest.approx(
        len(judged) / store.query("SELECT count(*) FROM attempts")[0][0]
    )
    wrong = [
        problem
        for problem in store.problems()
        if problem.author != "seed" and eval_of(problem.statement) != problem.answer
    ]
    new = [problem for problem in store.problems() if problem.author != "seed"]
    assert 0 < len(wrong) < len(new)


def eval_of(statement: str) -> str:
    from environments.arithmetic import Arithmetic

    problem = Arithmetic().parse_problem(statement)
    return getattr(problem, "answer", "")
