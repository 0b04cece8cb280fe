"""Checkpoints are whole or not there, and the newest whole one is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from coevo.checkpoint import CheckpointError, folder_of, newest, prune, rounds, verify, write


def save(root: Path, round: int, content: bytes = b"weights") -> Path:
    def fill(folder: Path) -> None:
        (folder / "solver").mkdir()
        (folder / "solver" / "model.safetensors").write_bytes(content + str(round).encode())
        (folder / "solver" / "config.json").write_text("{}")

    return write(root, round, fill, {"versions": {"solver": round}, "seed": 3})


def test_round_trip(tmp_path: Path) -> None:
    folder = save(tmp_path, 7)
    assert folder == tmp_path / "round-0007"
    assert verify(folder) == {"round": 7, "versions": {"solver": 7}, "seed": 3}
    assert (folder / "solver" / "model.safetensors").read_bytes() == b"weights7"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        "solver/model.safetensors", "solver/config.json", "state.json",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["round-0007"]


def test_a_round_can_be_written_again(tmp_path: Path) -> None:
    save(tmp_path, 1, b"old")
    save(tmp_path, 1, b"new")
    assert verify(folder_of(tmp_path, 1))["round"] == 1
    assert (tmp_path / "round-0001/solver/model.safetensors").read_bytes() == b"new1"


@pytest.mark.parametrize("name", ["solver/model.safetensors", "solver/config.json", "state.json"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, 1) / name
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        verify(path.parents[len(Path(name).parts) - 1])
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        verify(folder_of(tmp_path, 1))


def test_a_file_cut_short_is_damaged(tmp_path: Path) -> None:
    path = save(tmp_path, 1) / "solver" / "model.safetensors"
    os.truncate(path, 3)
    with pytest.raises(CheckpointError, match="is damaged"):
        verify(folder_of(tmp_path, 1))


@pytest.mark.parametrize("content", [None, "", "not json", "{}", "[]", '{"files": 3}', "\xff"])
def test_a_bad_manifest_is_named(tmp_path: Path, content: str | None) -> None:
    manifest = save(tmp_path, 1) / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing or damaged"):
        verify(folder_of(tmp_path, 1))


def test_newest_is_not_above_the_round_asked_for(tmp_path: Path) -> None:
    for round in (3, 4, 10):
        save(tmp_path, round)
    assert newest(tmp_path, 10)[0] == folder_of(tmp_path, 10)
    assert newest(tmp_path, 9)[1]["round"] == 4
    assert newest(tmp_path, 3)[2] == []


def test_newest_walks_back_over_the_damaged(tmp_path: Path) -> None:
    for round in (1, 2, 3):
        save(tmp_path, round)
    (folder_of(tmp_path, 3) / "state.json").write_text("{}")
    (folder_of(tmp_path, 2) / "manifest.json").unlink()
    folder, state, passed_over = newest(tmp_path, 3)
    assert (folder.name, state["round"]) == ("round-0001", 1)
    assert len(passed_over) == 2
    assert "round-0003/state.json is damaged" in passed_over[0]
    assert "round-0002/manifest.json is missing" in passed_over[1]


def test_newest_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="none was ever finished"):
        newest(tmp_path / "nowhere", 3)
    (save(tmp_path, 2) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"no usable checkpoint in .*round-0002/manifest"):
        newest(tmp_path, 3)


def test_a_half_written_folder_is_ignored_and_cleaned_up(tmp_path: Path) -> None:
    save(tmp_path, 1)
    half = tmp_path / ".round-0002.99999.tmp"
    half.mkdir()
    (half / "state.json").write_text('{"round"')
    assert rounds(tmp_path) == [1]
    assert newest(tmp_path, 2)[1]["round"] == 1
    save(tmp_path, 2)
    assert not half.exists()
    assert rounds(tmp_path) == [1, 2]


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)

    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2, fill, {})
    assert [path.name for path in tmp_path.iterdir()] == ["round-0001"]
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 1, fill, {})
    assert verify(folder_of(tmp_path, 1))["round"] == 1  # the old one stands


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for round in (1, 2, 3, 10):
        save(tmp_path, round)
    prune(tmp_path, 5)
    assert rounds(tmp_path) == [1, 2, 3, 10]
    prune(tmp_path, 2)
    assert rounds(tmp_path) == [3, 10]
