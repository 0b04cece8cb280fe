"""The words of `coevo eval`, what a benchmark is measured with, and what is printed and written."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import environments
from agents.model_files import PACKAGED
from agents.records import Completion
from coevo import cli, compose
from coevo.config import Config, ConfigError
from coevo.eval_command import READS, model_config, of_run, parse, prepare
from coevo.eval_report import Timed, render, report, write
from coevo.evaluate import Measured
from environments import Problem, Verdict
from environments.benchmark_set import Unscorable
from environments.benchmarks import Benchmark, checksum
from environments.data_files import File


@pytest.fixture
def gsm8k(tmp_path: Path) -> str:
    path = tmp_path / "own.jsonl"
    rows = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(2, 6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


# Words


def test_words_are_ours_or_of_the_configuration() -> None:
    words = ["benchmark=gsm8k", "path=a=b.jsonl", "rows=any", "sha256=ab", "k=3", "limit=7"]
    request = parse([*words, "seed=5", "agents.solver.template=x"])
    assert (request.benchmark, request.seed, request.limit) == ("gsm8k", 5, 7)
    assert request.file == {"path": "a=b.jsonl", "rows": "any", "sha256": "ab"}
    assert request.overrides == ["evaluation.k=3", "agents.solver.template=x"]
    assert request.label == "gsm8k-limit7"
    assert parse([]).label == "heldout"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["benchmark=gsm8"], "did you mean 'gsm8k'?"),
        (["benchmark=aime"], "one of heldout, gsm8k, math500, amc23, aime24"),
        (["limit=0"], "limit=0: write a whole number from 1"),
        (["limit=-1"], "limit=-1: write a whole number"),
        (["limit=many"], "limit=many: write a whole number"),
        (["limt=3"], "did you mean 'limit'?"),
        (["path=a.jsonl"], "path=a.jsonl goes with a published set"),
        (["benchmark=arithmetic", "rows=any"], "rows=any goes with a published set"),
        (["benchmark=arithmetic", "per_cell=2"], "per_cell is for benchmark=heldout"),
        (["benchmark=gsm8k", "path=none.jsonl"], "benchmark=gsm8k: none.jsonl cannot be read"),
        (["benchmark=sums_in_words"], "the model tiny reads the words of arithmetic alone"),
    ],
)
def test_bad_words_are_one_line_and_leave_nothing(
    words: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    status = cli.main(["eval", "tiny", *words])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert expected in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_each_packaged_model_is_measured_on_its_own_world(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The main job's is measured as a run's base is, and `experiment=` chooses another world."""
    for model, experiment in (("nope", "default"), ("tiny", "arithmetic")):
        assert READS[model] in environments.ENVIRONMENTS
        config = model_config(model, parse([]), None)
        assert config.experiment == experiment
        assert (config.environment.name, config.agents.solver.model) == (READS[model], model)
        like = compose.compose([f"experiment={experiment}"])
        assert config.environment == like.environment
        assert config.evaluation.sampling == like.evaluation.sampling
        assert config.agents.solver.template == like.agents.solver.template
    assert set(READS) == set(PACKAGED)
    assert model_config("nope", parse(["experiment=uniform"]), None).experiment == "uniform"
    assert cli.main(["eval", "nope", "benchmark=arithmetic"]) == 2
    assert "the model nope reads the words of strings alone" in capsys.readouterr().err
    _, found = prepare(model_config("nope", parse([]), None), parse(["benchmark=strings"]))
    assert len(found.problems) == 384


def test_the_curve_of_a_run_is_nothing_to_a_measurement(tmp_path: Path) -> None:
    """Its k and problems a cell may be fewer than the run's curve has, and it has none of its own."""
    small = ["k=1", "per_cell=1"]
    config = model_config("nope", parse(small), None)
    assert (config.evaluation.k, config.evaluation.per_cell) == (1, 1)
    compose.save(compose.compose([]), tmp_path / "config.yaml")
    of_run(tmp_path, parse(small).overrides)
    with pytest.raises(
        ConfigError, match=r"curve_per_cell=\d+ is more than evaluation\.per_cell=1"
    ):
        compose.compose(["evaluation.per_cell=1"])


def test_limit_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "tiny", "--limit", "x"]) == 2
    assert "limit=x: write a whole number from 1" in capsys.readouterr().err


# What it is measured with


def prepared(words: list[str], *overrides: str, model: str = "org/model") -> tuple[Config, Any]:
    config = compose.compose([*overrides, *parse(words).overrides])
    config.agents.solver.model = model
    return prepare(config, parse(words))


def test_a_published_set_brings_its_environment_and_leaves_foreign_examples_out(gsm8k: str) -> None:
    words = ["benchmark=gsm8k", f"path={gsm8k}", "rows=any"]
    config, found = prepared(words, "experiment=smollm2")
    assert config.environment.options["benchmark"] == "gsm8k"
    assert config.agents.solver.template == "{prompt}"
    assert config.evaluation.sampling.max_tokens == 1024
    assert len(found.problems) == 4


def test_what_the_command_line_says_is_kept(gsm8k: str) -> None:
    words = ["benchmark=gsm8k", f"path={gsm8k}", "rows=any", "max_tokens=9"]
    config, _ = prepared([*words, "agents.solver.template='Q: {prompt}'"])
    assert config.agents.solver.template == "Q: {prompt}"
    assert config.evaluation.sampling.max_tokens == 9


def test_the_template_of_text_mathematics_is_kept(gsm8k: str) -> None:
    own = ["experiment=qwen3_8b", "agents.solver.template='{prompt} /no_think'"]
    before = compose.compose(own)
    for words in (["benchmark=gsm8k", f"path={gsm8k}", "rows=any"], ["benchmark=math_seeds"]):
        config, _ = prepared(words, *own)
        assert config.agents.solver.template == "{prompt} /no_think"
        assert config.evaluation.sampling == before.evaluation.sampling


def test_the_run_s_own_environment_is_measured_as_it_was_trained() -> None:
    config, found = prepared(["benchmark=arithmetic"], "experiment=arithmetic", model="tiny")
    assert config.agents.solver.template == "S:{prompt}"
    assert config.evaluation.sampling.max_tokens == 112
    assert len(found.problems) == 264


def test_built_in_benchmarks_do_not_depend_on_the_run() -> None:
    own = ["experiment=arithmetic", "environment=sums_in_words", "evaluation.per_cell=1"]
    _, one = prepared(["benchmark=arithmetic"], *own)
    _, other = prepared(["benchmark=arithmetic"])
    assert checksum(one.problems) == checksum(other.problems)


def test_heldout_follows_the_run_and_can_be_limited() -> None:
    words = ("experiment=arithmetic", "environment=sums_in_words")
    _, found = prepared(["per_cell=1"], *words)
    assert {problem.domain for problem in found.problems} == {"sums_in_words"}
    _, few = prepared(["per_cell=1", "limit=5"], *words)
    assert len(few.problems) == 5 and all(problem in found.problems for problem in few.problems)


def test_short_answers_stay_short() -> None:
    config, _ = prepared(["benchmark=sums_in_words"], "experiment=arithmetic")
    assert config.agents.solver.template == "{prompt}"
    assert config.evaluation.sampling.max_tokens == 112


def test_a_bad_file_is_the_user_s_affair(gsm8k: str) -> None:
    with pytest.raises(ConfigError, match="published with 1319 problems, found 4; write rows=any"):
        prepared(["benchmark=gsm8k", f"path={gsm8k}"])


# What is printed and written


def problem(n: int, **kind: Any) -> Problem:
    return Problem(domain="minerva", family="f", statement=f"What is {n}?", answer=str(n), **kind)


def measured(correct: int, count: int, cut_off: int = 0, seconds: float = 1.5) -> Timed:
    rows = []
    for n in range(count):
        right = n < correct
        completion = Completion(
            text="", token_ids=(1, 2), finish_reason="length" if n < cut_off else "stop"
        )
        verdict = Verdict(status="correct" if right else "wrong", answer=str(n) if right else None)
        level = {"level": 10 - n % 2}
        rows.append(
            Measured(
                problem=problem(n, difficulty=level),
                completions=(completion,) * 2,
                verdicts=(verdict,) * 2,
            )
        )
    return Timed(rows, seconds)


def result(weights: dict[str, Timed], **kind: Any) -> dict[str, Any]:
    rows = next(iter(weights.values())).rows
    benchmark = Benchmark(
        name="minerva",
        environment="environments.benchmark_set:BenchmarkSet",
        problems=tuple(row.problem for row in rows),
        **kind,
    )
    return report(weights, Config(), benchmark, seed=3, limit=None)


def shown(found: dict[str, Any], columns: int = 60) -> str:
    stream = io.StringIO()
    render(found, Console(file=stream, width=columns, highlight=False))
    return stream.getvalue()


def test_a_pair_of_measurements_fits_in_sixty_columns() -> None:
    found = result({"base": measured(3, 20), "final": measured(9, 20, seconds=2.0)})
    text = shown(found)
    longest = max(len(line) for line in text.splitlines() if "sha256" not in line)
    assert longest <= 60
    assert "15.0" in text and "45.0" in text and "+30.0 [" in text
    rows = {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}
    assert rows["minerva,"] == ["pass@2"] * 3  # mean@2 before it
    assert rows["9"][-2:] == ["[+0.1,", "+59.9]"] and text.index("\n9 ") < text.index("\n10 ")
    assert "base: 40 completions: 6 correct, 34 wrong; 80 tokens," in text
    assert f"problems: sha256 {found['problems_sha256']}\n" in text
    assert "warning" not in text
    assert found["completions"]["final"]["seconds"] == 2.0
    assert found["difference"]["delta"] == pytest.approx(0.3)


def test_a_measurement_of_the_limit_is_called_one() -> None:
    found = result({"model": measured(1, 20, cut_off=15)})
    assert found["completions"]["model"]["cut_off"] == 30
    text = " ".join(shown(found).split())
    assert "75% of the completions of model were cut off at max_tokens=128" in text
    assert "of these 30 cut off at max_tokens" in text


def test_problems_that_cannot_be_scored_are_listed() -> None:
    lost = [
        Unscorable(problem_id=problem(n).id, where=f"m.jsonl, line {n}", answer="& so on")
        for n in range(8)
    ]
    elsewhere = Unscorable(problem_id="0" * 16, where="m.jsonl, line 99", answer="?")
    file = File(path="m.jsonl", sha256="ab" * 32, rows=20)
    found = result({"model": measured(0, 20)}, unscorable=(*lost, elsewhere), files=(file,))
    assert [one["where"] for one in found["not_scorable"]] == [one.where for one in lost]
    text = " ".join(shown(found).split())
    assert "8 of the problems are not scorable" in text and "count as wrong" in text
    assert "(m.jsonl, line 0: '& so on'" in text and "; and 3 more)" in text
    assert f"file: m.jsonl sha256 {'ab' * 32}" in text
    assert found["files"] == [{"path": "m.jsonl", "sha256": "ab" * 32, "rows": 20}]


def test_files_are_whole_and_readable_by_others(tmp_path: Path) -> None:
    weights = {"model": measured(1, 3)}
    found = result(weights)
    folder = tmp_path / "new" / "folder"
    paths = write(folder, "minerva-limit3", found, weights, completions=True)
    assert sorted(file.name for file in folder.iterdir()) == [
        "eval-minerva-limit3.completions.jsonl",
        "eval-minerva-limit3.json",
    ]
    assert json.loads(paths[0].read_text()) == found
    rows = [json.loads(line) for line in paths[1].read_text().splitlines()]
    assert [row["status"] for row in rows] == ["correct"] * 2 + ["wrong"] * 4
    mask = os.umask(0)
    os.umask(mask)
    assert all(path.stat().st_mode & 0o777 == 0o666 & ~mask for path in paths)
