"""A mixture behaves as its parts do, by weight, and keeps the contract of an environment."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import environments
from coevo.compose import compose
from coevo.config import CurriculumConfig
from coevo.gate import Gate
from coevo.run_folder import make_environment
from coevo.seeds import sample_seeds
from environments import Malformed, Problem
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout
from environments.mixture import Mixture
from environments.testing import check_environment

PARTS = {
    "sums": {"name": "arithmetic", "weight": 3},
    "words": {"name": "sums_in_words"},
    "math": {"name": "math_text"},
}


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    return Mixture(PARTS)


def test_it_keeps_the_contract(mixture: Mixture) -> None:
    check_environment(mixture, samples=1)


def test_each_problem_is_stated_and_judged_as_by_its_part(mixture: Mixture) -> None:
    rng = np.random.default_rng(0)
    for family, level in mixture.cells():
        key, inner = family.split("/")
        part = mixture.parts[key].environment
        problem = mixture.sample(rng, {"level": level}, family)
        alone = part.parse_problem(problem.statement)
        assert isinstance(alone, Problem)
        assert (problem.domain, problem.family, problem.answer) == ("mixture", family, alone.answer)
        assert alone.family == inner
        assert mixture.prompt(problem) == part.prompt(alone)
        assert mixture.signature(problem) == part.signature(alone)
        wrong = mixture.prompt(problem)
        assert mixture.verify(problem, wrong) == part.verify(alone, wrong)
        assert mixture.diagnose(problem, wrong) == part.diagnose(alone, wrong)


def test_weights_are_shares_of_what_is_drawn(mixture: Mixture) -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(mixture.sample(rng, {"level": 2}).family.split("/")[0] for _ in range(1000))
    assert drawn["sums"] / 1000 == pytest.approx(3 / 5, abs=0.05)
    assert drawn["words"] / 1000 == pytest.approx(1 / 5, abs=0.05)


def test_weights_are_shares_of_the_seeds() -> None:
    mixture = Mixture({key: PARTS[key] for key in ("sums", "words")})
    config = CurriculumConfig(seeds=80, seed_levels=[2, 5])
    gate = Gate(mixture, heldout(mixture, 2))
    seeds = sample_seeds(mixture, config, 0, gate)
    count = Counter(seed.family.split("/")[0] for seed in seeds)
    assert count["sums"] / 80 == pytest.approx(0.75, abs=0.06)  # whole rounds over the cells
    cells = Counter((seed.family, seed.level) for seed in seeds if seed.family.startswith("sums"))
    assert max(cells.values()) - min(cells.values()) <= 1


def test_held_out_problems_of_every_part_are_kept_out(mixture: Mixture) -> None:
    reserved = heldout(mixture, 2)
    assert {p.family.split("/")[0] for p in reserved} == set(PARTS)
    assert set(Gate(mixture, reserved).screen(reserved)) == {"heldout"}
    alone = {p.statement for p in heldout(Arithmetic(), 2)}
    assert alone == {p.statement for p in reserved if p.family.startswith("sums/")}


def test_a_text_belongs_to_the_part_that_knows_its_answer(mixture: Mixture) -> None:
    problem = mixture.parse_problem("7+5")
    assert isinstance(problem, Problem)
    assert (problem.family, problem.answer) == ("sums/sums", "12")
    question = "Tom has 5 apples, eats 2 of them and is given 11 more. How many apples has he?"
    new = mixture.parse_problem(question)
    assert isinstance(new, Problem)
    assert (new.family, new.answer) == ("math/other", None)
    nothing = mixture.parse_problem("??")
    assert isinstance(nothing, Malformed)
    assert nothing.reason == "no_part"
    assert "words: " in nothing.detail


class Contrary(Arithmetic):
    """Reads the same texts and comes to other answers."""

    def parse_problem(self, text: str) -> Problem | Malformed:
        found = super().parse_problem(text)
        if isinstance(found, Malformed):
            return found
        return Problem(domain=self.name, family="sums", statement=text, answer="0")


def test_parts_that_disagree_make_no_problem() -> None:
    name = f"{__name__}:Contrary"
    mixture = Mixture({"a": {"name": "arithmetic"}, "b": {"name": name}})
    found = mixture.parse_problem("7+5")
    assert isinstance(found, Malformed)
    assert found.reason == "ambiguous"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "expected parts such as"),
        ({"a": "arithmetic"}, "parts.a='arithmetic': expected parts such as"),
        ({"a": {"weight": 1}}, "expected parts such as"),
        ({"a/b": {"name": "arithmetic"}}, "has no /"),
        ({"a": {"name": "arithmetic", "wieght": 2}}, "did you mean 'weight'"),
        ({"a": {"name": "arithmetic", "weight": 0}}, "parts.a.weight=0: expected a number above 0"),
        ({"a": {"name": "arithmetik"}}, "parts.a: environment 'arithmetik' does not exist"),
        (
            {"a": {"name": "arithmetic", "options": {"x": 1}}},
            "parts.a.options.x: arithmetic has no",
        ),
    ],
)
def test_parts_that_make_no_sense_are_refused(parts: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        environments.make("mixture", parts=parts)


def test_it_is_configured_from_the_command_line() -> None:
    config = compose(["environment=mixture", "environment.options.parts.words.weight=5"])
    mixture = make_environment(config.environment)
    assert isinstance(mixture, Mixture)
    assert {key: part.weight for key, part in mixture.parts.items()} == {"words": 5, "math": 1}
