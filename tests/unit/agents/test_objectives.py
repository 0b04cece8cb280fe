"""What holds for every objective, and that the configuration offers exactly what there is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_type_hints

import pytest

from agents.learners.advantages import ADVANTAGES
from agents.learners.inputs import Settings
from agents.learners.objectives import OBJECTIVES, resolved
from coevo.config import POLICY_GRADIENT, PREFERENCE, SUPERVISED, LearnerConfig
from tests.unit.agents.loss_cases import Outcome, draw, evaluate, settings

# Each as it is by default, and with every optional term that it has.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in OBJECTIVES),
    *((name, {"nll_weight": 0.4, "length_normalised": True}) for name in PREFERENCE),
    *(
        (name, {"kl_weight": 0.1, "kl_estimator": estimator, **correction})
        for name in POLICY_GRADIENT
        for estimator, correction in (
            ("k1", {}),
            ("k2", {"correction": "truncate"}),
            ("k3", {"correction": "mask", "correction_level": "sequence"}),
        )
    ),
    *((name, {"reduction": "mean"}) for name in SUPERVISED),
]
EVERY = pytest.mark.parametrize(
    ("name", "changes"),
    VARIANTS,
    ids=["-".join([name, *map(str, changes.values())]) for name, changes in VARIANTS],
)


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.loss == pytest.approx(other.loss, abs=1e-12)
    for left, right in (
        (one.gradient, other.gradient),
        (one.of_divergences, other.of_divergences),
    ):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert a == pytest.approx(b, abs=1e-12)
    assert one.metrics == pytest.approx(other.metrics, abs=1e-12)


@EVERY
def test_micro_batches_add_up_to_the_step(name: str, changes: dict[str, Any]) -> None:
    """Losses, gradients and metrics of two micro-batches sum to those of the whole."""
    config = settings(name, **changes)
    pairs = [(0, 1), (1, 0), (3, 2)]  # none of them between the two halves
    case = dataclasses.replace(draw(11, "correction" in changes), pairs=pairs)
    function = OBJECTIVES[name].loss
    whole = evaluate(function, config, case)
    first = evaluate(function, config, case.part([0, 1]), case.counts)
    second = evaluate(function, config, case.part([2, 3]), case.counts)
    assert first.loss != 0 and second.loss != 0
    together = Outcome(
        loss=first.loss + second.loss,
        gradient=first.gradient + second.gradient,
        of_divergences=first.of_divergences + second.of_divergences,
        metrics={key: first.metrics[key] + second.metrics[key] for key in whole.metrics},
    )
    assert_same(together, whole)


@EVERY
def test_the_order_of_sequences_does_not_matter(name: str, changes: dict[str, Any]) -> None:
    config, order = settings(name, **changes), [2, 0, 3, 1]
    case = draw(7, "correction" in changes)
    function = OBJECTIVES[name].loss
    straight = evaluate(function, config, case)
    turned = evaluate(function, config, case.part(order))
    back = [order.index(i) for i in range(4)]
    apart = turned.of_divergences
    assert_same(
        dataclasses.replace(
            turned,
            gradient=[turned.gradient[i] for i in back],
            of_divergences=[apart[i] for i in back] if apart else [],
        ),
        straight,
    )


@EVERY
@pytest.mark.parametrize("garbage", [0.0, 1e30, math.nan, math.inf, -math.inf])
def test_padding_is_never_read(name: str, changes: dict[str, Any], garbage: float) -> None:
    """Whatever stands in the padding, the loss is the same, and padding has no gradient."""
    config, case = settings(name, **changes), draw(5, "correction" in changes)
    function = OBJECTIVES[name].loss
    assert_same(evaluate(function, config, case, garbage=garbage), evaluate(function, config, case))


# -- the configuration ----------------------------------------------------------------------------


def choices(field: str) -> tuple[str, ...]:
    (found,) = (f for f in dataclasses.fields(LearnerConfig) if f.name == field)
    return tuple(found.metadata["choices"])


def test_the_configuration_lists_every_objective() -> None:
    assert [*PREFERENCE, *POLICY_GRADIENT, *SUPERVISED] == list(OBJECTIVES)
    assert set(choices("objective")) == {*OBJECTIVES, "none"}


def test_objectives_stand_in_the_block_of_what_they_learn_from() -> None:
    by_data = {
        name: "preference"
        if kind.learns_from in ("pairs", "labels")
        else "reward"
        if kind.learns_from == "rewards"
        else "imitation"
        for name, kind in OBJECTIVES.items()
    }
    assert {name for name, kind in by_data.items() if kind == "preference"} == set(PREFERENCE)
    assert {name for name, kind in by_data.items() if kind == "reward"} == set(POLICY_GRADIENT)
    assert {name for name, kind in by_data.items() if kind == "imitation"} == set(SUPERVISED)


def test_the_configuration_lists_every_advantage() -> None:
    assert choices("advantage") == ("default", *ADVANTAGES)


def test_objectives_read_fields_of_the_configuration() -> None:
    fields = {field.name: field for field in dataclasses.fields(LearnerConfig)}
    hints, offered = get_type_hints(Settings), get_type_hints(LearnerConfig)
    assert len(hints) > 10
    for name, kind in hints.items():
        assert name in fields
        assert offered[name] is kind


@pytest.mark.parametrize("name", OBJECTIVES)
def test_defaults_are_resolved_to_what_the_configuration_knows(name: str) -> None:
    objective, config = resolved(LearnerConfig(objective=name))
    assert objective is OBJECTIVES[name]
    assert config.objective == name
    assert config.advantage in ADVANTAGES
    assert config.reduction in set(choices("reduction")) - {"default"}


def test_a_chosen_advantage_and_reduction_outrank_the_defaults() -> None:
    config = LearnerConfig(objective="grpo", advantage="none", reduction="sum")
    assert resolved(config)[1] == config


def test_another_objective_than_the_configured_one() -> None:
    """As for the supervised start before preference rounds: sft's own reduction, not dpo's."""
    objective, config = resolved(LearnerConfig(objective="dpo"), "sft")
    assert objective is OBJECTIVES["sft"]
    assert (config.objective, config.reduction) == ("sft", "sum")


def test_an_unknown_objective_is_an_error() -> None:
    with pytest.raises(KeyError):
        resolved(LearnerConfig(), "ppo")


@pytest.mark.parametrize(
    ("name", "advantage", "reduction"),
    [
        ("grpo", "mean_std", "mean"),  # arXiv 2402.03300, eq. 3 and §4.1.2
        ("dr_grpo", "mean", "constant"),  # arXiv 2503.20783, §3.2
        ("dapo", "mean_std", "token"),  # arXiv 2503.14476, eq. 8
        ("gspo", "mean_std", "mean"),  # arXiv 2507.18071, eq. 6
        ("cispo", "mean_std", "token"),  # arXiv 2506.13585, eq. 4
        ("rloo", "leave_one_out", "sum"),  # arXiv 2402.14740
        ("reinforce_pp", "batch", "token"),  # arXiv 2501.03262
        ("oreal", "none", "mean"),  # arXiv 2502.06781
        ("sft", "none", "sum"),
    ],
)
def test_defaults_are_those_of_the_papers(name: str, advantage: str, reduction: str) -> None:
    config = settings(name)
    assert (config.advantage, config.reduction) == (advantage, reduction)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_needs_no_reference_never_reads_it(name: str) -> None:
    """`reference` says when log π_ref is needed: without it the loss is there, or the assertion fails."""
    case = dataclasses.replace(draw(3), ref=None)
    function, config = OBJECTIVES[name].loss, settings(name)
    if OBJECTIVES[name].reference == "always":
        with pytest.raises(AssertionError):
            evaluate(function, config, case)
    else:
        assert math.isfinite(evaluate(function, config, case).loss)
    if OBJECTIVES[name].reference == "kl":
        with pytest.raises(AssertionError):
            evaluate(function, settings(name, kl_weight=0.1), case)
