"""Names of folders, servers and clusters that are refused before a run has a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coevo import cli, places

LONG = "é" * 101  # 202 bytes


@pytest.mark.parametrize("name", ["trial", "a b", "ünï", "x" * 200, "1e5", "a.b"])
def test_names_of_folders(name: str) -> None:
    assert places.folder_name(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".a",
        "a/b",
        "/a",
        "a\n",
        "a\x1b[31m",
        "a\x00b",
        "\u202eb",
        "\udcff",
        LONG,
    ],
)
def test_no_names_of_folders(name: str) -> None:
    assert places.folder_name(name)


def test_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert places.expanded("~/runs") == "/home/me/runs"
    assert places.expanded("a/~b") == "a/~b"
    for path in ("~nobody-has-this-name/x", "a\n", "\udcff"):
        with pytest.raises(ValueError):
            places.expanded(path)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://h", "http://[::1]:80/v1"])
def test_servers(url: str) -> None:
    assert places.server(url) == ""


@pytest.mark.parametrize(
    "url",
    ["", "http://", "http://[::1", "http://h:99999", "http://h:0", "http://h:x", "ftp://h", "h:80",
     "http://a b", "http://h\n/v1", "http:///v1"],
)  # fmt: skip
def test_no_servers(url: str) -> None:
    assert "is no address of a server" in places.server(url)


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "ray://head-1:10001", "[::1]:6379"])
def test_clusters(address: str) -> None:
    assert places.cluster(address) == ""


@pytest.mark.parametrize(
    "address", ["", "nope", "h:99999", "h:0", "h:", ":1", "h:1\n", "http://h:1", "h:1 ", "[::1:1"]
)
def test_no_clusters(address: str) -> None:
    assert "is no address of a Ray cluster" in places.cluster(address)


@pytest.mark.parametrize(
    "override",
    [
        "decontamination.against.gsm8k=1",
        "decontamination.against.gsm8k=[a]",
        "runtime.address=nope",
        "runtime.address=h:99999",
        "runtime.address='h\n:1'",
        "name='a\nb'",
        "name='a/b'",
        "name='..'",
        "name=.hidden",
        "name='a\udcffb'",
        f"name={LONG}",
        "environment.options.x='\udcff'",
        "runs_dir=~nobody-has-this-name/x",
    ],
)
def test_refused_before_there_is_a_folder(
    override: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "runtime=inline", override]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("coevo: ")
    assert override.partition("=")[0].removesuffix(".x") in line
    assert os.listdir(tmp_path) == []
