"""Problems of evaluation sets are found again, however they are spelt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coevo.config import Config, ConfigError, DecontaminationConfig
from coevo.decontamination import EvaluationSets, registered, words
from coevo.gate import Gate
from environments import Problem
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout
from environments.reasoning_gym import ReasoningGym
from environments.sums_in_words import SumsInWords

TRAIN = (
    "A train leaves Kassel at 9 in the morning and travels 240 kilometers at a constant speed of "
    "80 kilometers an hour, stopping once for 15 minutes. At what time does it arrive?"
)
ROOTS = r"Find the sum of all real roots of $x^4 - 5x^2 + 4 = 0$."


def problem(statement: str) -> Problem:
    return Problem(domain="text", family="other", statement=statement)


def sets(name: str = "gsm8k", *statements: str, **changes: float) -> EvaluationSets:
    chosen = statements or (TRAIN, ROOTS)
    return EvaluationSets({name: map(problem, chosen)}, DecontaminationConfig(**changes))


@pytest.mark.parametrize(
    "text",
    [
        ROOTS,
        "Find the sum of all  real roots of x^4 - 5x^2 + 4 = 0",
        "FIND the sum of all real roots of \\(x^4 - 5x^2 + 4 = 0\\)?".replace("(", "").replace(
            ")", ""
        ),
        "“Find the sum of all real roots of $x^{4} - 5x^{2} + 4 = 0$.”".replace("“", '"').replace(
            "”", '"'
        ),
        "Find the sum of all real roots of $x^４ - 5x^2 + 4 = 0$.",  # noqa: RUF001
    ],
)
def test_spelling_hides_nothing(text: str) -> None:
    match = sets().match(text)
    assert match is not None
    assert (match.benchmark, match.how, match.score) == ("gsm8k", "exact", 1.0)
    assert match.status == "contaminated:gsm8k:exact"


def test_one_inside_a_longer_text_is_found_by_ngrams() -> None:
    match = sets().match(f"Here is an exercise for you. {TRAIN} Explain each of your steps.")
    assert match is not None
    assert (match.how, match.score) == ("ngrams", 1.0)


def test_the_share_counts_words_of_the_evaluation_problem() -> None:
    """The first 18 of the 33 words, in eleven 8-grams."""
    tokens = words(TRAIN)
    part = " ".join(tokens[:18])
    match = sets().match(f"{part} and then something else happens altogether")
    assert match is not None
    assert match.score == pytest.approx(18 / len(tokens))
    assert sets(ngram_share=0.9).match(f"{part} and then it stops") is None


def test_a_few_other_words_are_a_near_duplicate() -> None:
    base = "What is the area of a square with a side of 12 meters and a round hole"
    match = sets("amc23", base, ngram=64).match(f"So {base}")
    assert match is not None
    assert match.how == "near"
    shared, union = len(words(base)) - 2, len(words(base)) - 1  # of 3-grams
    assert match.score == pytest.approx(shared / union)


def test_another_problem_is_none() -> None:
    assert sets().match("How many primes are there between 10 and 50?") is None
    assert (
        sets().match("Find the sum of all real roots of $3y^5 = 7y + 11$ that are below 2.") is None
    )
    assert sets().match("") is None
    assert EvaluationSets({}, DecontaminationConfig()).match(ROOTS) is None


def test_signs_are_words() -> None:
    assert words("$x+1$") != words("$x-1$")
    assert words("x + 1.") == words("x+1")


def test_templates_of_the_own_set_need_the_same_numbers() -> None:
    """Held-out problems share every word but numbers with those trained on."""
    other = TRAIN.replace("240", "320")
    assert sets("heldout").match(other) is None
    assert sets("gsm8k").match(other) is not None
    match = sets("heldout").match(f"{TRAIN} Please tell.")
    assert match is not None
    assert match.status == "heldout"


def test_templates_without_numbers_are_left_to_the_environments_signature() -> None:
    base = "Spell this word backward and write nothing but the result of it: banana"
    assert sets("heldout", base).match(base.replace("banana", "orange")) is None
    assert sets("heldout", base).match(base) is not None
    assert sets("mine", base).match(base.replace("banana", "orange")) is not None


@pytest.mark.parametrize(
    "environment", [Arithmetic(), SumsInWords(), ReasoningGym()], ids=lambda e: e.name
)
def test_an_environments_own_problems_hardly_ever_match(environment) -> None:
    reserved = heldout(environment, 4)
    found = EvaluationSets({"heldout": reserved}, DecontaminationConfig())
    gate = Gate(environment, reserved)
    for one in reserved:
        assert found.match(one.statement) is not None
    rng = np.random.default_rng(0)
    cells = environment.cells()
    drawn = [
        environment.sample(rng, {"level": level}, family)
        for family, level in cells
        for _ in range(1 + 300 // len(cells))
    ]
    matched = [p for p in drawn if gate.leak(p) is None and found.match(p.statement)]
    assert len(matched) <= 3


def test_the_gate_names_set_and_test() -> None:
    environment = Arithmetic()
    benchmark = [environment.parse_problem("7+5-3")]
    found = EvaluationSets({"mine": benchmark}, DecontaminationConfig())
    gate = Gate(environment, [], sets=found)
    fresh = [environment.parse_problem(text) for text in ("7+5-3", "7+5-4")]
    assert gate.screen(fresh) == ["contaminated:mine:exact", None]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.integers(0, 2**32 - 1))
def test_similarity_is_counted_exactly(text: str, seed: int) -> None:
    """A text that keeps at least the threshold of another's 3-grams is found, whatever MinHash draws."""
    rng = np.random.default_rng(seed)
    vocabulary = [f"w{i}" for i in range(500)]
    base = [vocabulary[i] for i in rng.integers(500, size=60)]
    close = [*base, "zzz"]  # one 3-gram more of 59
    found = EvaluationSets({"x": [problem(" ".join(base))]}, DecontaminationConfig(ngram=64))
    match = found.match(" ".join(close))
    assert match is not None
    assert match.how == "near"
    assert match.score > 0.95
    found.match(text)  # never raises


@pytest.mark.parametrize("name", ["gsm8k", "olympiadbench", "mine"])
def test_a_problem_whose_answer_cannot_be_used_is_one_of_the_set_all_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"question": ROOTS, "answer": ""},
        {"question": TRAIN, "answer": "who knows", "final_answer": None},
        {"question": TRAIN, "answer": "#### 7"},
        {"question": "", "answer": "#### 7"},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    config = Config(decontamination=DecontaminationConfig(against={name: str(path)}))
    found = registered(config, [])
    assert [problem.statement for _, problem, _ in found.entries] == [ROOTS, TRAIN]
    told = capsys.readouterr().err
    assert f"decontamination.against.{name}: 2 rows left out: line 4: " in told
    assert "\"question\" must be a text, found ''; line 5: is not JSON" in told


@pytest.mark.parametrize(
    ("against", "expected"),
    [
        ({"gsm8k": 1}, "against.gsm8k: 1 is no file; write gsm8k=FILE"),
        ({"mine": ["a"]}, r"against.mine: \['a'\] is no file"),
        ({"gsm9k": None}, "it is no benchmark; did you mean 'gsm8k'"),
        ({"arithmetic": "a.jsonl"}, "arithmetic is built in"),
        ({"mine": "~nobody-of-that-name/a.jsonl"}, "no such user's home folder"),
    ],
)
def test_a_set_that_cannot_be_read_is_told(against: dict[str, Any], expected: str) -> None:
    config = Config(decontamination=DecontaminationConfig(against=against))
    with pytest.raises(ConfigError, match=expected):
        registered(config, [])
