"""A saved configuration is data: read safely, and nothing in it is resolved."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from coevo import cli, compose
from coevo.config import ConfigError
from coevo.saved import LARGEST_FILE
from tests.unit.coevo.strangers import make, plain

SECRET = "sentinel-0123456789"


def refusal(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        compose.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message) < 500 + len(str(path))
    return message


def test_what_was_saved_is_read_again(tmp_path: Path) -> None:
    config = compose.compose(["agents.solver.template='a: $ \\\\{x\\\\} {prompt}'", "name='1e5'"])
    compose.save(config, tmp_path / "config.yaml")
    assert compose.from_plain(compose.load(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "${oc.env:STRANGE_SECRET}"),
        ("rounds", "${oc.env:STRANGE_SECRET}"),
        ("experiment", "a ${oc.env:STRANGE_SECRET} b"),
        ("agents.solver.template", "${name}"),
        ("environment.options", {"path": "${oc.decode:${oc.env:STRANGE_SECRET}}"}),
        ("environment.options", {"a": [{"${oc.env:STRANGE_SECRET}": 1}]}),
        ("tracker.wandb.tags", ["x", "${seed}"]),
    ],
)
def test_an_interpolation_is_refused_by_its_key_and_never_resolved(
    key: str,
    value: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STRANGE_SECRET", SECRET)
    run = make(tmp_path, {key: value})
    for command in ("explain", "resume", "eval", "leaks"):
        assert cli.main([command, str(run)]) == 2
        message = capsys.readouterr().err
        assert key.split(".")[-1] in message
        assert "interpolation" in message
        assert SECRET not in message


def test_the_user_s_own_interpolation_is_resolved_before_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_RUNS", "mine")
    assert compose.compose(["runs_dir=${oc.env:MY_RUNS}"]).runs_dir == "mine"
    assert compose.from_plain(plain(), ["runs_dir=${oc.env:MY_RUNS}"]).runs_dir == "mine"
    for text in (r"agents.solver.template='\${prompt}'", r"runs_dir='\${x}'"):
        with pytest.raises(ConfigError, match=r"\$\{…\}"):
            compose.compose([text])  # it could not be resumed


def test_aliases_do_not_multiply(tmp_path: Path) -> None:
    """Six lines that mean 100,000 values, with a few more 10⁹; and a block merged into another."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 6)]
    assert "aliases" in refusal(tmp_path, "\n".join(["l0: &l0 [x]", *levels]))
    merged = "a: &a {x: 1}\nb:\n  <<: *a\n"
    assert "aliases" in refusal(tmp_path, merged)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rounds: 1\nrounds: 2\n", "'rounds' is there twice"),
        ("environment: {options: {1: a}}\n", "environment.options.int: a key that is no text"),
        ("environment: {options: {null: a}}\n", "a key that is no text"),
        ("environment: {options: {[a]: a}}\n", "cannot be read"),
        ("rounds: 1" + 5000 * "0", "cannot be read"),
        ("rounds: 0x1" + 5000 * "0", "rounds: expected a text, a number of sane size"),
        ("seed: 99999999999999999999\n", "seed: expected a text, a number of sane size"),
        ("seed: .nan\n", "seed: expected a text, a number of sane size"),
        ("seed: 2001-01-01\n", "seed: expected a text"),
        ("seed: !!binary aGFsbG8=\n", "seed: expected a text"),
        ("seed: !!set {a, b}\n", "seed: expected a text"),
        ("seed: !!python/object/apply:os.system ['true']\n", "cannot be read"),
        (100_000 * "[", "too deep"),
        ("a: " + 60 * "[" + 60 * "]", "more than 30 blocks within blocks"),
        ("a: " + 60 * "{b: " + 60 * "}", "more than 30 blocks within blocks"),
        (b"name: \xff\xfe", "is not UTF-8"),
        (b"\x00\x01\x02", "cannot be read"),
        ((LARGEST_FILE + 1) * "#", "more than"),
        ("- a\n", "is not a run's configuration"),
    ],
)
def test_what_is_no_configuration_is_one_message(
    content: str | bytes, expected: str, tmp_path: Path
) -> None:
    message = refusal(tmp_path, content)
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": "many"},
        {"environment.options": "???"},
        {"agents.solver": "???"},
        {"agents.solver": []},
        {"agents": None},
        {"no_such": {"a": 1}},
        {"seed": -(2**62)},
        {"tracker.wandb.tags": {"a": "b"}},
        {"environment.name": ["subprocess:Popen"]},
        {"environment.name": "os.path:join.__globals__"},
        {"environment.name": "a b:C"},
        {"environment.name": ":"},
    ],
)
def test_values_that_do_not_fit_are_one_message(
    changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, changes)
    assert cli.main(["resume", str(run)]) == 2
    message = capsys.readouterr().err
    assert "unexpected" not in message
    assert len(message.strip().splitlines()) == 1


def test_a_file_s_lines_are_not_shown(tmp_path: Path) -> None:
    """A link is refused before; what is no YAML is described, not quoted."""
    message = refusal(tmp_path, "root:x:0:0:root: [\n")
    assert "root:x" not in message
    assert re.search("line [12]", message)


def test_a_pipe_or_link_in_place_of_the_file_neither_blocks_nor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"config\.yaml is a pipe, not a file"):
        compose.load(path)
    path.unlink()
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    path.symlink_to(secret)
    with pytest.raises(ConfigError, match=r"config\.yaml is a link, not a file"):
        compose.load(path)


def test_saving_replaces_the_file_whole(tmp_path: Path) -> None:
    """What another name leads to stays as it is, and so does the old file if the write fails."""
    old = tmp_path / "config.yaml"
    old.write_text("old")
    os.link(old, tmp_path / "other")
    compose.save(compose.compose([]), old)
    assert (tmp_path / "other").read_text() == "old"
    assert yaml.safe_load(old.read_text())["rounds"] == compose.compose([]).rounds
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "other"]
