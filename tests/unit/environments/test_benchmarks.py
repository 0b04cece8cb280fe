"""Published sets in their own formats (written here by hand), and the built-in benchmarks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from environments import benchmarks, make
from environments.benchmark_rows import gsm8k, integer, olympiadbench, plain
from environments.benchmark_set import PUBLISHED, BenchmarkSet
from environments.benchmarks import BUILT_IN, checksum, first, load, open_benchmark, statements

GSM8K = {
    "question": "Mia has 12 jars with 3 plums each. How many plums is that?",
    "answer": "12 jars hold 12*3=<<12*3=36>>36 plums.\n#### 36",
}
MATH = {
    "problem": "What is half of $\\frac{3}{2}$?",
    "solution": "Half of it is $\\boxed{\\frac{3}{4}}$.",
    "answer": "\\frac{3}{4}",
    "subject": "Prealgebra",
    "level": 2,
    "unique_id": "own/1.json",
}
OLYMPIAD = {
    "id": 1,
    "question": "Find all real $x$ with $x^2=9$.",
    "solution": ["They are $3$ and $-3$."],
    "final_answer": ["$3,-3$"],
    "context": None,
    "image_1": None,
    "modality": "Text-only",
    "is_multiple_answer": True,
    "unit": None,
    "answer_type": "Numerical",
    "error": None,
    "subfield": "Algebra",
    "subject": "Math",
}


def write(path: Path, *rows: dict[str, Any]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def opened(name: str, path: str, **options: Any) -> BenchmarkSet:
    return BenchmarkSet(name, path, rows="any", **options)


def only(name: str, path: Path, row: dict[str, Any]) -> tuple[BenchmarkSet, Any]:
    found = opened(name, write(path, row))
    (problem,) = found.problems
    return found, problem


# Formats


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_gsm8k_in_every_kind_of_file(suffix: str, tmp_path: Path) -> None:
    found, problem = only("gsm8k", tmp_path / f"test.{suffix}", GSM8K)
    assert (problem.statement, problem.answer) == (GSM8K["question"], "36")
    assert (problem.domain, problem.family, problem.level) == ("gsm8k", "gsm8k", 0)
    assert found.verify(problem, "It is \\boxed{36}.").correct
    assert found.verify(problem, GSM8K["answer"]).correct
    assert found.verify(problem, "It is \\boxed{35}.").status == "wrong"
    assert found.verify(problem, "It is 36 I think").status == "unparseable"


def test_math500_keeps_subject_and_level(tmp_path: Path) -> None:
    found, problem = only("math500", tmp_path / "test.jsonl", MATH)
    assert (problem.family, problem.level, problem.answer) == ("Prealgebra", 2, "\\frac{3}{4}")
    assert found.verify(problem, "\\boxed{0.75}").correct
    verdict = found.verify(problem, "\\boxed{3/4}")
    assert (verdict.status, verdict.answer) == ("correct", problem.answer)
    assert found.prompt(problem).startswith(problem.statement)
    assert "\\boxed{}" in found.prompt(problem)


@pytest.mark.parametrize(("level", "expected"), [("Level 5", 5), ("3", 3), ("Level ?", 0)])
def test_levels_as_the_copies_write_them(level: str, expected: int, tmp_path: Path) -> None:
    _, problem = only("math500", tmp_path / "test.jsonl", MATH | {"level": level})
    assert problem.level == expected


@pytest.mark.parametrize(
    "row",
    [
        {"problem": "What is $5^2$?", "answer": "025", "id": "1"},
        {"ID": "I-1", "Problem": "What is $5^2$?", "Solution": "Squared.", "Answer": 25},
        {"question": "What is $5^2$?", "answer": 25.0},
        {"problem": "What is $5^2$?", "solution": "\\boxed{025}"},
        {"problem": "What is $5^2$?", "solution": "$\\boxed{24}$ but no", "answer": "$25$"},
    ],
)
def test_aime_in_the_variants_of_its_copies(row: dict[str, Any], tmp_path: Path) -> None:
    for suffix in ("jsonl", "parquet"):
        found, problem = only("aime24", tmp_path / f"test.{suffix}", row)
        assert (problem.statement, problem.answer) == ("What is $5^2$?", "25")
        assert found.verify(problem, "\\boxed{25}").correct
        assert found.verify(problem, "\\boxed{025}").correct
        assert not found.verify(problem, "\\boxed{0025}").correct
        assert not found.verify(problem, "\\boxed{026}").correct


def test_aime_in_two_halves(tmp_path: Path) -> None:
    halves = [
        write(
            tmp_path / f"{half}.jsonl",
            *({"question": f"What is ${n}+{half}00$?", "answer": str(n)} for n in range(15)),
        )
        for half in (1, 2)
    ]
    found = BenchmarkSet("aime25", ",".join(halves))
    assert len(found.problems) == 30
    assert [file.rows for file in found.files] == [15, 15]
    with pytest.raises(ValueError, match="published with 30 problems, found 15"):
        BenchmarkSet("aime25", halves[0])


def test_amc_and_minerva(tmp_path: Path) -> None:
    found, problem = only(
        "amc23", tmp_path / "a.parquet", {"id": 0, "answer": 14.5, "url": "", "question": "What?"}
    )
    assert problem.answer == "14.5"
    found, problem = only(
        "minerva", tmp_path / "m.jsonl", {"question": "How far?", "answer": "\\frac{1}{3} "}
    )
    assert found.verify(problem, "\\boxed{1/3}").correct


def test_olympiadbench_asks_for_all_answers_in_the_unit(tmp_path: Path) -> None:
    row = OLYMPIAD | {"context": "All numbers are real.", "unit": "$cm$"}
    for suffix in ("jsonl", "json", "parquet"):
        found, problem = only("olympiadbench", tmp_path / f"t.{suffix}", row)
        assert problem.statement == "All numbers are real.\nFind all real $x$ with $x^2=9$."
        assert problem.family == "Algebra"
        asked = found.prompt(problem)
        assert "separated by commas" in asked and "Give the answer in $cm$." in asked


@pytest.mark.parametrize(
    ("changes", "answer", "kind"),
    [
        ({}, "3,-3", "set"),
        ({"final_answer": ["$3$", "$-3$"]}, "3, -3", "set"),
        ({"final_answer": ["5"], "is_multiple_answer": False}, "5", None),
        (
            {
                "final_answer": ["$(1,2)$"],
                "is_multiple_answer": False,
                "answer_type": "Tuple",
            },
            "(1,2)",
            "tuple",
        ),
        (
            {"final_answer": ["[1,2)"], "is_multiple_answer": False, "answer_type": "Interval"},
            "[1,2)",
            "interval",
        ),
    ],
)
def test_olympiadbench_answers(changes: dict[str, Any], answer: str, kind: str | None) -> None:
    row = olympiadbench(OLYMPIAD | changes, "row 1")
    assert (row.answer, row.kind) == (answer, kind)


@pytest.mark.parametrize(
    ("error", "expected"), [(None, None), ("", None), ("1e-2", "0.01"), (".1,.02", "0.02")]
)
def test_olympiadbench_tolerance(error: str | None, expected: str | None) -> None:
    assert olympiadbench(OLYMPIAD | {"error": error}, "row 1").tolerance == expected


# What is wrong with a file


@pytest.mark.parametrize(
    ("reader", "row", "expected"),
    [
        (plain, {"prompt": "?", "answer": "1"}, 'expected the field "problem" or "question" or'),
        (plain, {"prompt": "?", "answer": "1"}, 'found "prompt", "answer"'),
        (plain, {"problem": "?"}, 'expected the field "answer" or "final_answer", found "problem"'),
        (plain, {"problem": "?", "answer": True}, "must be a text or a number, found True"),
        (plain, {"problem": "?", "answer": float("nan")}, "must be a number, found nan"),
        (plain, {"problem": "  ", "answer": "1"}, '"problem" must be a text'),
        (plain, {"problem": "?", "answer": "1", "level": "hard 3"}, '"level" must be a whole'),
        (gsm8k, {"question": "?", "answer": "36"}, "must end in a line such as #### 18"),
        (gsm8k, {"question": "?", "answer": "1\n####"}, "must end in a line such as #### 18"),
        (gsm8k, {"question": "?", "answer": "#### 1\nor 2"}, "must end in a line such as #### 18"),
        (integer, {"problem": "?", "answer": "1/2"}, "must be a whole number, found '1/2'"),
        (olympiadbench, OLYMPIAD | {"image_1": "x.png"}, "has images"),
        (olympiadbench, OLYMPIAD | {"error": "small"}, '"error" must be a number'),
        (olympiadbench, OLYMPIAD | {"final_answer": None}, 'expected the field "final_answer"'),
        (olympiadbench, OLYMPIAD | {"final_answer": [["3"]]}, "must be a text or a number"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_row(
    reader: Any, row: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError) as raised:
        reader(row, "test.jsonl, line 7")
    assert str(raised.value).startswith("test.jsonl, line 7")
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "rows", "expected"),
    [
        ("t.jsonl", '{"question": "a", "answer": "1"}\n{"question"', 2, "line 2 is not JSON"),
        ("t.jsonl", "\n", 0, "t.jsonl is empty"),
        ("t.jsonl", "7\n", 1, "t.jsonl, line 1: expected an object with fields, found 7"),
        ("t.jsonl", '"\xff', 1, "line 1 is not UTF-8 text"),
        ("t.jsonl", "\xff\xfe{\x00}\x00", 1, "it is UTF-16 text: save it as UTF-8"),
        ("t.jsonl", "\x1f\x8b\x08", 1, "it is compressed: unpack it first"),
        ("t.jsonl", '{"question": "a", "answer": NaN}', 1, "line 1 is not JSON .NaN is no number"),
        ("t.jsonl", '{"answer": "1", "answer": "2"}', 1, 'line 1: "answer" is there twice'),
        ("t.jsonl", '{"answer": "1", "Answer": "2"}', 1, 'line 1: "Answer" is there twice'),
        ("t.jsonl", '{"question": [["a"]], "answer": "1"}', 1, "must be a text, found .*'a'"),
        ("t.jsonl", '{"question": "\\ud800 a", "answer": "1"}', 1, "the unprintable character"),
        ("t.jsonl", '{"question": "a", "answer": 1e999999999}', 1, '"answer" must be a number'),
        ("t.jsonl", "[" * 100_000, 1, "t.jsonl is not JSON .too many brackets"),
        ("t.json", "[1]", 1, "t.json, row 1: expected an object"),
        ("t.json", "[1", 1, "t.json is not JSON"),
        ("t.json", '{"question": "a",\n"answer": "1"}', 1, "one JSON object over many lines"),
        ("t.parquet", "PAR1", 1, "t.parquet is no parquet file"),
        ("t.csv", "a,b", 1, "expected a file named .jsonl, .json or .parquet"),
    ],
)
def test_a_damaged_file(name: str, content: str, rows: int, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=expected) as raised:
        BenchmarkSet("math500", str(tmp_path / name), rows=rows)
    assert "\n" not in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.jsonl cannot be read: No such file"):
        opened("gsm8k", str(tmp_path / "none.jsonl"))


def test_a_byte_order_mark_and_empty_lines_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\ufeff" + json.dumps(GSM8K) + "\n\n")
    assert len(opened("gsm8k", str(path)).problems) == 1


# Counts, repetitions, digests


def aime(count: int) -> list[dict[str, Any]]:
    return [{"problem": f"What is ${n}+1$?", "answer": str(n + 1)} for n in range(count)]


def test_the_published_number_of_rows_is_held_to(tmp_path: Path) -> None:
    assert len(BenchmarkSet("aime24", write(tmp_path / "a.jsonl", *aime(30))).problems) == 30
    short = write(tmp_path / "b.jsonl", *aime(29))
    with pytest.raises(ValueError, match="published with 30 problems, found 29; write rows=any"):
        BenchmarkSet("aime24", short)
    assert len(BenchmarkSet("aime24", short, rows="any").problems) == 29
    assert len(BenchmarkSet("aime24", short, rows="29").problems) == 29
    with pytest.raises(ValueError, match="expected 28 rows, found 29"):
        BenchmarkSet("aime24", short, rows=28)
    with pytest.raises(ValueError, match="write any, or a number"):
        BenchmarkSet("aime24", short, rows="all")


def test_a_repeated_statement_is_refused_where_the_count_is_not_the_published(
    tmp_path: Path,
) -> None:
    rows = aime(30)
    long = write(tmp_path / "a.jsonl", *rows, rows[2])
    with pytest.raises(ValueError, match=r"found 31 \(.*line 31 repeats .*line 3\)"):
        BenchmarkSet("aime24", long)
    with pytest.raises(ValueError, match=r"line 31: repeats .*line 3; mend it, or write rows=any"):
        BenchmarkSet("aime24", long, rows=31)


def test_a_file_of_the_published_size_is_taken_as_it_is(tmp_path: Path) -> None:
    rows = aime(29)
    found = BenchmarkSet("aime24", write(tmp_path / "a.jsonl", *rows, rows[2]))
    assert len(found.repeated) == 1
    assert len({problem.id for problem in found.problems}) == 30
    assert all(found.verify(p, f"\\boxed{{{p.answer}}}").correct for p in found.problems)


def test_digests_are_found_and_held_to(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GSM8K)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert opened("gsm8k", path).files[0].sha256 == digest
    assert opened("gsm8k", path, sha256=digest.upper()).files[0].sha256 == digest
    with pytest.raises(ValueError, match=f"expected sha256 {'0' * 64}, found {digest}"):
        opened("gsm8k", path, sha256="0" * 64)
    with pytest.raises(ValueError, match="one for each of 1 files"):
        opened("gsm8k", path, sha256=f"{digest},{digest}")


# Reference answers that cannot be read


def test_a_problem_that_nothing_can_be_paid_on_stays_and_is_told(tmp_path: Path) -> None:
    unread = {"question": "Is it so?", "answer": "it depends; see \\S 4 & below"}
    path = write(tmp_path / "m.jsonl", {"question": "What is 1+1?", "answer": "2"}, unread)
    found = opened("minerva", path)
    assert len(found.problems) == 2
    (lost,) = found.unscorable
    assert (lost.where, lost.answer) == (f"{path}, line 2", unread["answer"])
    problem = found.problems[1]
    assert problem.id == lost.problem_id and problem.answer is None
    for text in (unread["answer"], f"\\boxed{{{unread['answer']}}}", "\\boxed{2}", ""):
        assert not found.verify(problem, text).correct
    assert open_benchmark("minerva", path, rows="any").unscorable == (lost,)


@pytest.mark.parametrize(
    "answer", ["\\text{Mia}", "\\text{odd}", "\\text{May 20}", "not a right angle"]
)
def test_an_answer_in_words_is_compared_as_words(answer: str, tmp_path: Path) -> None:
    found, problem = only("math500", tmp_path / "m.jsonl", MATH | {"answer": answer})
    bare = answer.removeprefix("\\text{").removesuffix("}")
    assert not found.unscorable
    assert found.verify(problem, f"\\boxed{{\\text{{{bare.upper()}}}}}").correct
    assert not found.verify(problem, "\\boxed{\\text{Tom}}").correct
    assert not found.verify(problem, f"\\boxed{{{bare} or Tom}}").correct


def test_several_answers_are_all_asked_for(tmp_path: Path) -> None:
    found, problem = only("olympiadbench", tmp_path / "o.jsonl", OLYMPIAD)
    assert found.verify(problem, "\\boxed{-3, 3}").correct
    assert found.verify(problem, "\\boxed{3}").status == "wrong"
    assert found.verify(problem, "\\boxed{3,-3,1}").status == "wrong"


def test_a_tolerance_is_the_row_s_else_the_one_given(tmp_path: Path) -> None:
    row = {"question": "How far is it?", "answer": "1.6"}
    path = write(tmp_path / "m.jsonl", row)
    exact, close = opened("minerva", path), opened("minerva", path, tolerance="1%")
    (problem,) = exact.problems
    assert not exact.verify(problem, "\\boxed{1.61}").correct
    assert close.verify(problem, "\\boxed{1.61}").correct
    assert not close.verify(problem, "\\boxed{1.7}").correct
    with pytest.raises(ValueError, match=r"tolerance=little: write a number such as 0\.01, or 1%"):
        opened("minerva", path, tolerance="little")
    own = OLYMPIAD | {"final_answer": ["2.5"], "is_multiple_answer": False, "error": "0.1"}
    found, problem = only("olympiadbench", tmp_path / "o.jsonl", own)
    assert found.verify(problem, "\\boxed{2.55}").correct
    assert not found.verify(problem, "\\boxed{2.7}").correct
    path = write(tmp_path / "o.jsonl", own)
    assert not opened("olympiadbench", path, tolerance="1").verify(problem, "\\boxed{2.7}").correct


# The set as an environment


def test_a_set_is_never_trained_on(tmp_path: Path) -> None:
    import numpy as np

    found, problem = only("gsm8k", tmp_path / "a.jsonl", GSM8K)
    with pytest.raises(ValueError, match="never trained on"):
        found.sample(np.random.default_rng(0), {"level": 0})
    with pytest.raises(ValueError, match="never trained on"):
        found.vary(problem, np.random.default_rng(0), "harder")


def test_a_worker_builds_the_same_environment_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GSM8K)
    found = open_benchmark("gsm8k", path, rows="any")
    again = make(found.environment, **found.options)
    assert isinstance(again, BenchmarkSet)
    assert tuple(again.problems) == found.problems
    assert again.parse_problem(GSM8K["question"]) == found.problems[0]
    Path(path).write_text(json.dumps(GSM8K | {"question": "Changed meanwhile?"}))
    with pytest.raises(ValueError, match="expected sha256"):
        make(found.environment, **found.options)


def test_load_takes_what_the_file_has(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GSM8K)
    assert [problem.answer for problem in load("gsm8k", path)] == ["36"]
    assert statements("gsm8k", path) == [GSM8K["question"]]
    assert len(statements("math_seeds")) == 30
    with pytest.raises(ValueError, match="there is no benchmark 'gsm8'"):
        load("gsm8", path)


# The hub


def test_without_a_path_the_hub_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    path = write(tmp_path / "test.jsonl", *aime(30))
    asked = []

    def fetch(dataset: str, file: str, *, repo_type: str, local_files_only: bool) -> str:
        asked.append((dataset, file, repo_type))
        return path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert len(load("aime25")) == 30
    assert asked == [("math-ai/aime25", "test.jsonl", "dataset")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_without_network_the_error_says_what_to_fetch(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    class Nowhere:
        def head(self, *_: Any, **__: Any) -> None:
            raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "get_session", Nowhere)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError) as raised:
        load(name)
    message = str(raised.value)
    assert "(Name or service not known)" in message and "\n" not in message
    assert f"the file {PUBLISHED[name].file} of the dataset {PUBLISHED[name].dataset}" in message
    assert f"benchmark={name} path=FILE" in message


# Built in

CHECKSUMS = {
    "arithmetic": (264, "ac1e7609d323557b980bacf32ea749996fd37a2804c4a1012c333c2a81f9a0ce"),
    "sums_in_words": (96, "448165dc09f33db4a4aa36cdf4343ac37bd4d7204a4fd27a68861527fc604191"),
    "strings": (384, "b89de8c819267ed1af72ab3a0541b1e65ab82bcc64800a6bc6ea979cb4e35758"),
    "math_seeds": (30, "c6ffb9853042bbf8df0c3b121bc42c2fc2a5f1a749d143bfbef370a7b57118a8"),
    "reasoning_gym": (216, "9cf3bec933de0e94ec609031c4fd9e15ffeeee4944f01d56aeefbb6499884298"),
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_built_in_benchmarks_are_always_the_same(name: str) -> None:
    found = open_benchmark(name)
    assert (len(found.problems), checksum(found.problems)) == CHECKSUMS[name]
    environment = make(found.environment, **found.options)
    for problem in found.problems[::20]:
        solution = environment.solve(problem)
        assert solution is not None and environment.verify(problem, solution).correct


def test_every_built_in_benchmark_has_its_checksum() -> None:
    known = {name for name in benchmarks.names() if name in BUILT_IN}
    assert known == set(CHECKSUMS)


def test_a_built_in_benchmark_takes_no_file() -> None:
    with pytest.raises(ValueError, match="arithmetic is built in"):
        open_benchmark("arithmetic", "a.jsonl")


def test_limits_are_nested_and_spread() -> None:
    problems = open_benchmark("arithmetic").problems
    small, large = first(problems, 20), first(problems, 60)
    assert (len(small), len(large)) == (20, 60)
    assert [problem for problem in large if problem in small] == small
    assert {one.id for one in small} == set(sorted(one.id for one in problems)[:20])
    assert len({problem.level for problem in small}) > 3
    assert first(problems, 1000) == list(problems)
    assert first(problems[::-1], 20) == small[::-1]


def test_the_checksum_is_of_statements_and_answers_in_any_order(tmp_path: Path) -> None:
    problems = load("math500", write(tmp_path / "a.jsonl", MATH, MATH | {"problem": "Other?"}))
    assert checksum(problems) == checksum(problems[::-1])
    others = load("math500", write(tmp_path / "b.jsonl", MATH, MATH | {"problem": "Else?"}))
    assert checksum(problems) != checksum(others)
    changed = load("math500", write(tmp_path / "c.jsonl", MATH | {"answer": "7"}))
    assert checksum(changed) != checksum(load("math500", write(tmp_path / "d.jsonl", MATH)))
