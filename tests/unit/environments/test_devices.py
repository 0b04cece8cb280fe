"""A file that never ends is refused before it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.benchmark_rows import read_file
from environments.math_rows import read_table


def test_a_device_is_no_file_of_problems(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"rows\.jsonl cannot be read: it is no file"):
        read_table(path)
    with pytest.raises(ValueError, match=r"rows\.jsonl cannot be read: it is no file"):
        read_file(path, lambda fields, where: None)  # type: ignore[arg-type, return-value]
