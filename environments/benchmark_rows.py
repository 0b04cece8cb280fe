"""Reads published evaluation sets, each in the fields it comes with, from JSONL, JSON and parquet."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from environments.verification.extract import final_answer

STATEMENT = ("problem", "question", "statement")
ANSWER = ("answer", "final_answer")
SUBJECT = ("subfield", "subject", "type")

Fields = Mapping[str, Any]  # names in lower case, for copies of one set differ in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One problem of a set; `where` is its place for messages, as in `test.jsonl, line 7`.

    `answer` is the reference as it was published; `kind` and `tolerance` say how it is compared;
    `hint` is what the set says about the form of the answer.
    """

    where: str
    statement: str
    answer: str
    solution: str | None = None
    subject: str | None = None
    level: int | None = None
    kind: str | None = None
    tolerance: str | None = None
    hint: str = ""

    @property
    def key(self) -> str:
        """What identical statements share, however their words are spaced."""
        return " ".join(self.statement.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that was read: the sha256 (hexadecimal) of its bytes, and its number of rows."""

    path: str
    sha256: str
    rows: int


Reader = Callable[[Fields, str], Row]


def read_file(path: str | Path, reader: Reader) -> tuple[File, list[Row]]:
    """The rows of a `.jsonl`, `.json` or `.parquet` file, in its order.

    Raises `ValueError` that names the file, the line (counted from 1; in parquet and in a JSON list
    the row), the fields found and those expected.
    """
    path = Path(path).expanduser()
    if path.suffix not in (".jsonl", ".json", ".parquet"):
        raise ValueError(f"{path}: expected a file named .jsonl, .json or .parquet")
    try:
        if path.exists() and not path.is_file():  # a device never ends
            raise OSError("it is no file")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    if path.suffix == ".parquet":
        found = _parquet(path, data)
    elif data.lstrip()[:1] == b"[":
        found = _json_list(path, data)
    else:
        found = _json_lines(path, data)
    rows = [reader({str(n).lower(): v for n, v in fields.items()}, at) for at, fields in found]
    if not rows:
        raise ValueError(f"{path} is empty")
    return File(path=str(path), sha256=hashlib.sha256(data).hexdigest(), rows=len(rows)), rows


def _json_lines(path: Path, data: bytes) -> Iterator[tuple[str, Fields]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _object(_parsed(line, where), where)


def _json_list(path: Path, data: bytes) -> Iterator[tuple[str, Fields]]:
    for number, value in enumerate(_parsed(data, str(path)), start=1):
        where = f"{path}, row {number}"
        yield where, _object(value, where)


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data.decode(), parse_float=Decimal)  # 0.1 is the text 0.1
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON ({error})") from error


def _object(value: Any, where: str) -> Fields:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object with fields, found {_shown(value)}")
    return value


def _parquet(path: Path, data: bytes) -> Iterator[tuple[str, Fields]]:
    import pyarrow as pa  # slow to import
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is no parquet file ({error})") from error
    number = 0
    for batch in table.to_batches(max_chunksize=500):
        for fields in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", fields


# -- one reader for each format -------------------------------------------------------------------


def plain(fields: Fields, where: str) -> Row:
    """Statement and answer under their usual names, with subject and level where they are given.

    Where there is no answer it is the one boxed answer of the solution.
    """
    solution = fields.get("solution")
    boxed = final_answer(solution) if isinstance(solution, str) else None
    if boxed is not None and all(fields.get(name) is None for name in ANSWER):
        answer = boxed
    else:
        answer = _number_or_text(*_pick(fields, ANSWER, where), where)
    return Row(
        where=where,
        statement=_text(*_pick(fields, STATEMENT, where), where),
        answer=answer,
        solution=solution if isinstance(solution, str) and solution.strip() else None,
        subject=_subject(fields),
        level=_level(fields.get("level"), where),
    )


def integer(fields: Fields, where: str) -> Row:
    """As `plain`, with a whole number as the answer, which may be written `025` as at the AIME."""
    row = plain(fields, where)
    bare = row.answer.strip("$ ")
    if not re.fullmatch(r"[0-9]{1,6}", bare):
        raise ValueError(f'{where}: "answer" must be a whole number, found {_shown(row.answer)}')
    return replace(row, answer=str(int(bare)), kind="integer")


def gsm8k(fields: Fields, where: str) -> Row:
    """`question`, and `answer`: a worked solution that ends in `#### 18`."""
    name, value = _pick(fields, ("answer",), where)
    solution = _text(name, value, where)
    _, mark, answer = solution.rpartition("####")
    if not mark or not answer.strip() or "\n" in answer.strip():
        raise ValueError(
            f'{where}: "answer" must end in a line such as #### 18, found ...{solution[-40:]!r}'
        )
    statement = _text(*_pick(fields, STATEMENT, where), where)
    return Row(where=where, statement=statement, answer=answer.strip(), solution=solution)


def olympiadbench(fields: Fields, where: str) -> Row:
    """`question`, after `context` if there is one, and `final_answer`, a list of texts.

    Several answers are a set; `error` is the tolerance and `unit` that of the answer. Raises for a
    row with images: they cannot be shown to a model that reads text.
    """
    if any(value is not None for name, value in fields.items() if re.match("image_?[0-9]", name)):
        raise ValueError(f"{where} has images; use the text-only files, OE_TO_...")
    statement = _text(*_pick(fields, STATEMENT, where), where)
    context = fields.get("context")
    if isinstance(context, str) and context.strip():
        statement = f"{context.strip()}\n{statement}"
    name, value = _pick(fields, ("final_answer",), where)
    values = value if isinstance(value, list) else [value]
    answers = [re.sub(r"(?<!\\)\$", "", _number_or_text(name, one, where)) for one in values]
    several = len(answers) > 1 or str(fields.get("is_multiple_answer")).lower() == "true"
    kind = {"tuple": "tuple", "interval": "interval"}.get(str(fields.get("answer_type")).lower())
    unit = fields.get("unit")
    hints = ["There is more than one answer: write all of them, separated by commas."] * several
    if isinstance(unit, str) and unit.strip():
        hints.append(f"Give the answer in {unit.strip()}.")
    return Row(
        where=where,
        statement=statement,
        answer=", ".join(answer.strip() for answer in answers),
        solution=next((s for s in _listed(fields.get("solution")) if isinstance(s, str)), None),
        subject=_subject(fields),
        kind=kind or ("set" if several else None),
        tolerance=_tolerance(fields.get("error"), where),
        hint=" ".join(hints),
    )


# -- fields ---------------------------------------------------------------------------------------


def _pick(fields: Fields, names: tuple[str, ...], where: str) -> tuple[str, Any]:
    """Name and value of the first of the fields that is there."""
    for name in names:
        if fields.get(name) is not None:
            return name, fields[name]
    found = ", ".join(f'"{name}"' for name in list(fields)[:12]) or "none"
    expected = " or ".join(f'"{name}"' for name in names)
    raise ValueError(f"{where}: expected the field {expected}, found {found}")


def _text(name: str, value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'{where}: "{name}" must be a text, found {_shown(value)}')
    return value.strip()


def _number_or_text(name: str, value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f'{where}: "{name}" must be a text or a number, found {_shown(value)}')
    if isinstance(value, float | Decimal):
        if value != value or abs(value) == float("inf"):
            raise ValueError(f'{where}: "{name}" must be a number, found {value}')
        return str(int(value)) if value == int(value) else format(Decimal(str(value)), "f")
    return _text(name, str(value), where)


def _subject(fields: Fields) -> str | None:
    found = (str(fields.get(name) or "").strip() for name in SUBJECT)
    return next((name for name in found if name), None)


def _level(value: Any, where: str) -> int | None:
    """A whole number, also as `Level 3`; None where there is none, or `Level ?`."""
    if value is None or (isinstance(value, str) and not re.search("[0-9]", value)):
        return None
    match = re.fullmatch(r"(?:Level\s*)?([0-9]{1,3})(?:\.0)?", str(value).strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f'{where}: "level" must be a whole number, found {_shown(value)}')
    return int(match.group(1))


def _tolerance(value: Any, where: str) -> str | None:
    """The smallest of the absolute errors that are allowed, as `0.01`; None where there is none."""
    written = [part.strip() for one in _listed(value) for part in str(one).split(",")]
    try:
        found = [Decimal(part) for part in written if part]
    except InvalidOperation as error:
        raise ValueError(f'{where}: "error" must be a number, found {_shown(value)}') from error
    return format(min(found), "f") if found and min(found) > 0 else None


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
