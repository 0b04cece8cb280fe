"""`coevo eval` on built-in benchmarks and on files of published sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coevo import cli
from environments.benchmarks import checksum, first, open_benchmark

ORACLE = ("policy@agents.solver.policy=rules", "runtime=inline")  # solves what can be scored


@pytest.fixture
def minerva(tmp_path: Path) -> Path:
    rows = [
        {"question": "What is $\\frac{1}{2}+\\frac{1}{3}$?", "answer": "\\frac{5}{6}"},
        {"question": "How many sides has a hexagon?", "answer": "6"},
        {"question": "Why is that so?", "answer": "see \\S 3 & below"},
        {"question": "How many sides has a hexagon?", "answer": "six"},
        {"question": "How many sides has a square?", "answer": ""},
        {"question": "Is 3 odd or even?", "answer": "odd"},
    ]
    path = tmp_path / "minerva.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


def test_a_run_is_measured_before_and_after_on_a_built_in_benchmark(
    finished_run: Path, coevo: Any, tmp_path: Path
) -> None:
    words = ["benchmark=strings", "k=2", "--limit", "40", "--to", tmp_path]
    done = coevo("eval", finished_run, *words)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "eval-strings-limit40.json").read_text())
    problems = first(open_benchmark("strings").problems, 40)
    assert (result["problems"], result["limit"]) == (40, 40)
    assert result["problems_sha256"] == checksum(problems)
    assert f"problems: sha256 {checksum(problems)}" in done.stdout
    base, final = (result["completions"][weights] for weights in ("base", "final"))
    for counts in (base, final):
        assert sum(counts["verdicts"].values()) == counts["completions"] == 80
        assert counts["seconds"] > 0 and counts["completion_tokens"] > 80
    assert base["verdicts"] != final["verdicts"]
    share = base["verdicts"]["correct"] / 80
    assert share == pytest.approx(result["weights"]["base"]["all"]["mean@2"]["value"])
    assert result["difference"]["base"] == pytest.approx(share)
    assert result["change"]["all"]["mean@2"]["delta"] == result["difference"]["delta"]


@pytest.mark.parametrize(("model", "world"), [("nope", "strings"), ("tiny", "arithmetic")])
def test_a_packaged_model_alone_is_measured_on_its_own_world(
    model: str, world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word more, and as on the benchmark of that name, which has the same problems."""
    for words, name in (([], "heldout"), ([f"benchmark={world}"], world)):
        own = ["eval", model, *words, "k=2", "limit=30", "runtime=inline", "--to", str(tmp_path)]
        assert cli.main(own) == 0, capsys.readouterr().err
        result = json.loads((tmp_path / f"eval-{name}-limit30.json").read_text())
        assert result["model"] == model
        assert result["problems_sha256"] == checksum(first(open_benchmark(world).problems, 30))
        assert 0.2 < result["weights"]["model"]["all"]["mean@2"]["value"] < 0.8  # it reads them


def test_what_cannot_be_scored_counts_as_wrong_and_is_told(
    minerva: Path, coevo: Any, tmp_path: Path
) -> None:
    words = ["benchmark=minerva", f"path={minerva}", "rows=any", "k=2", "--to", tmp_path / "out"]
    done = coevo("eval", "tiny", *words, *ORACLE, "--save-completions")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "eval-minerva.json").read_text())
    assert result["weights"]["model"]["all"]["mean@2"]["value"] == pytest.approx(3 / 4)
    assert result["weights"]["model"]["all"]["maj@2"]["value"] == pytest.approx(3 / 4)
    assert [one["where"] for one in result["not_scorable"]] == [f"{minerva}, line 3"]
    assert "warning: 1 of the problems are not scorable" in done.stdout
    assert f"sha256 {result['files'][0]['sha256']}" in done.stdout
    lines = (tmp_path / "out" / "eval-minerva.completions.jsonl").read_text().splitlines()
    read = [json.loads(line) for line in lines]
    paid = ["correct"] * 4 + ["wrong"] * 2 + ["correct"] * 2
    assert [one["status"] for one in read] == paid
    left_out = {one["where"].rpartition(", ")[2]: one["reason"] for one in result["left_out"]}
    assert left_out == {
        "line 4": f"repeats {minerva}, line 2",
        "line 5": "\"answer\" must be a text, found ''",
        "line 7": left_out["line 7"],
    }
    assert left_out["line 7"].startswith("is not JSON (")
    assert "warning: 3 rows cannot be used" in done.stdout
    for place, reason in left_out.items():
        assert f"left out: {minerva}, {place}: {reason}" in done.stdout
    assert result["compared_as_words"] == [read[-1]["problem_id"]]
    assert "1 reference answers are words" in done.stdout


def test_a_file_of_another_size_is_refused_before_anything_is_loaded(
    minerva: Path, coevo: Any
) -> None:
    done = coevo("eval", "tiny", "benchmark=minerva", f"path={minerva}", *ORACLE)
    assert (done.returncode, done.stdout) == (2, "")
    assert "minerva was published with 272 problems, found 7 (" in done.stderr
    assert "line 2); write rows=any" in done.stderr
    assert done.stderr.count("\n") == 1
