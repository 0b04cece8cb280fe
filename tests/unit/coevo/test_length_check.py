"""Where only one completion is right, what a role cannot write or read is told before a run has a folder."""

from __future__ import annotations

import copy
import json
import shutil
import time
from functools import cache, partial, reduce
from pathlib import Path

import pytest
import yaml

from agents.model_files import TINY
from coevo import eval_command, length_check
from coevo.compose import compose
from coevo.config import Config, ConfigError, EnvironmentConfig
from coevo.length_check import check_lengths
from coevo.run import resume, start
from coevo.run_folder import held_out, make_environment
from environments.benchmark import heldout

LETTERS = "abcdefghijklmnopqrstuvwxyz "
SMALL = (
    "experiment=arithmetic",
    "runtime=inline",
    "curriculum.seed_levels=[3,4]",
    "evaluation.per_cell=2",
    "evaluation.sampling.max_tokens=112",
)


def reader(folder: Path, positions: int = 512) -> Path:
    """The tiny model without its weights, one token a character, letters too."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for letter in LETTERS:
        vocabulary.setdefault(letter, len(vocabulary))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((folder / "config.json").read_text())
    config |= {"max_position_embeddings": positions, "vocab_size": len(vocabulary)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


BASE = cache(partial(compose, SMALL))


def world(model: Path | str, *changes: str) -> Config:
    """Reversing and duplicating strings of 3 to 9 digits; both roles read with the same tokenizer."""
    config = copy.deepcopy(BASE())
    options = {"families": ["reverse", "duplicate"], "levels": [3, 9]}
    config.environment = EnvironmentConfig(name="strings", options=options)
    config.agents.solver.model = config.agents.generator.model = str(model)
    for change in changes:
        path, value = change.split("=", 1)
        *blocks, leaf = path.split(".")
        setattr(reduce(getattr, blocks, config), leaf, yaml.safe_load(value))
    return config


def check(config: Config, training: bool = True) -> None:
    environment = make_environment(config.environment)
    check_lengths(config, environment, held_out(config, environment), training)


def refusal(config: Config, training: bool = True) -> str:
    with pytest.raises(ConfigError) as caught:
        check(config, training)
    return str(caught.value)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reader(tmp_path_factory.mktemp("models") / "letters")


@pytest.mark.parametrize("key", ["agents.solver.sampling", "evaluation.sampling"])
def test_the_solver_s_tokens(model: Path, key: str) -> None:
    """A string of 9 digits, duplicated, is 18 tokens and the end; one of 3 fits into 7."""
    check(world(model, f"{key}.max_tokens=19"))
    assert refusal(world(model, f"{key}.max_tokens=18")) == (
        f"{key}.max_tokens=18: the right completion has up to 19 tokens with its end (duplicate at level "
        f"9); write {key}.max_tokens=19 or more, or environment.options.levels=[3,8]"
    )
    assert refusal(world(model, f"{key}.max_tokens=7")).endswith("levels=[3,3]")
    assert refusal(world(model, f"{key}.max_tokens=6")).endswith("max_tokens=19 or more")


def test_the_generator_s_tokens(model: Path) -> None:
    """`duplicate 123456789` is 19 characters."""
    key = "agents.generator.sampling.max_tokens"
    check(world(model, f"{key}=20"))
    assert refusal(world(model, f"{key}=17")) == (
        f"{key}=17: its statement has up to 20 tokens with its end (duplicate at level 9); write {key}=20 "
        "or more, or environment.options.levels=[3,6]"
    )
    check(world(model, f"{key}=17"), training=False)
    check(world(model, f"{key}=17", "loop.feed=teacher", "loop.train_generator=false"))
    check(world(model, f"{key}=17", "agents.generator.policy.name=rules", *FROZEN))


FROZEN = ("agents.generator.learner.objective=none",)


def test_all_that_is_too_small_is_said_at_once(model: Path) -> None:
    limits = {"agents.solver": 18, "evaluation": 12, "agents.generator": 17}
    words = [f"{key}.sampling.max_tokens={limit}" for key, limit in limits.items()]
    told = refusal(world(model, *words))
    assert told.count("; write ") == 2
    assert told.startswith(f"{words[0]} and {words[1]}: the right completion has up to 19 tokens")
    assert (
        "write agents.solver.sampling.max_tokens=19 and evaluation.sampling.max_tokens=19 or more, or "
        f"environment.options.levels=[3,5]; {words[2]}: its statement has up to 20 tokens"
    ) in told


def test_positions(tmp_path: Path) -> None:
    """Solver: `S:duplicate 123456789=` (22), answer and end (19). Generator:
    `G:duplicate 123456789|` (22), an attempt of 30, `>`, the statement and its end (20)."""
    words = ("agents.solver.sampling.max_tokens=30",)
    alone = ("loop.feed=teacher", "loop.train_generator=false")
    small, fits = (reader(tmp_path / str(n), n) for n in (40, 41))
    check(world(fits, *words, *alone))
    assert refusal(world(small, *words, *alone)) == (
        f"agents.solver.model={small}: 40 tokens are read in one sequence, and prompt and the right "
        "completion have up to 41 (duplicate at level 9); write a model with more positions, or a "
        "shorter agents.solver.template, or environment.options.levels=[3,8]"
    )
    small, fits = (reader(tmp_path / str(n), n) for n in (72, 73))
    check(world(fits, *words))
    assert refusal(world(small, *words)) == (
        f"agents.generator.model={small}: 72 tokens are read in one sequence, and prompt, an attempt of "
        "agents.solver.sampling.max_tokens=30 and its statement have up to 73 (duplicate at level 9); "
        "write a model with more positions, or a shorter agents.generator.template, or "
        "environment.options.levels=[3,8]"
    )
    check(world(small, *words, "agents.generator.template='G:{statement}>'"))


def test_an_engine_s_limit(model: Path) -> None:
    words = (
        "agents.solver.policy.name=vllm", "agents.solver.policy.vllm.max_model_len=40", "runtime.kind=ray",
        "agents.solver.sampling.max_tokens=30",
    )  # fmt: skip
    told = refusal(world(model, *words))
    assert told.startswith("agents.solver.policy.vllm.max_model_len=40: 40 tokens are read")


def test_letters_that_a_model_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(length_check, "TRIED", 1)
    assert refusal(world("tiny")).startswith(
        "agents.solver.model=tiny: its tokenizer has no token for 'r', which strings writes in 'reverse "
    )
    words = reader(tmp_path / "words")
    tokenizer = json.loads((words / "tokenizer.json").read_text())
    del tokenizer["model"]["vocab"]["v"]  # in `reverse`, whose problems are the shorter ones
    (words / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "no token for 'v', which strings writes in 'reverse " in refusal(world(words))
    tokenizer["model"]["unk_token"] = "nothing"  # that is not there
    (words / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "no token for 'S:reverse " in refusal(world(words))
    check(world("tiny", "agents.solver.policy.name=rules", "agents.generator.policy.name=rules",
                "agents.solver.learner.objective=none", *FROZEN))  # fmt: skip


def test_questions_that_a_model_cannot_read_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Where something else than one text may be right, a run goes on."""
    config = world("tiny", "agents.solver.sampling.max_tokens=1")
    for name, told in (("arithmetic", ""), ("sums_in_words", "no token for '")):
        config.environment = EnvironmentConfig(name=name)
        check(config)
        err = capsys.readouterr().err
        assert err.startswith("warning: agents.solver.model=tiny has " * bool(told) + told)
        assert err.count("\n") == bool(told)


def test_room_for_what_others_may_write_is_told(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Strings of 9 + 6 digits, which duplicated are 30 tokens and the end. Levels that are drawn fit, so
    the run goes on."""
    key = "agents.solver.sampling.max_tokens"
    check(world(model, f"{key}=31"))
    assert capsys.readouterr().err == ""
    check(world(model, f"{key}=30"))
    assert capsys.readouterr().err == (
        f"warning: {key}=30: problems up to duplicate at level 15 are accepted from those who write them, "
        "and the right completion has 31 tokens there: the Solver can never solve these; write "
        f"{key}=31 or more\n"
    )
    alone = ("loop.feed=teacher", "loop.train_generator=false")
    check(world(model, f"{key}=30", *alone))  # its Teacher works by rules
    check(world(model, f"{key}=30"), training=False)
    assert capsys.readouterr().err == ""
    check(world(model, f"{key}=30", *alone, "agents.teacher.policy.name=endpoint"))
    assert capsys.readouterr().err.startswith("warning: ")


def test_the_main_job_has_room_for_what_others_may_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """14 + 6 digits and the end are 21 tokens of 24."""
    config = compose([])
    check(config)
    assert capsys.readouterr().err == ""
    config.agents.solver.sampling.max_tokens = 20
    check(config)
    assert "has 21 tokens there" in capsys.readouterr().err


def test_what_is_not_known_is_not_refused(model: Path, tmp_path: Path) -> None:
    """Of a model whose tokenizer is not here, or cannot be read."""
    check(world("some/model", "agents.solver.sampling.max_tokens=1"))
    shutil.copytree(model, tmp_path / "other")
    (tmp_path / "other" / "tokenizer.json").write_text("{")
    check(world(tmp_path / "other", "agents.solver.sampling.max_tokens=1"))


def test_in_a_mixture(model: Path) -> None:
    config = world(model, "agents.solver.sampling.max_tokens=28", "evaluation.per_cell=1")
    parts = {"far": {"name": "strings"}, "sums": {"name": "arithmetic"}}
    config.environment = EnvironmentConfig(name="mixture", options={"parts": parts})
    told = refusal(config)
    assert "has up to 29 tokens with its end (far/" in told
    assert told.endswith("write agents.solver.sampling.max_tokens=29 or more")


def test_before_a_run_has_a_folder_and_a_measurement_a_worker(model: Path, tmp_path: Path) -> None:
    whole = shutil.copytree(model, tmp_path / "whole")
    shutil.copy(TINY / "model.safetensors", whole)
    runs = tmp_path / "runs"
    config = world(whole, f"runs_dir={runs}", "agents.solver.sampling.max_tokens=5")
    with pytest.raises(ConfigError, match=r"^agents\.solver\.sampling\.max_tokens=5: the right"):
        start(config)
    assert not runs.exists()
    own = [*SMALL, "environment=strings", "agents.solver.sampling.max_tokens=5"]
    with pytest.raises(ConfigError, match=r"^evaluation\.sampling\.max_tokens=5: the right"):
        eval_command.main(str(whole), [*own, "max_tokens=5"], None, None, False)


def test_before_a_run_goes_on(model: Path, tmp_path: Path) -> None:
    """A run by rules, with a model from its second round on."""
    words = [f"agents.{role}.policy.name=rules" for role in ("solver", "generator")]
    words += [f"agents.{role}.learner.objective=none" for role in ("solver", "generator")]
    words += ["rounds=1", f"runs_dir={tmp_path}", "name=one", "tracker.console=false"]
    words += ["curriculum.seeds=4", "loop.new_problems=2", "loop.group_size=2", "evaluation.k=1"]
    start(world("tiny", *words))
    shutil.copy(TINY / "model.safetensors", model)
    more = ["rounds=2", "agents.solver.policy.name=hf", f"agents.solver.model={model}"]
    with pytest.raises(ConfigError, match=r"^evaluation\.sampling\.max_tokens=5: the right"):
        resume(tmp_path / "one", [*more, "evaluation.sampling.max_tokens=5"], allow_changes=True)


def test_it_takes_no_time(model: Path) -> None:
    """All families at twelve levels, 8 problems each."""
    config = world(model)
    config.environment.options = {}
    environment = make_environment(config.environment)
    problems = heldout(environment, 8)
    start = time.process_time()
    check_lengths(config, environment, problems)
    assert time.process_time() - start < 0.3
