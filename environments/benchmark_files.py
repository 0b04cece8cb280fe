"""The files of a published set: which they are, whether they are the set, and which rows are used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from environments.benchmark_rows import Reader, Row
from environments.data_files import File, LeftOut, read_records, user_path


def paths_of(path: str) -> list[Path]:
    """The files that are meant: one, or several with commas between them."""
    whole = user_path(path)
    return [whole] if whole.exists() else [user_path(part.strip()) for part in path.split(",")]


def read_set(
    reader: Reader, path: str, sha256: str | None
) -> tuple[list[File], list[Row], list[LeftOut]]:
    """The files of a set, their rows, and those that `reader` cannot read.

    `sha256` is what the files must have, with commas like `path`. Raises `ValueError` for another,
    and for what is no file.
    """
    paths = paths_of(path)
    expected = sha256.lower().split(",") if sha256 else [None] * len(paths)
    if len(expected) != len(paths):
        raise ValueError(f"sha256: expected one for each of {len(paths)} files")
    files: list[File] = []
    read: list[Row] = []
    left_out: list[LeftOut] = []
    for one, digest in zip(paths, expected, strict=True):
        records = read_records(one)
        if digest not in (None, records.file.sha256):
            raise ValueError(f"{one}: expected sha256 {digest}, found {records.file.sha256}")
        files.append(records.file)
        own, bad = records.each(reader)
        read += own
        left_out += bad
    return files, read, left_out


def check_count(
    name: str,
    sizes: Sequence[int],
    path: str,
    total: int,
    read: Sequence[Row],
    rows: str | int | None,
) -> None:
    """Raises `ValueError` for a wrong number of rows, with a repeated one, which may explain it."""
    if rows is None and total not in sizes:
        _, _, doubled = without_repeated(read, keep=False)
        twice = f" ({doubled[0].where} {doubled[0].reason})" if doubled else ""
        published = " or ".join(str(size) for size in sizes)
        raise ValueError(
            f"{path}: {name} was published with {published} problems, found {total}{twice}; "
            "write rows=any to measure a part of it or another split"
        )
    if rows is not None and rows != "any":
        if not str(rows).isascii() or not str(rows).isdigit():
            raise ValueError(f"rows={rows}: write any, or a number")
        if total != int(rows):
            raise ValueError(f"{path}: expected {rows} rows, found {total}")


def without_repeated(read: Sequence[Row], keep: bool) -> tuple[list[Row], list[str], list[LeftOut]]:
    """The rows to use, the places of repeated statements among them, and those that are not used.

    `keep`: a set that was published with repetitions is measured as it is.
    """
    first: dict[str, str] = {}
    used, repeated, doubled = [], [], []
    for row in read:
        if first.setdefault(row.key, row.where) == row.where:
            used.append(row)
        elif keep:
            used.append(row)
            repeated.append(f"{row.where} repeats {first[row.key]}")
        else:
            doubled.append(LeftOut(where=row.where, reason=f"repeats {first[row.key]}"))
    return used, repeated, doubled
