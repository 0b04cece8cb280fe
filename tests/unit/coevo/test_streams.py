"""Readers that go, streams that are closed, disks that are full: what a command's output may meet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COEVO = f"'{sys.executable}' -m coevo.cli"


def shell(line: str) -> tuple[int, str, str]:
    """The status of `coevo`, not of what it is piped into; and what was printed."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, cwd=ROOT
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("run --cfg job | head -1", 0),  # a reader that goes while something is written
        ("run --help | true", 0),  # one that has gone before
        ("rnu 2>&1 | true", 2),
        ("rnu 2> >(true)", 2),
        ("--version >&-", 0),
        ("rnu 2>&-", 2),
        ("run --cfg job >&- 2>&- <&-", 0),
    ],
)
def test_a_reader_that_has_gone_is_no_error(line: str, status: int) -> None:
    returned, out, err = shell(f"{{ {COEVO} {line}; }}" if "|" not in line else f"{COEVO} {line}")
    assert returned == status
    assert err == ""
    assert out in ("", "name: null\n")


def test_a_full_disk_is_told() -> None:
    status, _, err = shell(f"{COEVO} --version > /dev/full")
    assert status == 1
    assert (
        err.startswith("coevo: ")
        and "standard output: no space left" in err
        and err.count("\n") == 1
    )


def test_a_closed_stream_is_not_taken_by_the_next_file(tmp_path: Path) -> None:
    """Without it a database that is opened next is descriptor 1, and what a library prints is in it."""
    program = (
        "import os, sys; from coevo.cli import main; main(['--version']);"
        f"file = open({str(tmp_path / 'x')!r}, 'w'); os._exit(file.fileno())"
    )
    assert shell(f"'{sys.executable}' -c \"{program}\" >&- 2>&- <&-")[0] > 2


def test_a_line_on_standard_error_is_shown_at_once(tmp_path: Path) -> None:
    program = (
        "import os, sys; from coevo.streams import make_patient; make_patient();"
        "print('a warning', file=sys.stderr); os._exit(0)"  # nothing is flushed at the end
    )
    assert shell(f"'{sys.executable}' -c \"{program}\"")[2] == "a warning\n"
