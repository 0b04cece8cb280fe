"""Files that users name: where they are, what they may be, and what one bad row costs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coevo.config import Config, ConfigError, DecontaminationConfig
from coevo.decontamination import registered
from coevo.seeds import read_seeds
from environments.arithmetic import Arithmetic
from environments.benchmark_set import BenchmarkSet
from environments.benchmarks import statements
from environments.columns import tidy
from environments.data_files import LeftOut, checked, read_records, summary, user_path
from environments.math_text import MathText


def row(n: int, **fields: Any) -> dict[str, Any]:
    return {"statement": f"What is {n} plus {n}, all in all?", "answer": str(2 * n), **fields}


def write(path: Path, rows: list[Any]) -> Path:
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def against(path: str) -> Config:
    return Config(decontamination=DecontaminationConfig(against={"mine": path}))


# Where they are


def test_the_home_folder_may_be_written_as_a_tilde_for_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = write(tmp_path / "rows.jsonl", [row(n) for n in range(1, 21)])
    held = write(tmp_path / "held.jsonl", [row(30)])
    assert user_path("~/rows.jsonl") == file
    assert MathText("~/rows.jsonl", heldout="~/held.jsonl").path == str(file)
    assert MathText(file, heldout=held).path == str(file)
    assert len(BenchmarkSet("math500", "~/rows.jsonl,~/held.jsonl", rows="any").problems) == 21
    assert len(statements("mine", "~/rows.jsonl")) == 20
    assert len(read_seeds("~/rows.jsonl", MathText())) == 20
    found = registered(against("~/rows.jsonl"), [])
    assert len(found.entries) == 20


def test_a_home_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="there is no such user's home folder"):
        user_path("~nobody-of-that-name/rows.jsonl")
    with pytest.raises(ValueError, match="is no name of a file"):
        read_records("rows\0.jsonl")


def readers(path: Path) -> list[Any]:
    """Everything that reads a file, and what it raises."""
    config = against(str(path))
    return [
        (ConfigError, lambda: read_seeds(path, Arithmetic())),
        (ConfigError, lambda: read_seeds(path, Arithmetic(), any_rows=True)),
        (ConfigError, lambda: registered(config, [])),
        (ValueError, lambda: MathText(path)),
        (ValueError, lambda: MathText(path, rows="any")),
        (ValueError, lambda: BenchmarkSet("math500", str(path), rows=2)),
        (ValueError, lambda: BenchmarkSet("math500", str(path), rows="any")),
    ]


@pytest.mark.parametrize(
    "kind", ["pipe", "device", "folder", "nothing", "empty", "UTF-16", "array"]
)
def test_what_is_no_file_of_rows_is_one_message(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    expected = "cannot be read"
    if kind == "pipe":
        os.mkfifo(path)  # opening it would wait for a writer for ever
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "UTF-16":
        path.write_text(json.dumps(row(1)), encoding="utf-16")
    elif kind == "empty":
        path.write_text("\n \n")
        expected = "is empty"
    elif kind == "array":
        path.write_text("[[1], [2]]")
        expected = "expected an object with fields"
    for error, read in readers(path):
        with pytest.raises(error, match=expected) as raised:
            read()
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 700


# What they may be


@pytest.mark.parametrize(
    "content",
    [
        '{"Statement": "a"}\r\n{"statement": "b"}\r\n',
        '{"statement": "a"}\r{"statement": "b"}',
        '\ufeff{"statement": "a"}\n\n\ufeff{"statement": "b"}',
        '[{"statement": "a"},\n {"statement": "b"}]',
        '\ufeff\n[{"statement": "a"}, {"statement": "b"}]\n',
    ],
)
def test_rows_are_found_whatever_ends_a_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content.encode())
    records = read_records(path)
    assert [fields["statement"] for _, fields in records.rows] == ["a", "b"]
    assert (records.file.rows, records.left_out) == (2, ())


def test_a_list_on_a_line_is_that_lines_fault(tmp_path: Path) -> None:
    records = read_records(write(tmp_path / "rows.jsonl", ["[1]", {"a": "1"}]))
    assert len(records.rows) == 1
    assert records.left_out[0].where.endswith("line 1")


def test_tables_say_by_nan_that_there_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = [row(1, level=float("nan")), row(2, level=3.0)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert [fields["level"] for _, fields in read_records(path).rows] == [None, 3.0]


SPACES = {
    "thin": "\u2009",
    "ideographic": "\u3000",
    "no break": "\u00a0",
    "narrow no break": "\u202f",
    "en": "\u2002",
    "tab": "\t",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "next line": "\u0085",
    "carriage return": "\r",
}
NOTHING = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad"]


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_every_kind_of_space_is_one(space: str, tmp_path: Path) -> None:
    rows = [
        row(n) | {"statement": f"What{space}is {n}{space}plus {n}, in all?"} for n in range(1, 21)
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    expected = "What is 1 plus 1, in all?"
    seeds = read_seeds(path, MathText())
    environment = MathText(path)
    (first, *_) = BenchmarkSet("math500", str(path), rows=20).problems
    known = environment.parse_problem(expected)
    for statement in (seeds[0].statement, first.statement, known.statement):
        assert statement.replace("\n", " ") == expected


@pytest.mark.parametrize("nothing", NOTHING)
def test_what_has_no_width_is_not_there(nothing: str, tmp_path: Path) -> None:
    assert tidy(f"{nothing}What {nothing}is 1{nothing}?") == "What is 1?"
    bare = row(1)["statement"].replace(" ", f"{nothing} ")
    path = write(tmp_path / "rows.jsonl", [row(1, statement=bare, solution=f"2{nothing}\n#### 2")])
    (seed,) = read_seeds(path, MathText())
    assert (seed.statement, seed.solution) == (row(1)["statement"], "2\n#### 2")


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\x1b", "\x00", "\ud800"])
def test_what_deceives_a_reader_is_refused_row_by_row(
    mark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = json.dumps(row(3, statement=f"What is {mark}3 plus 3, in all?"))
    path = write(tmp_path / "rows.jsonl", [row(1), row(2), bad])
    with pytest.raises(ConfigError, match=r"line 3: .*unprintable character .*seed_rows=any"):
        read_seeds(path, MathText())
    assert len(read_seeds(path, MathText(), any_rows=True)) == 2
    told = capsys.readouterr().err
    assert "1 rows left out: line 3" in told
    assert mark not in told


# What one bad row costs


def test_a_bad_row_of_a_thousand_is_named_and_may_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Any] = [row(n) for n in range(1, 1001)]
    rows[499], rows[700] = "{", row(1)
    path = write(tmp_path / "rows.jsonl", rows)
    told = r"2 of 1,000 rows cannot be used \(line 500: is not JSON .*; line 701: .*"
    with pytest.raises(ConfigError, match=told + r"curriculum\.seed_rows=any"):
        read_seeds(path, MathText())
    with pytest.raises(ValueError, match=told + r"environment\.options\.rows=any"):
        MathText(path)
    with pytest.raises(ValueError, match=told + "rows=any"):
        BenchmarkSet("math500", str(path), rows=1000)
    environment, found = MathText(path, rows="any"), BenchmarkSet("math500", str(path), rows="any")
    assert len(read_seeds(path, MathText(), any_rows=True)) == len(found.problems) == 998
    assert "2 rows left out: line 500: is not JSON" in capsys.readouterr().err
    for left_out in (environment.left_out, found.left_out):
        assert [one.where for one in left_out] == [f"{path}, line 500", f"{path}, line 701"]


def test_reasons_are_grouped_and_counted() -> None:
    many = [LeftOut(where=f"a, b.jsonl, line {n}", reason="is bad") for n in range(1, 8)]
    other = [LeftOut(where=f"a, b.jsonl, line {n}", reason=f"no {n}") for n in range(8, 12)]
    assert summary([*other, *many]) == (
        "line 1, line 2, line 3 and 4 more: is bad; line 8: no 8; line 9: no 9; and 2 more"
    )
    checked([], "b.jsonl", 9, "write x")
    with pytest.raises(ValueError, match=r"^a, b.jsonl, line 1 is bad; mend it, or write x$"):
        checked(many[:1], "b.jsonl", 9, "write x")


def test_names_of_fields_are_printed_without_what_steers_a_terminal(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [{"\u001b[2Jx": "1"}, {"\u202eanswer": "1"}])
    for error, read in readers(path):
        with pytest.raises(error) as raised:
            read()
        assert str(raised.value).isprintable()
