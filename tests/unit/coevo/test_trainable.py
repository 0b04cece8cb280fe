"""Which role takes which learner, and what a run says of a role that learns nothing."""

from __future__ import annotations

import pytest

from coevo import compose, overrides, trainable
from coevo.config import ConfigError

WRONG = [name for name in trainable.OBJECTIVES if name not in trainable.OF_ROLE["generator"]]


def test_every_choice_of_a_learner_is_known_here() -> None:
    assert set(overrides.options("learner")) == set(trainable.OBJECTIVES)


@pytest.mark.parametrize("objective", WRONG)
@pytest.mark.parametrize("utility", ["gaussian", "constant"])
def test_a_generator_that_would_not_learn_by_utility_is_refused(
    objective: str, utility: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.compose([f"learner@agents.generator.learner={objective}", f"utility={utility}"])
    message = str(caught.value)
    assert message.startswith(f"agents.generator.learner.objective={objective} cannot train")
    assert message.endswith("write learner@agents.generator.learner=sft, or none")


def test_the_reason_is_that_of_the_objective() -> None:
    def why(objective: str) -> str:
        with pytest.raises(ConfigError) as caught:
            compose.compose([f"learner@agents.generator.learner={objective}"])
        return str(caught.value)

    assert "no pairs" in why("simpo")
    assert "no log-probabilities" in why("oreal")
    assert "kto takes no weight" in why("kto")


@pytest.mark.parametrize("policy", [[], ["policy@agents.teacher.policy=hf"]])
def test_a_teacher_is_never_trained(policy: list[str]) -> None:
    """Whatever its policy: none is told to take another, with which it would be refused too."""
    with pytest.raises(ConfigError, match="the Teacher is never trained; write"):
        compose.compose(["learner@agents.teacher.learner=sft", *policy])


def test_what_is_saved_can_be_read_and_is_refused_to_go_on() -> None:
    """Runs of before: `explain`, `compare` and `export` read them."""
    plain = compose.to_plain(compose.compose([]))
    plain["agents"]["generator"]["learner"]["objective"] = "grpo"
    config = compose.from_plain(plain)
    with pytest.raises(ConfigError, match="cannot train the Generator"):
        trainable.check_trainable(config)


@pytest.mark.parametrize("objective", trainable.OBJECTIVES)
def test_only_places_that_take_a_learner_are_offered(objective: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.compose([f"learner={objective}"])
    for role, possible in trainable.OF_ROLE.items():
        offered = f"learner@agents.{role}.learner={objective}" in str(caught.value)
        assert offered is (objective in possible)


def test_a_generator_that_is_not_trained_is_said() -> None:
    (line,) = trainable.warnings(compose.compose(["learner@agents.generator.learner=none"]))
    assert "never trained; write loop.train_generator=false" in line
    silent = ["learner@agents.generator.learner=none", "loop.train_generator=false"]
    assert not list(trainable.warnings(compose.compose(silent)))
    assert not list(trainable.warnings(compose.compose([])))


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({"steps": 0, "groups_without_gradient": 7.0}, "none of its 7 groups gives a gradient"),
        ({"steps": 0, "groups_without_gradient": 0.0}, "there was nothing to learn from"),
        ({"steps": 3, "skipped_steps": 3}, "loss or gradient of all its 3 steps is not finite"),
    ],
)
def test_an_update_without_a_step_is_told(update: dict[str, float], expected: str) -> None:
    assert trainable.without_step({"solver": update}) == [
        ("no_step/solver", f"the Solver learnt nothing: {expected}")
    ]


def test_an_update_with_a_step_is_not_told() -> None:
    assert trainable.without_step({"solver": {"steps": 3, "skipped_steps": 2}}) == []
