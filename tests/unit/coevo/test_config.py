"""Configuration: ranges, relations, nearest names, and everything that is shipped."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from pathlib import Path

import pytest

from coevo import compose
from coevo.config import SUPERVISED, Config, ConfigError, changed_fields, fields_of
from coevo.packages import conf_dir
from coevo.trainable import OF_ROLE
from coevo.validate import validate

DEFAULT = compose.compose([])
LEAVES = list(fields_of(Config()))
RANGED = [(path, entry.metadata["range"]) for path, _, entry in LEAVES if "range" in entry.metadata]
CHOSEN = [
    (path, entry.metadata["choices"]) for path, _, entry in LEAVES if "choices" in entry.metadata
]
SHIPPED = sorted(
    f"{path.parent.name}={path.stem}" for path in conf_dir().glob("*/*.yaml")
)  # experiment=static, learner=grpo, …
PLACE = {
    "policy": "policy@agents.solver.policy",
    "prompts": "prompts@agents.teacher.prompts",
    "learner": "learner@agents.solver.learner",
}

ARITHMETIC = ["experiment=arithmetic"]  # whose Solver learns by DPO
ENDPOINT = [
    "policy@agents.teacher.policy=endpoint",
    "agents.teacher.model=m",
    "prompts@agents.teacher.prompts=math",
    "agents.teacher.policy.endpoint.url=http://localhost:8000/v1",
]


def change(path: str, value: object) -> Config:
    """A valid configuration with one leaf changed."""
    config = copy.deepcopy(DEFAULT)
    *blocks, leaf = path.split(".")
    block = config
    for name in blocks:
        block = getattr(block, name)
    setattr(block, leaf, value)
    return config


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose.compose(overrides)
    message = str(caught.value)
    assert "Traceback" not in message
    assert len(message) < 700
    return message


# -- what is shipped ------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", SHIPPED)
def test_every_shipped_file_composes(choice: str) -> None:
    """Every experiment, and every choice of every group in place of the default."""
    group, name = choice.split("=")
    bare = choice in ("policy=rules", "policy=endpoint")
    untrained = ["learner@agents.solver.learner=none"] if bare else []
    if choice == "learner=distill":
        untrained = ["agents.solver.learner.teacher=tiny"]
    if group == "learner" and name in SUPERVISED:
        untrained.append("agents.solver.learner.rft_weight=0")
    if choice == "policy=endpoint":
        untrained.append("agents.solver.policy.endpoint.url=http://localhost/v1")
    config = compose.compose([f"{PLACE.get(group, group)}={name}", *untrained])
    if group == "experiment":
        assert config.experiment == name
    if group in ("policy", "learner"):
        block = getattr(config.agents.solver, group)
        assert name in (getattr(block, "name", None), getattr(block, "objective", None))


def test_every_role_takes_its_learners() -> None:
    for role, objectives in OF_ROLE.items():
        for objective in set(objectives) - {"distill"}:  # which needs a model of its own
            overrides = [f"learner@agents.{role}.learner={objective}"]
            overrides += [f"agents.{role}.learner.rft_weight=0"] * (objective in SUPERVISED)
            if role == "teacher":
                overrides += ["policy@agents.teacher.policy=hf", "agents.teacher.model=tiny"]
                overrides += ["prompts@agents.teacher.prompts=math"]
            block = getattr(compose.compose(overrides).agents, role)
            assert block.learner.objective == objective


def test_defaults_are_within_their_ranges() -> None:
    assert compose.compose([]).experiment == "default"


def test_every_field_is_documented_by_a_range_or_a_type() -> None:
    """Every number of the schema has a range."""
    for path, value, entry in LEAVES:
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert "range" in entry.metadata, path


# -- ranges and choices ---------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "bounds"), RANGED)
def test_a_value_out_of_range_names_field_value_and_range(
    path: str, bounds: tuple[float, float]
) -> None:
    low, high = bounds
    for value in (low - 1, high + 1, math.nan):
        with pytest.raises(ConfigError) as caught:
            validate(change(path, value))
        assert str(caught.value) == (
            f"{path}={value} is out of range: write a value from {low} to {high}"
        )


@pytest.mark.parametrize(("path", "choices"), CHOSEN)
def test_a_misspelt_choice_gives_the_nearest(path: str, choices: tuple[str, ...]) -> None:
    for choice in choices:
        misspelt = choice + "x"
        with pytest.raises(ConfigError) as caught:
            validate(change(path, misspelt))
        message = str(caught.value)
        assert message.startswith(f"{path}={misspelt!r} is not one of {', '.join(choices)}")
        assert message.endswith(f"did you mean {choice!r}?")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds=0", "rounds=0 is out of range: write a value from 1 to 1000000"),
        ("rounds=-3", "rounds=-3 is out of range"),
        ("seed=-1", "seed=-1 is out of range"),
        ("loop.group_size=1", "loop.group_size=1 is out of range: write a value from 2 to 1024"),
        ("agents.solver.sampling.temperature=-1", "agents.solver.sampling.temperature=-1"),
        ("agents.solver.sampling.temperature=nan", "agents.solver.sampling.temperature=nan"),
        ("curriculum.replay_share=1.5", "curriculum.replay_share=1.5 is out of range"),
        ("evaluation.k=0", "evaluation.k=0 is out of range"),
        ("checkpoint.keep=1", "checkpoint.keep=1 is out of range: write a value from 2"),
    ],
)
def test_out_of_range_from_the_command_line(override: str, expected: str) -> None:
    assert expected in refusal(override)


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("rounds=many", "rounds"),
        ("rounds=1.5", "rounds"),
        ("loop.train_generator=perhaps", "loop.train_generator"),
        ("agents.solver.sampling.temperature=warm", "agents.solver.sampling.temperature"),
        ("curriculum.seed_levels=3", "curriculum.seed_levels"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_field(override: str, field: str) -> None:
    assert field in refusal(override)
    assert override.split("=")[1] in refusal(override)


# -- misspelt names -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_every_misspelt_key_gives_the_nearest(seed: int) -> None:
    """One letter of the last part of a random sample of all keys left out."""
    draw = random.Random(seed)
    keys = [path for path, _, _ in LEAVES if len(path.rsplit(".", 1)[-1]) > 3]
    for key in draw.sample(keys, 12):
        leaf = key.rsplit(".", 1)[-1]
        at = draw.randrange(1, len(leaf))
        misspelt = key.removesuffix(leaf) + leaf[:at] + leaf[at + 1 :]
        message = refusal(f"{misspelt}=1")
        assert f"there is no key {misspelt!r}" in message
        assert f"did you mean {key!r}" in message


def test_a_misspelt_block_gives_the_nearest() -> None:
    assert "did you mean 'loop.group_size'" in refusal("lop.group_size=4")
    assert "did you mean 'rounds'" in refusal("round=4")
    assert "did you mean 'seed'" in refusal("sed=4")


@pytest.mark.parametrize("choice", SHIPPED)
def test_every_misspelt_group_choice_gives_the_nearest(choice: str) -> None:
    group, name = choice.split("=")
    misspelt = name[:-1] + "q" + name[-1]
    message = refusal(f"{PLACE.get(group, group)}={misspelt}")
    assert f"={misspelt} does not exist; did you mean {name!r}?" in message
    assert name in message.split("is one of")[1]


def test_a_misspelt_group_gives_the_nearest() -> None:
    assert "did you mean 'experiment'" in refusal("experimnt=static")
    assert "did you mean 'utility'" in refusal("utilty=tent")
    message = refusal("learner@agents.solvr.learner=grpo")
    assert "agents.solver" in message


@pytest.mark.parametrize(
    "override", ["rounds", "=3", "rounds==", "rounds=[", "a b=3", "rounds=", "loop=3", "loop=null"]
)
def test_what_is_no_override_is_refused(override: str) -> None:
    assert refusal(override)


# -- an environment in place of the experiment's --------------------------------------------------

FAR = {"families": ["reverse"], "levels": [3, 14]}  # the main job's


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["environment=arithmetic"], {}),
        (["experiment=static", "environment.name=sums_in_words"], {}),
        (["environment.name=my.world:World", "environment.options.depth=3"], {"depth": 3}),
        (["environment=math_text", "environment.options={seconds: 3}"], {"seconds": 3}),
        (["environment=math_text", "environment.options.path='${name}'", "name=x"], {"path": "x"}),
        (["environment.name=strings"], FAR),
        (["environment=strings", "environment.options.levels=[2,5]"], FAR | {"levels": [2, 5]}),
        (["environment=strings", "environment.name=my.world:World"], {}),
        (
            ["experiment=arithmetic", "environment=strings", "environment.options.levels=[2,5]"],
            {"families": ["reverse", "rotate", "sort"], "levels": [2, 5]},
        ),
    ],
)
def test_another_environment_has_no_options_of_the_experiments(
    overrides: list[str], expected: dict[str, object]
) -> None:
    assert compose.compose(overrides).environment.options == expected


def test_a_mixture_has_the_parts_of_its_file() -> None:
    config = compose.compose(["environment=mixture", "environment.options.parts.words.weight=5"])
    assert list(config.environment.options) == ["parts"]
    assert {name: part["weight"] for name, part in config.environment.options["parts"].items()} == {
        "words": 5, "math": 1,
    }  # fmt: skip


# -- relations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["utility.name=gausian"], "utility.name='gausian' is not one of gaussian"),
        (["loop.generator_share=[0.5]"], "is not two shares from 0 to 1"),
        (["loop.generator_share=[0.5,1.5]"], "is not two shares from 0 to 1"),
        (["curriculum.seed_levels=[5,2]"], "is not a lowest and a highest level"),
        (["curriculum.seed_levels=[5]"], "is not a lowest and a highest level"),
        (
            ["curriculum.replay_share=0.9", "curriculum.backlog_share=0.1"],
            "must leave room for new problems: 0.9 + 0.1 is not below 1",
        ),
        (["name=a/b"], "name='a/b': it is not a plain folder name"),
        (["name=.."], "name='..': it is not a plain folder name"),
        (["name=''"], "name='': it is not a plain folder name"),
        (["policy@agents.solver.policy=rules"], "agents.solver: policy rules has no weights"),
        (["agents.solver.model=''"], "agents.solver.model is empty"),
        (["policy@agents.teacher.policy=hf"], "agents.teacher.model is empty"),
        (
            ["policy@agents.solver.policy=vllm", "runtime=inline"],
            "agents.solver: policy vllm changes torch's threads in its process and needs an actor",
        ),
        (
            [
                "policy@agents.solver.policy=vllm",
                "agents.solver.policy.vllm.max_model_len=64",
                "agents.solver.sampling.max_tokens=112",
            ],
            "agents.solver.sampling.max_tokens=112 leaves no room for a prompt",
        ),
        (
            [
                "policy@agents.solver.policy=vllm",
                "agents.solver.policy.vllm.sleep=2",
                "agents.solver.learner.lora.rank=8",
            ],
            "sleep=2 drops the base weights",
        ),
        (
            ["policy@agents.solver.policy=vllm", "evaluation.sampling.temperature=2.5"],
            "evaluation.sampling.temperature=2.5: vLLM samples at temperatures up to 2",
        ),
        (
            ["learner@agents.solver.learner=grpo", "agents.solver.sampling.temperature=0"],
            "agents.solver.sampling.temperature=0: all completions of a problem are the same",
        ),
        (ENDPOINT[:2], "agents.teacher: policy endpoint needs prompts"),
        (ENDPOINT[:3], "agents.teacher.policy.endpoint.url is no address"),
        (
            [*ENDPOINT, "learner@agents.teacher.learner=sft"],
            "the Teacher is never trained; write learner@agents.teacher.learner=none",
        ),
        (
            ["policy@agents.teacher.policy=hf", "agents.teacher.model=tiny"],
            "agents.teacher: policy hf needs prompts; write prompts@agents.teacher.prompts=math",
        ),
        (["loop.proposals=0"], "loop.feed=mixed needs loop.proposals of at least 1"),
        *(
            (
                ["loop=uniform", *changes],
                "loop.refine=never lets no new problem into the pool, and the Generator learns from the "
                "Teacher's new problems; write loop.feed=teacher loop.train_generator=false, or "
                "loop.refine=every_round",
            )
            for changes in (
                ["loop.train_generator=true"],
                ["loop.feed=mixed"],
                ["loop.feed=generator"],
                ["loop.train_generator=true", "learner@agents.generator.learner=none"],
            )
        ),
    ],
)
def test_relations(overrides: list[str], expected: str) -> None:
    assert expected in refusal(*overrides)


@pytest.mark.parametrize(
    "override",
    [
        "agents.teacher.policy.endpoint.key_env=sk-sentinel123",
        "agents.teacher.policy.endpoint.key_env=sentinel123",
        "agents.teacher.policy.endpoint.url=https://me:sentinel123@host/v1",
    ],
)
def test_a_key_in_the_configuration_is_refused_and_not_repeated(override: str) -> None:
    assert "sentinel123" not in refusal(*ENDPOINT, override)


# -- saved configurations -------------------------------------------------------------------------


def test_a_saved_configuration_comes_back(tmp_path: Path) -> None:
    config = compose.compose(["rounds=3", "seed=5", "curriculum.seed_levels=[3,4]"])
    compose.save(config, tmp_path / "config.yaml")
    plain = compose.load(tmp_path / "config.yaml")
    assert compose.from_plain(plain) == config
    changed = compose.from_plain(plain, ["rounds=9", "loop.pairs=capped"])
    assert (changed.rounds, changed.loop.pairs) == (9, "capped")
    assert changed_fields(plain, dataclasses.asdict(changed)) == [
        "loop.pairs: cartesian -> capped",
        "rounds: 3 -> 9",
    ]


def test_a_key_that_a_saved_configuration_has_not_is_no_change() -> None:
    plain = compose.to_plain(compose.compose([]))
    del plain["curriculum"]["seed_rows"], plain["tracker"]["wandb"]["dir"]
    whole = compose.completed(plain)
    assert changed_fields(whole, compose.to_plain(compose.from_plain(plain))) == []
    changed = compose.to_plain(compose.from_plain(plain, ["curriculum.seed_rows=any"]))
    assert changed_fields(whole, changed) == ["curriculum.seed_rows: all -> any"]


def test_overrides_of_a_saved_configuration_are_checked(tmp_path: Path) -> None:
    plain = compose.to_plain(compose.compose([]))
    for override, expected in [
        ("rounds=0", "rounds=0 is out of range"),
        ("round=4", "round"),
        ("loop.pears=capped", "pears"),
        ("rounds=x", "rounds"),
        ("rounds", "rounds"),
    ]:
        with pytest.raises(ConfigError, match=expected):
            compose.from_plain(plain, [override])


BILLIONS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "content", [None, "- a\n- b\n", "just text", "a: [", "", BILLIONS, "a: " + "[" * 10_000]
)
def test_a_damaged_saved_configuration(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"config\.yaml (cannot be read|is not a run's)"):
        compose.load(path)


def test_a_sweep_gives_a_list_of_jobs() -> None:
    assert compose.expand(["seed=0,1", "rounds=3"]) == [
        ["seed=0", "rounds=3"],
        ["seed=1", "rounds=3"],
    ]
    assert len(compose.expand(["seed=range(0,3)", "experiment=default,static"])) == 6
    assert len(compose.expand(["seed=range(0,1000)", "rounds=3"])) == 1000


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=range(0,1000000000)"], r"seed=range\(0,1000000000\) makes .*1,000,000,000 jobs"),
        (["seed=range(0,1e300)"], r"at most 1,000: write fewer values, such as seed=range\(0,10\)"),
        (["seed=range(0,100)", "rounds=range(1,100)"], r"rounds=range\(1,100\) makes .*9,900 jobs"),
        (["loop.group_size=choice(2,4)", "rounds=1,2", "seed=shuffle(range(1,252))"], "1,004 jobs"),
        (["seed=range(0,1,1e-9)"], "1,000,000,000 jobs"),
        (["seed=range(0,5,0)"], r"cannot be counted .*write a range such as seed=range\(0,10\)"),
        (["seed=range(0,inf)"], "cannot be counted"),
        ([f"seed=range(0,1{'0' * 400})"], "cannot be counted"),
    ],
)
def test_a_sweep_without_end_is_refused_before_it_is_made(
    overrides: list[str], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        compose.expand(overrides)


# -- learners -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["learner@agents.solver.learner=distill"], "agents.solver.learner.teacher is empty"),
        (["agents.solver.learner.teacher=tiny"], "write learner@agents.solver.learner=distill"),
        (
            ["loop.initial_sft=true", "learner@agents.solver.learner=none"],
            "trains the Solver, which has agents.solver.learner=none",
        ),
        (["loop.initial_sft_epochs=3"], "write loop.initial_sft=true"),
        (["agents.teacher.judge=always"], "agents.teacher.judge=always asks a model for verdicts"),
        (["agents.teacher.canaries=2"], "agents.teacher.canaries=2 asks a model for verdicts"),
        (
            [
                "learner@agents.teacher.learner=dpo",
                "policy@agents.teacher.policy=hf",
                "agents.teacher.model=tiny",
                "prompts@agents.teacher.prompts=math",
            ],
            "the Teacher is never trained",
        ),
        (
            ["learner@agents.solver.learner=rft", "agents.solver.learner.rft_weight=0.5"],
            "agents.solver.learner.rft_weight=0.5 adds a loss on right completions to that of "
            "preferences or rewards, and objective rft imitates completions already; write "
            "agents.solver.learner.rft_weight=0",
        ),
        (
            ["agents.generator.learner.rft_weight=1"],
            "objective sft imitates completions already; write agents.generator.learner.rft_weight=0",
        ),
        (
            ["loop.initial_sft=true", "agents.solver.learner.rft_weight=2"],
            "loop.initial_sft=true trains the Solver by sft, and agents.solver.learner.rft_weight=2 adds",
        ),
        (
            ["agents.solver.learner.backend=trl", "agents.solver.learner.rft_weight=1"],
            "write agents.solver.learner.rft_weight=0, or agents.solver.learner.backend=own",
        ),
        (["runtime=inline", "runtime.address=host:6379"], "write runtime=ray"),
        (["agents.solver.learner.backend=trl"], "write agents.solver.learner.rft_weight=0"),
        (
            [*ARITHMETIC, "agents.solver.learner.backend=trl"],
            "write agents.solver.learner.nll_weight=0",
        ),
        (
            [*ARITHMETIC, "agents.solver.learner.schedule=cosine"],
            "needs agents.solver.learner.schedule_rounds",
        ),
        (
            [*ARITHMETIC, "agents.solver.learner.beta_final=0.5"],
            "needs agents.solver.learner.schedule_rounds",
        ),
        (
            ["learner@agents.solver.learner=grpo", "loop.negatives=both"],
            "objective grpo does not learn from; write loop.negatives=current",
        ),
        (["agents.share_base=true"], "write agents.solver.learner.lora.rank=16"),
        (
            [
                "agents.share_base=true",
                "agents.solver.learner.lora.rank=4",
                "agents.generator.learner.lora.rank=4",
                "agents.generator.model=smollm2",
            ],
            "are not one base",
        ),
        (
            ["learner@agents.solver.learner=dapo", "agents.solver.sampling.top_p=0.9"],
            "needs top_p=1",
        ),
        (
            [*ARITHMETIC, "agents.solver.learner.dropout=true"],
            "agents.solver.learner.dropout=true: objective dpo compares probabilities with those of "
            "the sampling or of a reference, and dropout would change them at random; write "
            "agents.solver.learner.dropout=false, or one of the objectives sft, rft, distill",
        ),
        (
            [
                *ARITHMETIC,
                "agents.solver.learner.lora.rank=4",
                "agents.solver.learner.lora.dropout=0.1",
            ],
            "agents.solver.learner.lora.dropout=0.1: objective dpo compares probabilities",
        ),
        (
            ["agents.generator.learner.lora.rank=4", "agents.generator.learner.lora.dropout=0.1"],
            "agents.generator.learner.lora.dropout=0.1 is used only with "
            "agents.generator.learner.dropout=true",
        ),
        (
            [
                "agents.generator.learner.dropout=true",
                "agents.generator.learner.lora.dropout=0.1",
            ],
            "write agents.generator.learner.lora.rank=16",
        ),
    ],
)
def test_what_learners_ask_for_is_said(overrides: list[str], expected: str) -> None:
    assert expected in refusal(*overrides)
