"""What a configuration asks of an OpenAI-compatible server: read, refused by path, kept on resume."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from coevo import compose
from coevo.config import ConfigError, changed_fields
from coevo.model_card import command
from coevo.run import FREE, TOLD

PATH = "agents.teacher.policy.endpoint"
TEACHER = [
    "policy@agents.teacher.policy=endpoint",
    "prompts@agents.teacher.prompts=math",
    "agents.teacher.model=m",
    f"{PATH}.url=http://localhost:8000/v1",
]
WORDS = [
    f"{PATH}.fields.max_tokens=max_completion_tokens",
    f"{PATH}.fields.seed=null",
    f"{PATH}.extra.reasoning_effort=low",
    f"{PATH}.extra.chat_template_kwargs={{enable_thinking:false}}",
]
FIELDS = {"max_tokens": "max_completion_tokens", "seed": None}
EXTRA = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}


def test_fields_are_read_from_the_command_line_and_from_a_file(tmp_path: Path) -> None:
    blocks = [f"{PATH}.fields={{max_tokens:max_completion_tokens,seed:null}}", *WORDS[2:]]
    for words in (WORDS, blocks):
        config = compose.compose([*TEACHER, *words])
        endpoint = config.agents.teacher.policy.endpoint
        assert (endpoint.fields, endpoint.extra) == (FIELDS, EXTRA)
    compose.save(config, tmp_path / "config.yaml")
    plain = compose.load(tmp_path / "config.yaml")
    assert compose.from_plain(plain) == config
    changed = compose.from_plain(plain, [f"{PATH}.fields.n=null"])
    assert changed.agents.teacher.policy.endpoint.fields == {**FIELDS, "n": None}


def test_a_run_from_before_there_were_fields_goes_on() -> None:
    plain = compose.to_plain(compose.compose(TEACHER))
    for role in plain["agents"].values():
        if isinstance(role, dict):
            del role["policy"]["endpoint"]["fields"], role["policy"]["endpoint"]["extra"]
    del plain["agents"]["teacher"]["reasoning"]
    config = compose.from_plain(compose.completed(plain))
    assert config == compose.compose(TEACHER)


def test_the_command_of_a_model_card_has_them() -> None:
    config = compose.compose([*TEACHER, *WORDS])
    again = compose.compose(shlex.split(command(config))[2:])
    assert again.agents.teacher.policy.endpoint == config.agents.teacher.policy.endpoint


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([f"{PATH}.fields.messages=null"], f"{PATH}.fields.messages is no field that can be"),
        ([f"{PATH}.fields.max_tokens=null"], f"{PATH}.fields.max_tokens cannot be left out"),
        ([f"{PATH}.fields.sed=null"], f"{PATH}.fields.sed is no field that can be"),
        ([f"{PATH}.fields.seed=n"], f"{PATH}.fields.seed is the name of another field"),
        ([f"{PATH}.extra.model=other"], f"{PATH}.extra.model is a field that cannot be added"),
        ([f"{PATH}.extra.temperature=1"], f"{PATH}.extra.temperature is sent already"),
        (
            [f"{PATH}.fields.stop=null", "agents.teacher.judging.stop=['END']"],
            f"{PATH}.fields.stop leaves out the stop texts ['END']",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_path(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.compose([*TEACHER, *words])
    assert says in str(caught.value)


def test_thoughts_of_rules_are_none() -> None:
    assert compose.compose([*TEACHER, "agents.teacher.reasoning=strip"])
    with pytest.raises(ConfigError, match=r"agents\.teacher\.reasoning=strip.*policy rules"):
        compose.compose(["agents.teacher.reasoning=strip"])
    with pytest.raises(ConfigError, match=r"is not one of keep, strip"):
        compose.compose([*TEACHER, "agents.teacher.reasoning=drop"])


def test_when_a_run_goes_on_names_may_change_and_what_is_added_may_not() -> None:
    """Where the server moves, so may its names; they are told as the new address is."""
    before = compose.to_plain(compose.compose(TEACHER))
    after = compose.to_plain(compose.compose([*TEACHER, *WORDS[1:3]]))
    fields, extra = sorted(changed_fields(before, after), key=lambda one: ".extra" in one)
    assert fields == f"{PATH}.fields.seed: nothing -> None"
    assert FREE.match(fields) and TOLD.match(fields)
    assert not FREE.match(extra)
