import dataclasses

import pytest

import environments
from environments import Environment, Problem, Verdict, problem_id
from environments.arithmetic import Arithmetic
from environments.sums_in_words import SumsInWords


def test_an_id_is_made_of_domain_and_statement_alone():
    seed = Problem(domain="arithmetic", family="sums", statement="7+5")
    grown = Problem(domain="arithmetic", family="sums", statement="7+5", author="teacher", round=3)
    assert seed.id == grown.id == problem_id("arithmetic", "7+5")
    assert len(seed.id) == 16
    assert seed.id != Problem(domain="other", family="sums", statement="7+5").id
    assert seed.id != Problem(domain="arithmetic", family="sums", statement="5+7").id


def test_an_id_that_is_given_is_kept():
    assert Problem(domain="a", family="f", statement="s", id="kept").id == "kept"


def test_records_are_frozen():
    problem = Problem(domain="arithmetic", family="sums", statement="7+5")
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.answer = "13"  # type: ignore[misc]


def test_level_is_a_named_number_and_zero_where_unknown():
    assert Problem(domain="a", family="f", statement="s", difficulty={"level": 3.0}).level == 3
    assert Problem(domain="a", family="f", statement="s").level == 0


@pytest.mark.parametrize("status", ["wrong", "unparseable", "timeout", "crash"])
def test_only_correct_is_paid(status):
    assert Verdict(status="correct").correct
    assert not Verdict(status=status).correct


@pytest.mark.parametrize(
    ("name", "kind"), [("arithmetic", Arithmetic), ("sums_in_words", SumsInWords)]
)
def test_make_builds_an_environment_by_name(name, kind):
    environment = environments.make(name)
    assert type(environment) is kind
    assert environment.name == name


def test_make_builds_an_environment_of_the_users_own():
    assert isinstance(environments.make("environments.arithmetic:Arithmetic"), Arithmetic)


def test_make_names_the_choices_for_an_unknown_name():
    with pytest.raises(
        ValueError,
        match=r"'arithmetics' does not exist.*arithmetic, math_text, mixture, .*sums_in_words",
    ):
        environments.make("arithmetics")


def test_make_refuses_a_class_that_is_no_environment():
    with pytest.raises(ValueError, match="not a subclass"):
        environments.make("collections:OrderedDict")


def test_the_optional_parts_of_the_interface_say_that_they_cannot_tell():
    class Asking(Arithmetic):
        solve = Environment.solve
        diagnose = Environment.diagnose
        signature = Environment.signature

    asking = Asking()
    problem = asking.parse_problem("7+5")
    assert isinstance(problem, Problem)
    assert asking.solve(problem) is None
    assert asking.diagnose(problem, "7+5=13#13") is None
    assert asking.signature(problem) == "+ 5 7"
