"""Exports that need no run: refusals, literals of the card's command, prompts as messages."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow.parquet
import pytest

from coevo import compose
from coevo.config import ConfigError, RoleConfig
from coevo.export import _frame, _parquet, main
from coevo.model_card import command
from coevo.run_folder import RunFolder
from coevo.store import Store
from environments.arithmetic import Arithmetic


@pytest.fixture
def empty_run(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    store = Store(tmp_path / "run" / "run.db", create=True)
    return RunFolder(tmp_path / "run", compose.compose([]), store, Arithmetic())


def test_a_run_with_nothing_to_export_leaves_nothing(empty_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing of this kind yet"):
        main(empty_run, "preferences", tmp_path / "new" / "out", "solver")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_and_an_occupied_folder_are_refused(empty_run: RunFolder, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        main(empty_run, "problems", file, "solver")
    with pytest.raises(ConfigError, match="not empty"):
        main(empty_run, "problems", tmp_path / "run", "solver")
    assert file.read_text() == "mine"


def test_the_generator_has_no_preferences(empty_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only the Solver learns from preferences"):
        main(empty_run, "preferences", tmp_path / "out", "generator")
    assert not (tmp_path / "out").exists()


def test_texts_become_messages_where_the_policy_chats() -> None:
    role = RoleConfig()
    assert _frame(role)("user", "2+3") == "2+3"
    role.policy.chat = True
    assert _frame(role)("user", "2+3") == [{"role": "user", "content": "2+3"}]


def test_parquet_keeps_types_and_nulls(tmp_path: Path) -> None:
    message = [{"role": "user", "content": "2+3"}]
    rows = [
        {"prompt": message, "parent": None, "round": 0, "utility": 1},
        {"prompt": message, "parent": "a", "round": 2, "utility": 0.5},
    ]
    assert _parquet(tmp_path / "x.parquet", iter(rows)) == 2
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet")
    assert table.to_pylist() == rows
    assert str(table.schema.field("parent").type) == "string"
    assert str(table.schema.field("utility").type) == "double"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=static", "seed=3"],
        ["loop=socratic_zero", "curriculum.seed_levels=[2,3]", "agents.solver.learner.lr=1e-6"],
        ["learner@agents.solver.learner=grpo", "utility=tent", "runtime=inline"],
        ["agents.solver.template='S {prompt}, please: $'", "environment.options.depth=3"],
        ["curriculum.seed_file=/tmp/my seeds.jsonl", "tracker.wandb.tags=[a,'b c']"],
    ],
)
def test_the_command_composes_the_same_configuration(overrides: list[str]) -> None:
    config = compose.compose(overrides)
    words = shlex.split(command(config))
    assert words[:2] == ["coevo", "run"]
    assert compose.compose(words[2:]) == config
    assert len(words) < 20  # only what differs


@pytest.mark.parametrize("template", ["it's {prompt}", "\\'{prompt}\\", "a\\b\n{prompt}", "true"])
def test_the_command_quotes_texts(template: str) -> None:
    config = compose.compose([])
    config.agents.solver.template = template
    assert compose.compose(shlex.split(command(config))[2:]) == config
