"""Whole small runs in this process: what changes, what does not, and what every switch does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from agents.learners.learner import Learner
from agents.model_files import TINY
from coevo.checkpoint import verify
from coevo.compose import compose
from coevo.config import UtilityConfig
from coevo.store import Store
from coevo.utility import UTILITIES
from environments import Problem
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout
from tests.integration.small import SMALL, Narrow, read, run

HARD = "curriculum.seed_levels=[7,8]"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The small run as it is: closed loop, DPO Solver, weighted-SFT Generator, two rounds."""
    return run(tmp_path_factory.mktemp("plain"))


def switched(tmp_path: Path, *overrides: str, rounds: int = 1) -> Store:
    _, folder = run(tmp_path, f"rounds={rounds}", *overrides)
    return read(folder)


def strategies(store: Store) -> Counter[str]:
    rows = store.query("SELECT strategy FROM proposals WHERE author = 'teacher'")
    return Counter(row["strategy"] for row in rows)


def metrics(store: Store, round: int = 1) -> dict[str, float]:
    return store.rounds()[round]["metrics"]


# -- what changes, and what does not --------------------------------------------------------------


def test_what_is_trained_changed(plain: tuple[dict[str, Any], Path]) -> None:
    """Every tensor of Solver and Generator moved away from the tiny model; they went apart."""
    _, folder = plain
    start = safetensors.torch.load_file(TINY / "model.safetensors")
    trained = {
        role: safetensors.torch.load_file(
            folder / "checkpoints" / "round-0002" / role / "model.safetensors"
        )
        for role in ("solver", "generator")
    }
    for name, tensor in start.items():
        for role in trained:
            assert not torch.equal(trained[role][name], tensor), f"{role} {name}"
        assert not torch.equal(trained["solver"][name], trained["generator"][name])
    state = verify(folder / "checkpoints" / "round-0002")
    assert state["versions"] == {"solver": 2, "generator": 2, "teacher": 0}


def test_what_is_frozen_did_not_change(tmp_path: Path) -> None:
    """No update, no checkpoint and version 0 for a Generator and a Solver that are not trained;
    what they sample is the same in every round."""
    before = (TINY / "model.safetensors").read_bytes()
    _, folder = run(
        tmp_path, "learner@agents.solver.learner=none", "loop.train_generator=false",
        "curriculum.seed_levels=[4,6]", "evaluation.curve_every=1", "evaluation.curve_per_cell=1",
        "evaluation.curve_k=1",
    )  # fmt: skip
    store = read(folder)
    assert store.query("SELECT * FROM updates") == []
    state = verify(folder / "checkpoints" / "round-0002")
    assert state["versions"] == {"solver": 0, "generator": 0, "teacher": 0}
    files = [path.name for path in (folder / "checkpoints" / "round-0002").rglob("*")]
    assert sorted(files) == ["manifest.json", "state.json"]
    assert (TINY / "model.safetensors").read_bytes() == before
    for benchmark, rounds in (("heldout", (0, 2)), ("curve", (0, 1, 2))):
        first, *others = (
            [(row["correct"], row["answers"]) for row in store.evaluation(t, benchmark)]
            for t in rounds
        )
        assert first and all(other == first for other in others)


def test_same_seed_same_run(plain: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    summary, folder = plain
    again, other = run(tmp_path)
    assert again["digest"] == summary["digest"]
    for table in ("problems", "batches", "attempts", "zones", "pairs", "proposals", "evaluations"):
        query = f"SELECT * FROM {table} ORDER BY rowid"
        rows = [[tuple(row) for row in read(f).query(query)] for f in (folder, other)]
        assert rows[0] == rows[1], table
        assert rows[0], table


def test_another_seed_another_run(plain: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    summary, _ = run(tmp_path, "seed=1", "rounds=1")
    assert summary["digest"] != plain[0]["digest"]


def test_summary_agrees_with_the_database(plain: tuple[dict[str, Any], Path]) -> None:
    summary, folder = plain
    store = read(folder)
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["rounds"] == store.last_round() == 2
    assert summary["curriculum"]["problems"] == len(store.problems())
    assert summary["generator"]["proposals"] == 12
    updates: dict[str, list[dict[str, float]]] = {role: [] for role in ("solver", "generator")}
    for row in store.query("SELECT role, metrics FROM updates"):
        updates[row["role"]].append(json.loads(row["metrics"]))
    for role, own in updates.items():
        steps, tokens = (sum(update[key] for update in own) for key in ("steps", "trained_tokens"))
        assert summary["training"][role] == {"steps": steps, "tokens": tokens}
        assert tokens > 0
    reached = {row["round"]: row["metrics"].get("curriculum/frontier") for row in store.rounds()}
    assert reached[0] is None
    assert reached[1] == frontier_of(store, 1)
    assert summary["frontier"]["by_round"] == [[t, n] for t, n in reached.items() if n is not None]
    block = summary["benchmarks"]["heldout"]
    for name, t in (("base", 0), ("final", 2)):
        rows = store.evaluation(t, "heldout")
        assert block[name] == pytest.approx(sum(row["correct"] for row in rows) / len(rows))
        assert block["maj@1"][name] == pytest.approx(block[name])  # one vote: the answer itself


def frontier_of(store: Store, t: int) -> int | None:
    """From all attempts made in a round: on the batch, and on what was tried out."""
    levels = {problem.id: problem.level for problem in store.problems()}
    for row in store.query("SELECT problem_id, text FROM proposals WHERE success IS NOT NULL"):
        problem = Arithmetic().parse_problem(row["text"])
        assert isinstance(problem, Problem)
        levels.setdefault(row["problem_id"], problem.level)
    rows = store.query(
        "SELECT problem_id, sum(status = 'correct') AS correct, count(*) AS n FROM attempts "
        "WHERE round = ? GROUP BY problem_id",
        t,
    )
    cells: dict[int, list[float]] = {}
    for row in rows:
        cells.setdefault(levels[row["problem_id"]], []).append(row["correct"] / row["n"])
    good = [n for n, own in cells.items() if len(own) > 1 and sum(own) / len(own) >= 0.5]
    return max(good, default=None)


def test_lineage_is_whole(plain: tuple[dict[str, Any], Path]) -> None:
    """Every new problem has a parent in the pool, an author, and a proposal that was admitted."""
    store = read(plain[1])
    problems = {problem.id: problem for problem in store.problems()}
    new = [problem for problem in problems.values() if problem.author != "seed"]
    assert new
    for problem in new:
        assert problems[problem.parent_id].round < problem.round
        (row,) = store.query(
            "SELECT * FROM proposals WHERE problem_id = ? AND status = 'admitted'", problem.id
        )
        assert (row["round"], row["author"]) == (problem.round, problem.author)
        assert row["source_id"] == problem.parent_id
        assert any(a.id == row["attempt_id"] for a in store.attempts(problem.parent_id))


def test_every_batch_problem_has_k_attempts_by_the_solver_of_its_round(
    plain: tuple[dict[str, Any], Path],
) -> None:
    store = read(plain[1])
    for t, problem_id, _ in store.batches():
        attempts = store.attempts(problem_id, t - 1)
        assert [attempt.sample for attempt in attempts] == [0, 1, 2, 3]


# -- switches -------------------------------------------------------------------------------------


def pairs_per_problem(store: Store) -> list[int]:
    rows = store.query("SELECT count(*) AS n FROM pairs GROUP BY round, problem_id")
    return [row["n"] for row in rows]


def test_pairs(tmp_path: Path) -> None:
    mixed = "curriculum.seed_levels=[4,6]"
    cartesian = switched(tmp_path, mixed)
    correct = {i: right for _, i, _, right, _, _ in cartesian.zones()}
    assert max(pairs_per_problem(cartesian)) >= 3
    for row in cartesian.query("SELECT problem_id, count(*) AS n FROM pairs GROUP BY problem_id"):
        right = correct[row["problem_id"]]
        assert row["n"] == (right * (4 - right) or 4)
    capped = switched(tmp_path, mixed, "loop.pairs=capped", "loop.pairs_cap=2", "name=capped")
    assert max(pairs_per_problem(capped)) == 2
    assert len(pairs_per_problem(capped)) == len(pairs_per_problem(cartesian))


@pytest.mark.parametrize("too_hard", ["reference", "refine", "drop"])
def test_too_hard(tmp_path: Path, too_hard: str) -> None:
    store = switched(tmp_path, HARD, f"loop.too_hard={too_hard}")
    hopeless = [row[1] for row in store.zones() if row[5] == "too_hard"]
    assert hopeless
    references = store.query("SELECT * FROM pairs WHERE chosen_id LIKE '%-ref'")
    assert bool(references) == (too_hard != "drop")
    assert ("easier" in strategies(store)) == (too_hard == "refine")


@pytest.mark.parametrize("mastered", ["harden", "leave"])
def test_mastered(tmp_path: Path, mastered: str) -> None:
    store = switched(tmp_path, f"loop.mastered={mastered}")
    assert any(row[5] == "mastered" for row in store.zones())
    assert ("harder" in strategies(store)) == (mastered == "harden")


def test_refine_once(tmp_path: Path) -> None:
    """The static arm: all new problems in round 1, as many as the other arm gets in all."""
    store = switched(tmp_path, "loop=static", rounds=3)
    rows = store.query("SELECT DISTINCT round, author FROM proposals")
    assert [tuple(row) for row in rows] == [(1, "teacher")]
    assert Counter(problem.round for problem in store.problems()) == {0: 8, 1: 18}
    assert Counter(t for t, _, _ in store.batches())[3] > 0
    assert {row["role"] for row in store.query("SELECT role FROM updates")} == {"solver"}


def test_refine_never(tmp_path: Path) -> None:
    """The pool stays its seeds, and the Solver learns from them alone, waiting ones first."""
    store = switched(tmp_path, "loop=uniform", "curriculum.seeds=9", rounds=2)
    assert store.query("SELECT * FROM proposals") == []
    assert {problem.author for problem in store.problems()} == {"seed"}
    fresh = Counter(t for t, _, kind in store.batches() if kind == "new")
    assert fresh == {1: 6, 2: 3}
    updates = store.query("SELECT round, role FROM updates ORDER BY round")
    assert [tuple(row) for row in updates] == [(1, "solver"), (2, "solver")]


@pytest.mark.parametrize(
    ("feed", "authors"),
    [
        ("teacher", {"teacher"}),
        ("generator", {"generator"}),
        ("mixed", {"teacher", "generator"}),
    ],
)
def test_feed(tmp_path: Path, feed: str, authors: set[str]) -> None:
    store = switched(
        tmp_path, f"loop.feed={feed}", "loop.generator_share=[0.5,0.5]",
        "curriculum.seed_levels=[3,5]",
    )  # fmt: skip
    assert {problem.author for problem in store.problems()} == {"seed"} | authors
    assert {row["author"] for row in store.query("SELECT author FROM proposals")} == {
        "teacher", "generator",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gaussian", "constant", "failure"])
def test_utility(tmp_path: Path, name: str) -> None:
    store = switched(tmp_path, f"utility={name}")
    rows = store.query("SELECT success, utility FROM proposals WHERE success IS NOT NULL")
    assert rows
    for row in rows:
        assert row["utility"] == pytest.approx(UTILITIES[name](row["success"], UtilityConfig()))


def test_initial_sft_learns_the_solutions_of_the_seed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word what the file says, and nothing else; the seeds keep them as references."""
    numbers = [(7, 5), (9, 4), (8, 6), (3, 9)]
    written = {f"{a}+{b}": f"{b}+{a}={a + b}#{a + b}" for a, b in numbers}  # terms the other way
    seeds = tmp_path / "seeds.jsonl"
    rows = [{"question": asked, "solution": worked} for asked, worked in written.items()]
    seeds.write_text("\n".join(map(json.dumps, rows)))
    learnt = []
    update = Learner.update

    def recorded(self: Learner, groups: Any, *arguments: Any) -> Any:
        learnt.append(groups)
        return update(self, groups, *arguments)

    monkeypatch.setattr(Learner, "update", recorded)
    store = switched(
        tmp_path / "runs", "loop.initial_sft=true", f"curriculum.seed_file={seeds}",
        "curriculum.near_duplicates=true",
    )  # fmt: skip
    template = compose(SMALL).agents.solver.template
    assert [(group.prompt, group.completions[0].text) for group in learnt[0]] == [
        (template.replace("{prompt}", Arithmetic().prompt(problem)), written[problem.statement])
        for problem in store.problems()
        if problem.author == "seed"
    ]
    assert len(learnt[0]) == 4
    kept = {p.statement: p.solution for p in store.problems() if p.author == "seed"}
    assert kept == written
    updates = store.query("SELECT round, role, version FROM updates ORDER BY round, role")
    found = [(row["round"], row["role"], row["version"]) for row in updates]
    assert found == [(0, "solver", 1), (1, "generator", 1), (1, "solver", 2)]
    versions = {row["policy_version"] for row in store.query("SELECT * FROM attempts")}
    assert versions == {1, 2}  # nothing was drawn with the weights before


def test_no_replay(tmp_path: Path) -> None:
    off = ["curriculum.replay_share=0", "curriculum.backlog_share=0"]
    assert {kind for _, _, kind in switched(tmp_path, *off, rounds=2).batches()} == {"new"}
    on = switched(tmp_path, "curriculum.replay_share=0.5", "name=on", rounds=2)
    assert "replay" in {kind for _, _, kind in on.batches()}


def test_backlog(tmp_path: Path) -> None:
    store = switched(tmp_path, HARD, "curriculum.backlog_share=0.3", rounds=2)
    hopeless = {row[1] for row in store.zones() if row[5] == "too_hard"}
    again = {problem_id for _, problem_id, kind in store.batches() if kind == "backlog"}
    assert again
    assert again <= hopeless


def test_grpo_solver(tmp_path: Path) -> None:
    store = switched(
        tmp_path, "learner@agents.solver.learner=grpo", "agents.solver.learner.threads=1",
        "curriculum.seed_levels=[4,6]", "agents.solver.learner.rft_weight=0.5",
    )  # fmt: skip
    (row,) = store.query("SELECT metrics FROM updates WHERE role = 'solver'")
    update = json.loads(row["metrics"])
    tried = [store.attempts(i, 0) for _, i, _ in store.batches()]
    right = [any(attempt.verdict.correct for attempt in attempts) for attempts in tried]
    assert update["groups"] == sum(right) > 0  # rehearsed where they are mastered
    assert update["groups_without_gradient"] == len(right) - sum(right)
    assert update["right_nll"] > 0
    assert update["clip_share"] < 0.2
    assert "margin" not in update


def test_a_role_that_learns_nothing_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The static arm writes all problems in round 1: later the Generator has no lessons."""
    store = switched(tmp_path, "loop.refine=once", "tracker.console=true", rounds=3)
    kinds = store.query("SELECT round FROM alarms WHERE kind = 'no_step/generator'")
    assert [row["round"] for row in kinds] == [2, 3]
    assert capsys.readouterr().out.count("the Generator learnt nothing: there was nothing") == 1


@pytest.mark.parametrize(
    ("every", "curve_every", "rounds", "points"),
    [(0, 1, {0, 3}, [0, 1, 2, 3]), (1, 0, {0, 1, 2, 3}, []), (2, 2, {0, 2, 3}, [0, 2, 3])],
)
def test_evaluation_every(
    tmp_path: Path, every: int, curve_every: int, rounds: set[int], points: list[int]
) -> None:
    """The curve is no full evaluation: a benchmark of its own, on the first problems of each cell."""
    summary, folder = run(
        tmp_path, "loop=static", "rounds=3", f"evaluation.every={every}",
        "evaluation.per_cell=2", "evaluation.k=2", f"evaluation.curve_every={curve_every}",
        "evaluation.curve_per_cell=1", "evaluation.curve_k=2",
    )  # fmt: skip
    store = read(folder)
    query = "SELECT DISTINCT round FROM evaluations WHERE benchmark = ? ORDER BY round"
    assert {row["round"] for row in store.query(query, "heldout")} == rounds
    assert [row["round"] for row in store.query(query, "curve")] == points
    assert list(summary["benchmarks"]) == ["heldout"]
    assert summary["benchmarks"]["heldout"]["problems"] == 2 * len(Arithmetic().cells())
    first = [problem.id for problem in heldout(Arithmetic(), 1)]
    assert [row[0] for row in summary["curve"]] == points
    for t, value, low, high in summary["curve"]:
        scored = store.evaluation(t, "curve")
        assert [one["problem_id"] for one in scored] == first
        assert value == pytest.approx(sum(one["correct"] for one in scored) / 2 / len(first))
        assert low < value < high
        seconds = store.rounds()[t]["seconds"]
        assert 0 < seconds["evaluate/curve"] <= seconds["evaluate"]
        assert store.rounds()[t]["metrics"]["curve/mean@2"] == value


# -- what must never happen -----------------------------------------------------------------------


def test_held_out_problems_never_enter(tmp_path: Path) -> None:
    """In a world of 36 different sums, 12 of them held out: proposals hit them, none gets in."""
    _, folder = run(
        tmp_path, "environment.name=tests.integration.small:Narrow", "evaluation.per_cell=12",
        "curriculum.seed_levels=[2,2]", "curriculum.seeds=6", "rounds=3",
        "agents.solver.sampling.temperature=2",
    )  # fmt: skip
    store, environment = read(folder), Narrow()
    reserved = heldout(environment, 12)
    signatures = {environment.signature(problem) for problem in reserved}
    refusals = {row["status"] for row in store.query("SELECT status FROM proposals")}
    assert {"heldout", "duplicate"} <= refusals
    pool = store.problems()
    assert not signatures & {environment.signature(problem) for problem in pool}
    assert {problem_id for _, problem_id, _ in store.batches()} <= {p.id for p in pool}
    tried = {row["problem_id"] for row in store.query("SELECT problem_id FROM attempts")}
    assert not tried & {problem.id for problem in reserved}


def test_no_held_out_problem_in_the_plain_run(plain: tuple[dict[str, Any], Path]) -> None:
    store, environment = read(plain[1]), Arithmetic()
    signatures = {environment.signature(problem) for problem in heldout(environment, 1)}
    assert not signatures & {environment.signature(problem) for problem in store.problems()}


def test_solver_garbage_is_counted_and_stored(tmp_path: Path) -> None:
    """Three tokens are too few for any answer: every attempt is unparseable; the run goes on."""
    store = switched(tmp_path, "agents.solver.sampling.max_tokens=3", rounds=2)
    assert {row["status"] for row in store.query("SELECT status FROM attempts")} == {"unparseable"}
    assert metrics(store)["solver/unparseable"] == 1.0
    assert {row[5] for row in store.zones()} == {"too_hard"}
    assert "no_gradient" in {row["kind"] for row in store.query("SELECT kind FROM alarms")}


def test_generator_garbage_is_counted_and_stored(tmp_path: Path) -> None:
    store = switched(
        tmp_path, "agents.generator.sampling.temperature=10", "curriculum.seed_levels=[3,5]",
        rounds=2,
    )  # fmt: skip
    rows = store.query("SELECT * FROM proposals WHERE author = 'generator' AND valid = 0")
    assert len(rows) >= 10
    for row in rows:
        assert row["status"].startswith("malformed:")
        assert row["problem_id"] is None
        assert row["utility"] == 0.0
    assert len({row["text"] for row in rows}) >= 8
    assert metrics(store)["generator/valid_rate"] < 0.5
    assert "invalid" in {row["kind"] for row in store.query("SELECT kind FROM alarms")}
    assert {problem.author for problem in store.problems()} <= {"seed", "teacher", "generator"}
