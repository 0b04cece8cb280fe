"""Ctrl-C and SIGTERM at any moment: one line, exit status 130."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WAIT = "print('ready', flush=True); import sys; sys.stdin.read()"
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def stopped(arguments: list[str], folder: Path, numbers: list[signal.Signals]) -> tuple[int, str]:
    """Exit status and standard error of Python, sent a signal whenever it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
    )
    assert process.stdout is not None
    for number in numbers:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("module", ["coevo", "coevo.cli"])
def test_while_modules_are_imported(module: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text(WAIT)  # the first that the command line imports
    assert stopped(["-m", module, "--help"], tmp_path, [number]) == (130, "coevo: stopped\n")


COMMAND = """
from coevo import cli, interruption
interruption.install()
def command(words):
    {body}
cli.COMMANDS["explain"] = ("", command)
interruption.end(cli.main(["explain"]))
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_while_a_command_works_it_tidies_up(number: signal.Signals, tmp_path: Path) -> None:
    body = f"""
    try:
        {WAIT}
    finally:
        open({str(tmp_path / "tidy")!r}, "w")
    """
    program = COMMAND.format(body=body)
    assert stopped(["-c", program], tmp_path, [number]) == (130, "coevo: stopped\n")
    assert (tmp_path / "tidy").exists()


def test_a_library_that_makes_another_error_of_it(tmp_path: Path) -> None:
    body = f"""
    try:
        {WAIT}
    except BaseException as error:
        raise ImportError("no module") from error
    """
    program = COMMAND.format(body=body)
    assert stopped(["-c", program], tmp_path, [signal.SIGINT]) == (130, "coevo: stopped\n")


def test_twice(tmp_path: Path) -> None:
    """The second does not wait for what tidies up after the first."""
    body = f"""
    try:
        {WAIT}
    finally:
        {WAIT}
    """
    program = COMMAND.format(body=body)
    numbers = [signal.SIGINT, signal.SIGINT]
    assert stopped(["-c", program], tmp_path, numbers) == (130, "coevo: stopped\n")


def test_twice_in_a_run_says_how_to_resume(tmp_path: Path) -> None:
    body = f"""
    from pathlib import Path
    from coevo.claim import guarded
    with guarded(Path("runs/one")):
        try:
            {WAIT}
        finally:
            {WAIT}
    """
    program = COMMAND.format(body=body)
    status, error = stopped(["-c", program], tmp_path, [signal.SIGTERM, signal.SIGINT])
    assert status == 130
    assert error == (
        "coevo: stopped by SIGTERM; all finished rounds are safe: coevo resume runs/one\n"
    )
