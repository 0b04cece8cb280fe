"""Files of the shape of MATH, GSM8K, Minerva and OlympiadBench (all rows written here), imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coevo.seeds import read_seeds
from environments.benchmark_rows import Row, olympiadbench
from environments.benchmark_set import PUBLISHED, BenchmarkSet
from environments.benchmarks import all_statements, open_benchmark
from environments.math_text import MathText
from environments.references import misread
from environments.verification.answers import canonical


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


# OlympiadBench


def olympiad(question: str, *answers: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": 1606,
        "subfield": "Algebra",
        "context": None,
        "question": question,
        "solution": ["One way.", "Another way."],
        "final_answer": list(answers),
        "is_multiple_answer": False,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
        **fields,
    }


def several(question: str, *answers: str, **fields: Any) -> dict[str, Any]:
    return olympiad(question, *answers, is_multiple_answer=True, **fields)


def of_size(size: int) -> list[dict[str, Any]]:
    """Rows in about the proportions of the set: numbers, expressions, lists, tuples, intervals."""
    rows = []
    for n in range(size):
        asked = f"Row {n}: find what is asked."
        rows.append(
            [
                olympiad(asked, f"${n + 2}$"),
                olympiad(asked, f"$\\frac{{{n + 1}}}{{{n + 2}}}$"),
                olympiad(asked, f"{n}"),
                olympiad(asked, f"$2^{{{n % 40}}}+1$", answer_type="Expression"),
                olympiad(asked, f"$\\frac{{n^2-{n}}}{{2}}$", answer_type="Expression"),
                several(asked, f"{n + 1},-{n + 1}"),
                several(asked, f"$({n},1),(1,{n})$,$(2,{n})$", answer_type="Tuple"),
                olympiad(asked, f"$({n},1,2)$", answer_type="Tuple"),
                olympiad(asked, f"$[{n},{n + 1})$", answer_type="Interval"),
                olympiad(asked, "4.2", unit="%", error="1e-1"),
            ][n % 10]
        )
    return rows


@pytest.mark.parametrize("size", [674, 675])
def test_both_copies_of_olympiadbench_are_the_set(size: int, tmp_path: Path) -> None:
    found = BenchmarkSet("olympiadbench", write(tmp_path / "test.jsonl", of_size(size)))
    assert len(found.problems) == size
    assert found.unscorable == []
    for problem in found.problems[:20]:
        assert found.verify(problem, f"\\boxed{{{problem.answer}}}").correct


def test_another_size_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="published with 674 or 675 problems, found 676"):
        BenchmarkSet("olympiadbench", write(tmp_path / "test.jsonl", of_size(676)))
    assert all(len(one.sizes) == 1 for name, one in PUBLISHED.items() if name != "olympiadbench")


SEVERAL = [
    # answers, type, right, wrong
    (["$(1,8,19), (2,7,13), (4,5,7)$"], "Tuple", "(4,5,7),(1,8,19),(2,7,13)", "(8,1,19),(2,7,13),(4,5,7)"),
    (["(1,2)", "(3,4)"], "Tuple", "(3,4), (1,2)", "(1,2)"),
    (["$(0,1)$,$[2,3]$"], "Interval", "[2,3],(0,1)", "[2,3],[0,1]"),
    (["16,3,1,1"], "Numerical", "1, 1, 3, 16", "1, 3, 16"),
    (["-2,-2"], "Numerical", "-2,-2", "-2"),
    (["$\\left(\\frac{1}{4}, \\frac{1}{27}\\right)$"], "Numerical", "(1/4, 1/27)", "(1/27, 1/4)"),
    (["$(\\frac12,5)$"], "Tuple", "(0.5,5)", "(5,0.5)"),
    (["$n^2, n+1$"], "Expression", "n+1, n^2", "n+1, n"),
    (["$1 \\pm \\sqrt{2}$"], "Numerical", "1-\\sqrt2, 1+\\sqrt2", "1+\\sqrt2"),
]  # fmt: skip


@pytest.mark.parametrize(("answers", "kind", "right", "wrong"), SEVERAL)
def test_several_answers_are_a_set_whatever_their_type(
    answers: list[str], kind: str, right: str, wrong: str, tmp_path: Path
) -> None:
    row = several("Find all of them.", *answers, answer_type=kind)
    found = BenchmarkSet("olympiadbench", write(tmp_path / "t.jsonl", [row]), rows="any")
    assert not found.unscorable
    (problem,) = found.problems
    assert found.verify(problem, f"\\boxed{{{right}}}").correct
    assert not found.verify(problem, f"\\boxed{{{wrong}}}").correct


def test_one_tuple_is_ordered(tmp_path: Path) -> None:
    row = olympiad("Find $(a,b)$.", "$(1,2)$", answer_type="Tuple")
    found = BenchmarkSet("olympiadbench", write(tmp_path / "t.jsonl", [row]), rows="any")
    (problem,) = found.problems
    assert found.verify(problem, "\\boxed{(1,2)}").correct
    assert not found.verify(problem, "\\boxed{(2,1)}").correct


@pytest.mark.parametrize(
    ("question", "answer", "unit", "right", "wrong"),
    [
        (
            "How long does it take from $A$ to $B$ ?",
            "45",
            "minute",
            "45\\text{ minutes}",
            "45 hours",
        ),
        (
            "Find the distance.",
            "$\\frac{41}{12}$",
            "km",
            "\\frac{41}{12}\\text{ km}",
            "\\frac{41}{12} m",
        ),
        ("Find the surface.", "$166$", "$cm^2$", "166\\text{ cm}^2", "166\\text{ m}^2"),
        ("How fast is it?", "600", "km/h", "600 \\text{ km/h}", "600 \\text{ m/s}"),
        ("Determine $r$ to one place.", "4.2", "%", "4.2\\%", "0.042"),
        ("Determine the angle.", "$90$", "^{\\circ}", "90^\\circ", "90\\text{ cm}"),
    ],
)
def test_the_unit_that_is_asked_for_may_be_written(
    question: str, answer: str, unit: str, right: str, wrong: str, tmp_path: Path
) -> None:
    row = olympiad(question, answer, unit=unit)
    found = BenchmarkSet("olympiadbench", write(tmp_path / "t.jsonl", [row]), rows="any")
    (problem,) = found.problems
    assert problem.statement == question
    assert f"Give the answer in {unit}." in found.prompt(problem)
    assert found.verify(problem, f"\\boxed{{{problem.answer}}}").correct
    assert found.verify(problem, f"\\boxed{{{right}}}").correct
    assert not found.verify(problem, f"\\boxed{{{wrong}}}").correct


def test_what_people_must_judge_is_not_scorable(tmp_path: Path) -> None:
    row = olympiad("Describe the locus of 2 points.", "7", answer_type="Need_human_evaluate")
    found = BenchmarkSet("olympiadbench", write(tmp_path / "t.jsonl", [row]), rows="any")
    (lost,) = found.unscorable
    assert lost.reason == "the set leaves its answers to people to judge"
    assert not found.verify(found.problems[0], "\\boxed{7}").correct


def test_pictures_within_the_text_are_pictures() -> None:
    with pytest.raises(ValueError, match="row 1 has images"):
        olympiadbench(olympiad("See <img_3408>. Find 2 sides.", "7"), "row 1")


def test_the_context_is_asked_and_compared(tmp_path: Path) -> None:
    row = olympiad("How many are left?", "7", context="There are 9 cups, and 2 break.")
    path = write(tmp_path / "t.jsonl", [row])
    assert all_statements("olympiadbench", path)[0] == [
        "There are 9 cups, and 2 break.\nHow many are left?"
    ]


# MATH


def math(n: int, solution: str, **fields: Any) -> dict[str, Any]:
    return {
        "problem": f"Problem {n}: what is the value of ${n}+{n}$?",
        "level": f"Level {1 + n % 5}",
        "type": "Prealgebra",
        "solution": solution,
        "idx": n,
        **fields,
    }


def math_rows() -> list[dict[str, Any]]:
    return [
        math(0, "It is $\\boxed{0}$."),
        math(1, "Either $\\boxed{2}$ or $\\boxed{3}$."),
        math(2, "So $\\boxed{10\\sqrt{2}}$, that is $\\boxed{10\\sqrt 2}$."),
        math(3, "There is none."),
        math(4, "It is $\\boxed{8}$.", problem=""),
        math(5, "It is $\\boxed{5$."),
        math(6, "It is $\\boxed{12}$.", answer=" "),
        math(7, "It is \\boxed{\\text{odd}}."),
        math(0, "Again $\\boxed{0}$."),
    ]


def test_one_bad_row_never_costs_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "math.jsonl", math_rows())
    with pytest.raises(ValueError, match=r"6 of 9 rows cannot be used \(line .*write rows=any"):
        BenchmarkSet("math500", path, rows=9)
    found = open_benchmark("math500", path, rows="any")
    assert [(one.where.rpartition(", ")[2], one.reason) for one in found.left_out] == [
        ("line 2", "\"solution\" has 2 boxes that differ: '2', '3'"),
        ("line 4", 'there is no "answer", and "solution" states none'),
        ("line 5", "\"problem\" must be a text, found ''"),
        ("line 6", '"solution" has a \\boxed that is never closed'),
        ("line 7", "\"answer\" must be a text, found ' '"),
        ("line 9", f"repeats {path}, line 1"),
    ]
    assert [problem.answer for problem in found.problems] == ["0", "10\\sqrt 2", "\\text{odd}"]
    assert found.in_words == (found.problems[2].id,)
    assert found.files[0].rows == 9


def test_a_file_without_a_row_that_can_be_used(tmp_path: Path) -> None:
    path = write(tmp_path / "math.jsonl", math_rows()[3:5])
    with pytest.raises(ValueError, match=r"no row can be used \(line 1: there is no \"answer\""):
        BenchmarkSet("math500", path, rows="any")


def test_math_as_training_problems_and_as_seeds(tmp_path: Path) -> None:
    rows = [math(n, f"Double it: $\\boxed{{{2 * n}}}$.") for n in range(1, 31)]
    path = write(tmp_path / "math.jsonl", rows)
    environment = MathText(path)
    assert environment.families == ("Prealgebra", "other")
    assert environment.levels == (1, 2, 3, 4, 5)
    for row, seed in zip(rows, read_seeds(path, MathText()), strict=True):
        problem = environment.parse_problem(row["problem"])
        expected = (row["problem"], str(2 * row["idx"]), row["solution"])
        assert (problem.statement, problem.answer, problem.solution) == expected
        assert (seed.statement, seed.answer, seed.solution) == expected
        assert problem.level == 1 + row["idx"] % 5
    many = MathText(write(tmp_path / "m.jsonl", [*rows, *math_rows()]), rows="any")
    assert len(many.left_out) == 8  # five, and three whose statements are there already


# GSM8K


def test_gsm8k_as_training_problems_and_as_seeds(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"Mia fills {n} jars with {n} plums each. How many plums is that?",
            "answer": f"{n} jars hold {n}*{n}=<<{n}*{n}={n * n}>>{n * n} plums.\n#### {n * n}",
        }
        for n in range(2, 32)
    ]
    path = write(tmp_path / "gsm8k.jsonl", rows)
    environment = MathText(path)
    assert len(open_benchmark("gsm8k", path, rows="any").problems) == 30
    for row, seed in zip(rows, read_seeds(path, MathText()), strict=True):
        problem = environment.parse_problem(row["question"])
        worked, _, answer = row["answer"].partition("\n#### ")
        for one in (problem, seed):
            assert one.answer == answer
            assert one.solution == f"{worked}\n\\boxed{{{answer}}}"
            assert environment.solve(one) == one.solution


# References that are not what they are read as


@pytest.mark.parametrize(
    ("answer", "statement", "never"),
    [
        ("11,\\! 222,\\! 333", "How many?", "11, 222, 333"),
        ("odd", "Is the function odd, even or neither?", "ddo"),
        ("Mia", "Who of the three is first?", "aiM"),
        ("five", "How many of the $n$ are left?", "five"),
        ("\\text{twelve}", "How many of them are left?", "\\text{twelve}"),
    ],
)
def test_a_reference_does_not_pay_what_it_is_misread_as(
    answer: str, statement: str, never: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "t.jsonl", [{"problem": statement, "answer": answer}])
    found = BenchmarkSet("math500", path, rows="any")
    (problem,) = found.problems
    assert not found.verify(problem, f"\\boxed{{{never}}}").correct
    assert found.unscorable or found.verify(problem, f"\\boxed{{{answer}}}").correct


def test_letters_of_the_question_are_a_product(tmp_path: Path) -> None:
    row = {"problem": "What is the area of a rectangle of sides $xy$ and $z$?", "answer": "xyz"}
    found = BenchmarkSet("math500", write(tmp_path / "t.jsonl", [row]), rows="any")
    assert found.in_words == []
    assert found.verify(found.problems[0], "\\boxed{zyx}").correct


def test_why_a_reference_is_misread() -> None:
    read_as_list = canonical("11, 222")
    assert misread("11,\\!222", read_as_list) == "it is one number, and is read as a list"
    assert misread("11, 222", read_as_list) == ""
    assert misread("twenty-five", None) == "it is a number in words"
    assert misread("\\text{even}", None) == ""


def test_words_are_trained_on_as_words(tmp_path: Path) -> None:
    rows = [
        {"statement": f"Is {n} odd or even?", "answer": f"\\text{{{'odd' if n % 2 else 'even'}}}"}
        for n in range(40)
    ]
    environment = MathText(write(tmp_path / "t.jsonl", rows))
    problem = environment.parse_problem("Is 3 odd or even?")
    assert environment.verify(problem, "\\boxed{\\text{odd}}").correct
    assert not environment.verify(problem, "\\boxed{ddo}").correct
    assert not environment.verify(problem, "\\boxed{\\text{even}}").correct


def test_units_of_a_reference_are_kept(tmp_path: Path) -> None:
    rows = [
        {
            "statement": f"What do {n} red and {n} green balls weigh?",
            "answer": f"{n}\\text{{ pounds}}",
        }
        for n in range(2, 42)
    ]
    environment = MathText(write(tmp_path / "t.jsonl", rows))
    problem = environment.parse_problem("What do 7 red and 7 green balls weigh?")
    assert environment.verify(problem, "\\boxed{7\\text{ pounds}}").correct
    assert environment.verify(problem, "\\boxed{7}").correct
    assert not environment.verify(problem, "\\boxed{7\\text{ tons}}").correct


def test_places_and_levels_of_a_row_are_those_of_the_file() -> None:
    row = olympiadbench(olympiad("Find 2 sides.", "7"), "t.jsonl, line 3")
    assert isinstance(row, Row)
    assert (row.where, row.subject, row.solution) == ("t.jsonl, line 3", "Algebra", "One way.")
