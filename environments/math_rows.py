"""Reads problems with answers from the user's files; says what is wrong, and on which line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import columns
from environments.data_files import Fields, File, LeftOut, checked, read_records, shown, summary

FIELDS = (
    *("statement", "answer", "solution", "tags", "level", "family"),
    *("problem", "question", "final_answer", "subject", "type"),  # of MATH and GSM8K
    *("id", "idx", "unique_id", "url", "source"),  # which say where a row is from: not used
)
EXPECTED = 'expected {"statement": ..., "answer": ...}'
HIGHEST_LEVEL = 100
INSTEAD = "write environment.options.rows=any to go on without"


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
    """A file's problems in its order, and the rows that are not used."""

    file: File
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] = ()


def read_table(path: str | Path, sha256: str | None = None, rows: int | str | None = None) -> Table:
    """The problems of a `.jsonl`, `.json` or `.parquet` file, checked against a digest if given,
    and against a number of rows.

    Left out are rows with a field that is missing, unknown or of the wrong type, and statements that
    are there twice: `settled` says whether that may be. Raises `ValueError` for what is no such file.
    """
    if not (rows is None or rows == "any" or (isinstance(rows, int) and rows > 0)):
        raise ValueError(f"rows={rows}: write any, or a number")
    records = read_records(path)
    file = records.file
    if sha256 is not None and sha256.lower() != file.sha256:
        raise ValueError(f"{file.path}: expected sha256 {sha256}, found {file.sha256}")
    if isinstance(rows, int) and file.rows != rows:
        raise ValueError(f"{file.path}: expected {rows} rows, found {file.rows}")
    names = [fields.keys() for _, fields in records.rows] or [{}.keys()]
    everywhere = [name for name in names[0] if all(name in others for others in names)]
    columns.refuse_unknown(everywhere, FIELDS, file.path)
    read, left_out = records.each(_row)
    kept, doubled = without_repeated(read)
    return Table(file=file, rows=tuple(kept), left_out=(*left_out, *doubled))


def settled(table: Table, rows: int | str | None) -> Table:
    """The table, if there are only rows that can be used or `rows` is `any`.

    Else raises `ValueError` that names the file, the lines (counted from 1; in parquet the rows),
    what was found and what was expected.
    """
    if rows != "any":
        checked(table.left_out, table.file.path, table.file.rows, INSTEAD)
    if not table.rows:
        raise ValueError(f"{table.file.path}: no row can be used ({summary(table.left_out)})")
    return table


def without_repeated(
    rows: Sequence[Row], before: Iterable[Row] = ()
) -> tuple[list[Row], list[LeftOut]]:
    """The first of the rows with each statement, and the others; `before` came earlier."""
    first: dict[str, str] = {row.key: row.where for row in before}
    kept, doubled = [], []
    for row in rows:
        if first.setdefault(row.key, row.where) == row.where:
            kept.append(row)
        else:
            told = f"the statement {row.statement[:60]!r} is there already ({first[row.key]}); remove one"
            doubled.append(LeftOut(where=row.where, reason=told))
    return kept, doubled


def _row(fields: Fields, where: str) -> Row:
    columns.refuse_unknown(list(fields), FIELDS, where)
    given = {name: value for name, value in fields.items() if value is not None}
    if not any(name in given for name in columns.STATEMENT):
        raise ValueError(f'{where}: "statement" is missing; {EXPECTED}')
    found = columns.answer(given, where)
    if found is None:
        raise ValueError(f'{where}: "answer" is missing; {EXPECTED}')
    return Row(
        where=where,
        statement=columns.statement(given, where, columns.LONGEST_STATEMENT),
        answer=found,
        solution=columns.solution(given, where),
        family=_family(given, where),
        level=_level(given.get("level"), where),
    )


def _level(value: Any, where: str) -> int | None:
    nothing = value is None or (isinstance(value, str) and "?" in value)
    whole = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    if nothing:
        return None
    found = columns.level(value, where) if whole else None
    if found is None or not 1 <= found <= HIGHEST_LEVEL:
        raise ValueError(
            f'{where}: "level" must be a whole number from 1 to {HIGHEST_LEVEL}, '
            f"found {shown(value)}"
        )
    return found


def _family(given: Fields, where: str) -> str:
    """The row's family, else its first tag, else its subject or type as in MATH, else `other`."""
    tags = given.get("tags", [])
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise ValueError(f'{where}: "tags" must be a text or a list of texts, found {shown(tags)}')
    subject = given.get("subject", given.get("type", "other"))
    family = given.get("family", tags[0] if tags else subject)
    if not isinstance(family, str) or not family.strip():
        raise ValueError(f'{where}: "family" must be a text, found {shown(family)}')
    return columns.text("family", family, where)
