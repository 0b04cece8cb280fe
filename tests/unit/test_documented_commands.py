"""Every `coevo run` of README and docs is a command that starts, as far as is known before it does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from coevo import compose, plan

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
RUN = re.compile(r"(?:\S+/)?coevo run (.*)|make run ARGS=(?P<quote>['\"])(.*)(?P=quote)", re.DOTALL)


def lines(block: str) -> Iterator[str]:
    """A block's commands, each in a line: a backslash or an open quote goes on in the next one."""
    begun = ""
    for line in block.replace("\\\n", " ").splitlines():
        begun = f"{begun}\n{line}" if begun else line.strip()
        try:
            shlex.split(begun, comments=True)
        except ValueError:
            continue
        yield begun
        begun = ""


def commands(page: Path) -> Iterator[list[str]]:
    """The words after `coevo run`, of those that leave nothing out."""
    text = page.read_text()
    fenced = [line for block in FENCED.findall(text) for line in lines(block)]
    for line in [*fenced, *INLINE.findall(FENCED.sub("", text))]:
        found = RUN.match(line)
        if found and not re.search(r"…|\.\.\.|\[overrides\]|[A-Z]{4}", line):
            yield shlex.split(found[1] or found[3], comments=True)


FOUND = {" ".join(words): (page.name, words) for page in PAGES for words in commands(page)}
ALL = list(FOUND.values())


def test_commands_are_found() -> None:
    assert len(ALL) >= 15
    assert {"README.md", "environments.md"} <= {page for page, _ in ALL}


@pytest.mark.parametrize(("page", "words"), ALL, ids=list(FOUND))
def test_a_documented_command_can_start(page: str, words: list[str]) -> None:
    """Where it reads no file of the user's, its seeds' levels and tokens too."""
    own = [word for word in words if not word.startswith("-") and word != "job"]
    jobs = compose.expand(own) if {"-m", "--multirun"} & set(words) else [own]
    configs = [compose.compose(job) for job in (jobs[0], jobs[-1])[: len(jobs)]]
    if not re.search(r"\.(jsonl?|parquet)\b|[a-z]:[A-Z]", " ".join(own)):
        plan.check(configs[0])
