"""Registered evaluation sets keep their problems out of a run; `coevo leaks` finds those that came in."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coevo import explain, leaks
from coevo.compose import compose
from coevo.config import ConfigError
from coevo.run import start
from coevo.run_folder import open_run
from environments.benchmark import heldout
from tests.integration.conftest import SMALL
from tests.integration.small import run


def rows(path: Path, *statements: str) -> Path:
    lines = [json.dumps({"statement": statement, "answer": "1"}) for statement in statements]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_clean_run_has_no_leaks(finished_run: Path, coevo: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    done = coevo("leaks", copy)
    assert done.returncode == 0, done.stderr
    report = json.loads((copy / "leaks.json").read_text())
    assert report["leaks"] == []
    assert report["sets"]["heldout"]["problems"] > 0
    assert report["pool"] == len(open_run(str(copy)).store.problems())


def test_what_a_later_set_shares_with_the_pool_is_told(
    finished_run: Path, coevo: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    store = open_run(str(copy)).store
    first_round, leaked, _ = next(row for row in store.batches() if row[0] > 0)
    pool = {problem.id: problem for problem in store.problems()}
    mine = rows(tmp_path / "mine.jsonl", pool[leaked].statement, "reverse 99999999999999")
    done = coevo("leaks", copy, f"mine={mine}")
    assert done.returncode == 1
    assert leaked in done.stdout
    report = json.loads((copy / "leaks.json").read_text())
    assert report["sets"]["mine"] == {"problems": 2, "leaked": 1, "refused": 0}
    (leak,) = report["leaks"]
    assert (leak["problem_id"], leak["how"], leak["score"]) == (leaked, "exact", 1.0)
    assert leak["trained"][0] == first_round
    assert leak["admitted"] == pool[leaked].round


def test_a_held_out_problem_the_other_way_round_is_a_leak(
    finished_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    run_ = open_run(str(copy))
    own = heldout(run_.environment, run_.config.evaluation.per_cell)
    twin = next(p for p in own if p.level == 5)
    turned = f"reverse {twin.answer}"  # each is the other's answer
    assert turned != twin.statement
    changed = run_.store.problems()[0].id
    with closing(sqlite3.connect(copy / "run.db")) as db, db:
        db.execute(
            "UPDATE problems SET statement = ?, family = ? WHERE id = ?",
            (turned, "reverse", changed),
        )
    (leak,) = leaks.inspect(open_run(str(copy)))["leaks"]
    assert (leak["problem_id"], leak["how"], leak["evaluation_id"]) == (
        changed,
        "signature",
        twin.id,
    )


def test_problems_of_a_registered_set_are_refused(finished_run: Path, tmp_path: Path) -> None:
    """The same run again with its first admitted proposals registered as an evaluation set."""
    before = open_run(str(finished_run))
    admitted = [p for p in before.store.problems() if p.round > 0][:3]
    mine = rows(tmp_path / "mine.jsonl", *(p.statement for p in admitted))
    words = [
        "rounds=1",
        f"decontamination.against.mine={mine}",
        f"runs_dir={tmp_path}",
        "name=small",
    ]
    start(compose([*SMALL, *words]))
    after = open_run(str(tmp_path / "small"), trust=True)
    assert not {p.id for p in admitted} & {p.id for p in after.store.problems()}
    refused = after.store.query(
        "SELECT * FROM proposals WHERE status = ?", "contaminated:mine:exact"
    )
    assert refused
    report = leaks.inspect(after)
    assert report["leaks"] == []
    assert report["sets"]["mine"]["refused"] == len(refused)
    told = explain.reason(refused[0]["status"], after.environment, refused[0]["text"])
    assert told == "it is, or nearly is, a problem of the evaluation set mine (exact)"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "decontamination.against.mine=missing.jsonl",
            "against.mine: missing.jsonl cannot be read",
        ),
        ("decontamination.against.gsm9k=null", "no benchmark; did you mean 'gsm8k'?; write gsm9k="),
        ("decontamination.against.heldout=null", "'heldout' cannot be the name of a set"),
    ],
)
def test_a_set_that_cannot_be_read_stops_before_a_folder_is_made(
    tmp_path: Path, override: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, override)
    assert expected in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_seeds_of_a_registered_set_are_refused_by_name(tmp_path: Path) -> None:
    mine = rows(tmp_path / "mine.jsonl", "7+5-3")
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text('{"statement": "8+5"}\n{"statement": "7+5-3"}\n')
    with pytest.raises(ConfigError, match=r"'7\+5-3' is in the evaluation set mine, or nearly"):
        run(tmp_path, f"curriculum.seed_file={seeds}", f"decontamination.against.mine={mine}")
