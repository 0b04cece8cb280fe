from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments import Diagnosis, Malformed, Problem, Verdict
from environments.arithmetic import FAMILIES, LEVELS, LOWEST_LEVEL, Arithmetic
from environments.base import DIRECTIONS

ENVIRONMENT = Arithmetic()


def problem(statement: str) -> Problem:
    found = ENVIRONMENT.parse_problem(statement)
    assert isinstance(found, Problem), found
    return found


@pytest.mark.parametrize(
    ("statement", "family", "solution"),
    [
        ("7+5", "sums", "7+5=12#12"),
        ("20-5+3", "differences", "20-5=15;15+3=18#18"),
        ("2+3*4", "products", "3*4=12;2+12=14#14"),
        ("2*3*4", "products", "2*3=6;6*4=24#24"),
        ("30-2*4+1", "mixed", "2*4=8;30-8=22;22+1=23#23"),
        ("(7+5)*3-8", "bracketed", "7+5=12;12*3=36;36-8=28#28"),
        ("40-(9-(2+3))", "bracketed", "2+3=5;9-5=4;40-4=36#36"),
        ("9-9", "differences", "9-9=0#0"),
        ("99*9+99+9", "products", "99*9=891;891+99=990;990+9=999#999"),
    ],
)
def test_solutions_go_in_the_order_of_evaluation(statement, family, solution):
    found = problem(statement)
    assert found.family == family
    assert found.solution == ENVIRONMENT.solve(found) == solution
    assert found.answer == solution.split("#")[1]
    assert ENVIRONMENT.verify(found, solution) == Verdict(status="correct", answer=found.answer)


def test_a_trailing_question_mark_belongs_to_no_statement():
    assert problem("7+5?").statement == "7+5"
    assert ENVIRONMENT.prompt(problem("7+5")) == "7+5?"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "length"),
        ("?", "length"),
        ("1+" * 32 + "1", "length"),
        ("9" * 5000, "length"),
        ("7 + 5", "characters"),
        ("7+5\n", "characters"),
        ("7+5??", "characters"),
        ("7/5", "characters"),
        ("x+5", "characters"),
        ("٣+٤", "characters"),  # Arabic digits
        ("\uff17+\uff15", "characters"),  # full-width digits
        ("7²+5", "characters"),
        ("7−5", "characters"),  # a minus sign that is no hyphen
        ("07+5", "operand"),
        ("0+5", "operand"),
        ("100+5", "operand"),
        ("7+" + "9" * 50, "operand"),
        ("7+", "syntax"),
        ("+7+5", "syntax"),
        ("-7+5", "syntax"),
        ("7--5", "syntax"),
        ("7+*5", "syntax"),
        ("()", "syntax"),
        ("(7+5", "syntax"),
        ("7+5)", "syntax"),
        (")7+5(", "syntax"),
        ("(7+5)(3+2)", "syntax"),
        ("7(5+3)", "syntax"),
        ("(" * 30 + "7+5" + ")" * 30, "syntax"),
        ("(7+5+3)", "syntax"),
        ("((7+5))+3", "syntax"),
        ("(7)+5+3", "syntax"),
        ("99*99", "range"),
        ("5-7", None),
        ("99*9-99*9-99*9-99*9", "range"),
        ("99*9+99+10", "range"),
        ("7", "level"),
        ("(7+5)", "syntax"),
        ("7*5-3*2+1+1+1+1+1", "level"),
        ("9*5-3", None),
        ("7*5-3*2+1+1+1+1", None),
        ("((7+5)*2-3)*2", None),
    ],
)
def test_the_parser_says_what_is_wrong(text, reason):
    found = ENVIRONMENT.parse_problem(text)
    assert (found.reason if isinstance(found, Malformed) else None) == reason, found


def test_difficulty_counts_operands_products_depth_and_the_largest_value():
    expected = {"level": 4, "products": 1, "depth": 2, "peak": 37}  # 2*3=6, 9-6=3, 40-3=37
    assert ENVIRONMENT.difficulty(problem("40-(9-(2*3))")) == expected


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("7+5=12;12*3=36#36", "correct"),
        ("#36", "correct"),  # only the answer is judged
        ("#35", "wrong"),
        ("#-36", "wrong"),
        ("#360", "wrong"),
        ("#35#36", "unparseable"),
        ("#36#36", "unparseable"),
        ("##36", "unparseable"),
        ("# 36", "unparseable"),
        ("#36 ", "unparseable"),
        ("#36\n", "unparseable"),
        ("#036", "unparseable"),
        ("#+36", "unparseable"),
        ("#-0", "unparseable"),
        ("#36.0", "unparseable"),
        ("#٣٦", "unparseable"),
        ("#", "unparseable"),
        ("36", "unparseable"),
        ("", "unparseable"),
        ("#" + "9" * 12, "wrong"),
        ("#" + "9" * 400, "unparseable"),
        ("0" * 5000 + "#36", "unparseable"),
        ("(7+5)*3?", "unparseable"),
        ("(7+5)*3", "unparseable"),
        ("#(7+5)*3", "unparseable"),
    ],
)
def test_forged_answers_are_not_paid(text, status):
    verdict = ENVIRONMENT.verify(problem("(7+5)*3"), text)
    assert verdict.status == status
    assert (verdict.answer is None) == (status == "unparseable")


@pytest.mark.parametrize(
    ("text", "step", "kind"),
    [
        ("7+5=13;13*3=39#39", 0, "calculation"),
        ("7+5=12;12*3=35#35", 1, "calculation"),
        ("5*3=15;7+15=22#22", 0, "structure"),
        ("7+5=12;12+3=15#15", 1, "structure"),
        ("5+7=12;12*3=36#35", 0, "structure"),
        ("7+5=12;12*3=36#35", 2, "answer"),
        ("7+5=12;12*3=36", 2, "answer"),
        ("7+5=12;12*3=36;36+1=37#37", 2, "answer"),
        ("7+5=12#12", 1, "format"),
        ("7+5=12;junk#36x", 1, "format"),
        ("7+5=012;12*3=36#35", 0, "format"),
        ("7+5=12\n;12*3=36#35", 0, "format"),
        ("", 0, "format"),
        ("#35", 0, "format"),
    ],
)
def test_diagnosis_names_the_first_wrong_step(text, step, kind):
    found = ENVIRONMENT.diagnose(problem("(7+5)*3"), text)
    assert isinstance(found, Diagnosis)
    assert (found.step, found.kind) == (step, kind)


def test_diagnosis_finds_nothing_in_a_correct_solution():
    assert ENVIRONMENT.diagnose(problem("(7+5)*3"), "7+5=12;12*3=36#36") is None


@pytest.mark.parametrize(("family", "level"), ENVIRONMENT.cells())
def test_variations_go_one_level_in_their_direction(family, level):
    rng = np.random.default_rng(level)
    source = ENVIRONMENT.sample(rng, {"level": level}, family)
    lowest = LOWEST_LEVEL.get(family, LEVELS[0])
    expected = {
        "easier": max(level - 1, lowest),
        "similar": level,
        "weakness": level,
        "harder": min(level + 1, LEVELS[-1]),
    }
    for direction in DIRECTIONS:
        variant = ENVIRONMENT.vary(source, rng, direction)
        assert (variant.family, variant.level) == (family, expected[direction])
        assert variant.id != source.id


def test_a_weakness_keeps_the_operators_and_the_numbers_before_the_wrong_step():
    source = problem("40+20-30+10-15")
    wrong_at = Diagnosis(step=1, kind="calculation")
    for seed in range(20):
        variant = ENVIRONMENT.vary(source, np.random.default_rng(seed), "weakness", wrong_at)
        operands = [int(n) for n in variant.statement.replace("-", "+").split("+")]
        assert "".join(c for c in variant.statement if not c.isdigit()) == "+-+-"
        assert all(abs(a - b) <= 2 for a, b in zip(operands[:3], [40, 20, 30], strict=True))


def test_variants_differ_from_their_source_even_where_few_problems_exist():
    class Narrow(Arithmetic):
        draws = iter(["7+5", "7+5", "8+5"])

        def sample(self, rng, difficulty, family=None):
            return problem(next(self.draws))

    variant = Narrow().vary(problem("7+5"), np.random.default_rng(0), "easier")
    assert variant.statement == "8+5"


def test_no_answer_is_frequent_enough_to_guess():
    rng = np.random.default_rng(0)
    cells = ENVIRONMENT.cells()
    answers = Counter(
        ENVIRONMENT.sample(
            rng, {"level": cells[i % len(cells)][1]}, cells[i % len(cells)][0]
        ).answer
        for i in range(2000)
    )
    assert max(answers.values()) < 0.03 * 2000


def test_sampling_without_a_family_reaches_every_family():
    rng = np.random.default_rng(0)
    assert {ENVIRONMENT.sample(rng, {"level": 4}).family for _ in range(200)} == set(FAMILIES)


@pytest.mark.parametrize(
    ("family", "level"), [("mixed", 2), ("sums", 1), ("sums", 9), ("other", 3), (None, 40)]
)
def test_sampling_outside_the_cells_is_refused(family, level):
    with pytest.raises(ValueError, match="choose from"):
        ENVIRONMENT.sample(np.random.default_rng(0), {"level": level}, family)


def test_near_duplicates_share_a_signature():
    signature = ENVIRONMENT.signature
    assert signature(problem("7+5")) == signature(problem("5+7"))
    assert signature(problem("(7+5)*3")) == signature(problem("3*(5+7)"))
    assert signature(problem("7+5")) != signature(problem("7+6"))
    assert signature(problem("9+5")) != signature(problem("9-5"))


def test_what_is_no_problem_has_no_solution_and_level_zero():
    stranger = Problem(domain="arithmetic", family="sums", statement="seven plus five", answer="12")
    assert ENVIRONMENT.solve(stranger) is None
    assert ENVIRONMENT.diagnose(stranger, "#12") is None
    assert ENVIRONMENT.difficulty(stranger) == {"level": 0}


@given(st.text(max_size=80) | st.text(alphabet="0123456789+-*()?", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_problem_or_malformed(text):
    found = ENVIRONMENT.parse_problem(text)
    if isinstance(found, Problem):
        assert found.statement == text.removesuffix("?")
        assert found.answer is not None
        # Restricted to digits, brackets and three operators, Python is an independent judge.
        assert str(eval(found.statement)) == found.answer
        assert ENVIRONMENT.verify(found, f"#{found.answer}").correct
        assert not ENVIRONMENT.verify(found, text).correct
    else:
        assert isinstance(found, Malformed)


@given(st.text(max_size=80) | st.text(alphabet="0123456789+-*=;# \n", max_size=600))
@settings(max_examples=300, deadline=None)
def test_any_completion_is_judged_and_diagnosed(text):
    asked = problem("(7+5)*3")
    verdict = ENVIRONMENT.verify(asked, text)
    assert verdict.correct == (text.endswith("#36") and text.count("#") == 1 and len(text) <= 512)
    assert verdict.correct or isinstance(ENVIRONMENT.diagnose(asked, text), Diagnosis)


@given(st.integers(0, 2**32 - 1), st.sampled_from(ENVIRONMENT.cells()))
@settings(max_examples=200, deadline=None)
def test_sampled_problems_agree_with_python(seed, cell):
    family, level = cell
    drawn = ENVIRONMENT.sample(np.random.default_rng(seed), {"level": level}, family)
    assert str(eval(drawn.statement)) == drawn.answer
    assert 0 <= int(drawn.answer) <= 999
