"""How many rounds a run can be resumed to, given what it has."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from coevo import compose
from coevo.config import ConfigError
from coevo.finished import finished
from coevo.store import Store


def found(folder: Path, had: int, done: int, wanted: int) -> object:
    """Of a run that was to have `had` rounds and was stopped after `done` of them."""
    with closing(Store(folder / "run.db", create=True)) as store:
        for t in range(done + 1):
            with store.transaction():
                store.add_round(t, {}, {})
        changes = [] if wanted == had else [f"rounds: {had} -> {wanted}"]
        return finished(compose.compose([f"rounds={wanted}"]), folder, store, changes)


@pytest.mark.parametrize(
    ("had", "done", "wanted", "expected"),
    [
        (4, 4, 2, "rounds=2: .* has 4 rounds already, and cannot have fewer; write rounds=5 or"),
        (5, 4, 4, "was stopped after round 4 of more, which was not evaluated as a last one is"),
    ],
)
def test_rounds_that_a_run_cannot_have_are_refused(
    had: int, done: int, wanted: int, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=expected):
        found(tmp_path, had, done, wanted)


@pytest.mark.parametrize(("had", "done", "wanted"), [(5, 4, 5), (4, 4, 6), (4, 0, 1), (4, 4, 4)])
def test_there_is_work_to_do(had: int, done: int, wanted: int, tmp_path: Path) -> None:
    """The last of them: all rounds are there, but the summary is not."""
    assert found(tmp_path, had, done, wanted) is None
