import dataclasses
import hashlib
import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import environments
from coevo.config import ConfigError, CurriculumConfig
from coevo.gate import Gate
from coevo.run_folder import make_environment
from coevo.seeds import sample_seeds
from environments import Malformed, Problem
from environments.benchmark import heldout
from environments.math_text import SEEDS, SEEDS_SHA256, MathText
from environments.testing import JUNK, check_environment
from environments.verification import symbolic
from scripts.build_math_seeds import check, evaluate, tidy

SEEDED = MathText()
LINES = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
NEW = "Ben buys 3 pens at $2 each. How many dollars does he pay?"


def row(n: int, **fields: object) -> dict[str, object]:
    return {"statement": f"What is {n} plus {n}?", "answer": str(2 * n), **fields}


def write(folder: Path, rows: list, name: str = "train.jsonl") -> Path:
    path = folder / name
    lines = [line if isinstance(line, str) else json.dumps(line) for line in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def problem(answer: str, statement: str = "What is asked here, given 2?", **fields) -> Problem:
    return Problem(domain="math_text", family="other", statement=statement, answer=answer, **fields)


# The shipped problems


def test_the_shipped_file_is_the_one_that_is_documented():
    assert hashlib.sha256(SEEDS.read_bytes()).hexdigest() == SEEDS_SHA256 == SEEDED.sha256
    assert SEEDS_SHA256 in (SEEDS.parent / "README.md").read_text()
    assert len(LINES) == SEEDED.rows == 100


def test_the_shipped_answers_follow_from_their_solutions():
    """Every equation of every solution holds, and the answer is the result of one."""
    for line in LINES:
        results = check(line["solution"])
        as_percent = {100 * result for result in results}
        assert Fraction(line["answer"]) in {*results, *as_percent}, line
        assert line["solution"].endswith(f"\n#### {line['answer']}")


def test_the_check_of_solutions_finds_what_is_wrong():
    assert check("3 boxes * $1,000/box = $3000\n#### 3000") == [3000]
    assert check("half * 8 = 4, then 2(4+1) = 10 and 12÷2/3=18") == [4, 10, 18]
    assert check("y = x + 1, so 2x+1=5") == [5]
    assert evaluate(["2", "+", "3", "*", "50%"]) == Fraction(7, 2)
    for wrong in (
        "3*4=13",
        "so 2 + 2 = 5 apples",
        "10 / 3 = 3.33",
        "46% * 40 = 18",
        "3 * 4 = a lot",
    ):
        with pytest.raises(ValueError, match=r"is not|no number"):
            check(wrong)
    assert tidy("He has a 8-sided die and an mango.") == "He has an 8-sided die and a mango."


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["tags"][0])
def test_the_shipped_statements_read_well(line):
    statement = line["statement"]
    assert statement == " ".join(statement.split())
    assert statement[0].isupper() or statement[0].isdigit()
    assert statement[-1] in ".?"
    assert "{" not in statement and ".0 " not in statement and "1 times" not in statement
    assert line["answer"].isdecimal()
    assert SEEDED.parse_problem(statement).answer == line["answer"]


def test_the_shipped_levels_are_well_filled():
    assert min(Counter(line["level"] for line in LINES).values()) >= 25
    assert len({line["statement"] for line in LINES}) == 100
    assert len({tag for line in LINES for tag in line["tags"]}) == 91


def test_it_keeps_the_contract():
    check_environment(SEEDED, samples=4)


def test_seeds_and_heldout_problems_do_not_overlap():
    curriculum = CurriculumConfig(seeds=40, seed_levels=[1, 3])
    seeds = sample_seeds(SEEDED, curriculum, 0, Gate(SEEDED, heldout(SEEDED, 8)))
    assert len({seed.id for seed in seeds}) == 40
    everything_held = heldout(SEEDED, 1000)
    kept = {SEEDED.sample(np.random.default_rng(n), {"level": n % 3 + 1}).id for n in range(500)}
    assert not {p.id for p in everything_held} & kept
    assert len(everything_held) + len(kept) == 100
    signatures = {SEEDED.signature(problem) for problem in everything_held}
    assert len(signatures) == len(everything_held)


def test_a_larger_heldout_set_only_adds_problems():
    small, large = heldout(SEEDED, 2), heldout(SEEDED, 5)
    assert {p.id for p in small} < {p.id for p in large}
    assert Counter(p.level for p in small) == {1: 2, 2: 2, 3: 2}
    assert heldout(MathText(), 5) == large


# Files


def test_fields_are_read(tmp_path):
    rows = [
        row(1),
        row(2, family="sums", tags=["first", "second"], level=4, solution="2 + 2 = 4"),
        row(3, tags=["first", "second"]),
        row(4, tags="alone", answer=8),
        row(5, answer=10.0, level=None),
        row(6, solution=r"It is \boxed{12}.", answer="12.0", level=4),
    ]
    environment = MathText(write(tmp_path, rows), heldout=write(tmp_path, [row(9)], "held.jsonl"))
    found = [environment.parse_problem(str(fields["statement"])) for fields in rows]
    assert [p.family for p in found] == ["other", "sums", "first", "alone", "other", "other"]
    assert [p.answer for p in found] == ["2", "4", "6", "8", "10", "12"]
    assert [p.level for p in found] == [2, 4, 2, 2, 2, 4]  # two numbers in the statement
    assert environment.families == ("alone", "first", "other", "sums")
    assert environment.levels == (2, 4)
    assert found[1].solution == "2 + 2 = 4\n\\boxed{4}"
    assert found[5].solution == "It is 12.\n\\boxed{12}"
    for p in found:
        assert environment.solve(p) == p.solution
    check_environment(environment, samples=2)


def test_count_and_digest_are_checked(tmp_path):
    path = write(tmp_path, [row(n) for n in range(1, 21)])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    environment = MathText(path, sha256=digest.upper(), rows=20)
    assert (environment.rows, environment.sha256) == (20, digest)
    with pytest.raises(ValueError, match=r"train.jsonl: expected 21 rows, found 20"):
        MathText(path, rows=21)
    with pytest.raises(ValueError, match=f"expected sha256 00ff, found {digest}"):
        MathText(path, sha256="00ff")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            {"statement": "What is 2?"},
            '"answer" is missing; expected {"statement": ..., "answer": ...}',
        ),
        ({"answer": "2"}, '"statement" is missing; expected'),
        (row(2, answer=None), '"answer" is missing'),
        (
            {"statement": "What is 2?", "anwser": "2"},
            'unknown field "anwser"; did you mean "answer"?',
        ),
        (row(2, zzz=1), 'unknown field "zzz"; known are statement, answer,'),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"statement": "What is 2?", "answer": NaN}', "is not JSON (NaN is no number)"),
        ('{"statement": "a", "answer": 1, "answer": 2}', '"answer" is there twice'),
        ("[1]", "found '[1]'; expected"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "is not JSON"),
        (row(2, statement=7), '"statement" must be a text of 1 to 8000 characters, found 7'),
        (row(2, statement=" "), '"statement" must be a text'),
        (row(2, statement="x" * 8001), '"statement" must be a text'),
        (
            row(2, statement="What\x00 is 2?"),
            "\"statement\" holds the unprintable character '\\x00'",
        ),
        (row(2, answer="five"), "\"answer\" 'five' cannot be read; expected a number such as 18"),
        (row(2, answer=""), "\"answer\" '' cannot be read"),
        (row(2, answer="9" * 301), "cannot be read"),
        (row(2, answer=True), '"answer" must be a text or a number, found True'),
        (row(2, answer=["4"]), '"answer" must be a text or a number'),
        (row(2, level="hard"), "\"level\" must be a whole number from 1 to 100, found 'hard'"),
        (row(2, level=True), '"level" must be a whole number'),
        (row(2, level=0), '"level" must be a whole number'),
        (row(2, level=2.5), '"level" must be a whole number'),
        (row(2, tags=[1]), '"tags" must be a text or a list of texts, found [1]'),
        (row(2, tags={"a": 1}), '"tags" must be'),
        (row(2, family=""), '"family" must be a text'),
        (row(2, solution=""), '"solution" must be a text'),
        (row(2, solution="#### 5"), "\"solution\" comes to '5', but \"answer\" is '4'"),
        (row(2, statement=r"What is 2 plus 2? \boxed{4}"), '"statement" gives its answer away (4)'),
        (row(1), "is there already ({path}, line 1); remove one"),
        (row(1, statement=" What  is 1 plus\n1?"), "is there already"),
    ],
)
def test_errors_name_the_line(tmp_path, bad, message):
    path = write(tmp_path, [row(1), "", bad, row(3)])
    with pytest.raises(ValueError) as caught:
        MathText(path)
    assert str(caught.value).startswith(f"{path}, line 3")
    assert message.replace("{path}", str(path)) in str(caught.value)


def test_errors_name_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"none.jsonl cannot be read: No such file"):
        MathText(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"cannot be read"):
        MathText(tmp_path)
    with pytest.raises(ValueError, match=r"rows.csv: expected a file named .jsonl or .parquet"):
        MathText(write(tmp_path, [row(1)], "rows.csv"))
    with pytest.raises(ValueError, match=r"train.jsonl is empty"):
        MathText(write(tmp_path, []))
    with pytest.raises(ValueError, match="1 problems leave"):
        MathText(write(tmp_path, [row(1)]))
    with pytest.raises(ValueError, match="20 to train on and 0 held out"):
        MathText(write(tmp_path, [row(n) for n in range(20)]), heldout_share=0)
    with pytest.raises(ValueError, match="expected at least 0 and less than 1"):
        MathText(heldout_share=1.0)
    with pytest.raises(ValueError, match="expected more than 0"):
        MathText(seconds=0)
    both = write(tmp_path, [row(1), row(2)]), write(tmp_path, [row(3), row(2)], "held.jsonl")
    with pytest.raises(ValueError, match=r"held.jsonl, line 2: .* is there already .*line 2"):
        MathText(both[0], heldout=both[1])


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "train.jsonl"
    lines = [json.dumps(row(n)) for n in range(1, 21)]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert MathText(path).rows == 20


def test_parquet_is_read(tmp_path):
    rows = [row(n, tags=["sums", "easy"], level=1 + n % 2, solution=None) for n in range(1, 2502)]
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    environment = MathText(path, rows=2501)
    assert environment.cells() == [("sums", 1), ("sums", 2)]
    assert environment.parse_problem("What is 7 plus 7?").answer == "14"
    assert 0.25 < len(heldout(environment, 10_000)) / 2501 < 0.35


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1), row(2), row(3, answer=None)], ', row 3: "answer" is missing'),
        ([row(1), row(2, answer="five")], ", row 2: \"answer\" 'five' cannot be read"),
        ([row(1), row(1)], ", row 2: the statement 'What is 1 plus 1?' is there already ("),
        ([row(1, zzz="x")], ': unknown field "zzz"; known are'),
        ([row(1, levels=1)], ': unknown field "levels"; did you mean "level"?'),
        ([{"statement": "What is 2?"}], ', row 1: "answer" is missing'),
    ],
)
def test_parquet_errors_name_the_row(tmp_path, rows, message):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(ValueError) as caught:
        MathText(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_what_is_no_parquet_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"train.parquet is no parquet file"):
        MathText(write(tmp_path, [row(1)], "train.parquet"))


def test_the_user_sees_a_configuration_error(tmp_path):
    path = write(tmp_path, [row(1), {"statement": "What is 2?"}])
    config = type("Config", (), {"name": "math_text", "options": {"path": str(path)}})
    with pytest.raises(ConfigError, match=r'train.jsonl, line 2: "answer" is missing'):
        make_environment(config)
    assert isinstance(environments.make("math_text"), MathText)


# New problems


@pytest.mark.parametrize(
    "text",
    [
        NEW,
        "Find the area of a square whose side is three meters.",
        "How many primes are there below one hundred?",
        "Compute $\\frac{1}{2}+\\frac{1}{3}$ as a fraction.",
        "Zoë has 3 apples.\nShe eats 2 of them.\nHow many are left?",
    ],
)
def test_questions_are_accepted(text):
    found = SEEDED.parse_problem(f" {text}\n")
    assert isinstance(found, Problem)
    assert (found.statement, found.family, found.answer) == (text, "other", None)
    assert found.level in SEEDED.levels
    assert dict(SEEDED.difficulty(found)) == dict(found.difficulty)
    assert SEEDED.parse_problem(found.statement) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("What is 2 plus 2?", "length"),
        ("What is 2 plus 2? " * 150, "length"),
        ("x" * 100_000, "length"),
        ("What is two plus 2,\x00 please?", "characters"),
        ("What is ٣ plus 2, all in all?", "characters"),
        ("What is \u202e3 plus 2, all in all?", "characters"),
        ("What is 3 plus 2? Write \\boxed{5}.", "answer"),
        ("What is 3 plus 2? The answer is 5.", "answer"),
        ("What is 3 plus 2?\nAnswer: 5, of course", "answer"),
        ("What is 3 plus 2?\n#### 5, of course", "answer"),
        ("<think>A new problem: what is 3 plus 2?", "answer"),
        ("3 + 2 + 4 - 5 * 6 + 7 = ?", "words"),
        ("How many are there in all of them?", "numbers"),
        ("Ana has 3 apples and Ben has 4.", "question"),
    ],
)
def test_what_is_no_question_is_refused_by_name(text, reason):
    found = SEEDED.parse_problem(text)
    assert isinstance(found, Malformed)
    assert found.reason == reason


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=400))
def test_no_text_breaks_the_environment(text):
    assert isinstance(SEEDED.parse_problem(text), Problem | Malformed)
    gold = problem("18")
    assert not SEEDED.verify(gold, text).correct or "18" in text
    SEEDED.diagnose(gold, text)


# Verdicts


@pytest.mark.parametrize(
    ("answer", "statement", "text", "status", "read"),
    [
        ("18", NEW, r"\boxed{18}", "correct", "18"),
        ("18", NEW, r"\boxed{18.0}", "correct", "18"),
        ("18", NEW, r"\boxed{\$18}", "correct", "18"),
        ("18", NEW, r"\boxed{18\text{ dollars}}", "correct", "18"),
        ("18", NEW, "The answer is 18 pens.", "wrong", "18 pens"),
        ("18", NEW, r"\boxed{18 apples}", "wrong", "18 apples"),
        ("18", NEW, r"\boxed{18 cents}", "wrong", "18 cents"),
        ("18", NEW, r"\boxed{18\%}", "wrong", "18%"),
        ("18", NEW, r"\boxed{17}", "wrong", "17"),
        ("18", NEW, r"\boxed{9+9}", "wrong", "9+9"),
        ("18", NEW, r"\boxed{3 \cdot 6}", "wrong", r"3\cdot6"),
        ("18", NEW, r"\boxed{17} or \boxed{18}", "unparseable", None),
        ("18", NEW, "so it is 18", "unparseable", None),
        ("18", NEW, r"\boxed{eighteen}", "unparseable", None),
        ("18", NEW, r"\boxed{10^{10^{10}}}", "unparseable", None),
        ("18", NEW, r"\boxed{\gcd(18,36)}", "unparseable", None),
        ("18", NEW, r"\boxed{__import__('os')._exit(0)}", "unparseable", None),
        ("25", "What percentage of 8 is 2?", r"\boxed{25\%}", "correct", "25"),
        ("25%", "What percentage of 8 is 2?", r"\boxed{25}", "correct", "25%"),
        ("0.25", "What fraction of 8 is 2?", r"\boxed{25\%}", "wrong", "25%"),
        ("x+1", r"Simplify \frac{x^2-1}{x-1} for x > 1.", r"\boxed{1+x}", "correct", "x+1"),
        ("x+1", r"Simplify \frac{x^2-1}{x-1}.", r"\boxed{\frac{x^2 - 1}{x - 1}}", "wrong", None),
        ("x+1", r"Simplify $\frac{x^2-1}{x-1}$.", r"\boxed{\dfrac{x^2-1}{x-1}}", "wrong", None),
        ("17", r"Compute \gcd(34,51) = 17 + 0.", r"\boxed{\gcd(34,51)}", "unparseable", None),
    ],
)
def test_verdicts(answer, statement, text, status, read):
    verdict = SEEDED.verify(problem(answer, statement), text)
    assert verdict.status == status
    if read is not None or status == "unparseable":
        assert verdict.answer == read


def test_timeouts_and_crashes_are_told_apart_and_not_paid(monkeypatch):
    asked = problem(r"\sin(2x)", "What is it, as a sine?")
    for status in ("timeout", "crash"):
        monkeypatch.setattr(symbolic.Judge, "ask", lambda *_, status=status: status)
        verdict = SEEDED.verify(asked, r"\boxed{-\sin(-2x)}")
        assert verdict.status == status
        assert SEEDED.diagnose(asked, r"\boxed{-\sin(-2x)}") is None


def test_without_a_reference_answer_nothing_is_paid_but_the_answer_is_read():
    found = SEEDED.parse_problem(NEW)
    verdict = SEEDED.verify(found, r"\boxed{6}")
    assert (verdict.status, verdict.answer) == ("wrong", "6")
    solved = dataclasses.replace(found, answer=verdict.answer, solution=r"3 \cdot 2 = \boxed{6}")
    assert SEEDED.verify(solved, "#### 6").correct
    assert SEEDED.solve(solved) == solved.solution
    assert SEEDED.solve(found) is None


def test_a_solution_is_concluded_by_its_one_boxed_answer():
    concluded = SEEDED.conclude(
        problem("18", NEW), r"First \boxed{5}, then \boxed{\frac{1}{2}}.", "18"
    )
    assert concluded == "First 5, then \\frac{1}{2}.\n\\boxed{18}"
    assert SEEDED.verify(problem("18", NEW), concluded).correct


def test_what_can_be_told_of_a_failure():
    gold = problem("18", NEW)
    assert SEEDED.diagnose(gold, r"\boxed{18}") is None
    wrong = SEEDED.diagnose(gold, "first\n\nsecond\n\\boxed{17}")
    assert wrong is not None and (wrong.kind, wrong.step) == ("answer", 2)
    unread = SEEDED.diagnose(gold, "so it is 18")
    assert unread is not None and (unread.kind, unread.step) == ("format", 0)


def test_the_prompt_asks_for_a_box_and_is_no_answer():
    for text in (SEEDED.prompt(problem("18", NEW)), *JUNK):
        assert not SEEDED.verify(problem("18", NEW), text).correct
    assert SEEDED.prompt(problem("18", NEW)) == (
        f"{NEW}\nReason step by step, and put the final answer in \\boxed{{}}."
    )


# Variations


def test_variations_are_the_nearest_rows(tmp_path):
    levels = {1: 1, 2: 1, 3: 3, 4: 3, 5: 6}
    rows = [row(n, level=level) for n, level in levels.items()]
    environment = MathText(write(tmp_path, rows), heldout=write(tmp_path, [row(9)], "held.jsonl"))

    def varied(n: int, direction: str) -> set[int]:
        asked = environment.parse_problem(str(rows[n - 1]["statement"]))
        draws = [environment.vary(asked, np.random.default_rng(s), direction) for s in range(30)]
        return {int(p.statement.split()[2]) for p in draws}

    assert varied(3, "easier") == {1, 2}
    assert varied(3, "harder") == {5}
    assert varied(3, "similar") == varied(3, "weakness") == {4}
    assert varied(1, "easier") == {2}
    assert varied(1, "harder") == {3, 4}
    assert varied(5, "easier") == {3, 4}
    assert varied(5, "harder") == {3, 4}  # nothing is harder: the nearest


def test_a_cell_that_is_not_there_is_told():
    with pytest.raises(ValueError, match=r"no problem of family 'gsm' at level 9: choose from"):
        SEEDED.sample(np.random.default_rng(0), {"level": 9}, "gsm")
