"""What is written on the command line, read by the type of its field, in `run` and in `resume` alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from coevo import compose, overrides
from coevo.config import Config, ConfigError

PLAIN = compose.to_plain(compose.compose([]))
HOW: dict[str, Callable[[Sequence[str]], Config]] = {
    "run": compose.compose,
    "resume": lambda words: compose.from_plain(PLAIN, words),
}


def found(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config[name] if isinstance(config, dict) else getattr(config, name)
    return config


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        *((f"name={text}", text) for text in ("1e5", "007", "true", "1_000", "2024-01-01", "0x1")),
        ("name='null'", "null"),
        ("name=null", None),
        ("name=my run", "my run"),
        ("name=trial-${seed}", "trial-0"),
        ("tracker.wandb.tags=[a,1e5,true,'b,c']", ["a", "1e5", "true", "b,c"]),
        ("agents.solver.template=Q: {prompt}", "Q: {prompt}"),
        (r"agents.solver.template=Q: {prompt}\nA: ", "Q: {prompt}\nA: "),
        (r'agents.solver.template="Q: {prompt}\nA: "', "Q: {prompt}\nA: "),
        (r"agents.solver.template=\boxed{1}, \\neq {prompt}", r"\boxed{1}, \neq {prompt}"),
        ("agents.solver.template=It's {prompt}, isn't it?", "It's {prompt}, isn't it?"),
        (r"agents.solver.sampling.stop=['\n\n']", ["\n\n"]),
        (r'agents.solver.sampling.stop=["\n\n",Q:]', ["\n\n", "Q:"]),
        ("agents.solver.sampling.stop=[]", []),
        ("agents.solver.learner.lr=1e-5", 1e-5),
        ("agents.solver.learner.beta_final=null", None),
        ("rounds=1_0", 10),
        ("loop.train_generator=False", False),
        ("curriculum.seed_levels=[ 2, 4 ]", [2, 4]),
        ("environment.options.depth=3", 3),
        ("environment.options.path='a b'", "a b"),
        ("loop={group_size: 4}", None),
    ],
)
def test_a_value_is_what_was_written(override: str, expected: Any, how: str) -> None:
    config = HOW[how]([override])
    key = override.partition("=")[0]
    if key == "loop":
        assert config.loop.group_size == 4
    else:
        assert found(config, key) == expected


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds=two", "rounds=two: write a whole number from 1 to 1000000"),
        ("rounds=1e3", "write a whole number"),
        ("rounds=", "rounds=: write a whole number"),
        ("rounds=1,2", "is several values: `coevo run -m` runs each of them"),
        ("agents.solver.learner.lr=fast", "write a number from 0.0 to 1.0"),
        ("loop.train_generator=maybe", "loop.train_generator=maybe: write true or false"),
        ("curriculum.seed_levels=2,5", "write a list of whole numbers, such as [2,5]"),
        ("curriculum.seed_levels=[2,five]", "write a list of whole numbers, such as [2,5]"),
        ("loop.generator_share=[a,b]", "write a list of numbers, such as [0.25,0.75]"),
        ("agents.solver.sampling.stop=x", "write a list of texts, such as ['one','two']"),
        ("agents.solver.learner.beta_final=low", "write a number, or null"),
        ("agents.solver.model=null", "agents.solver.model=null: write a text, not null"),
        ("name=a,b", "name=a,b is several values"),
        ("environment.options.path='a'b", "cannot be read: put the value in quotes"),
        ("loop={grup_size: 4}", "no key 'loop.grup_size'; did you mean 'loop.group_size'?"),
        ("agents.solver=tiny", "agents.solver is a block; write its keys"),
        ("agents.solver.policy=vllm", "write policy@agents.solver.policy=vllm"),
        ("agents.solver.template=${x}$ {prompt}", "write $ and a space"),
        ("{prompt}", "one with spaces goes in quotes: 'key=two words'"),
    ],
)
def test_what_does_not_fit_is_refused_in_our_own_words(
    override: str, expected: str, how: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        HOW[how]([override])
    message = str(caught.value)
    assert expected in message
    assert not any(
        word in message for word in ("Hydra", "Error", "convert", "mismatched", "hydra.cc", "\n")
    )


@pytest.mark.parametrize("group", ["learner", "policy"])
def test_a_group_of_every_role_is_told_with_its_places(group: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.compose([f"{group}=x"])
    for role in ("solver", "teacher", "generator"):
        assert f"{group}@agents.{role}.{group}=x" in str(caught.value)
    assert "did you mean" not in str(caught.value)


def test_every_place_of_a_group_is_one_that_composes() -> None:
    assert set(overrides.places()) == set(compose.groups())
    for places in overrides.places().values():
        for place in places:
            with pytest.raises(ConfigError, match="=nosuch does not exist"):
                compose.compose([f"{place}=nosuch"])


@pytest.mark.parametrize(
    "text",
    ["plain", "a b", "it's", r"\neq", "a\nb", "end\\", r"\'", "null", '"q"', "", "1e5"],
)
def test_what_is_written_out_is_read_back(text: str) -> None:
    for key in ("agents.solver.template", "agents.solver.model"):
        assert overrides.value(key, overrides.literal(text)) == text
    written = overrides.literal([text, "b"])
    assert overrides.value("agents.solver.sampling.stop", written) == [text, "b"]
    # and through Hydra
    config = compose.compose([f"agents.solver.template={overrides.literal('{prompt}' + text)}"])
    assert config.agents.solver.template == "{prompt}" + text


def test_a_sweep_keeps_texts_and_parts_running_text_only_between_quotes() -> None:
    jobs = compose.expand(
        ["name=1e5,007", r"agents.solver.template='{prompt}\n','\\n {prompt}, ja'"]
    )
    configs = [compose.compose(job) for job in jobs]
    assert [(one.name, one.agents.solver.template) for one in configs] == [
        (name, template)
        for name in ("1e5", "007")
        for template in ("{prompt}\n", "\\n {prompt}, ja")
    ]
    (job,) = compose.expand(["agents.solver.template=Q: {prompt}, A:"])
    assert compose.compose(job).agents.solver.template == "Q: {prompt}, A:"
    assert len(compose.expand(["seed=choice(1,2)", "rounds=range(1,3)"])) == 4
    with pytest.raises(ConfigError, match="rounds=two: write a whole number"):
        compose.expand(["rounds=1,two"])
