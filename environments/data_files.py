"""Reads rows of named fields from the files that users name: JSONL, JSON lists and parquet.

A file that is none of these is refused with one message. A row that cannot be read is put aside with
its place and the reason, so that whoever asked decides: `checked` refuses them all at once, by name.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

SUFFIXES = (".jsonl", ".json", ".parquet")
LARGEST = 2**32  # bytes of a file: it is read into memory
SHOWN = 3  # reasons, and rows of each, that a message names
LONGEST_REASON = 120  # characters of each

Fields = Mapping[str, Any]  # names in lower case, for copies of one set differ in them
Found = TypeVar("Found")

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_MARKS = {
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"\x1f\x8b": "compressed: unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that was read: the sha256 (hexadecimal) of its bytes, and its number of rows."""

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A row that is not used: its place, as in `train.jsonl, line 7`, and the reason."""

    where: str
    reason: str

    @classmethod
    def of(cls, where: str, error: ValueError) -> LeftOut:
        """From an error about the row, whose message may begin with its place."""
        reason = str(error).removeprefix(where).removeprefix(":").strip()
        return cls(where=where, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The rows of a file in its order, each with its place, and those that could not be read."""

    file: File
    rows: tuple[tuple[str, Fields], ...]
    left_out: tuple[LeftOut, ...]

    def each(self, reader: Callable[[Fields, str], Found]) -> tuple[list[Found], list[LeftOut]]:
        """What `reader(fields, where)` makes of the rows, and those for which it raises
        `ValueError` (with `where` at the start of its message)."""
        found, left_out = [], list(self.left_out)
        for where, fields in self.rows:
            try:
                found.append(reader(fields, where))
            except ValueError as error:
                left_out.append(LeftOut.of(where, error))
        left_out.sort(key=lambda one: int(one.where.rpartition(" ")[2]))
        return found, left_out


def user_path(name: str | Path) -> Path:
    """The path of a file or folder that a user names, with `~` for the home folder.

    Raises `ValueError` for a name that no file can have, and for `~` of an unknown user.
    """
    if "\0" in str(name):
        raise ValueError(f"{str(name)!r} is no name of a file")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} cannot be found: there is no such user's home folder") from error


def read_records(name: str | Path, suffixes: Sequence[str] | None = SUFFIXES) -> Records:
    """The rows of a file; `suffixes` are those its name may have (None: any).

    What it is is told by its content: parquet, a JSON list, else one JSON object a line. Names of
    fields are brought to lower case. Raises `ValueError` for what is no file, or no such file.
    """
    path = user_path(name)
    data = _bytes(path)
    if suffixes is not None and path.suffix.lower() not in suffixes:
        expected = " or ".join([", ".join(suffixes[:-1]), suffixes[-1]])
        raise ValueError(f"{path}: expected a file named {expected}")
    good: list[tuple[str, Fields]] = []
    left_out: list[LeftOut] = []
    for place, row in _rows(path, data):
        where = f"{path}, {place}"
        try:
            good.append((where, _fields(row)))
        except ValueError as error:
            left_out.append(LeftOut.of(where, error))
    if not good and not left_out:
        raise ValueError(
            f'{path} is empty: expected lines such as {{"statement": "...", "answer": "..."}}'
        )
    count = len(good) + len(left_out)
    file = File(path=str(path), sha256=hashlib.sha256(data).hexdigest(), rows=count)
    return Records(file=file, rows=tuple(good), left_out=tuple(left_out))


def _bytes(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a pipe or a device may never end
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
            raise ValueError(f"{path} cannot be read: it is {kind}, not a file")
        if found.st_size > LARGEST:
            raise ValueError(f"{path} cannot be read: it has over {LARGEST:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    for mark, told in _MARKS.items():
        if data.startswith(mark):
            raise ValueError(f"{path} cannot be read: it is {told}")
    return data


# -- formats: each yields the place of a row, and the row as JSON text or as a value -----------------


def _rows(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    if data.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return _parquet(path, data)
    text = data.removeprefix(_BOM).strip()
    first = _LINE_END.split(text, maxsplit=1)[0]
    if text[:1] in (b"[", b"{") and (text[:1] == b"[" or first != text):
        try:
            whole = _parsed(text)
        except ValueError as error:
            if not _is_json(first) and text[:1] == b"[":
                raise ValueError(f"{path} {error}") from error
        else:
            if isinstance(whole, list):
                return ((f"row {n}", value) for n, value in enumerate(whole, start=1))
            raise ValueError(
                f"{path} is one JSON object over many lines: expected a list of rows, or one a line"
            )
    return _json_lines(data)


def _json_lines(data: bytes) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_LINE_END.split(data), start=1):
        if row := line.removeprefix(_BOM).strip():
            yield f"line {number}", row


def _parsed(data: bytes) -> Any:
    """The value of a JSON text; raises `ValueError` that goes on after the name of a place."""
    try:
        return json.loads(
            data.decode(),
            parse_float=Decimal,  # 0.1 is the text 0.1
            parse_constant=Decimal,
            object_pairs_hook=_Object,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start + 1})") from error
    except RecursionError as error:
        raise ValueError("is not JSON (too many brackets within brackets)") from error
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error


def _is_json(data: bytes) -> bool:
    try:
        _parsed(data)
    except ValueError:
        return False
    return True


class _Object(dict[str, Any]):
    """A JSON object, its names in lower case; `twice` is a name that it has more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__()
        self.twice: str | None = None
        for name, value in pairs:
            if name.lower() in self:
                self.twice = name
            self[name.lower()] = value


def _fields(row: Any) -> Fields:
    """The fields of a row; raises `ValueError` with what is wrong with them."""
    value = _parsed(row) if isinstance(row, bytes) else row
    if not isinstance(value, dict):
        raise ValueError(f"expected an object with fields, found {shown(value)}")
    if isinstance(value, _Object) and value.twice is not None:
        raise ValueError(f"{quoted(value.twice)} is there twice")
    for one in value.values():
        if isinstance(one, Decimal) and not one.is_finite():
            raise ValueError(f"is not JSON ({one} is no number)")
    return value


def _parquet(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet as pq  # slow to import

    try:
        table = pq.read_table(io.BytesIO(data))
        names = [name.lower() for name in table.column_names]
        if len(set(names)) < len(names):
            raise ValueError("two columns have one name")
        number = 0
        for batch in table.to_batches(max_chunksize=500):
            for fields in batch.to_pylist():
                number += 1
                yield f"row {number}", {n.lower(): _missing(v) for n, v in fields.items()}
    except Exception as error:  # the library's own, and what damaged files make of it
        raise ValueError(f"{path} is no parquet file ({error})") from error


def _missing(value: Any) -> Any:
    """None for the NaN by which tables say that there is no value."""
    return None if isinstance(value, float) and value != value else value


# -- rows that are not used -----------------------------------------------------------------------


def checked(left_out: Sequence[LeftOut], path: str | Path, total: int, instead: str) -> None:
    """Raises `ValueError` that names the rows and reasons, and what to write to go without them."""
    if not left_out:
        return
    if len(left_out) == 1:
        one = left_out[0]
        joint = " " if one.reason.startswith(("is ", "has ")) else ": "
        raise ValueError(f"{one.where}{joint}{one.reason}; mend it, or {instead}")
    raise ValueError(
        f"{path}: {len(left_out):,} of {total:,} rows cannot be used ({summary(left_out)}); "
        f"mend them, or {instead}"
    )


def summary(left_out: Iterable[LeftOut]) -> str:
    """The reasons, most frequent first, each with the places of its first rows."""
    by_reason: dict[str, list[str]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one.where.rpartition(", ")[2])
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    told = []
    for reason, places in ranked[:SHOWN]:
        more = f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
        short = reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 3]}..."
        told.append(f"{', '.join(places[:SHOWN])}{more}: {short}")
    rest = sum(len(places) for _, places in ranked[SHOWN:])
    return "; ".join(told) + (f"; and {rest:,} more" if rest else "")


def shown(value: Any) -> str:
    """A value for a message, cut to 60 characters; `repr` escapes what cannot be printed."""
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."


def quoted(name: str) -> str:
    """The name of a field for a message: what is not ASCII is escaped, what is long is cut."""
    return json.dumps(name[:40])
