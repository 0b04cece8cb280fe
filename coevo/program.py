"""The command that the user has: how coevo was called, for the lines that say what to write next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

MODULES = {"coevo/cli.py": "coevo.cli", "coevo/__main__.py": "coevo"}  # python -m …


def program() -> list[str]:
    """`coevo` where the shell finds this very one, else the path or the module that was called."""
    called = sys.argv[0] if sys.argv else ""
    if module := MODULES.get("/".join(Path(called).parts[-2:])):
        python = Path(sys.executable).name
        found = _found(python, sys.executable)
        return [python if found else sys.executable, "-m", module]
    if Path(called).name != "coevo" or _found("coevo", called):
        return ["coevo"]  # also where coevo is used as a library
    return [called]


def command(*words: str | os.PathLike[str]) -> str:
    """A line that can be copied into a shell: `coevo` as it was called, and the words, quoted."""
    return shlex.join([*program(), *(os.fspath(word) for word in words)])


def _found(name: str, path: str) -> bool:
    found = shutil.which(name)
    return found is not None and os.path.abspath(found) == os.path.abspath(path)
