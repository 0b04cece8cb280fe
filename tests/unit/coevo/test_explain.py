"""The story of a problem, told from a database written by hand."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

import pytest

from agents.records import Attempt, Completion, PreferencePair, Proposal
from coevo import compose
from coevo.config import ConfigError
from coevo.explain import children_of, descendants, explain, reason, shorten
from coevo.interesting import overview
from coevo.run_folder import RunFolder
from coevo.store import Store
from environments import Malformed, Problem
from environments.arithmetic import Arithmetic

WORLD = Arithmetic()


def problem(statement: str, **fields: object) -> Problem:
    read = WORLD.parse_problem(statement)
    assert isinstance(read, Problem), read
    return dataclasses.replace(read, **fields)  # type: ignore[arg-type]


SEED = problem("26+46+10")
WRONG = "26+46=62;62+10=72#72"
CHILD = problem("27+45+11", parent_id=SEED.id, author="teacher", round=1, strategy="weakness")
GRANDCHILD = problem(
    "31+14+12", parent_id=CHILD.id, author="generator", author_version=1, round=2,
    strategy="propose",
)  # fmt: skip


def attempt(of: Problem, t: int, sample: int, text: str) -> Attempt:
    completion = Completion(text=text, policy_version=t - 1)
    verdict = WORLD.verify(of, text)
    return Attempt(problem_id=of.id, round=t, sample=sample, completion=completion, verdict=verdict)


def proposal(author: str, t: int, source: Problem, text: str, **fields: object) -> Proposal:
    return Proposal(
        author=author, round=t, index=0, source_id=source.id, attempt_id=f"{source.id}-v0-1",
        attempt_text=WRONG, text=text, **fields,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    store = Store(tmp_path / "run.db", create=True)
    right, wrong = attempt(SEED, 1, 0, SEED.solution or ""), attempt(SEED, 1, 1, WRONG)
    pair = PreferencePair(
        problem_id=SEED.id, chosen_id=right.id, rejected_id=wrong.id,
        chosen=right.completion, rejected=wrong.completion,
    )  # fmt: skip
    with store.transaction():
        store.add_problems([SEED, CHILD, GRANDCHILD])
        store.add_batch(1, [(SEED, "new")])
        store.add_attempts([right, wrong])
        store.add_zones([
            (1, SEED.id, 0, 1, 2, "learning"), (1, CHILD.id, 1, 0, 2, "too_hard"),
            (2, CHILD.id, 1, 2, 2, "mastered"), (2, GRANDCHILD.id, 2, 0, 2, "too_hard"),
        ])  # fmt: skip
        store.add_pairs(1, [pair])
        store.add_proposals([
            proposal("teacher", 1, SEED, CHILD.statement, result=CHILD, strategy="weakness",
                     valid=True, status="admitted", success=0.5, utility=0.875),
            proposal("generator", 1, SEED, "27+", result=Malformed(reason="operand"),
                     status="malformed:operand"),
            proposal("generator", 2, CHILD, GRANDCHILD.statement, result=GRANDCHILD,
                     valid=True, status="admitted", success=0.0, utility=0.044),
        ])  # fmt: skip
        store.add_round(2, {}, {})
    return RunFolder(tmp_path, compose.compose([]), store, WORLD)


@pytest.mark.parametrize("wanted", [SEED.id, SEED.id[:7], SEED.statement, f" {SEED.statement} "])
def test_the_story_of_a_seed(run: RunFolder, wanted: str) -> None:
    story = explain(run, wanted)
    assert "26+46+10 (a seed)" in story
    assert f"solution: {SEED.solution}" in story
    assert "round 1: 1/2 correct, learning (Solver version 0, in the batch as new)" in story
    assert "Solver version 0: 1 correct, 1 wrong" in story
    assert f"    {WRONG}\n      wrong: step 1 (calculation): 26+46=62 instead of 26+46=72" in story
    assert f"round 1: 1\n    chosen   {SEED.solution}\n    rejected {WRONG}" in story
    assert "1 made from it, 2 with theirs" in story
    assert f"{CHILD.id} 27+45+11 (by the Teacher in round 1, strategy weakness; mastered)" in story


def test_the_lineage_has_every_step(run: RunFolder) -> None:
    lineage = explain(run, GRANDCHILD.id).partition("where it came from\n")[2]
    places = [lineage.index(p.statement) for p in (GRANDCHILD, CHILD, SEED)]
    assert places == sorted(places)
    assert "by the Generator version 1 in round 2, strategy propose" in lineage
    assert "success 0.50, utility 0.875" in lineage
    assert "Teacher: wrong: step 1 (calculation): 26+46=62 instead of 26+46=72" in lineage


def test_a_refused_proposal_says_why(run: RunFolder) -> None:
    story = explain(run, "27+")
    assert "'27+': refused" in story
    assert "round 1, by the Generator: malformed:operand" in story
    assert "it is not a problem of arithmetic (operand" in story
    assert f"written from {SEED.id} 26+46+10" in story


def test_an_unknown_problem_names_the_nearest(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"no problem '26\+46\+19'.* are '26\+46\+10'"):
        explain(run, "26+46+19")


def test_a_beginning_shared_by_two_ids_is_refused(run: RunFolder) -> None:
    twin = dataclasses.replace(problem("11+12"), id=SEED.id[:10] + "zz")
    run.store.add_problems([twin])
    with pytest.raises(ConfigError, match="begins 2 ids"):
        explain(run, SEED.id[:10])


def test_the_overview_picks_the_extremes(run: RunFolder) -> None:
    told = overview(run)
    assert f"most improved\n  {CHILD.id}  27+45+11  0/2 -> 2/2" in told
    assert f"most descendants\n  {SEED.id}  26+46+10  2" in told
    assert f"hardest\n  {GRANDCHILD.id}  31+14+12  0/2 after 1 round\n" in told
    assert "1 malformed:operand, such as '27+'" in told


def test_the_overview_of_a_run_without_a_whole_round(tmp_path: Path) -> None:
    with (
        closing(Store(tmp_path / "run.db", create=True)),
        closing(Store(tmp_path / "run.db", read_only=True)) as store,
    ):
        told = overview(RunFolder(tmp_path, compose.compose([]), store))
    assert told.startswith(f"{tmp_path.name}: 0 problems, 0 rounds\n")


def test_descendants_end_even_in_a_circle() -> None:
    assert descendants({"a": ["b"], "b": ["a", "c"]}, "a") == {"a", "b", "c"}
    assert children_of({p.id: p for p in (SEED, CHILD)}) == {SEED.id: [CHILD.id]}


def test_words() -> None:
    assert shorten("one\n\n two ") == "one / two"
    assert shorten("x" * 300) == "x" * 159 + "…"
    assert "already admitted" in reason("surplus", WORLD, "1+1")
