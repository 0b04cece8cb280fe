"""Reads problems with answers from JSONL and parquet files; says what is wrong, and on which line."""

from __future__ import annotations

import difflib
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from environments.verification.answers import canonical

FIELDS = ("statement", "answer", "solution", "tags", "level", "family")
EXPECTED = 'expected {"statement": ..., "answer": ...}'
LONGEST_STATEMENT = 8000  # characters
LONGEST_SOLUTION = 100_000  # characters
HIGHEST_LEVEL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One problem of a file; `where` is its place for messages, as in `train.jsonl, line 7`."""

    where: str
    statement: str
    answer: str
    solution: str | None = None
    family: str = "other"
    level: int | None = None

    @property
    def key(self) -> str:
        """What identical statements share, however their words are spaced."""
        return " ".join(self.statement.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A file's problems in its order, and the sha256 (hexadecimal) of its bytes."""

    path: Path
    sha256: str
    rows: tuple[Row, ...]


def read_table(path: str | Path, sha256: str | None = None, rows: int | None = None) -> Table:
    """The problems of a `.jsonl` or `.parquet` file, checked against digest and count if given.

    Raises `ValueError` that names the file, the line (counted from 1; in parquet the row), what was
    found and what was expected: for a file that cannot be read, a field that is missing, unknown or
    of the wrong type, an answer of no known type, or a statement that is there twice.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a device never ends
            raise OSError("it is no file")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and sha256.lower() != digest:
        raise ValueError(f"{path}: expected sha256 {sha256}, found {digest}")
    readers = {".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path}: expected a file named .jsonl or .parquet")
    read = tuple(_row(fields, where) for where, fields in readers[path.suffix](path, data))
    if rows is not None and len(read) != rows:
        raise ValueError(f"{path}: expected {rows} rows, found {len(read)}")
    if not read:
        raise ValueError(f"{path} is empty: {EXPECTED} on each line")
    refuse_duplicates(read)
    return Table(path=path, sha256=digest, rows=read)


def refuse_duplicates(rows: Iterable[Row]) -> None:
    """Raises `ValueError` naming both places where one statement stands."""
    first: dict[str, str] = {}
    for row in rows:
        if row.key in first:
            raise ValueError(
                f"{row.where}: the statement {row.statement[:60]!r} is there already "
                f"({first[row.key]}); remove one"
            )
        first[row.key] = row.where


def _read_jsonl(path: Path, data: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            fields = json.loads(
                line.decode("utf-8-sig" if number == 1 else "utf-8"),
                parse_float=Decimal,  # 0.1 is the text 0.1
                parse_constant=_no_number,
                object_pairs_hook=_unique,
            )
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where} is not JSON ({error}); {EXPECTED}") from error
        if not isinstance(fields, dict):
            raise ValueError(f"{where}: found {str(fields)[:60]!r}; {EXPECTED}")
        yield where, fields


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'"{twice}" is there twice')
    return fields


def _read_parquet(path: Path, data: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow as pa  # slow to import
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is no parquet file ({error})") from error
    _check_names(table.column_names, str(path))
    number = 0
    for batch in table.to_batches(max_chunksize=1000):
        for fields in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", fields


def _check_names(names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(FIELDS)}"
            raise ValueError(f'{where}: unknown field "{name}"; {hint}')


def _row(fields: Mapping[str, Any], where: str) -> Row:
    _check_names(fields, where)
    given = {name: value for name, value in fields.items() if value is not None}
    for name in ("statement", "answer"):
        if name not in given:
            raise ValueError(f'{where}: "{name}" is missing; {EXPECTED}')
    solution = _text(given, "solution", where, LONGEST_SOLUTION) if "solution" in given else None
    return Row(
        where=where,
        statement=_text(given, "statement", where, LONGEST_STATEMENT),
        answer=_answer(given["answer"], where),
        solution=solution,
        family=_family(given, where),
        level=_level(given["level"], where) if "level" in given else None,
    )


def _text(given: Mapping[str, Any], name: str, where: str, longest: int) -> str:
    value = given[name]
    if not isinstance(value, str) or not 0 < len(value.strip()) <= longest:
        raise ValueError(
            f'{where}: "{name}" must be a text of 1 to {longest} characters, found {_shown(value)}'
        )
    bad = next((c for c in value if not c.isprintable() and c not in "\t\r\n\u00a0"), None)
    if bad is not None:
        raise ValueError(f'{where}: "{name}" holds the unprintable character {bad!r}')
    return value.strip()


def _answer(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal | float):
        raise ValueError(f'{where}: "answer" must be a text or a number, found {_shown(value)}')
    if value != value or canonical(str(value)) is None:
        raise ValueError(
            f'{where}: "answer" {str(value)[:60]!r} cannot be read; expected a number such as 18, '
            r"2.5, 1/2, \frac{1}{2} or 25%, or an expression such as x^2+1"
        )
    return str(value)


def _level(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= HIGHEST_LEVEL:
        raise ValueError(
            f'{where}: "level" must be a whole number from 1 to {HIGHEST_LEVEL}, '
            f"found {_shown(value)}"
        )
    return value


def _family(given: Mapping[str, Any], where: str) -> str:
    """The row's family, else its first tag, else `other`."""
    tags = given.get("tags", [])
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise ValueError(f'{where}: "tags" must be a text or a list of texts, found {_shown(tags)}')
    family = given.get("family", tags[0] if tags else "other")
    if not isinstance(family, str) or not family.strip():
        raise ValueError(f'{where}: "family" must be a text, found {_shown(family)}')
    return family.strip()


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
