"""Strings of digits: every operation by another statement of it, a strict reader, one text that is paid."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import environments
from coevo.config import CurriculumConfig
from coevo.gate import Gate
from coevo.seeds import sample_seeds
from environments import BadOption, Malformed, Problem, Verdict
from environments.base import DIRECTIONS
from environments.benchmark import heldout
from environments.mixture import Mixture
from environments.strings import (
    FAMILIES,
    INVOLUTIONS,
    LEVELS,
    LONGEST,
    MARGIN,
    SAME,
    Strings,
    apply,
)
from environments.testing import check_environment

ENVIRONMENT = Strings()
LONGEST_READ = LEVELS[1] + MARGIN
DIGITS = st.text("0123456789", min_size=1, max_size=LONGEST)
MIXED = Mixture({"s": {"name": "strings", "options": {"families": ["sort", "reverse rotate"]}}})


def problem(statement: str, environment: Strings = ENVIRONMENT) -> Problem:
    found = environment.parse_problem(statement)
    assert isinstance(found, Problem), found
    return found


@pytest.mark.parametrize(
    "environment",
    [
        Strings(["reverse"], [1, LONGEST]),
        Strings(["negate", "reverse negate"], [1, 1]),
        MIXED,
    ],
    ids=["one family", "one level", "in a mixture"],
)
def test_it_keeps_the_contract(environment: environments.Environment) -> None:
    check_environment(environment, samples=1)


# -- operations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "odd", "even"),
    [
        ("reverse", "20731", "420731"),
        ("duplicate", "1133770022", "113377002244"),
        ("rotate", "37021", "370241"),
        ("interleave", "10327", "103274"),
        ("sort", "01237", "012347"),
        ("negate", "86297", "862975"),
        # the last operation is done first
        ("reverse rotate", "12073", "142073"),
        ("rotate reverse", "07312", "207314"),
        ("sort negate", "26789", "256789"),
        ("negate sort", "98762", "987652"),
    ],
)
def test_by_hand(family: str, odd: str, even: str) -> None:
    assert (apply(family, "13702"), apply(family, "137024")) == (odd, even)


@given(DIGITS)
@settings(max_examples=100, deadline=None)
def test_each_operation_digit_by_digit(digits: str) -> None:
    n, half = len(digits), (len(digits) + 1) // 2
    made = {family: apply(family, digits) for family in FAMILIES}
    assert all(made["reverse"][i] == digits[n - 1 - i] for i in range(n))
    assert all(made["rotate"][i] == digits[(i + 1) % n] for i in range(n))
    assert all(made["duplicate"][i] == digits[i // 2] for i in range(2 * n))
    assert (made["interleave"][::2], made["interleave"][1::2]) == (digits[:half], digits[half:])
    assert all(a <= b for a, b in itertools.pairwise(made["sort"]))
    assert Counter(made["sort"]) == Counter(digits)
    assert int(made["negate"]) + int(digits) == 10**n - 1
    for family, text in made.items():
        assert len(text) == n * (2 if "duplicate" in family else 1)
        if " " in family:
            outer, inner = family.split(" ")
            assert text == apply(outer, made[inner])


def test_families_that_do_the_same_are_known() -> None:
    """Over many strings, which says that the two probes are enough; none is an operation by itself."""
    rng = np.random.default_rng(0)
    strings = ["".join(map(str, rng.integers(0, 10, size=n))) for n in range(1, 40)]
    made = {family: [apply(family, digits) for digits in strings] for family in FAMILIES}
    for one, other in itertools.combinations(FAMILIES, 2):
        assert (made[one] == made[other]) == (SAME[one] == SAME[other]), (one, other)
    for family in FAMILIES:
        undone = [apply(family, text) for text in made[family]] == strings
        assert undone == (family in INVOLUTIONS), family
        assert made[family] != strings
    assert SAME["negate reverse"] == "reverse negate"
    assert not {"sort reverse", "sort rotate", "sort interleave", "sort sort"} & set(FAMILIES)
    assert len(FAMILIES) == 6 + 6 * 5 - 3


# -- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("reverse 123", None),
        ("reverse 123=", None),
        ("reverse negate 000", None),
        ("", "syntax"),
        ("=", "syntax"),
        ("123", "syntax"),
        ("reverse", "syntax"),
        ("reverse ", "syntax"),
        ("reverse123", "syntax"),
        ("reverse  123", "syntax"),
        (" reverse 123", "syntax"),
        ("reverse 123 ", "syntax"),
        ("reverse 123\n", "syntax"),
        ("reverse 123\n=", "syntax"),
        ("reverse\n123", "syntax"),
        ("reverse\t123", "syntax"),
        ("reverse\u00a0123", "syntax"),
        ("reverse 123==", "syntax"),
        ("reverse 123=321", "syntax"),
        ("reverse -123", "syntax"),
        ("reverse 12 3", "syntax"),
        ("reverse 1\u0662\u0663", "syntax"),  # Arabic digits
        ("reverse \uff11\uff12\uff13", "syntax"),  # full-width digits
        ("reverse 12²", "syntax"),
        ("Reverse 123", "syntax"),
        ("r\u0435verse 123", "syntax"),  # a Cyrillic letter
        ("reverse negate rotate 123", "syntax"),
        ("reverse 123\x00", "syntax"),
        ("revers 123", "family"),
        ("reverse reverse 123", "family"),
        ("sort reverse 123", "family"),
        ("x" * 10_000 + " 123", "family"),
        ("reverse 1", None),
        ("reverse 12", None),
        ("reverse " + "1" * LONGEST_READ, None),
        ("reverse " + "1" * (LONGEST_READ + 1), "level"),
        ("reverse " + "1" * 100_000, "level"),
    ],
)
def test_a_statement_is_read_strictly(text: str, reason: str | None) -> None:
    found = ENVIRONMENT.parse_problem(text)
    assert (found.reason if isinstance(found, Malformed) else None) == reason, found
    if isinstance(found, Malformed):
        assert len(found.detail) < 200


def test_families_and_levels_that_were_not_asked_for_are_not_read() -> None:
    narrow = Strings(["rotate"], [4, 5])
    assert problem("rotate 1234", narrow).answer == "2341"
    assert problem("rotate 123", narrow).level == 3  # shorter than what is drawn
    too_long = "rotate " + "1" * 12
    assert problem(too_long[:-1], narrow).level == 5 + MARGIN
    for text, told in (
        ("reverse 1234", "reverse"),
        (too_long, "12 digits, and 11 at most can be written"),
    ):
        found = narrow.parse_problem(text)
        assert isinstance(found, Malformed)
        assert found.detail.startswith(told)
    for family, level in (("reverse", 4), ("rotate", 3), ("rotate", 6)):
        with pytest.raises(ValueError, match=r"families rotate; levels 4 to 5"):
            narrow.sample(np.random.default_rng(0), {"level": level}, family)


def test_nobody_writes_more_digits_than_can_be_asked_for() -> None:
    far = Strings(["reverse"], [3, LONGEST - 1])
    assert problem("reverse " + "1" * LONGEST, far).level == LONGEST
    found = far.parse_problem("reverse " + "1" * (LONGEST + 1))
    assert isinstance(found, Malformed)
    assert found.reason == "level"


def test_the_longest_problems_that_others_may_write() -> None:
    narrow = Strings(["rotate", "reverse rotate"], [4, 5])
    assert [(one.family, one.level) for one in narrow.beyond()] == [
        ("rotate", 5 + MARGIN),
        ("reverse rotate", 5 + MARGIN),
    ]
    assert Strings(["rotate"], [4, LONGEST]).beyond() == []
    assert [one.family for one in MIXED.beyond()] == ["s/sort", "s/reverse rotate"]


@given(st.text(max_size=40) | st.from_regex(r"[a-z ]{0,20}[0-9]{0,20}[=\n ]{0,2}", fullmatch=True))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_judged_and_diagnosed(text: str) -> None:
    found = ENVIRONMENT.parse_problem(text)
    if isinstance(found, Problem):
        assert found.statement == text.removesuffix("=")
    asked = problem("reverse 123")
    assert ENVIRONMENT.verify(asked, text).correct == (text == "321")
    diagnosis = ENVIRONMENT.diagnose(asked, text)
    assert (diagnosis is None) == (text == "321")
    if diagnosis is not None:
        assert diagnosis.end is not None
        assert 0 <= diagnosis.step <= 3
        assert diagnosis.end == min(diagnosis.step + 1, len(text))
        assert text[: diagnosis.step] == "321"[: diagnosis.step]  # right so far


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"families": []}, r"families=\[\]: write a list, such as \[reverse, rotate\]"),
        ({"families": "reverse"}, "families='reverse': write a list"),
        ({"families": {"reverse": 1}}, "families={'reverse': 1}: write a list"),
        ({"families": None}, "families=None: write a list"),
        ({"families": ["revers"]}, "families: there is no 'revers'; did you mean 'reverse'"),
        ({"families": ["reverse", 3]}, "families: there is no 3 "),
        ({"families": [["reverse"]]}, "families: there is no "),
        ({"families": ["sort reverse"]}, "families: there is no 'sort reverse'.* not sort after"),
        ({"families": ["sort", "sort"]}, "families=.*each may stand there once"),
        *(
            ({"levels": levels}, "levels=.*: write the shortest and the longest string, from 1 to 64")
            for levels in (
                *(3, "35", None, [], [3], [3, 4, 5], [5, 3], [0, 3], [3, 65], [3.5, 9], [3, 9.0]),
                *([True, 5], ["3", "9"], {3: 9}, [None, 3], [-3, -1]),
            )
        ),
        ({"familys": ["reverse"]}, r"familys: strings has no such option; did you mean 'families'"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_are_named(options: dict[str, object], told: str) -> None:
    with pytest.raises(BadOption, match=f"^{told}"):
        environments.make("strings", **options)


# -- judging --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("3210", "correct"),
        ("0123", "wrong"),
        ("321", "wrong"),
        ("32100", "wrong"),
        ("03210", "wrong"),
        ("9" * 128, "wrong"),
        ("9" * 129, "unparseable"),
        ("3210" * 50_000, "unparseable"),
        ("", "unparseable"),
        ("3210\n", "unparseable"),
        ("\n3210", "unparseable"),
        (" 3210", "unparseable"),
        ("3210 ", "unparseable"),
        ("3 2 1 0", "unparseable"),
        ("3210=", "unparseable"),
        ("=3210", "unparseable"),
        ("#3210", "unparseable"),
        ("+3210", "unparseable"),
        ("3210.", "unparseable"),
        ("3_210", "unparseable"),
        ("321\u0660", "unparseable"),
        ("\uff13210", "unparseable"),
        ("3210\x00", "unparseable"),
        ("3210\u200b", "unparseable"),
        ("reverse 0123=3210", "unparseable"),
    ],
)
def test_nothing_but_the_string_is_paid(text: str, status: str) -> None:
    verdict = ENVIRONMENT.verify(problem("reverse 0123"), text)
    assert verdict.status == status
    assert verdict.answer == (None if status == "unparseable" else text)


def test_the_solution_is_the_only_right_completion() -> None:
    for asked in heldout(ENVIRONMENT, 1):
        assert asked.solution == asked.answer == ENVIRONMENT.only_completion(asked)
        assert ENVIRONMENT.verify(asked, asked.answer or "") == Verdict(
            status="correct", answer=asked.answer
        )
    assert MIXED.only_completion(heldout(MIXED, 1)[0])


@pytest.mark.parametrize(
    ("text", "step", "kind", "end", "detail"),
    [
        ("3120", 1, "calculation", 2, "'1' instead of '2'"),
        ("0123", 0, "calculation", 1, "'0' instead of '3'"),
        ("32100", 4, "structure", 5, "5 characters instead of 4"),
        ("321000", 4, "structure", 5, "6 characters instead of 4"),
        ("321", 3, "structure", 3, "3 characters instead of 4"),
        ("", 0, "structure", 0, "0 characters instead of 4"),
        ("32x0", 2, "format", 3, "'x' is no digit"),
        ("3210\n", 4, "format", 5, "'\\n' is no digit"),
        ("3210=", 4, "format", 5, "'=' is no digit"),
        ("321\u0660", 3, "format", 4, "'\u0660' is no digit"),
        ("#3210", 0, "format", 1, "'#' is no digit"),
        ("3210" + "1" * 9000, 4, "structure", 5, "9004 characters instead of 4"),
    ],
)
def test_the_first_wrong_character_is_found(
    text: str, step: int, kind: str, end: int, detail: str
) -> None:
    found = ENVIRONMENT.diagnose(problem("reverse 0123"), text)
    assert found is not None
    assert (found.step, found.kind, found.end, found.detail) == (step, kind, end, detail)


def test_a_problem_of_another_world_is_neither_solved_nor_diagnosed() -> None:
    strange = Problem(domain="strings", family="reverse", statement="reverse me")
    assert ENVIRONMENT.solve(strange) is None
    assert ENVIRONMENT.only_completion(strange) is None
    assert ENVIRONMENT.diagnose(strange, "1") is None
    assert ENVIRONMENT.verify(strange, "1").status == "wrong"


# -- varying --------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_variation_keeps_the_operation_and_moves_one_digit_at_most(direction: str) -> None:
    rng = np.random.default_rng(0)
    shift = {"easier": -1, "harder": 1}.get(direction, 0)
    for asked in heldout(ENVIRONMENT, 1):
        made = ENVIRONMENT.vary(asked, rng, direction)  # type: ignore[arg-type]
        assert made.family == asked.family
        assert made.level == min(max(asked.level + shift, LEVELS[0]), LEVELS[1])
        assert made.id != asked.id
        assert problem(made.statement) == made


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_where_there_is_one_length_only_a_variation_is_another_string(direction: str) -> None:
    narrow, rng = Strings(["reverse"], [1, 1]), np.random.default_rng(0)
    asked = problem("reverse 4", narrow)
    made = {narrow.vary(asked, rng, direction).statement for _ in range(200)}  # type: ignore[arg-type]
    assert made == {f"reverse {digit}" for digit in "012356789"}


def test_digits_are_drawn_evenly_with_leading_zeros() -> None:
    rng = np.random.default_rng(0)
    drawn = [ENVIRONMENT.sample(rng, {"level": 5}, "sort").statement[5:] for _ in range(2000)]
    for place in range(5):
        counts = Counter(digits[place] for digits in drawn)
        assert all(140 < counts[digit] < 260 for digit in "0123456789")


# -- near duplicates, held-out problems, seeds ----------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("reverse 123", "reverse 321", True),  # each is the other's answer
        ("negate 123", "negate 876", True),
        ("reverse negate 123", "reverse negate 678", True),
        ("reverse negate 123", "negate reverse 123", True),  # the same question in other words
        ("reverse negate 123", "negate reverse 678", True),
        ("duplicate sort 312", "sort duplicate 312", True),
        ("reverse rotate 1234", "reverse rotate 1432", True),
        ("reverse 123", "reverse 132", False),
        ("rotate 123", "rotate 231", False),
        ("sort 123", "sort 321", False),
        ("reverse 123", "negate 123", False),
        ("reverse 123", "reverse 0123", False),
        ("reverse rotate 1234", "rotate reverse 1234", False),
    ],
)
def test_mirror_problems_are_near_duplicates(one: str, other: str, alike: bool) -> None:
    signatures = [ENVIRONMENT.signature(problem(text)) for text in (one, other)]
    assert (signatures[0] == signatures[1]) == alike


def test_held_out_problems_of_every_cell() -> None:
    problems = heldout(ENVIRONMENT, 3)
    assert Counter((p.family, p.level) for p in problems) == dict.fromkeys(ENVIRONMENT.cells(), 3)
    assert heldout(ENVIRONMENT, 3) == problems
    with pytest.raises(
        ValueError, match=r"negate at level 1 has only 5 problems .* and 8 are to be"
    ):
        heldout(Strings(["negate"], [1, 2]), 8)


def test_seeds_are_of_their_levels_and_nearly_none_that_is_held_out() -> None:
    environment = Strings(["reverse", "negate reverse", "reverse negate"], [3, 9])
    reserved = heldout(environment, 8)
    config = CurriculumConfig(seeds=60, seed_levels=[4, 5])
    gate = Gate(environment, reserved)
    seeds = sample_seeds(environment, config, 0, gate)
    assert sample_seeds(environment, config, 0, gate) == seeds
    assert sample_seeds(environment, config, 1, gate) != seeds
    assert Counter((p.family, p.level) for p in seeds) == {
        (family, level): 10 for family in environment.families for level in (4, 5)
    }
    signatures = [environment.signature(p) for p in seeds]
    assert len(set(signatures)) == len(seeds)
    assert not {environment.signature(p) for p in reserved} & set(signatures)


def test_a_mixture_keeps_names_of_two_words() -> None:
    parts = {
        "far": {"name": "strings", "options": {"families": ["reverse negate"], "levels": [4, 6]}},
        "sums": {"name": "arithmetic"},
    }
    mixture = Mixture(parts)
    drawn = mixture.sample(np.random.default_rng(0), {"level": 6}, "far/reverse negate")
    digits = drawn.statement.removeprefix("reverse negate ")
    assert drawn.answer == apply("reverse negate", digits)
    read = mixture.parse_problem(drawn.statement)
    assert isinstance(read, Problem)
    assert (read.id, read.family) == (drawn.id, "far/reverse negate")
    assert mixture.verify(drawn, drawn.answer).correct
    assert mixture.only_completion(drawn) == drawn.answer
    assert mixture.only_completion(mixture.sample(np.random.default_rng(0), {"level": 7})) is None
    with pytest.raises(BadOption, match=r"^parts\.far\.options\.levels=\[4, 99\]: "):
        Mixture({"far": {"name": "strings", "options": {"levels": [4, 99]}}})
    with pytest.raises(BadOption, match=r"^parts\.far\.options\.level: strings has no such option"):
        Mixture({"far": {"name": "strings", "options": {"level": [4, 9]}}})
