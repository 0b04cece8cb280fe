import json
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from environments.base import STATUSES
from scripts.bench_verifier import main, misjudged, percentile, wilson
from scripts.verifier_draws import judged_rows, numeric_rows, symbolic_rows, worked_rows
from scripts.verifier_systems import (
    MathVerify,
    Outcome,
    Row,
    ours,
    outcomes,
    read_rows,
    string_match,
)

CORPORA = Path(__file__).resolve().parents[2] / "corpora"
ADVERSARIAL, BENIGN = CORPORA / "adversarial.jsonl", CORPORA / "benign.jsonl"
SECONDS = 5.0  # the deadline of one comparison
FIELDS = {"id", "category", "statement", "gold", "prediction", "expected"}


@pytest.fixture(scope="module")
def judged() -> dict[str, tuple[list[Row], list[Outcome], float]]:
    """Our verdicts on both corpora, and the seconds that each corpus took."""
    found = {}
    for path in (ADVERSARIAL, BENIGN):
        rows, start = read_rows(path), time.monotonic()
        found[path.stem] = (rows, outcomes(ours(SECONDS), rows), time.monotonic() - start)
    return found


def named(rows: list[Row], results: list[Outcome]) -> list[str]:
    return [f"{row.id} {outcome.status}" for row, outcome in misjudged(rows, results)]


# The files


@pytest.mark.parametrize(
    ("path", "expected", "smallest"), [(ADVERSARIAL, "not_paid", 25), (BENIGN, "paid", 5)]
)
def test_a_corpus_has_many_categories_of_different_rows(path, expected, smallest):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    categories = Counter(row["category"] for row in rows)
    texts = Counter(json.dumps({**row, "id": ""}, sort_keys=True) for row in rows)
    assert len(rows) >= 500
    assert len(categories) >= 12
    assert min(categories.values()) >= smallest
    assert max(Counter(row["id"] for row in rows).values()) == 1
    assert max(texts.values()) == 1
    for row in rows:
        assert set(row) - {"kind", "tolerance"} == FIELDS, row["id"]
        assert row["expected"] == expected, row["id"]
        assert row["statement"].strip(), row["id"]


def test_no_adversarial_row_merely_boxes_a_good_gold_answer():
    rows = [row for row in read_rows(ADVERSARIAL) if row.category != "unparseable_gold"]
    right = [row.id for row in rows if row.prediction.strip() == rf"\boxed{{{row.gold}}}"]
    assert right == []


# Our verifier on them


def test_nothing_adversarial_is_paid(judged):
    rows, results, _ = judged["adversarial"]
    assert named(rows, results) == []


def test_at_most_two_in_a_hundred_right_answers_are_refused(judged):
    rows, results, _ = judged["benign"]
    wrong = named(rows, results)
    assert len(wrong) <= 0.02 * len(rows), wrong


@pytest.mark.parametrize("corpus", ["adversarial", "benign"])
def test_no_answer_breaks_the_judge(judged, corpus):
    rows, results, _ = judged[corpus]
    broken = [row.id for row, o in zip(rows, results, strict=True) if o.status not in STATUSES]
    assert broken == []
    assert corpus == "adversarial" or "crash" not in {outcome.status for outcome in results}


@pytest.mark.parametrize("corpus", ["adversarial", "benign"])
def test_the_time_of_a_corpus_is_bounded(judged, corpus):
    rows, results, seconds = judged[corpus]
    assert seconds < 120
    slow = [row.id for row, o in zip(rows, results, strict=True) if o.seconds > 2 * SECONDS]
    assert slow == []


# The script


def test_wilson_intervals_are_those_of_the_formula():
    # z = 1.959964. 0 of 10: z^2 / (10 + z^2) = 3.84146 / 13.84146. 5 of 10: the middle is 1/2, and
    # the half width z sqrt(1/40 + z^2/400) / (1 + z^2/10) = 0.364907 / 1.384146.
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(5, 10) == pytest.approx((0.236593, 0.763407), abs=1e-6)
    assert wilson(10, 10) == pytest.approx((1 - 0.277533, 1.0), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)


def test_percentiles_are_values_that_were_measured():
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([3.0], 0.5) == 3.0


@pytest.mark.parametrize(
    ("prediction", "status"),
    [
        (r"\boxed{17} then \boxed{ 18 }", "correct"),
        ("so it is\n18\n", "correct"),
        (r"\boxed{18.0}", "wrong"),
        (r"\boxed{18", "wrong"),
        ("", "wrong"),
    ],
)
def test_string_match_takes_the_last_box_or_the_last_line(prediction, status):
    row = Row(id="1", category="c", gold="18", prediction=prediction, paid=True)
    assert string_match(row) == status


GOOD = '{"gold": "1", "prediction": "2", "expected": "paid"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.jsonl: expected a JSON object on each line, found none"),
        (f"{GOOD}\n\n{{", "f.jsonl:3: expected a JSON object, and it is no JSON"),
        ("[]", r"f.jsonl:1: expected a JSON object, found '\[\]'"),
        ('{"gold": 1}', 'f.jsonl:1: expected a text as "gold", found 1'),
        ('{"gold": "1", "expected": "paid"}', 'expected a text as "prediction", found None'),
        (GOOD.replace('"paid"', '"yes"'), 'expected "paid" or "not_paid" as "expected", found'),
        (GOOD.replace("}", ', "kind": "number"}'), r'as "kind", found .number'),
        (GOOD.replace("}", ', "tolerance": 0.1}'), 'expected a text as "tolerance", found 0.1'),
        ("\n".join([GOOD.replace("}", ', "id": "a"}')] * 2), "expected an id once, found 'a'"),
    ],
)
def test_a_bad_file_of_rows_is_refused_by_line(tmp_path, text, message):
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    with pytest.raises(SystemExit, match=message):
        read_rows(path)
    with pytest.raises(SystemExit, match="cannot be read"):
        read_rows(tmp_path / "missing.jsonl")


def test_rates_are_printed_and_what_was_misjudged_is_listed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    rows = [
        {"id": "good", "gold": "18", "prediction": r"\boxed{18.0}", "expected": "paid"},
        {"id": "bad", "gold": "18", "prediction": r"\boxed{19}", "expected": "not_paid"},
    ]
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    main(["--rows", str(path), "--systems", "ours,string", "--show"])
    printed = capsys.readouterr().out
    assert "string good wrong" in printed
    assert "string bad" not in printed and "ours good" not in printed
    assert "0/1" in printed and "1/1" in printed
    assert max(map(len, printed.split("string good")[0].splitlines())) <= 60


def test_a_process_of_math_verify_that_hangs_is_killed_and_replaced():
    judge = MathVerify(deadline=1.0)
    bomb = Row(id="1", category="c", gold="18", prediction=r"\boxed{9^{9^{9^{9}}}+x}", paid=False)
    right = Row(id="2", category="c", gold="18", prediction=r"\boxed{18.0}", paid=True)
    try:
        assert [outcome.status for outcome in outcomes(judge, [bomb])] == ["timeout"]
        judge.deadline = 60.0
        assert [outcome.status for outcome in outcomes(judge, [right])] == ["correct"]
    finally:
        judge.close()


@pytest.mark.parametrize("draw", [numeric_rows, worked_rows, symbolic_rows, judged_rows])
def test_answers_of_the_throughput_are_distinct(draw):
    rows = draw(200, Random(0))
    assert len({row.prediction for row in rows}) == len(rows)
    assert {row.paid for row in rows} == {True, False}
