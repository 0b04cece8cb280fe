"""Two roles' adapters on one base: each learns as it would alone, and neither touches the other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents.learners.learner import Learner
from agents.learners.shared import SharedLearners
from agents.records import Completion, Group
from coevo.config import LearnerConfig, LoraConfig

CONFIG = LearnerConfig(objective="sft", lr=1e-2, threads=1, lora=LoraConfig(rank=4, alpha=8.0))
ARGUMENTS = {"model": "tiny", "config": CONFIG, "longest": 24}


def lessons(prompt: str, text: str) -> list[Group]:
    lesson = Completion(text=text, finish_reason="reference")
    return [Group(problem_id=prompt, prompt=prompt, completions=(lesson,), rewards=(1.0,))]


SOLVER, GENERATOR = lessons("S:7+5?", "7+5=12#12"), lessons("G:7+5|7+5=13>", "8+5")


@pytest.fixture
def shared() -> SharedLearners:
    return SharedLearners({"solver": ARGUMENTS, "generator": ARGUMENTS})


def alone(groups: list[Group], rounds: int) -> Learner:
    learner = Learner(**ARGUMENTS)
    for version in range(1, rounds + 1):
        learner.update(groups, seed=version, version=version)
    return learner


def test_there_is_one_base(shared: SharedLearners) -> None:
    assert shared.solver.model is shared.generator.model
    frozen = [p for name, p in shared.solver.model.named_parameters() if "lora_" not in name]
    assert sum(p.numel() for p in frozen) == 860_032


def test_each_learns_as_it_would_alone(shared: SharedLearners) -> None:
    """In turn, two rounds each: the same adapters, bit for bit, as of learners with a base of their own."""
    for version in (1, 2):
        shared.solver.update(SOLVER, seed=version, version=version)
        shared.generator.update(GENERATOR, seed=version, version=version)
    assert shared.solver.weights() == alone(SOLVER, 2).weights()
    assert shared.generator.weights() == alone(GENERATOR, 2).weights()


def test_an_update_leaves_the_other_role_alone(shared: SharedLearners) -> None:
    before, base = shared.generator.weights(), shared.solver.model.get_input_embeddings().weight
    frozen = base.clone()
    shared.solver.update(SOLVER, seed=1, version=1)
    assert shared.generator.weights() == before
    assert shared.solver.weights() != Learner(**ARGUMENTS).weights()
    assert torch.equal(base, frozen)


def test_checkpoints_are_those_of_learners_alone(shared: SharedLearners, tmp_path: Path) -> None:
    for version in (1, 2):
        shared.solver.update(SOLVER, seed=version, version=version)
        shared.generator.update(GENERATOR, seed=version, version=version)
        if version == 1:
            shared.generator.save(tmp_path / "generator")
    other = Learner(**ARGUMENTS)
    other.load(tmp_path / "generator", 1)
    other.update(GENERATOR, seed=2, version=2)
    assert other.weights() == shared.generator.weights()
    again = SharedLearners({"solver": ARGUMENTS, "generator": ARGUMENTS})
    again.generator.load(tmp_path / "generator", 1)
    again.generator.update(GENERATOR, seed=2, version=2)
    assert again.generator.weights() == shared.generator.weights()
