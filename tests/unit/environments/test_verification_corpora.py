"""Rows of their own: what was reported, the shapes of reference answers of benchmarks, GSM8K's money."""

import json
import re
from pathlib import Path

import pytest

from environments.verification import verify
from scripts.verifier_systems import Row, read_rows

CORPORA = Path(__file__).resolve().parents[2] / "corpora"
REPORTED = read_rows(CORPORA / "reported.jsonl") + read_rows(CORPORA / "variants.jsonl")
FRESH = read_rows(CORPORA / "fresh.jsonl")  # first-sight rates: docs/verification.md
INDEPENDENT = read_rows(CORPORA / "independent.jsonl")  # by somebody who had not seen the code
UNSEEN = read_rows(CORPORA / "unseen.jsonl")  # the same, and nothing was mended on these
GOLDS = [json.loads(line) for line in (CORPORA / "golds.jsonl").read_text().splitlines()]
UNREAD = {  # forms that only a person could compare: each stands for few rows of its benchmark
    "math": 1,
    "olympiad": 5,
    "minerva": 3,
}


@pytest.mark.parametrize("row", REPORTED, ids=lambda row: row.id)
def test_every_reported_row_and_its_variants_are_judged_right(row: Row):
    assert verify(row.gold, row.prediction, statement=row.statement).correct is row.paid


@pytest.mark.parametrize(
    ("rows", "least"), [(FRESH, 1000), (INDEPENDENT, 300)], ids=["fresh", "independent"]
)
def test_of_the_fresh_rows_none_is_paid_and_hardly_one_refused(rows: list[Row], least: int):
    judged = [(row, verify(row.gold, row.prediction, statement=row.statement)) for row in rows]
    paid = [row.id for row, verdict in judged if verdict.correct and not row.paid]
    refused = [row.id for row, verdict in judged if row.paid and not verdict.correct]
    assert len({row.id for row in rows}) == len(rows) > least
    assert sum(row.paid for row in rows) >= least / 2
    assert paid == []
    assert len(refused) <= 0.01 * len(rows), refused


def test_of_the_rows_that_nothing_was_mended_on_few_are_judged_wrong():
    """As it was on first sight; a change that does better does not come from looking at these."""
    judged = [(row, verify(row.gold, row.prediction, statement=row.statement)) for row in UNSEEN]
    wrong = {kind: [row.id for row, verdict in judged if row.paid is kind is not verdict.correct]
             for kind in (False, True)}  # fmt: skip
    right = sum(row.paid for row in UNSEEN)
    assert right >= 150 and len(UNSEEN) - right >= 150
    assert len(wrong[False]) <= 0.01 * (len(UNSEEN) - right), wrong
    assert len(wrong[True]) <= 0.05 * right, wrong


@pytest.mark.parametrize("name", UNREAD)
def test_reference_answers_in_the_shapes_of_benchmarks_can_be_scored(name):
    """A completion that boxes the reference answer itself, without dollar signs of maths, is paid."""
    golds = [row["gold"] for row in GOLDS if row["set"] == name]
    boxes = ["\\boxed{" + re.sub(r"(?<!\\)[$]", "", gold) + "}" for gold in golds]
    refused = [g for g, box in zip(golds, boxes, strict=True) if not verify(g, box).correct]
    assert len(golds) > 100
    assert len(refused) <= UNREAD[name], refused


MONEY = [  # shaped like GSM8K: who, what, and the wording of the question
    "How much money does Mrs. Lee have left?",
    "How much did Mr. Ito pay in total?",
    "How much change did Dr. Brown get back?",
    "How much profit did she make in one week?",
    "How much does he earn each month?",
    "How much will the trip to St. Louis cost?",
    "How much did they spend altogether?",
    "How much does each friend owe?",
    "How much more money does she need?",
    "How much more does the red pen cost than the blue one?",
    "How much less did he spend in May?",
    "How much did she save?",
    "How much would it cost to buy all of them?",
    "How much was the bill before the tip?",
    "How much interest will he pay?",
    "How much does she make per day?",
    "How much are the tickets worth?",
    "How much is left over for food?",
    "How much in dollars does he get for both?",
    "How much total money was raised?",
    "How much of his allowance does he keep?",
    "How much tax does she pay?",
    "How much revenue did the shop have?",
    "How much rent does each of them pay?",
    "What is the total cost of the books?",
    "What is her weekly salary?",
    "What was the price of one ticket?",
    "What is the final price after the discount?",
    "What is the total amount that he paid?",
    "What is their combined income?",
    "What is his net profit?",
    "Calculate the cost of the fence.",
    "Find the total bill.",
    "How many dollars did she spend?",
    "What does one apple cost?",
    "By how much did the budget grow?",
    "If she pays with a $50 bill, how much change should she get?",
    "How much does she charge No. 5 Main St. for the job?",
    "How much does the J. R. Smith company donate?",
]
BEFORE = [
    "A pen costs $3 and a book costs $4. ",
    "Mr. and Mrs. Lee shop at the market. A bag is $2.50 vs. $3 elsewhere. ",
    "He works 5 hours a day for $12 per hour. ",
    "A pencil is 50 cents and a ruler costs $2. ",
    "",
]
SIGNED = [r"\boxed{\$N}", r"\boxed{$N}", r"$\boxed{\$N}$", r"\boxed{N \text{ dollars}}", r"\boxed{\$N.00}",
          r"\boxed{N\text{ dollars}}", "N dollars", r"\boxed{\text{\$}N}", r"\boxed{N}", "#### $N", "#### N",
          "The answer is $N.", "The answer is N dollars.", r"\boxed{\$\,N}",
          r"\boxed{\textdollar N}"]  # fmt: skip


@pytest.mark.parametrize("question", MONEY)
def test_money_may_carry_its_sign_where_money_is_asked_for(question):
    refused = []
    for before in BEFORE:
        for form in SIGNED:
            text = (
                form.replace("N", "1,234")
                if "box" in form or "answer" in form or "#" in form
                else f"The answer is {form.replace('N', '1234')}."
            )
            if not verify("1234", text, statement=before + question).correct:
                refused.append((before, form))
    assert refused == []


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Eggs cost $2. How many eggs can she buy with $36?", r"\boxed{\$18}"),
        ("Water costs $2 a liter. How much water can he buy with $36?", r"\boxed{\$18}"),
        ("A bag costs $2. How much does the bag weigh, if it is twice a 9 pound bag?", r"\boxed{\$18}"),
        ("He earns $2 an hour. How much time does he need for $36?", r"\boxed{\$18}"),
        ("What percent of the $50 is $9?", r"\boxed{\$18}"),
        ("A pen costs $3. How much money do 6 pens cost?", r"\boxed{18\text{ cents}}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{18\text{ euros}}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{\text{€}18}"),
        ("A pen costs 3 euros. How much do 6 pens cost?", r"\boxed{\$18}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{18\text{ pens}}"),
        ("A pen costs 3 cents. How many cents do 6 pens cost?", r"\boxed{\$18}"),
        ("Mr. Lee has $3. How old is Mr. Lee?", r"\boxed{\$18}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{\$1.8}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{\$-18}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{\$18\text{ thousand}}"),
        ("A pen costs $3. How much do 6 pens cost?", r"\boxed{\$18 \text{ hours}}"),
    ],
)  # fmt: skip
def test_a_sign_of_money_is_refused_where_something_else_is_asked_for(question, text):
    assert not verify("18", text, statement=question).correct
