"""Every family's own reference answers are right by our solvers, and nothing else is."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from coevo import compose
from environments import Diagnosis, Malformed, make
from environments.benchmark import heldout
from environments.reasoning import answers, source
from environments.reasoning.expressions import evaluate
from environments.reasoning.families import FAMILIES
from environments.reasoning.refused import REFUSED
from environments.reasoning_gym import ReasoningGym
from environments.testing import check_environment

ALL = ReasoningGym()
SEEDS = 200  # a family


def entries(name, count):
    """`count` of the package's entries, evenly over the levels, with the problems they state."""
    family = FAMILIES[name]
    each = math.ceil(count / len(family.levels))
    for level in family.levels:
        steps = (level - 1,) * len(family.attributes)
        found = 0
        for seed in range(3 * each):
            entry = source.question(name, steps, seed)
            problem = ALL.parse_problem(family.statement(entry["question"]))
            if isinstance(problem, Malformed) or problem.level != level:
                continue  # the package draws beside the level asked for
            yield entry, problem
            found += 1
            if found == each:
                break
        else:
            raise AssertionError(
                f"{name} at level {level}: only {found} of {3 * each} draws are read"
            )


def problem_of(family, level=1, seed=0):
    return ALL.sample(np.random.default_rng(seed), {"level": level}, family)


@pytest.mark.parametrize("name", FAMILIES)
def test_reference_answers_are_ours_and_no_answer_wins_by_itself(name):
    checked, common = 0, {}
    for entry, problem in entries(name, SEEDS):
        assert problem.family == name
        verdict = ALL.verify(problem, f"Working.\n\\boxed{{{entry['answer']}}}")
        assert verdict.correct, (entry, problem, verdict)
        assert verdict.answer == problem.answer
        common.setdefault(problem.level, Counter())[problem.answer] += 1
        checked += 1
    assert checked >= SEEDS
    for level, counts in common.items():
        answer, count = counts.most_common(1)[0]
        assert count < 0.6 * counts.total(), f"{answer} is right at level {level} too often"


def near_misses(problem):
    """Texts that a lenient judge would pay for."""
    answer, kind = problem.answer, FAMILIES[problem.family].kind
    yield answer
    yield f"The result is {answer}"
    yield f"\\boxed{{{answer}}} or \\boxed{{{answer}1}}"
    yield f"\\boxed{{I think that {answer} may be right}}"
    yield f"\\boxed{{{answer}{answer}}}" if answer not in ("0", "[]") else "\\boxed{00}"
    yield f"\\boxed{{{answer}"
    yield f"\\boxed{{{problem.statement}}}"
    yield f"\\boxed{{-{answer}}}" if answer != "0" else "\\boxed{-1}"
    if kind in ("integer", "number"):
        for wrong in (Fraction(answer) + 1, Fraction(answer) - 1, Fraction(answer) * 10 + 1):
            yield f"\\boxed{{{answers.write_number(wrong)}}}"
        yield f"\\boxed{{{answer}+0}}"
        yield f"\\boxed{{eval('{answer}')}}"
    if kind == "fraction":
        value = Fraction(answer)
        yield f"\\boxed{{{3 * value.numerator}/{3 * value.denominator}}}"
        yield f"\\boxed{{{float(value)}}}" if value.denominator > 1 else "\\boxed{0.5}"
    if kind in ("words", "numbers"):
        items = answer.strip("[]").split(", ")
        yield f"\\boxed{{{', '.join([*items, items[-1] or '1'])}}}"
        yield f"\\boxed{{{', '.join(items[1:])}}}"
        if len(set(items)) > 1:
            first = next(i for i, item in enumerate(items) if item != items[0])
            items[0], items[first] = items[first], items[0]
            yield f"\\boxed{{{', '.join(items)}}}"
    if kind == "matrix":
        rows = json.loads(answer)
        rows[0][0] += 1
        yield f"\\boxed{{{rows}}}"
        yield f"\\boxed{{{json.loads(answer)[:-1]}}}"
        yield f"\\boxed{{{[cell for row in json.loads(answer) for cell in row]}}}"
    if kind == "factors":
        yield f"\\boxed{{1 × {answer}}}"
        yield (
            f"\\boxed{{{math.prod(map(int, answer.split(' × ')))}}}"
            if "×" in answer
            else "\\boxed{1}"
        )
    if kind == "hexadecimal":
        yield f"\\boxed{{{int(answer, 16)}}}"
        yield f"\\boxed{{{answer.replace('0x', '')}}}"


@pytest.mark.parametrize("name", FAMILIES)
def test_near_misses_are_never_paid(name):
    for level in FAMILIES[name].levels:
        for seed in range(4):
            problem = problem_of(name, level, seed)
            for text in near_misses(problem):
                assert not ALL.verify(problem, text).correct, (problem, text)


def test_it_keeps_the_contract():
    check_environment(ALL, samples=2)


def test_every_cell_has_problems_to_hold_out():
    problems = heldout(ALL, per_cell=32)
    assert len(problems) == 32 * len(ALL.cells())
    assert len({ALL.signature(problem) for problem in problems}) == len(problems)
    assert problems == heldout(ALL, per_cell=32)


def test_there_are_families_enough_and_each_has_one_number_of_steps():
    assert len(FAMILIES) >= 22
    assert not set(FAMILIES) & set(REFUSED)
    for family in FAMILIES.values():
        assert len({len(attribute.bounds) for attribute in family.attributes}) == 1
        assert len(family.levels) >= 3


PURITY = """
import hashlib, random, sys
import numpy as np
from environments import make
before = random.getstate(), np.random.get_state()[1].tobytes()
gym = make("reasoning_gym")
assert "reasoning_gym" not in sys.modules and "sympy" not in sys.modules
rng = np.random.default_rng(5)
problems = [gym.sample(rng, {"level": level}, family) for family, level in gym.cells()]
assert (random.getstate(), np.random.get_state()[1].tobytes()) == before
print(hashlib.sha256(repr([(p.statement, p.answer) for p in problems]).encode()).hexdigest())
"""


def test_problems_depend_on_the_generator_alone():
    """On no global generator, not on Python's hash seed, and nothing is imported before its time."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", PURITY],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_two_threads_draw_what_one_does():
    def draw(seed):
        return [problem_of(family, level, seed) for family, level in ALL.cells()]

    alone = [draw(seed) for seed in (1, 2)]
    source._dataset.cache_clear()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(draw, (1, 2))) == alone


@pytest.mark.parametrize("name", FAMILIES)
def test_a_variation_moves_one_attribute_by_one_step(name):
    family = FAMILIES[name]
    for level in family.levels:
        problem = problem_of(name, level)
        steps = family.steps(family.read(problem.statement))
        for direction, sign in (("easier", -1), ("harder", 1), ("similar", 0), ("weakness", 0)):
            variant = ALL.vary(problem, np.random.default_rng(3), direction)
            moved = [
                new - old
                for new, old in zip(
                    family.steps(family.read(variant.statement)), steps, strict=True
                )
            ]
            edge = level == (family.levels[0] if sign < 0 else family.levels[-1])
            assert sorted(map(abs, moved))[:-1] == [0] * (len(moved) - 1)
            assert sum(moved) == (0 if edge else sign)
            assert variant.family == name and variant.id != problem.id


def test_going_harder_again_and_again_ends_at_the_top():
    problem, rng = problem_of("decimal_chain_sum"), np.random.default_rng(0)
    levels = []
    for _ in range(12):
        problem = ALL.vary(problem, rng, "harder")
        levels.append(problem.level)
    assert levels == sorted(levels)
    assert levels[-1] == 4


def test_a_difficulty_names_the_attributes():
    problem = ALL.parse_problem(
        "State the final answer to the following arithmetic problem: 121 - 342 + 563 ="
    )
    assert problem.difficulty == {"level": 2, "num_terms": 3, "num_digits": 3}  # steps 1 and 2
    assert problem.answer == "342"
    assert problem.solution == "121 - 342 = -221\n-221 + 563 = 342\n\\boxed{342}"


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("Calculate 2 - -3 * ( 4 + -1 ).", "11"),
        ("Solve for x: 8 - 3*x = 2", "2"),
        ("Find the prime factorization of 360.", "2 × 2 × 2 × 3 × 3 × 5"),
        ("Divide the complex numbers: (-1.0 + 5.0i) ÷ (2.0 + 3.0i)", "1 + i"),
        ("Multiply the complex numbers: (3.00i) × (2.00)", "6i"),
        ("Count how many prime numbers there are between 1 and 13 (inclusive) ?", "6"),
        ("Now, how many legs are there in total if you have 1 crab, 3 praying mantiss?", "28"),
        ('How many times does the letter "a" appear in the text: "An ant Banana"?', "5"),
        (
            "Sort these numbers in descending order: -1.5, 2.25, -1.50, 10.0",
            "[10, 2.25, -1.5, -1.5]",
        ),
        ("Keep all numbers larger than 2 in this list: ['2.0', '2.01', '-3']", "[2.01]"),
        ("Remove all numbers smaller than 2 in this list: ['1', '-3.0']", "[]"),
        ("Reverse this list of words: one, Two, 3", "3, Two, one"),
    ],
)
def test_solvers_by_hand(statement, answer):
    problem = ALL.parse_problem(statement)
    assert not isinstance(problem, Malformed), problem
    assert problem.answer == answer
    assert ALL.verify(problem, ALL.solve(problem)).correct


def solved(family, **parts):
    return FAMILIES[family].solve(**parts).answer


def test_solvers_of_long_statements_by_hand():
    assert solved("binary_alternation", string="0100") == "-1"
    assert solved("binary_alternation", string="0011") == "1"
    assert solved("binary_alternation", string="11100") == "1"
    assert solved("base_conversion", source="binary", number="11111", target="hexadecimal") == "1f"
    assert solved("dice", dice="1d6, 1d6", target="11") == "1/12"
    assert solved("spiral_matrix", matrix="1 2 3\n4 5 6\n7 8 9") == "[1, 2, 3, 6, 9, 8, 7, 4, 5]"
    assert solved("rotate_matrix", degrees="450", matrix="1 2\n3 4") == "[[3, 1], [4, 2]]"
    assert solved("binary_matrix", matrix="0 1\n1 1") == "[[0, 1], [1, 2]]"
    assert solved("rotten_oranges", matrix="2 1 1\n0 1 1\n0 0 1") == "4"
    assert solved("rotten_oranges", matrix="2 0\n0 1") == "-1"
    assert solved("rotten_oranges", matrix="0 0\n0 0") == "0"
    assert solved("largest_island", rows="2", columns="3", grid="1 1 0\n0 1 1") == "4"
    assert solved("bitwise_arithmetic", expression="((0x1 << 0x4) - 0x20)") == "-0x10"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "format"),
        ("Calculate two plus two.", "format"),
        ("Find the Greatest Common Divisor (GCD) of these numbers: 012, 18.", "format"),
        ("Find the Greatest Common Divisor (GCD) of these numbers: 12, 18. Or 6?", "format"),
        ("Find the Greatest Common Divisor (GCD) of these numbers: 12, 9000000.", "level"),
        ("Calculate 2 + .", "operand"),
        ("Calculate 2 ** 9.", "operand"),
        ("Calculate " + "(" * 90 + "1" + ")" * 90 + ".", "operand"),
        ("Solve for x: 3*x = 10", "operand"),
        ("Solve for x: 3*y = 9", "operand"),
        ("Solve for x: 3*x + 2*x = 10", "operand"),
        ("Divide the complex numbers: (1.0 + 1.0i) ÷ (0.00)", "operand"),
        ("Divide the complex numbers: (1.0 + 1.0i) + (1.00)", "operand"),
        ("Count how many prime numbers there are between 9 and 3 (inclusive) ?", "operand"),
        ("Find the prime factorization of 1.", "operand"),
        ("Simplify the fraction 3/0 to its lowest terms.", "operand"),
        ("Reverse this list of words: " + ", ".join(["word"] * 26), "level"),
        ("Reverse this list of words: " + ", ".join(["word"] * 999), "length"),
    ],
)
def test_other_texts_are_no_problems(text, reason):
    found = ALL.parse_problem(text)
    assert isinstance(found, Malformed)
    assert found.reason == reason


def test_expressions_end_in_bounded_time():
    assert evaluate("((0x2 * 0x3) >> 0x1)") == (3, 2)
    for expression in (
        "2" + "*99999999999" * 200,
        "(1 << 99)",
        "1 +* 2",
        "()",
        "(1",
        "1)",
        "1 2",
        "-",
    ):
        with pytest.raises(ValueError):
            evaluate(expression)


@pytest.mark.parametrize(
    ("kind", "text", "read"),
    [
        ("integer", "$1,234$", "1234"),
        ("integer", "007", None),
        ("integer", "2+2", None),
        ("number", "2.50", "2.5"),
        ("fraction", "$\\dfrac{2}{4}$", "2/4"),
        ("fraction", "-3/4", "-3/4"),
        ("fraction", "4/1", "4"),
        ("fraction", "1/0", None),
        ("complex", "-10.0 - 4.0i", "-10 - 4i"),
        ("complex", "-0.00", "0"),
        ("complex", "-i", "-i"),
        ("complex", "2-1i", "2 - i"),
        ("complex", "2 + 3", None),
        ("factors", "3 \\times 2^{2}", "2 × 2 × 3"),
        ("factors", "2^0", None),
        ("digits", "1F", "1f"),
        ("digits", "01", None),
        ("hexadecimal", "-0X3", "-0x3"),
        ("hexadecimal", "1f", None),
        ("words", "['b', \"A\"]", "b, A"),
        ("words", "b,,A", None),
        ("numbers", "['81.0', '-5']", "[81, -5]"),
        ("numbers", "1 2 3", "[1, 2, 3]"),
        ("numbers", "1, 2+3", None),
        ("matrix", "1 2\n3 4", "[[1, 2], [3, 4]]"),
        ("matrix", "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "[[1, 2], [3, 4]]"),
        ("matrix", "[[1, 2], [3]]", None),
        ("words", "a" * 3000, None),
        ("integer", "٣", None),
    ],
)
def test_readers(kind, text, read):
    assert answers.read(kind, text) == read


def test_families_are_chosen_by_name():
    gym = make("reasoning_gym", families=["lcm", "gcd", "lcm"])
    assert gym.families == ("lcm", "gcd")
    assert gym.levels == range(1, 5)
    assert {problem.family for problem in heldout(gym, 1)} == {"lcm", "gcd"}
    found = gym.parse_problem(problem_of("products").statement)
    assert isinstance(found, Malformed)
    with pytest.raises(ValueError, match=r"'gdc' does not exist: did you mean 'gcd'\?"):
        make("reasoning_gym", families=["gdc"])
    with pytest.raises(ValueError, match="'simple_geometry' is refused: it asks for angles"):
        make("reasoning_gym", families=["gcd", "simple_geometry"])
    with pytest.raises(ValueError, match="no family 'products' at level 1"):
        gym.sample(np.random.default_rng(0), {"level": 1}, "products")
    with pytest.raises(ValueError, match="at level 9"):
        gym.sample(np.random.default_rng(0), {"level": 9})


def test_families_are_chosen_on_the_command_line():
    config = compose.compose(
        [
            "experiment=smollm2",
            "environment=reasoning_gym",
            "environment.options.families=[gcd,lcm]",
        ]
    )
    environment = make(config.environment.name, **config.environment.options)
    assert environment.families == ("gcd", "lcm")


def test_failures_are_diagnosed_at_the_last_line():
    problem = problem_of("gcd")
    wrong = f"First.\nSecond.\n\\boxed{{{int(problem.answer) + 1}}}"
    assert ALL.diagnose(problem, wrong) == Diagnosis(
        step=2, kind="answer", detail=f"answered {int(problem.answer) + 1}"
    )
    assert ALL.diagnose(problem, "no idea").kind == "format"
    assert ALL.diagnose(problem, ALL.solve(problem)) is None


def test_without_a_reference_answer_nothing_is_correct():
    for family in FAMILIES:
        problem = problem_of(family)
        unknown = dataclasses.replace(problem, answer=None)
        verdict = ALL.verify(unknown, problem.solution)
        assert verdict.status == "wrong"
        assert verdict.answer == problem.answer


def test_refused_families_are_as_bad_as_it_is_said():
    import reasoning_gym

    def drawn(name, count=300, **options):
        dataset = reasoning_gym.create_dataset(name, seed=0, size=count, **options)
        return [dataset[index] for index in range(count)]

    assert any(float(entry["answer"]) > 180 for entry in drawn("simple_geometry"))
    assert any(
        entry["metadata"]["end_date"].startswith("2023") and "2023" not in entry["question"]
        for entry in drawn("calendar_arithmetic", tasks=["count_business_days"])
    )
    flips = drawn("coin_flip", min_trials=15)
    assert any(
        Fraction(entry["answer"]) != Fraction(*entry["metadata"]["rational"].values())
        for entry in flips
    )
    insertions = drawn("string_insertion", min_string_length=10)
    assert sum(e["metadata"]["string"] == e["answer"] for e in insertions) > 0.9 * len(insertions)
    brackets = [
        e for e in drawn("time_intervals") if e["metadata"]["format"] == "%Y-%m-%d (%A) %H:%M:%S %z"
    ]
    assert brackets
    assert all(entry["answer"].endswith("00:00") for entry in brackets)
    np.random.seed(0)
    state = np.random.get_state()[1].tobytes()
    drawn("pool_matrix", 1)
    assert np.random.get_state()[1].tobytes() != state


def test_the_documentation_lists_every_family():
    text = (Path(__file__).parents[3] / "docs" / "environments.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name, family in FAMILIES.items():
        steps = "; ".join(
            f"{a.name} {('–' if a.interval else ', ').join(f'{n:,}' for n in a.levels)}"
            for a in family.attributes
        )
        assert f"| `{name}` | {family.levels[-1]} | {steps} | {family.kind} |" in rows
    for name, reason in REFUSED.items():
        assert f"| `{name}` | {reason} |" in rows


def test_without_the_package_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"write pip install 'coevo\[reasoning\]'"):
        ReasoningGym(["gcd"])
