"""The run's database: every record comes back, rounds are whole, later ones can be forgotten."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from agents.records import Attempt, Completion, Failure, PreferencePair, Proposal, Ruling
from coevo.clock import Cost
from coevo.schema import SCHEMA_VERSION, TABLES_BY_ROUND
from coevo.store import Store, StoreError
from environments import Malformed, Problem, Verdict

SEED = Problem(
    domain="d", family="sums", statement="7+5", answer="12", solution="7+5=12#12",
    difficulty={"level": 2, "peak": 12.5},
)  # fmt: skip
CHILD = Problem(
    domain="d", family="mixed", statement="7+5 🙂 ' \" \n", difficulty={}, parent_id=SEED.id,
    author="generator", author_version=3, round=2, strategy="propose",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.db", create=True)


def attempt(sample: int = 0, version: int = 1, **changes: object) -> Attempt:
    completion = Completion(
        text="7+5=13#13\x00",
        prompt_ids=(1, 2, 2**31 - 1),
        token_ids=(3, 4),
        logprobs=(-0.1, -1e-300),
        policy_version=version,
        finish_reason="length",
    )
    values = {
        "problem_id": SEED.id, "round": 2, "sample": sample, "completion": completion,
        "verdict": Verdict(status="wrong", answer="13", detail="why"),
    }  # fmt: skip
    return Attempt(**(values | changes))


def proposal(**changes: object) -> Proposal:
    values = {
        "author": "generator", "round": 2, "index": 5, "source_id": SEED.id, "attempt_id": "a",
        "attempt_text": "7+5=13", "text": "8+", "result": CHILD, "strategy": "propose",
        "valid": True, "status": "admitted", "success": 0.25, "utility": 0.5,
    }  # fmt: skip
    return Proposal(**(values | changes))


COST = Cost(
    role="solver", task="attempt", calls=8, cached=2, prompt_tokens=80, completion_tokens=200,
    cost=1.5,
)  # fmt: skip
RULING = Ruling(verdict=Verdict(status="wrong"), exact="wrong", model="correct", reply="{}")


def test_judgements_are_kept_where_a_model_was_asked_or_the_exact_verdict_differs(
    store: Store,
) -> None:
    exact = Ruling(verdict=Verdict(status="wrong"), exact="wrong")
    turned = Ruling(verdict=Verdict(status="correct"), exact="wrong")
    store.add_judgements([(attempt(sample=i), r) for i, r in enumerate((RULING, exact, turned))])
    rows = store.query("SELECT attempt_id, exact, model, verdict, disagrees FROM judgements")
    assert [tuple(row)[1:] for row in rows] == [
        ("wrong", "correct", "wrong", 1),
        ("wrong", "", "correct", 1),
    ]


def test_failures_are_kept_with_their_text(store: Store) -> None:
    store.add_failures(3, [Failure(role="teacher", task="refine", kind="no_json", text="Hm.")])
    assert [tuple(row) for row in store.query("SELECT * FROM failures")] == [
        (3, "teacher", "refine", "no_json", "Hm.")
    ]


def fill(store: Store, round: int) -> None:
    """A row in every table."""
    child = Problem(domain="d", family="sums", statement=f"{round}", round=round)
    with store.transaction():
        store.add_problems([child])
        store.add_batch(round, [(child, "new")])
        store.add_attempts([attempt(problem_id=child.id, round=round)])
        store.add_zones([(round, child.id, 1, 2, 8, "learning")])
        pair = PreferencePair(
            problem_id=child.id, chosen_id="c", rejected_id="r",
            chosen=Completion(text=""), rejected=Completion(text=""),
        )  # fmt: skip
        store.add_pairs(round, [pair])
        store.add_proposals([proposal(round=round)])
        store.add_update(round, "solver", round, {"loss": 0.5})
        store.add_costs(round, [COST])
        store.add_judgements([(attempt(problem_id=child.id, round=round), RULING)])
        store.add_failures(round, [Failure(role="teacher", task="solve", kind="no_json")])
        store.add_alarms(round, [("kind", "message")])
        store.add_evaluation(round, "heldout", [(child, 1, ["12", None])])
        store.add_round(round, {"m": 1.0}, {"total": 2.0})


def counts(store: Store) -> dict[str, int]:
    return {table: store.query(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES_BY_ROUND}


# -- round trips ----------------------------------------------------------------------------------


def test_problems_come_back_in_order(store: Store) -> None:
    store.add_problems([CHILD])
    store.add_problems([SEED])
    assert store.problems() == [CHILD, SEED]


def test_a_problem_enters_once(store: Store) -> None:
    store.add_problems([SEED])
    with pytest.raises(sqlite3.IntegrityError):
        store.add_problems([SEED])


def test_attempts_come_back(store: Store) -> None:
    """In order of version and sample, bit for bit, by version where one is asked for."""
    old, second, first = attempt(1, version=0), attempt(1), attempt(0)
    store.add_attempts([second, first, old, attempt(0, problem_id="other")])
    assert store.attempts(SEED.id) == [old, first, second]
    assert store.attempts(SEED.id, 1) == [first, second]
    assert store.attempts(SEED.id, 9) == []


def test_an_attempt_that_is_there_stays_as_it_is(store: Store) -> None:
    store.add_attempts([attempt(round=1)])
    store.add_attempts([attempt(round=2)])
    assert [a.round for a in store.attempts(SEED.id)] == [1]


def test_batches_zones_and_rounds_come_back(store: Store) -> None:
    store.add_batch(1, [(SEED, "replay"), (CHILD, "new")])
    rows = [(1, SEED.id, 0, 2, 8, "learning"), (2, SEED.id, 1, 8, 8, "mastered")]
    store.add_zones(rows)
    store.add_round(0, {}, {"total": 1.5})
    store.add_round(1, {"solver/success": 0.5}, {"total": 2.5})
    assert store.batches() == [(1, SEED.id, "replay"), (1, CHILD.id, "new")]
    assert store.zones() == rows
    assert store.rounds() == [
        {"round": 0, "metrics": {}, "seconds": {"total": 1.5}},
        {"round": 1, "metrics": {"solver/success": 0.5}, "seconds": {"total": 2.5}},
    ]
    assert store.last_round() == 1


def test_pairs_are_stored(store: Store) -> None:
    pair = PreferencePair(
        problem_id=SEED.id, chosen_id="x", rejected_id="y",
        chosen=Completion(text="a"), rejected=Completion(text="b"),
    )  # fmt: skip
    store.add_pairs(3, [pair])
    assert [tuple(row) for row in store.query("SELECT * FROM pairs")] == [
        ("x>y", 3, SEED.id, "x", "y")
    ]


def test_proposals_are_stored_with_what_was_no_problem(store: Store) -> None:
    malformed = proposal(
        index=6, result=Malformed(reason="syntax"), valid=False, status="malformed:syntax",
        success=None, utility=0.0,
    )  # fmt: skip
    store.add_proposals([proposal(), malformed])
    columns = "author, position, source_id, attempt_text, text, problem_id, valid, status, success, utility"
    assert [tuple(row) for row in store.query(f"SELECT {columns} FROM proposals")] == [
        ("generator", 5, SEED.id, "7+5=13", "8+", CHILD.id, 1, "admitted", 0.25, 0.5),
        ("generator", 6, SEED.id, "7+5=13", "8+", None, 0, "malformed:syntax", None, 0.0),
    ]


def test_updates_costs_and_alarms_are_stored(store: Store) -> None:
    store.add_update(4, "solver", 5, {"loss": 0.25})
    store.add_costs(4, [COST])
    store.add_alarms(4, [("too_easy", "95% is the success on new problems")])
    (update,) = store.query("SELECT * FROM updates")
    assert (update["round"], update["role"], update["version"]) == (4, "solver", 5)
    assert json.loads(update["metrics"]) == {"loss": 0.25}
    assert tuple(store.query("SELECT * FROM costs")[0]) == (
        4,
        "solver",
        "attempt",
        8,
        2,
        80,
        200,
        1.5,
    )
    assert tuple(store.query("SELECT * FROM alarms")[0])[:2] == (4, "too_easy")


def test_evaluations_come_back_in_order(store: Store) -> None:
    store.add_evaluation(3, "heldout", [(SEED, 1, ["12", None, "13"]), (CHILD, 0, [])])
    rows = store.evaluation(3, "heldout")
    assert [row["problem_id"] for row in rows] == [SEED.id, CHILD.id]
    assert (rows[0]["family"], rows[0]["level"], rows[0]["correct"]) == ("sums", 2, 1)
    assert json.loads(rows[0]["answers"]) == ["12", None, "13"]
    assert store.evaluation(3, "other") == store.evaluation(2, "heldout") == []


def test_meta(store: Store) -> None:
    assert store.meta("wandb_id") is None
    store.set_meta("wandb_id", "a")
    store.set_meta("wandb_id", "b")
    assert store.meta("wandb_id") == "b"


# -- transactions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_transaction_is_whole_or_nothing(store: Store, error: type[BaseException]) -> None:
    fill(store, 1)
    before = counts(store)
    with pytest.raises(error), store.transaction():
        store.add_problems([SEED])
        store.add_round(2, {}, {})
        raise error
    assert counts(store) == before
    fill(store, 2)
    assert store.last_round() == 2


def test_another_connection_sees_whole_rounds_only(store: Store, tmp_path: Path) -> None:
    reader = Store(tmp_path / "run.db", read_only=True)
    with store.transaction():
        store.add_round(0, {}, {})
        assert reader.last_round() == -1
    assert reader.last_round() == 0


def test_forgetting_deletes_later_rounds_of_every_table(store: Store) -> None:
    for round in (0, 1, 2, 3):
        fill(store, round)
    assert set(counts(store).values()) == {4}
    store.forget_after(1)
    assert set(counts(store).values()) == {2}
    assert store.last_round() == 1
    fill(store, 2)
    assert set(counts(store).values()) == {3}


def test_every_table_with_a_round_can_be_forgotten(store: Store) -> None:
    names = [
        row["name"] for row in store.query("SELECT name FROM sqlite_master WHERE type='table'")
    ]
    with_round = {
        name
        for name in names
        if "round" in [row["name"] for row in store.query(f"PRAGMA table_info({name})")]
    }
    assert with_round == set(TABLES_BY_ROUND)


def test_the_order_of_admission_survives_forgetting(store: Store) -> None:
    for round in (0, 1, 2):
        fill(store, round)
    store.forget_after(0)
    fill(store, 1)
    assert [problem.statement for problem in store.problems()] == ["0", "1"]


# -- files ----------------------------------------------------------------------------------------


def test_reopened(tmp_path: Path, store: Store) -> None:
    fill(store, 0)
    store.close()
    again = Store(tmp_path / "run.db")
    assert again.last_round() == 0
    fill(again, 1)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"run\.db does not exist: is .* the folder of a run"):
        Store(tmp_path / "run.db")
    assert not (tmp_path / "run.db").exists()


@pytest.mark.parametrize("content", [b"this is no database at all, but a text" * 99, b""])
def test_not_a_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.db").write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(StoreError, match="is not a run's database"):
            Store(tmp_path / "run.db", read_only=read_only)


def test_a_folder_is_not_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run's database"):
        Store(tmp_path)


def test_another_database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "run.db") as other:
        other.execute("CREATE TABLE songs (name TEXT)")
    with pytest.raises(StoreError, match="is not a run's database"):
        Store(tmp_path / "run.db")


def test_another_schema(tmp_path: Path, store: Store) -> None:
    store.set_meta("schema", "99")
    store.close()
    for read_only in (False, True):
        with pytest.raises(StoreError) as caught:
            Store(tmp_path / "run.db", read_only=read_only)
        assert f"has schema 99, this version of coevo reads schema {SCHEMA_VERSION}" in str(
            caught.value
        )


def test_read_only_writes_nothing(tmp_path: Path, store: Store) -> None:
    fill(store, 0)
    reader = Store(tmp_path / "run.db", read_only=True)
    assert reader.last_round() == 0
    with pytest.raises(StoreError, match=r"run\.db: it can only be read"):
        reader.set_meta("x", "y")


@pytest.mark.parametrize("name", ["a#b", "50%25", "what?", "with space"])
def test_read_only_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    fill(Store(tmp_path / name / "run.db", create=True), 0)
    assert Store(tmp_path / name / "run.db", read_only=True).last_round() == 0


def test_a_settled_database_can_be_copied_as_one_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db", create=True)
    with store.transaction():
        store.add_round(0, {"a": 1.0}, {"total": 2.0})
    store.settle()
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / "run.db").read_bytes())
    assert Store(copy).last_round() == 0
