"""The command line: exit statuses, messages, overrides in any position, start-up time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from coevo import cli, compose
from coevo.config import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(list(words))
    out, err = capsys.readouterr()
    return status, out, err


# Start-up


def test_help_takes_less_than_a_second() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        command = [sys.executable, "-m", "coevo.cli", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0
        assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)
    assert statistics.median(seconds) < 1.0


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["rnu"]])
def test_nothing_heavy_is_imported_before_a_command_runs(words: list[str]) -> None:
    heavy = "{'torch', 'ray', 'hydra', 'omegaconf', 'transformers', 'wandb', 'datasets', 'numpy'}"
    program = (
        f"import sys; from coevo.cli import main; main({words!r});"
        f"print('loaded', sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


# Usage


SMALL = (
    "agents=tiny", "environment.options.families=[negate]", "environment.options.levels=[1,5]",
    "curriculum.seed_levels=[2,3]", "evaluation.per_cell=8",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rnu"], "no command 'rnu'; did you mean 'run'?"),
        (["exprot", "x"], "did you mean 'export'?"),
        (["run", "rouds=3"], "no key 'rouds'; did you mean 'rounds'?"),
        (["run", "rounds"], "rounds: write it as key=value"),
        (["run", "+x=3"], "+x=3: there is no key 'x'"),
        (["run", "+rouds=3"], "did you mean 'rounds'?"),
        (["run", "++seed=3"], "++seed=3: write seed=3"),
        (["run", "+experiment=static"], "write experiment=static"),
        (["run", "~seed"], "no key can be removed"),
        (["run", "~sed"], "did you mean 'seed'?"),
        (["run", "experiment=statik"], "did you mean 'static'?"),
        (["run", "rounds=0"], "rounds=0 is out of range: write a value from 1"),
        (["run", "rounds=many"], "rounds"),
        (["run", "environment.name=arithmetics"], "environment 'arithmetics' does not exist"),
        (["run", "--dry-run", "experiment=qwen3"], "did you mean 'qwen3_8b'?"),
        (["run", "--dry", "seed=1"], "unrecognized arguments: --dry"),
        (["run", "--multi", "seed=0,1"], "unrecognized arguments: --multi"),
        (["run", "--cfg", "hydra"], "invalid choice: 'hydra'"),
        (["run", "--rounds=5"], "a setting has no dashes: write rounds=5"),
        (["run", "-seed", "5"], "a setting has no dashes: write seed=…"),
        (["run", "--dry_run"], "did you mean '--dry-run'?"),
        (["run", "rounds", "=", "5"], "without spaces around the ="),
        (["run", "grpo"], "write experiment=grpo or learner@agents.solver.learner=grpo"),
        (
            ["run", "lr=1"],
            "did you mean 'agents.generator.learner.lr' or 'agents.solver.learner.lr'?",
        ),
        (["run", "agents.solver.lr=1"], "did you mean 'agents.solver.learner.lr'?"),
        (["run", "environment.path=x"], "did you mean 'environment.options.path'?"),
        (["run", "environment=my.py"], "a class of your own is environment.name=module:Class"),
        (["run", "decontamination.against=x"], "such as decontamination.against.NAME=…"),
        (["run", "agents.solver.template="], "agents.solver.template is empty; write one with {"),
        (["run", "-m", "environment.options.x='a'b"], "coevo: "),
        (
            ["run", "environment=strings", "agents=tiny", "environment.options.families=[revers]"],
            "environment.options.families: there is no 'revers'; did you mean 'reverse'?",
        ),
        (
            ["run", "environment=strings", "agents=tiny", "environment.options.levels=[3,99]"],
            "environment.options.levels=[3, 99]: write the shortest and the longest string, from 1 to 64",
        ),
        (
            ["run", "environment=strings", "agents=tiny", "environment.options.level=[3,9]"],
            "environment.options.level: strings has no such option; did you mean 'levels'?",
        ),
        (
            ["run", "experiment=arithmetic", "curriculum.seed_levels=[1,40]"],
            "curriculum.seed_levels=[1, 40]: arithmetic has levels 2 to 8; write "
            "curriculum.seed_levels=[2,8]",
        ),
        (
            ["run", "environment=strings", *SMALL],
            "evaluation.per_cell=8: negate at level 1 has only 5 problems",
        ),
        (["resume"], "required: run (coevo"),
        (["explain"], "the following arguments are required: run"),
        (["explain", "no-such-run"], "there is no run 'no-such-run'"),
        (["resume", "no-such-run"], "there is no run 'no-such-run'"),
        (["export", "x", "--to", "y"], "required: --what"),
        (["export", "x", "--what", "modle", "--to", "y"], "invalid choice: 'modle'"),
        (["eval", "tinny"], "did you mean 'tiny'?"),
        (
            ["eval", "nopee"],
            "neither a run nor a model (tiny, nope, smollm2, a model folder, org/name)",
        ),
        (["run", "agents.solver.model="], "write nope, tiny, smollm2 or a model folder"),
        (["run", "agents=nop"], "did you mean 'nope'?"),
        (["eval", "tiny", "benchmark=helout"], "did you mean 'heldout'?"),
        (["eval", "tiny", "per_cel=3"], "did you mean 'per_cell'?"),
        (["eval", "tiny", "k=0"], "evaluation.k=0 is out of range"),
        (["eval", "tiny", "seed=-1"], "seed=-1: write a whole number"),
        (["eval", "tiny", "--save-completions"], "needs --to DIR"),
        (["compare"], "required: RUN"),
    ],
)
def test_bad_usage_is_one_clear_line_and_status_2(
    words: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = printed(capsys, *words)
    assert (status, out) == (2, "")
    assert expected in err
    assert err.startswith("coevo: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_near_run_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "trial").mkdir(parents=True)
    (tmp_path / "runs" / "trial" / "run.db").touch()
    assert "did you mean 'trial'?" in printed(capsys, "explain", "trail")[2]


def test_no_command_prints_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = printed(capsys)
    assert (status, out) == (2, "")
    assert "usage: coevo COMMAND" in err


# Overrides


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "job", "rounds=3", "seed=7"],
        ["rounds=3", "--cfg", "job", "seed=7"],
        ["rounds=3", "seed=7", "-c", "job"],
    ],
)
def test_overrides_stand_anywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = printed(capsys, "run", *words)
    plain = yaml.safe_load(out)
    assert (status, plain["rounds"], plain["seed"]) == (0, 3, 7)


def test_a_sweep_is_checked_whole(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = printed(capsys, "run", "seed=1,2", "-m", "rounds=3", "--cfg", "job")
    assert status == 0
    assert [(one["seed"], one["rounds"]) for one in yaml.safe_load_all(out)] == [(1, 3), (2, 3)]
    status, out, err = printed(capsys, "run", "rounds=3,0", "-m", "--cfg", "job")
    assert (status, out) == (2, "")
    assert "rounds=0" in err


def test_run_help_has_examples_and_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = printed(capsys, "run", "--help")
    assert status == 0
    assert "learner@agents.solver.learner=grpo" in out
    assert "--dry-run" in out
    for group in compose.groups():
        assert f"  {group} " in out
        assert ", ".join(compose.group_options(group)) in out


def test_an_environments_options_are_open() -> None:
    for word in ("environment.options.depth=3", "+environment.options.depth=3"):
        config = compose.compose(["experiment=arithmetic", word])
        assert config.environment.options == {"depth": 3}


def test_a_saved_configuration_takes_single_keys_only() -> None:
    plain = compose.to_plain(compose.compose([]))
    assert compose.from_plain(plain, ["rounds=20"]).rounds == 20
    with pytest.raises(ConfigError, match=r"'rouds'; did you mean 'rounds'\?"):
        compose.from_plain(plain, ["+rouds=20"])


# Failures


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("wrong"), 2),
        (type("RunError", (RuntimeError,), {})("it broke"), 1),
        (type("CheckpointError", (RuntimeError,), {})("it broke"), 1),
        (type("Interrupted", (KeyboardInterrupt,), {})("resume it"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_statuses(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(words: Any) -> int:
        raise error

    monkeypatch.setitem(cli.COMMANDS, "doctor", ("", fail))
    assert cli.main(["doctor"]) == status
    assert capsys.readouterr().err == f"coevo: {str(error) or 'stopped'}\n"


def test_a_defect_leaves_its_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(words: Any) -> int:
        raise KeyError("surprise")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(cli.COMMANDS, "doctor", ("", fail))
    assert cli.main(["doctor"]) == 1
    err = capsys.readouterr().err
    (file,) = tmp_path.iterdir()
    assert err.startswith("coevo: KeyError: 'surprise'") and str(file) in err
    assert err.count("\n") == 1
    assert "in fail" in file.read_text()
