import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from environments import Diagnosis, Malformed, Problem
from environments.sums_in_words import FAMILIES, LEVELS, WORDS, Equation, SumsInWords, read

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = SumsInWords()
STORY = "Ana has 23 apples and gets 8 more. How many apples does Ana have now?"


def problem(statement: str) -> Problem:
    found = ENVIRONMENT.parse_problem(statement)
    assert isinstance(found, Problem), found
    return found


def test_number_words():
    assert WORDS[7] == "seven"
    assert WORDS[20] == "twenty"
    assert WORDS[99] == "ninety-nine"
    assert len(WORDS) == len(set(WORDS)) == 100


@pytest.mark.parametrize(
    ("statement", "family", "level", "solution"),
    [
        ("What is 4 plus 5?", "plain", 1, "4 + 5 = 9"),
        ("What is 47 plus 25?", "plain", 3, "47 + 25 = 72"),
        ("What is 9 plus 10?", "plain", 2, "9 + 10 = 19"),
        ("What is twenty-three plus eight?", "spelled", 2, "23 + 8 = 31"),
        ("What is 4 plus 5 plus 6?", "three", 1, "4 + 5 + 6 = 15"),
        ("What is 40 plus 5 plus 60?", "three", 3, "40 + 5 + 60 = 105"),
        (STORY, "story", 2, "23 + 8 = 31"),
        (
            "Ben has 12 coins and Eva has 34 coins. How many coins do they have together?",
            "story",
            3,
            "12 + 34 = 46",
        ),
    ],
)
def test_statements_are_read(statement, family, level, solution):
    found = problem(statement)
    assert (found.family, found.level, found.solution) == (family, level, solution)
    assert found.statement == problem(f" {statement}\n").statement == statement
    assert ENVIRONMENT.verify(found, solution).correct


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("What is " + "9" * 500 + " plus 5?", "length"),
        ("What is 4 plus 5", "grammar"),
        ("what is 4 plus 5?", "grammar"),
        ("What is 4 + 5?", "grammar"),
        ("What is 4 plus 5 plus 6 plus 7?", "grammar"),
        ("What is 4 plus 5? What is 4 plus 5?", "grammar"),
        ("What is 4 plus  5?", "grammar"),
        ("What is ٤ plus 5?", "grammar"),  # an Arabic digit
        ("What is -4 plus 5?", "grammar"),
        ("What is 4.5 plus 5?", "grammar"),
        ("Zoe has 23 apples and gets 8 more. How many apples does Zoe have now?", "grammar"),
        ("Ana has 23 apples and gets 8 more. How many coins does Ana have now?", "grammar"),
        ("Ana has 23 apples and gets 8 more. How many apples does Ben have now?", "grammar"),
        ("Ana has 23 apples and loses 8 more. How many apples does Ana have now?", "grammar"),
        (
            "Ana has 12 coins and Ana has 34 coins. How many coins do they have together?",
            "grammar",
        ),
        ("What is 04 plus 5?", "operand"),
        ("What is 0 plus 5?", "operand"),
        ("What is 1 plus 5?", "operand"),
        ("What is 100 plus 5?", "operand"),
        ("What is one plus five?", "operand"),
        ("What is four plus 5?", "operand"),
        ("What is 4 plus five?", "operand"),
        ("What is four plus five plus six?", "operand"),
        ("What is fourty plus five?", "operand"),
        ("What is five-twenty plus five?", "operand"),
        ("Ana has ten apples and gets six more. How many apples does Ana have now?", "operand"),
        ("What is 40 plus 50 plus 60?", "level"),
    ],
)
def test_the_parser_says_what_is_wrong(text, reason):
    found = ENVIRONMENT.parse_problem(text)
    assert isinstance(found, Malformed), found
    assert found.reason == reason


def test_difficulty_names_what_makes_a_sum_hard():
    expected = {"level": 3, "addends": 2, "carries": 2, "sum": 105}
    assert ENVIRONMENT.difficulty(problem("What is 47 plus 58?")) == expected
    assert ENVIRONMENT.difficulty(problem("What is 4 plus 5?"))["carries"] == 0
    assert ENVIRONMENT.difficulty(problem("What is 60 plus 50?"))["carries"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "23 + 8 = 31",
        "23+8=31",
        " 23 + 8 = 31.\n",
        "8 + 23 = 31",
        "31",
        "The answer is 31.",
        "**31**",
        "Ana has 31 apples now.",
        "23 plus 8 is 31.",
        "The sum of 23 and 8 is 31.",
        "23 apples + 8 apples = 31 apples",
        "23 + 8 = 31\nThe answer is 31.",
        "Ana has 23 apples. 23 + 8 = 31",
        "23 + 8 = 31. 23 + 8 = 31.",
        "\\( 23 + 8 = 31 \\)",
    ],
)
def test_natural_ways_to_answer_are_paid(text):
    assert ENVIRONMENT.verify(problem(STORY), text).correct
    assert ENVIRONMENT.diagnose(problem(STORY), text) is None


@pytest.mark.parametrize(
    ("text", "status", "step", "kind"),
    [
        ("23 + 8 = 30", "wrong", 0, "calculation"),
        ("30", "wrong", 0, "calculation"),
        ("31" * 3, "wrong", 0, "calculation"),
        ("25 + 6 = 31", "wrong", 0, "structure"),  # the right number for another reason
        ("31 + 0 = 31", "wrong", 0, "structure"),
        ("23 + 8 + 0 = 31", "wrong", 0, "structure"),
        ("100 + 200 = 300", "wrong", 0, "structure"),
        ("23 + 8 = 23. 23 + 8 = 31", "wrong", 0, "calculation"),
        ("23 + 8 = 31 or 32", "unparseable", 1, "answer"),
        ("23 + 8 = 31. So 32 apples.", "unparseable", 1, "answer"),
        ("The answer is 32. 23 + 8 = 31", "unparseable", 1, "answer"),
        ("23 + 8 = 31\n4 + 5 = 9", "unparseable", 1, "structure"),
        ("23 + 8 = 31, 23 + 8 =", "unparseable", 1, "answer"),
        ("23 + 8 = 30. 23 + 8 = 31", "unparseable", 0, "calculation"),
        ("31 = 32", "wrong", 0, "structure"),
        ("31 or 32", "unparseable", 0, "format"),
        ("23 + 8", "unparseable", 0, "format"),
        ("23 + 8 =", "unparseable", 0, "format"),
        ("23 + 8 = 23 + 8", "unparseable", 0, "format"),
        ("23 + 8 = 31 = 32", "unparseable", 0, "format"),
        ("31 = 23 + 8", "unparseable", 0, "format"),
        ("-31", "unparseable", 0, "format"),
        ("\u221231", "unparseable", 0, "format"),  # a minus sign
        ("031", "unparseable", 0, "format"),
        ("31.0", "unparseable", 0, "format"),
        ("1,031", "unparseable", 0, "format"),
        ("٣١", "unparseable", 0, "format"),  # Arabic digits
        ("31 ٣", "unparseable", 0, "format"),
        ("9" * 300, "unparseable", 0, "format"),
        ("31 " * 200, "unparseable", 0, "format"),
        ("thirty-one", "unparseable", 0, "format"),
        ("", "unparseable", 0, "format"),
        (STORY, "unparseable", 0, "format"),
    ],
)
def test_other_answers_are_not_paid_and_diagnosed(text, status, step, kind):
    verdict = ENVIRONMENT.verify(problem(STORY), text)
    assert verdict.status == status
    assert verdict.answer != "31"
    found = ENVIRONMENT.diagnose(problem(STORY), text)
    assert isinstance(found, Diagnosis)
    assert (found.step, found.kind) == (step, kind)


@pytest.mark.parametrize(
    ("text", "status", "fault"),
    [
        ("4 + 5 + 6 = 15", "correct", None),
        ("4 + 5 = 9, 9 + 6 = 15", "correct", None),
        ("5 + 6 = 11; 4 + 11 = 15", "correct", None),
        ("4 + 5 + 6 = 9 + 6 = 15", "correct", None),
        ("4 + 5 = 8, 8 + 6 = 15", "wrong", (0, "calculation")),  # two mistakes
        ("4 + 5 = 9, 9 + 6 = 14", "wrong", (1, "calculation")),
        ("4 + 5 = 9, 9 + 5 = 14", "wrong", (1, "structure")),
        ("4 + 5 = 9", "wrong", (1, "structure")),
        ("9 + 6 = 15", "wrong", (0, "structure")),
        ("4 + 5 = 9, 6 + 6 = 12", "unparseable", (1, "structure")),
    ],
)
def test_sums_of_three_in_one_step_or_two(text, status, fault):
    asked = problem("What is 4 plus 5 plus 6?")
    found = ENVIRONMENT.diagnose(asked, text)
    assert ENVIRONMENT.verify(asked, text).status == status
    assert (found and (found.step, found.kind)) == fault


def test_read_returns_the_equations():
    assert read("4 + 5 = 9, 9 + 6 = 15").equations == (Equation((4, 5), 9), Equation((9, 6), 15))


@pytest.mark.parametrize(("family", "level"), ENVIRONMENT.cells())
def test_restating_the_question_is_never_paid(family, level):
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = ENVIRONMENT.sample(rng, {"level": level}, family)
        for text in (drawn.statement, ENVIRONMENT.prompt(drawn)):
            assert not ENVIRONMENT.verify(drawn, text).correct


@pytest.mark.parametrize(("family", "level"), ENVIRONMENT.cells())
def test_variations_go_one_level_in_their_direction(family, level):
    rng = np.random.default_rng(level)
    source = ENVIRONMENT.sample(rng, {"level": level}, family)
    expected = {
        "easier": max(level - 1, LEVELS[0]),
        "similar": level,
        "weakness": level,
        "harder": min(level + 1, LEVELS[-1]),
    }
    for direction, due in expected.items():
        for _ in range(50):
            variant = ENVIRONMENT.vary(source, rng, direction)
            assert (variant.family, variant.level) == (family, due)
            assert variant.id != source.id


def test_a_weakness_keeps_the_words_and_the_carries():
    source = problem("Ana has 27 apples and gets 18 more. How many apples does Ana have now?")
    for seed in range(20):
        variant = ENVIRONMENT.vary(source, np.random.default_rng(seed), "weakness")
        assert variant.statement.startswith("Ana has ")
        assert variant.statement.endswith(" more. How many apples does Ana have now?")
        assert variant.difficulty["carries"] == 1


def test_what_is_no_problem_cannot_be_varied_or_solved():
    stranger = Problem(domain="sums_in_words", family="plain", statement="4 + 5", answer="9")
    with pytest.raises(ValueError, match="cannot vary"):
        ENVIRONMENT.vary(stranger, np.random.default_rng(0), "similar")
    assert ENVIRONMENT.solve(stranger) is None
    assert ENVIRONMENT.diagnose(stranger, "8") is None
    assert ENVIRONMENT.difficulty(stranger) == {"level": 0}
    assert ENVIRONMENT.verify(stranger, "9").status == "unparseable"
    assert ENVIRONMENT.signature(stranger) == "+ 4 5"


def test_near_duplicates_share_a_signature():
    other = "Ben has 8 coins and finds 23 more. How many coins does Ben have now?"
    assert ENVIRONMENT.signature(problem(STORY)) == ENVIRONMENT.signature(problem(other))
    plain = problem("What is 23 plus 8?")
    assert ENVIRONMENT.signature(plain) != ENVIRONMENT.signature(problem(STORY))


def test_above_one_digit_no_answer_is_frequent_enough_to_guess():
    rng = np.random.default_rng(0)
    answers = Counter(
        ENVIRONMENT.sample(rng, {"level": 2 + i % 2}, FAMILIES[i % 4]).answer for i in range(2000)
    )
    assert max(answers.values()) < 0.03 * 2000


@pytest.mark.parametrize(("family", "level"), [("plain", 0), ("plain", 4), ("other", 1)])
def test_sampling_outside_the_cells_is_refused(family, level):
    with pytest.raises(ValueError, match="choose from"):
        ENVIRONMENT.sample(np.random.default_rng(0), {"level": level}, family)


def test_sampling_without_a_family_reaches_every_family():
    rng = np.random.default_rng(0)
    assert {ENVIRONMENT.sample(rng, {"level": 1}).family for _ in range(100)} == set(FAMILIES)


PHRASES = st.lists(
    st.sampled_from(["What is", "plus", "?", " ", "4", "23", "eight", STORY, "has", "apples", "."])
).map("".join)


@given(st.text(max_size=200) | PHRASES)
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_problem_or_malformed(text):
    found = ENVIRONMENT.parse_problem(text)
    assert isinstance(found, Problem | Malformed)
    if isinstance(found, Problem):
        assert found.statement == text.strip()


@given(st.text(max_size=500) | st.text(alphabet="0123456789 +=.,-\naisn", max_size=400))
@settings(max_examples=500, deadline=None)
def test_any_completion_is_judged_and_diagnosed(text):
    asked = problem(STORY)
    verdict = ENVIRONMENT.verify(asked, text)
    if verdict.correct:
        assert "31" in text
    else:
        assert isinstance(ENVIRONMENT.diagnose(asked, text), Diagnosis)


def test_the_examples_in_the_prompts_are_no_problems():
    agents = yaml.safe_load((ROOT / "conf/agents/smollm2.yaml").read_text())
    templates = agents["solver"]["template"] + agents["generator"]["template"]
    examples = re.findall(r"(?:What|Ivy) [^\n]*\?", templates)
    assert len(examples) == 7
    for example in examples:
        assert isinstance(ENVIRONMENT.parse_problem(example), Malformed), example
