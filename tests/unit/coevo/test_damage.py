"""A database, a configuration, a summary or a checkpoint that is not what was written says so."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agents.records import Attempt, Completion
from coevo import checkpoint, compose
from coevo.config import ConfigError
from coevo.damage import check, seal, whole_rounds
from coevo.run_folder import FILES, FOLDERS, check_files, read_summary
from coevo.store import Store, StoreError
from coevo.summary_shape import fault
from environments import Problem, Verdict

ROUNDS = 4


def fill(store: Store, round: int) -> None:
    problem = Problem(
        domain="d", family="f", statement=f"{round}+1", answer="1", round=round,
        difficulty={"level": 2},
    )  # fmt: skip
    completion = Completion(text="x", token_ids=(1, 2), logprobs=(-1.0, -2.0))
    verdict = Verdict(status="correct", answer="1")
    with store.transaction():
        store.add_problems([problem])
        store.add_batch(round, [(problem, "new")])
        store.add_attempts(
            Attempt(
                problem_id=problem.id, round=round, sample=0, completion=completion, verdict=verdict
            )
            for _ in range(1)
        )
        store.add_zones([(round, problem.id, 0, 1, 1, "mastered")])
        store.add_evaluation(round, "heldout", [(problem, 1, ["1"])])
        store.add_round(round, {"a": 1.0}, {"total": 1.0})
        seal(store, round)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    with closing(Store(path, create=True)) as store:
        for round in range(ROUNDS):
            fill(store, round)
    return path


def change(path: Path, statement: str) -> Store:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    return Store(path)


# -- the database ---------------------------------------------------------------------------------


def test_what_was_written_is_whole(path: Path) -> None:
    with closing(Store(path)) as store:
        assert whole_rounds(store) == (ROUNDS - 1, "")
        store.forget_after(1)
        assert whole_rounds(store) == (1, "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE problems SET answer = '2' WHERE round = 2",
        "UPDATE attempts SET status = 'wrong' WHERE round = 2",
        "UPDATE zones SET correct = 0 WHERE round = 2",
        "UPDATE rounds SET metrics = '{}' WHERE round = 2",
        "DELETE FROM batches WHERE round = 2",
        "INSERT INTO alarms VALUES (2, 'kind', 'message')",
        "DELETE FROM rounds WHERE round = 2",
    ],
)
def test_a_round_that_was_changed_and_those_after_it_are_not_whole(
    path: Path, statement: str
) -> None:
    with closing(change(path, statement)) as store:
        last, what = whole_rounds(store)
        assert last == 1
        assert "run.db: round 2 is not" in what
        store.forget_after(last)
        assert whole_rounds(store) == (1, "")


def test_a_round_without_a_checksum_is_taken_as_it_is(path: Path) -> None:
    with closing(change(path, "DELETE FROM meta WHERE key LIKE 'sha256%'")) as store:
        assert whole_rounds(store) == (ROUNDS - 1, "")


def test_any_flipped_bit_is_seen_or_changes_nothing(path: Path) -> None:
    """Of two hundred, none is read as another round's content."""
    whole, draw = path.read_bytes(), random.Random(0)
    used = [place for place, byte in enumerate(whole) if byte]  # a database has empty pages
    seen = 0
    with closing(Store(path)) as store:
        want = [tuple(row) for row in store.query("SELECT * FROM problems")], store.zones()
    for _ in range(200):
        content = bytearray(whole)
        content[draw.choice(used)] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        for extra in ("run.db-wal", "run.db-shm"):
            path.with_name(extra).unlink(missing_ok=True)
        try:
            with closing(Store(path)) as store:
                last, _ = whole_rounds(store)
                found = [tuple(r) for r in store.query("SELECT * FROM problems")], store.zones()
        except StoreError as error:
            assert "run.db" in str(error)
            seen += 1
            continue
        assert last < ROUNDS - 1 or found == want
        seen += last < ROUNDS - 1
    assert seen > 100


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE problems SET statement = x'ff'", "the column statement holds bytes"),
        ("UPDATE problems SET statement = cast(x'ff' AS TEXT)", "UTF-8"),
        ("UPDATE problems SET difficulty = '{'", "Expecting property name"),
        ("UPDATE problems SET difficulty = '[1]'", "no JSON object of numbers"),
        ('UPDATE problems SET difficulty = \'{"level": "x"}\'', "no JSON object of numbers"),
        ("UPDATE problems SET difficulty = '{\"level\": 1e999}'", "out of range"),
        ("UPDATE rounds SET metrics = 'null'", "no JSON object of numbers"),
        ("UPDATE attempts SET token_ids = x'010203'", "bytes length not a multiple"),
        ("UPDATE attempts SET round = 1e300", "the column round holds float"),
        ("UPDATE zones SET correct = 9", "zones has a success rate that is none"),
        ("UPDATE zones SET problem_id = 'x'", "zones has a problem that is not in the pool"),
        ("UPDATE evaluations SET answers = '{}'", "evaluations has a success rate that is none"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_the_file_and_the_way_out(
    path: Path, statement: str, reason: str
) -> None:
    with closing(change(path, statement)) as store, pytest.raises(StoreError) as caught:
        check(store)
        store.rounds()
        for problem in store.problems():
            store.attempts(problem.id)
    assert f"{path} is damaged (" in str(caught.value)
    assert reason in str(caught.value)
    assert "put a copy of it in its place, or start a new run" in str(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE zones",
        "CREATE TRIGGER t AFTER INSERT ON rounds BEGIN DELETE FROM problems; END",
        "CREATE VIEW v AS SELECT 1",
        "ALTER TABLE zones ADD COLUMN more TEXT",
    ],
)
def test_tables_of_another_shape_are_refused(path: Path, statement: str) -> None:
    with pytest.raises(StoreError, match=r"its tables are not those of a run: (zones|t|v)"):
        change(path, statement)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.db")
    with pytest.raises(StoreError, match="it is not a file"):
        Store(tmp_path / "run.db")


# -- the configuration ----------------------------------------------------------------------------


def test_a_configuration_that_was_edited_or_is_anothers(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config = compose.compose([])
    compose.save(config, path, "one")
    assert compose.as_written(path, "one")
    assert not compose.as_written(path, "two")
    path.write_text(path.read_text().replace(f"\nrounds: {config.rounds}\n", "\nrounds: 13\n"))
    assert compose.load(path)["rounds"] == 13
    assert not compose.as_written(path, "one")
    path.write_text("rounds: 13\n")  # of an older coevo
    assert compose.as_written(path, "one")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a: 2026-99-99", b"[" * 5000, b"9" * 5000, b'a: "']
)
def test_what_is_no_configuration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"config\.yaml (cannot be read|is not a run's|is not UTF-8)"
    ) as caught:
        compose.load(path)
    assert "\n" not in str(caught.value)


def test_a_pipe_or_a_folder_with_the_name_of_a_file(tmp_path: Path) -> None:
    for name in (*FILES, *FOLDERS):
        check_files(tmp_path)
        os.mkfifo(tmp_path / name)
        with pytest.raises(ConfigError, match=f"{name} is a pipe, which no run has"):
            check_files(tmp_path)
        (tmp_path / name).unlink()


# -- the summary ----------------------------------------------------------------------------------

BLOCK = {
    "metric": "mean@8", "base": 0, "final": 1.0, "delta": 1.0, "delta_ci95": [0, 1], "problems": 3,
    "by_level": {"2": [0, 1]}, "pass@8": {"base": 0.0, "final": 1.0},
    "pass_by_level": {"2": [0.0, 1.0]},
}  # fmt: skip
SUMMARY: dict[str, Any] = {
    "schema": 1, "seed": 0, "rounds": 2, "benchmarks": {"heldout": BLOCK},
    "generator": {"proposals": 1, "valid_rate": [0, 1], "mean_utility": [0.0, 1.0]},
    "curve": [[0, 0.5, 0.25, 0.75], [2, 1, 1.0, 1.0]],
    "frontier": {"by_round": [[1, 4]], "heldout": [None, 4]},
    "training": {"solver": {"steps": 16, "tokens": 900}, "generator": {"steps": 2}},
}  # fmt: skip
OPTIONAL = ("curve", "frontier", "training")  # what runs of before lack


def test_a_summary_with_all_that_is_read_of_it() -> None:
    assert fault(SUMMARY) == ""


@pytest.mark.parametrize("wrong", [None, [], [0, "1"], [True, False]])
def test_a_summary_that_mistakes_anything(wrong: object) -> None:
    assert fault(wrong)
    solver = SUMMARY["training"]["solver"]
    parts = (
        SUMMARY,
        SUMMARY["generator"],
        BLOCK,
        BLOCK["pass@8"],
        BLOCK["by_level"],
        BLOCK["pass_by_level"],
        solver,
        SUMMARY["frontier"],
    )
    for place in parts:
        assert isinstance(place, dict)
        for key in [key for key in place if key != "proposals"]:
            before, place[key] = place[key], wrong
            assert fault(SUMMARY) or (wrong == [] and key in ("by_round", "curve")), key
            place[key] = before


def test_a_summary_that_lacks_anything() -> None:
    for place in (SUMMARY, SUMMARY["generator"], BLOCK, BLOCK["pass@8"]):
        assert isinstance(place, dict)
        for key in [
            key for key in place if key not in ("proposals", "pass@8", "pass_by_level", *OPTIONAL)
        ]:
            before = place.pop(key)
            assert fault(SUMMARY), key
            place[key] = before


def test_a_summary_of_before_lacks_what_came_later() -> None:
    assert fault({key: value for key, value in SUMMARY.items() if key not in OPTIONAL}) == ""


@pytest.mark.parametrize("content", ["null", "[]", '{"schema": 2}', '{"schema": 1}', "", "\udcff"])
def test_a_summary_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "summary.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=r"summary\.json cannot be read .*coevo resume"):
        read_summary(tmp_path)


# -- checkpoints ----------------------------------------------------------------------------------


def write(root: Path, round: int, state: dict[str, Any]) -> Path:
    return checkpoint.write(root, round, lambda folder: (folder / "solver").mkdir(), state)


def test_folders_of_other_names_are_not_ours(tmp_path: Path) -> None:
    write(tmp_path, 2, {"versions": {}})
    for name in ("round-9x", "round-9", "round-00009", "round--001", "round-٣٣٣٣"):
        (tmp_path / name).mkdir()
    (tmp_path / "round-0003").write_text("a file")
    assert checkpoint.rounds(tmp_path) == [2]
    checkpoint.prune(tmp_path, 1)
    write(tmp_path, 3, {"versions": {}})  # in the place of the file
    assert checkpoint.rounds(tmp_path) == [2, 3]


@pytest.mark.parametrize("state", [[], {}, {"round": 2}, {"round": 1, "versions": {}},
                                   {"round": 2, "versions": []},
                                   {"round": 2, "versions": {"solver": "x"}}])  # fmt: skip
def test_a_state_without_what_is_read_of_it(tmp_path: Path, state: object) -> None:
    """Whoever wrote it made the manifest fit."""
    folder = write(tmp_path, 2, {"versions": {"solver": 2}})
    (folder / "state.json").write_text(json.dumps(state))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["state.json"] = checkpoint.sha256(folder / "state.json")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(checkpoint.CheckpointError, match=r"state\.json is missing or damaged"):
        checkpoint.verify(folder)


def test_a_manifest_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path, 2, {"versions": {}})
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    with pytest.raises(checkpoint.CheckpointError, match="is a pipe, not a file"):
        checkpoint.verify(folder)


def test_a_checkpoint_of_a_run_that_trained_other_roles(tmp_path: Path) -> None:
    folder = write(tmp_path, 2, {"versions": {"solver": 2}})
    (folder / "solver" / "optimizer.safetensors").touch()
    checkpoint.require(folder, {"solver": 2}, ["solver"])
    with pytest.raises(checkpoint.CheckpointError, match="has no weights of the Generator"):
        checkpoint.require(folder, {"solver": 2}, ["solver", "generator"])
