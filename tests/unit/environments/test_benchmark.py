import numpy as np
import pytest

from environments import Problem
from environments.arithmetic import Arithmetic
from environments.benchmark import HELDOUT_SEED, heldout
from environments.sums_in_words import SumsInWords

BOTH = pytest.mark.parametrize("environment", [Arithmetic(), SumsInWords()], ids=lambda e: e.name)


@BOTH
def test_the_set_depends_on_its_arguments_alone(environment):
    np.random.seed(1)
    first = heldout(environment, 3)
    np.random.seed(2)
    assert first == heldout(type(environment)(), 3)
    assert first == heldout(environment, 3, HELDOUT_SEED)
    assert first != heldout(environment, 3, HELDOUT_SEED + 1)


@BOTH
def test_a_larger_set_only_adds_problems(environment):
    small, large = heldout(environment, 2), heldout(environment, 5)
    assert {p.id for p in small} < {p.id for p in large}
    for cell in environment.cells():
        of_small = [p for p in small if (p.family, p.level) == cell]
        of_large = [p for p in large if (p.family, p.level) == cell]
        assert of_small == of_large[:2]
        assert len(of_large) == 5


@BOTH
def test_no_two_problems_of_a_cell_are_near_duplicates(environment):
    problems = heldout(environment, 8)
    assert len({p.id for p in problems}) == len(problems) == 8 * len(environment.cells())
    signatures = {(p.family, p.level, environment.signature(p)) for p in problems}
    assert len(signatures) == len(problems)


@BOTH
def test_the_largest_set_that_can_be_configured_exists(environment):
    assert len(heldout(environment, 32)) == 32 * len(environment.cells())


def test_a_cell_with_too_few_problems_is_named():
    class Poor(Arithmetic):
        def sample(self, rng, difficulty, family=None):
            found = self.parse_problem("7+5")
            assert isinstance(found, Problem)
            return found

    with pytest.raises(ValueError, match="sums at level 2 has only 1 problems"):
        heldout(Poor(), 2)
