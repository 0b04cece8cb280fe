"""Preference pairs and learner groups of one problem."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.records import Attempt, Completion
from coevo.config import LoopConfig
from coevo.preferences import make_group, make_pairs
from environments import Diagnosis, Verdict
from environments.arithmetic import Arithmetic

PROBLEM = Arithmetic().parse_problem("7+5")
REF = f"{PROBLEM.id}-ref"


def attempts(pattern: str) -> list[Attempt]:
    """`+` a correct one, `-` a wrong one, `?` an unparseable one."""
    status = {"+": "correct", "-": "wrong", "?": "unparseable"}
    return [
        Attempt(
            problem_id=PROBLEM.id,
            round=1,
            sample=i,
            completion=Completion(text=f"text {i}", token_ids=(i,), policy_version=3),
            verdict=Verdict(status=status[mark]),
        )
        for i, mark in enumerate(pattern)
    ]


def pairs(pattern: str, seed: int = 0, problem=PROBLEM, **changes: object):
    rng = np.random.default_rng(seed)
    return make_pairs(problem, attempts(pattern), LoopConfig(**changes), rng)


def samples(pattern: str, seed: int = 0, **changes: object) -> list[tuple[str, str]]:
    """(chosen, rejected) as sample numbers, or `ref`."""
    return [
        (p.chosen_id.rsplit("-", 1)[1], p.rejected_id.rsplit("-", 1)[1])
        for p in pairs(pattern, seed, **changes)
    ]


def test_cartesian_product() -> None:
    assert samples("+-?+") == [("0", "1"), ("0", "2"), ("3", "1"), ("3", "2")]


def test_ids_and_completions_belong_together() -> None:
    (pair,) = pairs("-+")
    assert pair.chosen_id == f"{PROBLEM.id}-v3-1"
    assert pair.rejected_id == f"{PROBLEM.id}-v3-0"
    assert (pair.chosen.text, pair.rejected.text) == ("text 1", "text 0")
    assert pair.id == f"{pair.chosen_id}>{pair.rejected_id}"
    assert pair.problem_id == PROBLEM.id


@pytest.mark.parametrize("correct", range(1, 8))
def test_size_of_the_product(correct: int) -> None:
    found = samples("+" * correct + "-" * (8 - correct))
    assert len(found) == len(set(found)) == correct * (8 - correct)


def test_mastered_gives_no_pairs() -> None:
    assert pairs("++++") == []


@pytest.mark.parametrize("too_hard", ["reference", "refine"])
def test_too_hard_is_taught_by_the_reference(too_hard: str) -> None:
    found = pairs("-?-", too_hard=too_hard)
    assert [(p.chosen_id, p.chosen.text) for p in found] == [(REF, "7+5=12#12")] * 3
    assert [p.rejected.text for p in found] == ["text 0", "text 1", "text 2"]
    assert {p.chosen.finish_reason for p in found} == {"reference"}


def test_too_hard_can_be_dropped() -> None:
    assert pairs("---", too_hard="drop") == []
    assert samples("--+", too_hard="drop") == [("2", "0"), ("2", "1")]


def test_the_reference_is_used_only_where_nothing_is_correct() -> None:
    assert all(p.chosen_id != REF for p in pairs("+---"))


def test_no_reference_no_pairs() -> None:
    assert pairs("---", problem=dataclasses.replace(PROBLEM, solution=None)) == []


def test_capped_takes_a_random_part_in_order() -> None:
    whole = samples("++++----")
    capped = samples("++++----", pairs="capped", pairs_cap=5)
    assert len(capped) == len(set(capped)) == 5
    assert capped == [pair for pair in whole if pair in capped]
    assert capped == samples("++++----", pairs="capped", pairs_cap=5)
    draws = {tuple(samples("++++----", seed, pairs="capped", pairs_cap=5)) for seed in range(9)}
    assert len(draws) > 1


def test_a_cap_above_the_product_changes_nothing() -> None:
    assert samples("++--", pairs="capped", pairs_cap=4) == samples("++--")


def test_a_cap_holds_for_references_too() -> None:
    assert len(pairs("-----", pairs="capped", pairs_cap=2)) == 2


def test_group_has_rewards_and_positions() -> None:
    group = make_group(PROBLEM, "S:7+5?", attempts("+-+"), pairs("+-+"), {})
    assert group.problem_id == PROBLEM.id
    assert group.prompt == "S:7+5?"
    assert [c.text for c in group.completions] == ["text 0", "text 1", "text 2"]
    assert group.rewards == (1.0, 0.0, 1.0)
    assert group.pairs == ((0, 1), (2, 1))


def test_group_appends_the_reference_once() -> None:
    group = make_group(PROBLEM, "S:7+5?", attempts("---"), pairs("---"), {})
    assert [c.text for c in group.completions] == ["text 0", "text 1", "text 2", "7+5=12#12"]
    assert group.rewards == (0.0,) * 4
    assert group.pairs == ((3, 0), (3, 1), (3, 2))


def test_a_failed_attempt_ends_with_its_first_error() -> None:
    own = attempts("+-")
    error = Diagnosis(step=0, kind="calculation", end=4)
    group = make_group(PROBLEM, "S:7+5?", own, pairs("+-"), {own[1].id: error})
    assert group.ends == (None, 4)


# -- negatives of earlier versions -----------------------------------------------------------------


def older(pattern: str) -> list[Attempt]:
    return [
        dataclasses.replace(a, completion=dataclasses.replace(a.completion, policy_version=1))
        for a in attempts(pattern)
    ]


@pytest.mark.parametrize(
    ("negatives", "expected"),
    [
        ("current", ["v3-1"]),
        ("both", ["v3-1", "v1-0", "v1-2"]),
        ("earlier", ["v1-0", "v1-2"]),
    ],
)
def test_negatives_of_earlier_versions(negatives: str, expected: list[str]) -> None:
    """One correct attempt; rejected are the failed ones of this version, of earlier ones, or of both."""
    rng, config = np.random.default_rng(0), LoopConfig(negatives=negatives)
    made = make_pairs(PROBLEM, attempts("+-"), config, rng, older("-+-"))
    assert [pair.rejected_id.split("-", 1)[1] for pair in made] == expected
    assert {pair.chosen_id for pair in made} == {f"{PROBLEM.id}-v3-0"}
    group = make_group(PROBLEM, "prompt", attempts("+-"), made, {})
    assert len(group.completions) == 2 + sum("v1" in name for name in expected)
    assert group.rewards == (1.0,) + (0.0,) * (len(group.completions) - 1)
    for (chosen, rejected), pair in zip(group.pairs, made, strict=True):
        assert group.completions[chosen] == pair.chosen
        assert group.completions[rejected] == pair.rejected


def test_no_earlier_attempts_give_no_pairs() -> None:
    config = LoopConfig(negatives="earlier")
    assert make_pairs(PROBLEM, attempts("+-"), config, np.random.default_rng(0)) == []
