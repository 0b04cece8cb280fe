"""The command that the user is told to write next, and code of the user's own in the current folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coevo.program import command

ROOT = Path(__file__).resolve().parents[3]
INSIDE = "from coevo.program import command; print(command('resume', 'my runs/a'))"


def script(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!{sys.executable}\nimport os, sys; sys.path.insert(0, {str(ROOT)!r})\n{content}\n"
    )
    path.chmod(0o755)
    return path


def told(*called: str, cwd: Path, path: str = "/usr/bin:/bin") -> str:
    done = subprocess.run(
        called, cwd=cwd, env={"PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_command_is_the_program_as_it_was_called(tmp_path: Path) -> None:
    own = script(tmp_path / ".venv/bin/coevo", INSIDE)
    assert told(".venv/bin/coevo", cwd=tmp_path) == ".venv/bin/coevo resume 'my runs/a'"
    assert told(str(own), cwd=tmp_path, path=f"{own.parent}:/usr/bin") == "coevo resume 'my runs/a'"
    other = script(tmp_path / "other/coevo", INSIDE)  # another one of the same name comes first
    assert told(str(own), cwd=tmp_path, path=f"{other.parent}:/usr/bin").startswith(f"{own} ")
    for file, name in (("cli.py", "coevo.cli"), ("__main__.py", "coevo")):
        module = script(tmp_path / "coevo" / file, INSIDE)
        assert told(sys.executable, str(module), cwd=tmp_path) == (
            f"{sys.executable} -m {name} resume 'my runs/a'"
        )


def test_elsewhere_it_is_coevo() -> None:
    assert command("eval", Path("runs/a b")) == "coevo eval 'runs/a b'"


def test_an_environment_of_the_current_folder_is_found_after_all_others(tmp_path: Path) -> None:
    """The console script has no '' on its path; nothing of the folder comes before what is ours."""
    (tmp_path / "mine.py").write_text(
        "from environments.arithmetic import Arithmetic\nclass Mine(Arithmetic): pass\n"
    )
    (tmp_path / "environments.py").write_text("raise SystemExit('shadowed')\n")
    (tmp_path / "yaml.py").write_text("raise SystemExit('shadowed')\n")
    call = (
        "from coevo import compose, run\n"
        "config = compose.compose(['environment.name={}', 'curriculum.seeds=2'])\n"
        "print(run.check_start(config).heldout[0].domain, os.getcwd() in sys.path[-1:])"
    )
    found = script(tmp_path / "bin/coevo", call.format("mine:Mine"))
    assert told(str(found), cwd=tmp_path) == "arithmetic True"
    built_in = script(tmp_path / "bin/other", call.format("arithmetic"))
    assert told(str(built_in), cwd=tmp_path) == "arithmetic False"


@pytest.mark.parametrize("words", [["help", "run"], ["run", "help"]])
def test_help_of_a_command_may_be_asked_for_in_words(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from coevo import cli

    assert cli.main(words) == 0
    assert "usage: coevo run" in capsys.readouterr().out
