import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.verification import units
from environments.verification.answers import Answer, canonical, equal, without_percent
from environments.verification.extract import boxed, final_answer, unboxed


def read(text: str) -> Answer:
    answer = canonical(text)
    assert answer is not None, text
    return answer


# Extraction


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{18}", "18"),
        (r"So \boxed{ 18 }.", "18"),
        (r"\boxed {18}", "18"),
        (r"First \boxed{5}, again \boxed{5}", "5"),
        (r"\boxed{0.5}, that is \boxed{\frac{1}{2}}", r"\frac{1}{2}"),  # the same number
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\boxed{5}}", "5"),
        ("**Final Answer:**\n72", "72"),
        (r"put the answer in \boxed{}. \boxed{7}", "7"),
        (r"} stray { \boxed{7} }", "7"),
        ("16 - 3 = 13\n#### 13", "13"),
        ("#### 1,300\n", "1,300"),
        (r"#### 5, but \boxed{6}", "6"),  # a box comes first
        ("It costs $3. The answer is $18$.", "$18$."),
        ("Answer: 18", "18"),
        ("**Final answer:** 18\n", "18"),
        ("The answer is 18. The answer is 18.0.", "18.0."),
    ],
)
def test_the_final_answer_is_found(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "18",
        "So she has 18 apples.",  # the last number is a guess
        r"\boxed{}",
        r"\boxed{5} or \boxed{6}",
        r"\boxed{6} or \boxed{5}",
        r"\boxed{5} then \boxed{6}",
        r"\boxed{6}, no, \boxed{5}",
        r"\boxed{18",
        r"\boxed{5} and then \boxed{",
        r"\boxed{\frac{1}{2}",
        r"\boxed{18\}",
        "#### 5\n#### 6",
        "so #### 5",
        "The answer is 5. No, the answer is 6.",
        "The answer is 5. But let us check that again.",
        "What is the answer? 18",
        "I doubt that the answer is 18.",
        "No, the answer is 6.",
        "<answer>18</answer> <answer>17</answer>",
        "#" * 1000,
        "\\boxed" * 1000,
    ],
)
def test_what_is_ambiguous_or_not_there_is_no_answer(text):
    assert final_answer(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        r"\boxed{" * 15_000,
        r"\boxed{1}" * 11_000,
        "".join(rf"\boxed{{{n}}}" for n in range(9_000)),
        "{" * 100_000,
        "}" * 100_000,
        "\\" * 100_000,
        "answer " * 15_000,
        "answer is " * 10_000,
        "answer" + " " * 100_000,
        "####" * 25_000,
        " " * 100_000,
        "\n" * 100_000,
        ". " * 50_000,
        r"\boxed{" + "{" * 50_000 + "}" * 50_000 + "}",
        "9" * 2_000_000,
    ],
)
def test_a_long_text_is_read_in_time_that_grows_with_its_length(text):
    start = time.process_time()
    final_answer(text)
    assert time.process_time() - start < 2


def test_boxes_are_opened():
    assert boxed(r"\boxed{1} \boxed{} \boxed{\frac{1}{2}}") == ["1", r"\frac{1}{2}"]
    assert boxed(r"\boxed{") is None
    assert (
        unboxed(r"so \boxed{\frac{1}{2}} and {a} \boxed{\{b\}}") == r"so \frac{1}{2} and {a} \{b\}"
    )


# Reading


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("18", "integer", "18"),
        ("-3", "integer", "-3"),
        ("\u22123", "integer", "-3"),
        ("+3", "integer", "3"),
        ("0", "integer", "0"),
        ("1,234,567", "integer", "1234567"),
        ("1{,}234", "integer", "1234"),
        (r"1\,234", "integer", "1234"),
        ("18.", "integer", "18"),
        ("18.0", "decimal", "18"),
        ("2.50", "decimal", "2.5"),
        (".5", "decimal", "0.5"),
        ("1,234.5", "decimal", "1234.5"),
        ("1/2", "fraction", "0.5"),
        (r"\frac{1}{2}", "fraction", "0.5"),
        (r"\dfrac12", "fraction", "0.5"),
        (r"-\tfrac{4}{6}", "fraction", "-2/3"),
        (r"\frac{-4}{6}", "fraction", "-2/3"),
        (r"1\frac{1}{2}", "fraction", "1.5"),
        ("1 1/2", "fraction", "1.5"),
        ("6/3", "fraction", "2"),
        ("25%", "percent", "25%"),
        (r"12.50\%", "percent", "12.5%"),
        ("25 percent", "percent", "25%"),
        ("$18$", "integer", "18"),
        (r"\(18\)", "integer", "18"),
        ("**18**", "integer", "18"),
        (r"\text{18}", "integer", "18"),
        ("$18", "integer", "18"),
        (r"\$18.50", "decimal", "18.5"),
        ("-$5", "integer", "-5"),
        ("€5", "integer", "5"),
        ("x = 5", "integer", "5"),
        ("18 apples", "integer", "18"),
        (r"5\text{ cm}", "integer", "5"),
        (r"24 \text{ cm}^2", "integer", "24"),
        ("5cm", "integer", "5"),
        ("2xy", "polynomial", "2xy"),
        ("x^2 + 2 x+1", "polynomial", "x^2+2x+1"),
        (r"\frac{\sqrt{2}}{2}", "expression", r"\frac{\sqrt{2}}{2}"),
        ("sqrt(2)/2", "expression", r"\sqrt{2}/2"),
        (r"2\pi r", "polynomial", r"2\pi r"),
        (r"\left(1, 2\right)", "tuple", "(1,2)"),
        (r"\{2, 1\}", "set", r"\{1,2\}"),
        ("[0,1)", "interval", "[0,1)"),
        ("2+2", "expression", "2+2"),
        ("A", "expression", "A"),
        ("1,23", "multiset", "1, 23"),
        ("abc d", "polynomial", "abc d"),  # `abcd` is a word
    ],
)
def test_answers_are_read(text, kind, written):
    answer = canonical(text)
    assert answer is not None
    assert (answer.kind, answer.text) == (kind, written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "$$",
        "٣",
        "1٣",
        "²",
        "\uff13",  # a full-width three
        "1/0",
        r"\frac{1}{0}",
        r"1\frac{3}{2}",  # a mixed number's part must be below 1
        "5 hundred",
        "3 dozen",
        "5 million dollars",
        "--5",
        "-$-5",
        "9" * 301,
        "1." + "0" * 300,
        "0" * 5000,
        "1" * 401,
        "10^{10^{10}}",
        "2^3^4",
        "2^{9999999}",
        "2^{(9^9)}",
        "2^",
        "007",
        "1//2",
        "1 +",
        "x2",
        "~~5~~",
        "1/2x",
        r"\gcd(34,51)",
        r"\int_0^6 1dx",
        r"\sum_{i=1}^3 i",
        r"\input{x}",
        r"\def\x{5}",
        r"\boxed{5}",
        "(" * 9 + "1+x" + ")" * 9,
        "(1",
        ")1(",
        r"\{1,2",
        "{1",
        "__import__('os').system('true')",
        "().__class__",
        "exec(1)",
        "lambda: 1",
        "x;;y",
        "x=`id`",
        "'5'",
        "5\n6",
        "5\x00",
        "\x1b[31m5",
        "five",
        "the answer",
    ],
)
def test_anything_else_is_refused(text):
    assert canonical(text) is None


@settings(deadline=None)
@given(st.fractions(max_denominator=10**6))
def test_equal_numbers_have_one_text(value):
    ways = [f"{value.numerator}/{value.denominator}".replace("-", "-", 1)]
    ways.append(rf"\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}")
    answers = {read(way).text for way in ways}
    assert len(answers) == 1
    assert Fraction(answers.pop()) == value


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_reading(text):
    final_answer(text)
    answer = canonical(text)
    if answer is not None:
        assert canonical(answer.text) is not None
        assert read(answer.text).text == answer.text


# Units


@pytest.mark.parametrize(
    ("unit", "statement", "fits"),
    [
        ("", "How many?", True),
        ("apples", "Ana has 3 apples. How many are left?", True),
        ("apple", "Ana has 3 apples. How many are left?", True),
        ("pears", "Ana has 3 apples. How many are left?", False),
        ("berries", "Each berry costs 2. How many can she buy?", True),
        ("$", "A pen costs $3. How much do 4 cost?", True),
        ("dollars", "A pen costs $3. How much do 4 cost?", True),
        ("cents", "A pen costs $3. How much do 4 cost?", False),
        ("cents", "A pen costs $3 and 5 cents. How much do 4 cost?", False),
        ("$", "A pen costs 90 cents. How many dollars do 4 cost?", True),
        ("cents", "A pen costs 90 cents. How many dollars do 4 cost?", False),
        ("minutes", "A page takes 12 minutes. How many hours do 30 take?", False),
        ("hrs", "A page takes 12 minutes. How many hours do 30 take?", True),
        ("cm", "A side is 3 centimeters. What is the perimeter?", True),
        ("square feet", "A room is 3 feet by 4 feet. What is its area?", True),
        ("miles per hour", "He drives 90 miles in 2 hours. How fast, in miles per hour?", True),
    ],
)
def test_only_a_unit_of_the_question_fits(unit, statement, fits):
    assert units.fits(unit, statement) is fits


def test_a_percent_sign_may_be_left_out_where_a_percentage_is_asked_for():
    assert units.asks_for_percent("12 of 48 puppies have spots. What percentage is that?")
    assert units.asks_for_percent("How likely is it (in %)?")
    assert not units.asks_for_percent("25% of the 48 puppies have spots. How many is that?")
    assert without_percent(read("25%")).text == "25"
    assert without_percent(read("1/4")) == read("1/4")


# Exact comparison


@pytest.mark.parametrize(
    ("gold", "prediction", "same"),
    [
        ("18", "18.0", True),
        ("0.5", r"\frac{2}{4}", True),
        ("1,000", "$1000", True),
        ("18", "19", False),
        ("1/3", "0.333", False),
        ("25%", r"25\%", True),
        ("25%", "25", False),
        ("25", "25%", False),
        ("0.25", "25%", False),
        ("4", "2+2", False),  # not evaluated
        ("4", "2^2", False),
        ("2", r"\sqrt{4}", False),
        ("x+1", "x+1", True),
        ("x+1", "1+x", True),
        (r"\sqrt{4}", "2", True),
        (r"\frac{\sqrt{2}}{2}", r"\sin(\pi/4)", False),
        (r"\sin x", r"-\sin(-x)", None),
        ("(1,2)", r"\{1,2\}", False),
        ("(1,2)", "[1,2]", False),
        ("(1,2)", "(1,2,3)", False),
        ("(1,2)", "1,2", False),
        (r"\{1\}", "1", False),
        ("(x+1)(x-1)", "x^2-1", True),
        ("(x)", "x", True),
    ],
)
def test_what_exact_comparison_decides(gold, prediction, same):
    assert equal(read(gold), read(prediction)) is same
