"""Placeholders of prompts: unknown ones are refused, missing ones told, other braces sent as they are."""

from __future__ import annotations

import pytest

from agents.prompts import SLOTS, fill, placeholders
from coevo import cli, compose
from coevo.config import ConfigError
from coevo.prompt_check import warnings

TEACHER = ["prompts@agents.teacher.prompts=math"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "agents.solver.template=Q: {promt}",
            "agents.solver.template: {promt} is no placeholder of this prompt; did you mean 'prompt'? "
            "it has {prompt}; braces that are to be sent are doubled: {{promt}}",
        ),
        ("agents.solver.template={statement}", "it has {prompt}"),
        ("agents.generator.template={statment}|{attempt}", "did you mean 'statement'?"),
        ("agents.teacher.prompts.verify={statement} {attemt}", "{statement}, {attempt}, {answer};"),
        ("agents.teacher.prompts.resolve={statement} {answer}", "it has {statement};"),
        ("agents.teacher.prompts.harder={statment}", "{statement}, {attempt}, {answer}, {error};"),
        ("agents.teacher.prompts.system={statement}", "it has no placeholder"),
        ("agents.teacher.template=Hello", "the Teacher is asked by agents.teacher.prompts.*"),
    ],
)
def test_an_unknown_placeholder_is_refused(override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.compose([*TEACHER, override])
    assert str(caught.value).startswith(override.partition("=")[0])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"answer": "5", "n": {"m": 1}} {}',
        r"\boxed{answer} \frac{a}{b} x^{n} a_{k} \sqrt[n]{\frac{x}{y}} \text{{x}}",
        "{ prompt} {a, b} {1} {{1}} { {",
    ],
)
def test_other_braces_are_sent_as_they_are(text: str) -> None:
    config = compose.compose(
        ["agents.solver.template=" + (text + "{prompt}").replace("\\", "\\\\")]
    )
    template = config.agents.solver.template
    assert template == text + "{prompt}"
    expected = text.replace("{{x}}", "{x}") + "what is 1+1?"
    assert fill(template, prompt="what is 1+1?") == expected


def test_doubled_braces_are_single_ones_and_filled_in_by_nothing() -> None:
    assert fill("{{prompt}} {prompt} {{x}}", prompt="{{y}}") == "{prompt} {{y}} {x}"
    assert placeholders("{{prompt}} {prompt}") == ["prompt"]
    compose.compose(["agents.solver.template={prompt} {{anything}}"])


def test_a_missing_placeholder_is_told_and_only_where_the_prompt_is_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    override = "agents.generator.template=Write a problem."
    told = "agents.generator.template has no {statement}: what is asked does not depend on it"
    assert warnings(compose.compose([override])) == [told]
    idle = ["loop.feed=teacher", "loop.train_generator=false"]
    assert warnings(compose.compose([override, *idle])) == []
    assert cli.main(["run", "--cfg", "job", "-m", "seed=1,2", override]) == 0
    assert capsys.readouterr().err == f"warning: {told}\n"


def test_what_is_shipped_has_all_that_it_needs() -> None:
    for experiment in compose.group_options("experiment"):
        assert warnings(compose.compose([f"experiment={experiment}"])) == []
    for prompts in ("math", "sums"):
        config = compose.compose([f"prompts@agents.teacher.prompts={prompts}"])
        assert warnings(config) == []


def test_every_prompt_of_the_configuration_has_its_placeholders() -> None:
    keys = {key.rpartition(".")[2] for key in compose.all_keys() if ".prompts." in key}
    assert keys | {"solver", "generator"} == set(SLOTS)
