"""eval, explain, export and compare on a finished run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.data_utils import is_conversational, maybe_apply_chat_template, maybe_extract_prompt

from coevo import cli, compose
from coevo.config import ConfigError
from coevo.explain import explain
from coevo.interesting import overview
from coevo.model_card import command
from coevo.run_folder import RunFolder, open_run


@pytest.fixture(scope="module")
def run(finished_run: Path) -> RunFolder:
    return open_run(str(finished_run))


def parquet(folder: Path, cache: Path) -> Any:
    return datasets.load_dataset("parquet", data_dir=str(folder), cache_dir=str(cache))["train"]


# eval


@pytest.fixture(scope="module")
def evaluated(finished_run: Path, coevo: Any, tmp_path_factory: Any) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("eval")
    done = coevo("eval", finished_run, "--to", folder, "--save-completions")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_eval_repeats_the_numbers_of_the_loop(
    finished_run: Path, evaluated: tuple[Path, str]
) -> None:
    result = json.loads((evaluated[0] / "eval-heldout.json").read_text())
    block = json.loads((finished_run / "summary.json").read_text())["benchmarks"]["heldout"]
    assert result["difference"] == block
    assert block["delta"] != 0  # else base and final could be mixed up unseen
    assert result["weights"]["base"]["all"]["mean@3"]["value"] == block["base"]
    assert result["weights"]["final"]["all"]["pass@3"]["value"] == block["pass@3"]["final"]
    assert set(result["weights"]["base"]["all"]) == {
        "mean@3",
        "pass@1",
        "pass@2",
        "pass@3",
        "maj@3",
    }
    assert result["change"]["all"]["mean@3"]["ci95"] == block["delta_ci95"]


def test_eval_saves_every_completion(evaluated: tuple[Path, str]) -> None:
    folder, _ = evaluated
    lines = (folder / "eval-heldout.completions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    result = json.loads((folder / "eval-heldout.json").read_text())
    assert len(rows) == 2 * 3 * result["problems"]
    right = [row["status"] == "correct" for row in rows if row["weights"] == "final"]
    assert sum(right) / len(right) == pytest.approx(result["difference"]["final"])


def test_eval_of_a_model_alone_is_the_base_of_the_run(
    finished_run: Path, evaluated: tuple[Path, str], coevo: Any, tmp_path: Path
) -> None:
    done = coevo("eval", "nope", "--like", finished_run, "--to", tmp_path)
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "eval-heldout.json").read_text())
    of_run = json.loads((evaluated[0] / "eval-heldout.json").read_text())
    assert alone["weights"]["model"] == of_run["weights"]["base"]
    assert "difference" not in alone


@pytest.fixture
def copied(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return shutil.copytree(finished_run, tmp_path / "copied")


def test_eval_of_a_run_at_work_names_the_round_of_its_weights(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "summary.json").unlink()
    config = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(config.replace("rounds: 2\n", "rounds: 5\n"))
    assert cli.main(["eval", str(copied), "k=1", "limit=4", "--to", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "eval-heldout-limit4.json").read_text())
    assert list(result["weights"]) == list(result["completions"]) == ["base", "round 2"]
    assert (result["round"], result["rounds"]) == (2, 5)
    out = capsys.readouterr().out
    assert "round 2, %" in out and "final" not in out
    assert "round 2 of 5: the run has not finished" in out


# resume


def test_a_finished_run_is_told_to_be_finished_and_left_alone(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passing = (".lock", "run.db-shm", "run.db-wal")  # an open database comes and goes with them
    files = [path for path in copied.iterdir() if path.is_file() and path.name not in passing]
    before = {path: path.read_bytes() for path in files}
    for words in ([], ["rounds=2"]):
        assert cli.main(["resume", str(copied), *words]) == 0
        out = capsys.readouterr().out
        assert out == f"{copied} has finished: 2 rounds; write rounds=3 or more to go on\n"
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_cannot_have_fewer_rounds_than_it_has(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (copied / "config.yaml").read_bytes()
    assert cli.main(["resume", str(copied), "rounds=1"]) == 2
    err = capsys.readouterr().err
    assert "has 2 rounds already, and cannot have fewer; write rounds=3 or more" in err
    assert (copied / "config.yaml").read_bytes() == before


# explain


def test_explain_tells_the_lineage_up_to_the_seed(run: RunFolder) -> None:
    child = next(p for p in reversed(run.store.problems()) if p.author == "teacher")
    story = explain(run, child.id[:12])
    seed = child
    pool = {problem.id: problem for problem in run.store.problems()}
    while seed.parent_id is not None:
        seed = pool[seed.parent_id]
        assert seed.statement in story
    assert f"{seed.statement} (a seed)" in story
    assert f"by the Teacher in round {child.round}" in story
    (proposal,) = run.store.query(
        "SELECT * FROM proposals WHERE problem_id = ? AND status = 'admitted'", child.id
    )
    assert proposal["attempt_text"] in story
    assert f"utility {proposal['utility']:.3f}" in story
    (zone, *_) = run.store.query("SELECT * FROM zones WHERE problem_id = ?", child.id)
    assert f"round {child.round}: {zone['correct']}/4 correct" in story


def test_explain_counts_the_pairs_and_names_the_wrong_step(run: RunFolder) -> None:
    (row,) = run.store.query(
        "SELECT problem_id, round, count(*) AS n FROM pairs "
        "WHERE chosen_id NOT LIKE '%-ref' GROUP BY problem_id, round ORDER BY n DESC LIMIT 1"
    )
    problem = next(p for p in run.store.problems() if p.id == row["problem_id"])
    story = explain(run, problem.statement)
    pairs = story.partition("preference pairs it fed\n")[2]
    assert f"  round {row['round']}: {row['n']}\n" in pairs
    wrong = next(a for a in run.store.attempts(problem.id) if not a.verdict.correct)
    diagnosis = run.environment.diagnose(problem, wrong.completion.text)
    assert diagnosis is not None
    assert wrong.completion.text in story
    assert f"({diagnosis.kind}): {diagnosis.detail}" in story


def test_explain_says_why_a_proposal_was_refused(run: RunFolder) -> None:
    (row, *_) = run.store.query(
        "SELECT * FROM proposals WHERE status != 'admitted' "
        "AND trim(text) NOT IN (SELECT statement FROM problems)"
    )
    story = explain(run, row["text"])
    assert "refused" in story
    assert f"by the {row['author'].capitalize()}: {row['status']}" in story
    assert row["attempt_text"] in story


def test_explain_of_an_unknown_problem_names_the_nearest(run: RunFolder) -> None:
    statement = run.store.problems()[0].statement
    with pytest.raises(ConfigError) as raised:
        explain(run, f"{statement}+")
    assert repr(statement) in str(raised.value)


def test_overview_names_problems_of_the_run(run: RunFolder, coevo: Any) -> None:
    told = overview(run)
    ids = {problem.id for problem in run.store.problems()}
    shown = [line.split()[0] for line in told.splitlines() if line.startswith("  ")]
    assert ids & set(shown)
    assert "asked of language models" not in told  # the Teacher works by rules
    done = coevo("explain", run.path)
    assert done.returncode == 0
    *same, last = told.splitlines()
    assert done.stdout.splitlines()[:-1] == same
    words = last.removeprefix("more of one: coevo ")  # the same command, as it was called there
    assert done.stdout.endswith(f" -m coevo.cli {words}\n")


# export


def test_preferences_are_what_trl_reads(run: RunFolder, coevo: Any, tmp_path: Path) -> None:
    done = coevo("export", run.path, "--what", "preferences", "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = parquet(tmp_path / "out", tmp_path / "cache")
    (count,) = run.store.query("SELECT count(*) AS n FROM pairs")
    assert len(rows) == count["n"] > 0
    first = rows[0]
    assert not is_conversational(first)
    assert maybe_extract_prompt(first) == first  # TRL sees that the prompt is explicit
    problem = next(p for p in run.store.problems() if p.id == first["problem_id"])
    assert first["prompt"] == f"S:{run.environment.prompt(problem)}"
    for row in rows:
        problem = next(p for p in run.store.problems() if p.id == row["problem_id"])
        assert run.environment.verify(problem, row["chosen"]).correct
        assert not run.environment.verify(problem, row["rejected"]).correct


def test_conversational_preferences_take_trls_chat_template(run: RunFolder, tmp_path: Path) -> None:
    from coevo.export import preferences

    run.config.agents.solver.policy.chat = True
    try:
        first = next(preferences(run))
    finally:
        run.config.agents.solver.policy.chat = False
    assert is_conversational(first)
    tokenizer = AutoTokenizer.from_pretrained(compose_model())
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    texts = maybe_apply_chat_template(first, tokenizer)
    assert texts["chosen"].endswith(first["chosen"][0]["content"])
    assert "[user]S:" in texts["prompt"]


def compose_model() -> Path:
    from agents.model_files import NOPE

    return NOPE


def test_sft_holds_each_correct_text_once(run: RunFolder, coevo: Any, tmp_path: Path) -> None:
    done = coevo("export", run.path, "--what", "sft", "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = parquet(tmp_path / "out", tmp_path / "cache")
    keys = {(row["problem_id"], row["completion"]) for row in rows}
    assert len(keys) == len(rows) > 0
    pool = {problem.id: problem for problem in run.store.problems()}
    correct = [a for i in pool for a in run.store.attempts(i) if a.verdict.correct]
    assert sum(row["attempts"] for row in rows) == len(correct)
    assert {a.completion.text for a in correct} == {row["completion"] for row in rows}


def test_problems_have_their_lineage(run: RunFolder, coevo: Any, tmp_path: Path) -> None:
    done = coevo("export", run.path, "--what", "problems", "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = parquet(tmp_path / "out", tmp_path / "cache")
    fields = ("statement", "answer", "solution", "family", "level", "author", "round")
    assert [tuple(row[f] for f in fields) for row in rows] == [
        tuple(getattr(problem, f) for f in fields) for problem in run.store.problems()
    ]
    assert [row["parent"] for row in rows] == [p.parent_id for p in run.store.problems()]


def test_exported_model_is_the_final_checkpoint(run: RunFolder, coevo: Any, tmp_path: Path) -> None:
    done = coevo("export", run.path, "--what", "model", "--to", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out"
    weights = (
        run.path / "checkpoints" / "round-0002" / "solver" / "model.safetensors"
    ).read_bytes()
    assert (folder / "model.safetensors").read_bytes() == weights
    assert not (folder / "optimizer.safetensors").exists()
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    card = (folder / "README.md").read_text()
    block = json.loads((run.path / "summary.json").read_text())["benchmarks"]["heldout"]
    assert f"{100 * block['delta']:+.1f} [{100 * block['delta_ci95'][0]:+.1f}" in card
    assert "base model `nope`" in card


def test_the_cards_command_makes_the_same_configuration(run: RunFolder) -> None:
    import shlex

    again = compose.compose(shlex.split(command(run.config))[2:])
    again.name, again.runs_dir = run.config.name, run.config.runs_dir
    assert again == run.config


def test_export_leaves_a_folder_in_use_alone(run: RunFolder, coevo: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = coevo("export", run.path, "--what", "problems", "--to", tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr and "Traceback" not in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


# compare


def test_compare_of_one_run_says_whose_interval_it_is(finished_run: Path, coevo: Any) -> None:
    done = coevo("compare", finished_run, "--markdown")
    assert done.returncode == 0, done.stderr
    block = json.loads((finished_run / "summary.json").read_text())["benchmarks"]["heldout"]
    low, high = (f"{100 * bound:+.1f}" for bound in block["delta_ci95"])
    assert f"| change | {100 * block['delta']:+.1f} [{low}, {high}] |" in done.stdout
    assert "one seed, interval over its problems" in done.stdout
