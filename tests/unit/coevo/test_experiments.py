"""Every shipped experiment can start, and arms differ in nothing but what defines them."""

from __future__ import annotations

from functools import cache

import pytest

from coevo import compose
from coevo.config import Config, changed_fields
from coevo.gate import Gate
from coevo.length_check import check_lengths
from coevo.run_folder import held_out, make_environment
from coevo.seeds import check_levels, sample_seeds
from coevo.validate import validate

EXPERIMENTS = compose.group_options("experiment")
WITHOUT_GENERATOR = {"loop.feed": "teacher", "loop.train_generator": False}
# Arm of another experiment: all that is not as it is there. The highest seed level is that of the
# environment; a uniform pool has as many problems as the other arms get in all their rounds.
ARMS: dict[tuple[str, str], dict[str, object]] = {
    ("static", "default"): {"loop.refine": "once", **WITHOUT_GENERATOR},
    ("no_generator", "default"): WITHOUT_GENERATOR,
    ("socratic_zero", "default"): {"loop.feed": "teacher", "loop.imitate": "uniform"},
    ("uniform", "default"): {
        "loop.refine": "never",
        **WITHOUT_GENERATOR,
        "curriculum.seeds": "all",
        "curriculum.seed_levels": [3, 14],
    },
    ("wide_uniform", "wide"): {
        "loop.refine": "never",
        **WITHOUT_GENERATOR,
        "curriculum.seeds": "all",
        "curriculum.seed_levels": [3, 24],
    },
    ("grpo", "default"): {},
    ("no_rehearsal", "default"): {"agents.solver.learner.rft_weight": 0.0},
}
LEARNERS = ("dpo", "rft")  # the main job with another learner of the Solver


@cache
def config(experiment: str) -> Config:
    return compose.compose([f"experiment={experiment}"])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_shipped_experiment_can_start(
    experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As far as that is known without its models, which need not be on this machine. Nothing is warned
    of, be it the Solver's room for what others may write."""
    own = config(experiment)
    assert own.experiment == experiment
    validate(own)
    environment = make_environment(own.environment)
    check_levels(environment, own.curriculum)
    reserved = held_out(own, environment)
    check_lengths(own, environment, reserved)
    seeds = sample_seeds(environment, own.curriculum, own.seed, Gate(environment, reserved))
    assert len(seeds) == own.curriculum.seeds
    assert capsys.readouterr().err == ""


def leaf(own: Config, path: str) -> object:
    value: object = own
    for name in path.split("."):
        value = getattr(value, name)
    return value


def changed(one: str, other: str) -> list[str]:
    lines = changed_fields(compose.to_plain(config(other)), compose.to_plain(config(one)))
    return [line.partition(": ")[0] for line in lines]


@pytest.mark.parametrize(("arm", "base"), ARMS)
def test_an_arm_differs_in_what_defines_it_alone(arm: str, base: str) -> None:
    """So Solver, learner, rollouts, batch, rounds, evaluation and environment are the same."""
    own, expected = config(arm), ARMS[arm, base]
    assert set(changed(arm, base)) == {"experiment", *expected}
    for path, value in expected.items():
        if value == "all":
            other = config(base)
            value = other.curriculum.seeds + own.rounds * own.loop.new_problems
            assert leaf(own, path) == pytest.approx(value, rel=0.1)
        else:
            assert leaf(own, path) == value
    if "curriculum.seed_levels" in expected:
        levels = make_environment(own.environment).levels
        assert own.curriculum.seed_levels == [levels[0], levels[-1]]


@pytest.mark.parametrize("arm", LEARNERS)
def test_another_learner_is_the_same_loop(arm: str) -> None:
    """Its own settings apart, which may be tuned; rollouts, pool and batch are those of the main job."""
    paths = set(changed(arm, "default")) - {"experiment"}
    assert "agents.solver.learner.objective" in paths
    assert config(arm).agents.solver.learner.objective == arm
    assert all(path.startswith("agents.solver.learner.") for path in paths), paths


def test_the_main_job_is_what_runs_without_a_word() -> None:
    assert compose.compose([]) == config("default")
    own = config("default")
    assert own.environment.name == "strings"
    assert {own.agents.solver.model, own.agents.generator.model} == {"nope"}
    assert own.loop.feed == "mixed" and own.loop.train_generator
    assert own.runtime.kind == "ray"
    arithmetic = config("arithmetic")
    assert (arithmetic.environment.name, arithmetic.agents.solver.model) == ("arithmetic", "tiny")
