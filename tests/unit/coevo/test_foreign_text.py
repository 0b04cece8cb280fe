"""Commands over a run whose every text is hostile: nothing acts on the terminal, no line is forged."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agents.records import Attempt, Completion, Failure, PreferencePair, Proposal
from coevo import cli, compose, doctor, plan
from coevo.eval_report import Timed, render, report
from coevo.evaluate import Measured
from coevo.leaks import render as render_leaks
from coevo.model_card import model_card
from coevo.plan_report import render as render_plan
from coevo.run_folder import RunFolder
from coevo.store import Store
from coevo.tracking import RunInfo, Trackers
from coevo.tracking.console import ConsoleTracker
from environments import Malformed, Problem, Verdict
from environments.arithmetic import Arithmetic
from environments.benchmarks import Benchmark

EVIL = "\x1b[2J\x1b]52;c;eA==\x07\u202e\x9b\0\rFORGED\nFORGED\u2028FORGED\x85FORGED\u200b[red]x[/red]:bomb:|`"
PROBLEM = Problem(
    domain="arithmetic", family=f"f{EVIL}", statement=f"1+1{EVIL}", answer=f"2{EVIL}",
    solution=f"1+1=2{EVIL}", difficulty={"level": 2}, author=f"generator{EVIL}",  # type: ignore[arg-type]
    round=1, strategy=f"s{EVIL}", id=f"evil{EVIL}",
)  # fmt: skip
CHILD = dataclasses.replace(PROBLEM, id=f"child{EVIL}", parent_id=PROBLEM.id)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Two hostile problems, with all that can be told of them, in a folder of a hostile name."""
    folder = tmp_path / "run\x1b[31m\nFORGED[red]:bomb:"
    folder.mkdir()
    config = compose.compose([f"runs_dir={tmp_path}"])
    config.experiment = config.agents.solver.template = f"e{EVIL}"
    config.agents.solver.model = f"org/model{EVIL}"
    store = Store(folder / "run.db", create=True)
    compose.save(config, folder / "config.yaml")
    tried = [
        Attempt(
            problem_id=PROBLEM.id, round=1, sample=sample,
            completion=Completion(text=f"{sample}{EVIL}", policy_version=0),
            verdict=Verdict(status=f"wrong{EVIL}", answer=EVIL, detail=EVIL),  # type: ignore[arg-type]
        )
        for sample in (0, 1)
    ]  # fmt: skip
    proposed = Proposal(
        author="generator", round=1, index=0, source_id=PROBLEM.id, attempt_id=EVIL,
        attempt_text=EVIL, text=f"evil{EVIL}", result=Malformed(reason=EVIL),
        status=f"malformed:{EVIL}",
    )  # fmt: skip
    made = dataclasses.replace(proposed, index=1, result=CHILD, status="admitted", success=0.5)
    pair = PreferencePair(
        problem_id=PROBLEM.id, chosen_id=tried[0].id, rejected_id=tried[1].id,
        chosen=tried[0].completion, rejected=tried[1].completion,
    )  # fmt: skip
    with store.transaction():
        store.add_problems([PROBLEM, CHILD])
        store.add_batch(1, [(PROBLEM, f"new{EVIL}")])
        store.add_attempts(tried)
        store.add_zones([(1, PROBLEM.id, 0, 0, 2, EVIL), (2, CHILD.id, 0, 1, 2, EVIL)])
        store.add_pairs(1, [pair])
        store.add_proposals([proposed, made])
        store.add_failures(1, [Failure(role=EVIL, task=EVIL, kind=EVIL, text=EVIL)])
        store.add_round(1, {}, {})
    return RunFolder(folder, config, store, Arithmetic())


def harmless(shown: str) -> None:
    """Nothing in it acts, hides or is markup carried out, and no line begins as ours do."""
    left = {unicodedata.category(char) for char in shown.replace("\n", "")}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}, repr(shown)
    assert not any(line.startswith("FORGED") for line in shown.splitlines()), shown
    assert "💣" not in shown


def printed(width: int = 4000) -> Console:
    """As the commands make theirs, or less guarded; a terminal would be sent what is written here."""
    return Console(file=io.StringIO(), width=width, highlight=False)


def content(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


WANTED = {
    "overview": None, "problem": "evil\x1b", "child": "child", "refused": f"evil{EVIL}",
    "nothing": "nothing\x1b",
}  # fmt: skip


@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
def test_explain(run: RunFolder, wanted: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["explain", str(run.path), *([wanted] if wanted else [])])
    out, err = capsys.readouterr()
    harmless(out + err)
    assert r"\x1b[2J" in out + err


def test_leaks(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    leak = {
        "problem_id": EVIL, "author": EVIL, "admitted": EVIL, "how": EVIL, "score": 1.0, "set": EVIL,
        "statement": EVIL, "evaluation_statement": EVIL,
    }  # fmt: skip
    sets = {f"s{EVIL}": {"problems": 1, "leaked": 1, "refused": 0}}
    console = printed()
    render_leaks({"run": f"r{EVIL}", "pool": 1, "sets": sets, "leaks": [leak]}, console)
    harmless(content(console))
    assert content(console).count("[red]x[/red]") >= 5
    cli.main(["leaks", str(run.path)])
    harmless("".join(capsys.readouterr()))


def test_eval() -> None:
    rows = [
        Measured(
            problem=dataclasses.replace(PROBLEM, id=f"{n}", family=f"{n}{EVIL}"),
            completions=(Completion(text=EVIL),),
            verdicts=(Verdict(status="wrong"),),
        )
        for n in range(2)
    ]
    benchmark = Benchmark(name="x", environment=f"e{EVIL}", options={}, problems=(PROBLEM,))
    result: dict[str, Any] = report(
        {"model": Timed(rows, 1.0)}, compose.compose([]), benchmark, 0, None
    )
    result["benchmark"] = f"b{EVIL}"
    result["files"] = [{"path": EVIL, "sha256": EVIL}]
    result["not_scorable"] = [{"where": EVIL, "answer": EVIL}]
    console = printed()
    render(result, console)
    harmless(content(console))
    assert content(console).count("[red]x[/red]") >= 5


def test_plan_and_doctor(run: RunFolder) -> None:
    config = compose.compose([
        "policy@agents.teacher.policy=endpoint", "prompts@agents.teacher.prompts=math",
        "agents.teacher.model=m", "agents.teacher.policy.endpoint.url=http://h/v1",
    ])  # fmt: skip
    config.experiment = config.agents.teacher.model = config.agents.solver.model = EVIL
    config.agents.teacher.policy.endpoint.url = EVIL
    console = printed()
    render_plan(plan.make(config), console)
    check = doctor.Check(group="package", name=EVIL, ok=False, found=EVIL, wanted=EVIL, mend=EVIL)
    doctor.render([check], console)
    harmless(content(console))
    assert content(console).count("[red]x[/red]") >= 7


def test_the_console_and_its_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = printed()
    info = RunInfo(
        name=f"n{EVIL}", folder=tmp_path / f"f{EVIL}".replace("\0", ""), seed=0, experiment=EVIL,
        rounds=1, first_round=1, config={}, wandb_id="", environment=EVIL, families=(), levels=(),
    )  # fmt: skip
    tracker = ConsoleTracker(console)

    def fail(*_: object) -> None:
        raise ValueError(EVIL)

    tracker.start(info)
    block = {"metric": EVIL, "base": 0.1, "final": 0.2, "by_level": {EVIL: [0.1, 0.2]}}
    tracker.finish({"benchmarks": {EVIL: block}, "curriculum": {"problems": 1, f"z{EVIL}": 1}})
    harmless(content(console))
    assert content(console).count("[red]x[/red]") >= 6
    tracker.start = fail  # type: ignore[method-assign]
    Trackers([], {"console": tracker}).start(info)
    harmless(capsys.readouterr().err)


def test_compare(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    block = {"metric": "mean@1", "base": 0.0, "final": 0.0, "delta": 0.0, "by_level": {}}
    block |= {"delta_ci95": [0.0, 0.0], "problems": 1}
    summary = {
        "schema": 1, "seed": 0, "rounds": 1, "benchmarks": {"heldout": block},
        "generator": {"valid_rate": [None, None], "mean_utility": [None, None]},
    }  # fmt: skip
    (run.path / "summary.json").write_text(json.dumps(summary))
    with run.store.transaction():
        for t in (0, 1):
            run.store.add_evaluation(t, "heldout", [(PROBLEM, 0, [None])])
        run.store.add_round(0, {}, {})
    run.store.close()
    for words in (["--markdown"], []):
        assert cli.main(["compare", str(run.path), *words]) == 0
        out, _ = capsys.readouterr()
        harmless(out)
        assert "[red]" in out
        if words:  # as many cells as there are headings
            rows = [row for row in out.splitlines() if row.startswith("|")]
            assert {row.replace("\\|", "").count("|") for row in rows} == {3}


def test_a_model_card_is_one_page(run: RunFolder) -> None:
    config = run.config
    config.experiment = EVIL.replace("\n", "")
    config.agents.solver.template = "a\n```\n# FORGED\n<script>"
    config.agents.solver.model = "org/x\n license: FORGED"
    card = model_card(run, "solver", 1)
    harmless(
        card.replace("\n# FORGED", "")
    )  # within the block of the command, which is fenced longer
    before, fence, rest = card.partition("\n````\n")
    assert fence and "\n# FORGED" not in before and "\n# FORGED" in rest.partition("\n````\n")[0]
    assert "\n# FORGED" not in rest.partition("\n````\n")[2]
    assert card.split("\n---\n")[0].count("\n") == 4


def test_messages_are_the_last_gate(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([f"rnu{EVIL}"]) == 2
    harmless(capsys.readouterr().err)
    assert cli._fail(f"{EVIL}{'x' * 100_000}\ud800", 1) == 1
    shown = capsys.readouterr().err
    harmless(shown)
    assert shown.startswith("coevo: ") and len(shown) < 10_000
    assert all(line.startswith("  ") for line in shown.splitlines()[1:])
    assert cli._unexpected(ValueError(f"{EVIL}\ud800")) == 1
    shown = capsys.readouterr().err
    harmless(shown)
    os.unlink(shown.rpartition("the traceback is in ")[2].strip(")\n"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_characters(run: RunFolder, encoding: str) -> None:
    with run.store.transaction():
        run.store.add_problems([dataclasses.replace(PROBLEM, id="z", statement="漢字 ± …")])
    run.store.close()
    done = subprocess.run(
        [sys.executable, "-m", "coevo.cli", "explain", str(run.path), "z"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u6f22\u5b57" in done.stdout
