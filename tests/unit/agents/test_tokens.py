"""What a model reads and ends with: BOS, chat templates, end tokens, padding, positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from agents.learners.learner import Learner
from agents.model_loading import ModelUnavailable
from agents.policies import Prompt, Sampling
from agents.policies.hf import HFPolicy
from agents.records import Completion, Group
from agents.tokens import encode, positions, read, turn_end
from coevo.config import LearnerConfig
from environments import Problem
from tests.unit.agents.made_tokenizers import (
    BERT,
    BOS,
    DROPS_SYSTEM,
    EAGER,
    END,
    EOS,
    GPT2,
    LLAMA,
    MODEL,
    NO_SYSTEM,
    PLAIN,
    SIZE,
    SYSTEM,
    USER,
    VOCABULARY,
    WITH_BOS,
    folder_of,
    ids,
    tokenizer,
    with_bos,
)  # fmt: skip


def prompt(text: str, system: str = "") -> Prompt:
    problem = Problem(domain="none", family="none", statement=text, answer=None)
    return Prompt(text=text, system=system, task="solve", problem=problem)


# -- BOS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "front"), [(LLAMA, [BOS]), (EAGER, [BOS]), (GPT2, []), (BERT, [USER])]
)
def test_a_plain_prompt_has_what_its_tokenizer_puts_in_front_and_nothing_behind(
    made: Any, front: list[int]
) -> None:
    assert encode(made, "1+2=", chat=False) == [*front, *ids("1+2=")]
    assert encode(made, "ab", chat=False, system="c") == [*front, *ids("c\n\nab")]


def test_a_bos_that_is_written_is_not_put_in_front_once_more() -> None:
    assert encode(LLAMA, "<s>1+2=", chat=False) == [BOS, *ids("1+2=")]


@pytest.mark.parametrize("template", [PLAIN, WITH_BOS])
@pytest.mark.parametrize(("before", "behind"), [("<s>", ""), ("<s>", "</s>"), ("", "")])
def test_a_chat_has_one_bos(template: str, before: str, behind: str) -> None:
    """Whether the template writes it or the tokenizer adds it, or both; none where neither does."""
    found = encode(tokenizer(before, behind, chat_template=template), "1+2=", chat=True)
    front = [BOS] if before or template == WITH_BOS else []
    assert found == [*front, USER, *ids("1+2="), END, *ids("\n"), MODEL]


def test_a_completion_has_no_bos_and_one_end_token(tmp_path: Path) -> None:
    tokens = read(folder_of(tmp_path, made=EAGER), chat=False)
    assert tokens.completion("1+2=3") == [*ids("1+2=3"), EOS]


# -- the system text ------------------------------------------------------------------------------


@pytest.mark.parametrize(("template", "front"), [(NO_SYSTEM, [BOS]), (DROPS_SYSTEM, [])])
def test_a_template_without_a_system_role(template: str, front: list[int]) -> None:
    """It refuses the turn (Gemma) or leaves it out: the text then stands before the user's."""
    made = tokenizer(chat_template=template)
    found = encode(made, "1+2=", chat=True, system="ab.")
    assert found == [*front, USER, *ids("ab.\n\n1+2="), END, *ids("\n"), MODEL]


def test_a_system_role_is_used_where_there_is_one() -> None:
    found = encode(tokenizer(chat_template=PLAIN), "1", chat=True, system="ab.")
    assert found[:6] == [SYSTEM, *ids("ab."), END, *ids("\n")]


def test_a_template_that_refuses_the_user_too_says_so() -> None:
    from jinja2 import TemplateError

    made = tokenizer(chat_template="{{ raise_exception('no turns at all') }}")
    with pytest.raises(TemplateError, match="no turns at all"):
        encode(made, "1", chat=True, system="ab.")


def test_chat_without_a_template_is_refused_at_load(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    for load in (
        lambda: HFPolicy(folder, chat=True),
        lambda: Learner(folder, LearnerConfig(objective="sft"), chat=True),
    ):
        with pytest.raises(ModelUnavailable, match=r"no chat template: write agents\..*chat=false"):
            load()


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ raise_exception('no turns at all') }}", "fails with TemplateError: no turns at all"),
        ("{{ messages[0].content + nothing.here }}", "fails with UndefinedError"),
        ("{% for m in messages %}", "fails with TemplateSyntaxError"),
        ("{{ messages[0].content + 1 }}", "fails with TypeError"),
        ("Hello!", "leaves out what the user says: it wrote 'Hello!'"),
        (
            "{% for p in messages[0].content %}{{ p.text }}{% endfor %}",
            "leaves out what the user says",
        ),
    ],
)
def test_a_template_that_cannot_ask_is_refused_at_load(
    template: str, told: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, made=tokenizer(chat_template=template))
    with pytest.raises(ModelUnavailable, match=f"{told}.*chat=false"):
        read(folder, chat=True)
    assert read(folder, chat=False)


# -- end tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "expected"),
    [(None, {EOS}), (EOS, {EOS}), (9, {9, EOS}), ([EOS, 7], {EOS, 7}), ([8, 7], {EOS, 7, 8})],
)
def test_every_stated_end_token_and_the_tokenizers(
    stated: Any, expected: set[int], tmp_path: Path
) -> None:
    tokens = read(folder_of(tmp_path, ends=stated), chat=False)
    assert tokens.ends == expected
    assert tokens.end == EOS


def test_config_json_states_them_where_there_is_no_generation_config(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, eos_token_id=[7, 8])
    (tmp_path / "generation_config.json").unlink()
    assert read(folder, chat=False).ends == {7, 8, EOS}


@pytest.mark.parametrize(
    ("template", "listed", "expected"),
    [
        (PLAIN, (), END),  # Gemma: <end_of_turn>, where the tokenizer has <eos>
        (PLAIN.replace("<end>", " </s>"), (), EOS),  # Llama 2: a space before it
        (PLAIN.replace("<end>", ""), (USER, EOS), USER),  # GLM: the next turn's beginning
        (PLAIN.replace("<end>", ""), (EOS,), None),
        ("{{ raise_exception('no') }}", (), None),
        ("{{ messages[0].content }}", (), None),  # only ever one turn
    ],
)
def test_the_token_that_ends_a_turn(
    template: str, listed: tuple[int, ...], expected: int | None
) -> None:
    assert turn_end(tokenizer(chat_template=template), listed) == expected


def test_a_chat_ends_with_its_turns_end(tmp_path: Path) -> None:
    """What the learner ends a reference with is what the policy stops at, though neither
    generation_config.json nor the tokenizer names it."""
    folder = folder_of(tmp_path, made=tokenizer("<s>", chat_template=PLAIN))
    assert read(folder, chat=True).end == END
    assert read(folder, chat=True).ends == {END, EOS}
    assert read(folder, chat=False).end == EOS
    assert HFPolicy(folder, chat=True).tokens.ends == {END, EOS}


def test_a_model_without_an_end_token_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, made=tokenizer(eos_token=None), eos_token_id=None)
    with pytest.raises(ModelUnavailable, match=r"no end token: write eos_token into its tokenizer"):
        read(folder, chat=False)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert read(folder, chat=False).end == 7  # one of them will do


# -- one reading for policies and learner ---------------------------------------------------------


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "mamba2"])
def test_policy_and_learner_read_the_same(family: str, chat: bool, tmp_path: Path) -> None:
    """The prompt of a reference has the ids of the prompt that a policy draws on, and the update is
    taken by both kinds of weights."""
    folder = folder_of(tmp_path, family, tokenizer("<s>", "</s>", chat_template=WITH_BOS))
    (drawn,), *_ = HFPolicy(folder, chat=chat).sample(
        [prompt("1+2=")], 1, Sampling(max_tokens=4), [1]
    )
    assert drawn.prompt_ids.count(BOS) == 1 and EOS not in drawn.prompt_ids
    learner = Learner(folder, LearnerConfig(objective="sft"), chat=chat, longest=8)
    assert tuple(learner.tokens.prompt("1+2=")) == drawn.prompt_ids
    reference = Completion(text="3", finish_reason="reference")
    group = Group(problem_id="p", prompt="1+2=", completions=(reference,), rewards=(1.0,))
    metrics = learner.update([group], seed=0, version=1)
    assert metrics["tokens"] == len(drawn.prompt_ids) + 2  # the answer and its end


# -- padding and vocabularies ---------------------------------------------------------------------


@pytest.mark.parametrize("made", [tokenizer(pad_token=None), with_bos()])
def test_any_id_pads_where_there_is_no_pad_token(made: Any, tmp_path: Path) -> None:
    """Or where it is beyond the embedding. Prompts of several lengths are sampled together and learned
    from, and what is saved has the padding that it had."""
    folder = folder_of(tmp_path / "base", made=made, ends=[EOS, 7])
    policy = HFPolicy(folder)
    together = policy.sample([prompt("1"), prompt("1+2+3=")], 2, Sampling(max_tokens=6), [1, 2])
    alone = policy.sample([prompt("1")], 2, Sampling(max_tokens=6), [1])
    assert [one.token_ids for one in together[0]] == [one.token_ids for one in alone[0]]
    groups = [
        Group(
            problem_id=text,
            prompt=text,
            completions=(*drawn, Completion(text="12", finish_reason="reference")),
            rewards=(1.0, 1.0, 1.0),
            pairs=((2, 1),),
        )
        for text, drawn in zip(("1", "1+2+3="), together, strict=True)
    ]
    for objective, backend in (("sft", "own"), ("dpo", "own"), ("sft", "trl"), ("dpo", "trl")):
        config = LearnerConfig(objective=objective, backend=backend, reduction="token")
        learner = learner_of(folder, config)
        assert learner.update(groups, seed=0, version=1)["skipped_steps"] == 0
        saved = tmp_path / f"{objective}-{backend}"
        learner.save(saved)
        for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
            before, after = (json.loads((one / name).read_text()) for one in (Path(folder), saved))
            for key in ("pad_token", "pad_token_id", "bos_token_id", "eos_token_id"):
                assert before.get(key) == after.get(key), (objective, backend, name, key)


def learner_of(folder: str, config: LearnerConfig) -> Learner:
    from agents.learners.trl import TRLLearner

    kind = TRLLearner if config.backend == "trl" else Learner
    return kind(folder, config, longest=16)


def test_a_tokenizer_that_writes_ids_beyond_the_embedding_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, vocab_size=SIZE - 2)
    with pytest.raises(ModelUnavailable) as error:
        HFPolicy(folder)
    token = list(VOCABULARY)[SIZE - 2]
    assert f"writes ids up to {SIZE - 1}, and its embedding has {SIZE - 2} rows: 2 tokens" in str(
        error.value
    )
    assert f"{token!r} ({SIZE - 2})" in str(error.value)
    assert f"resize_token_embeddings({SIZE})" in str(error.value)


def test_special_tokens_beyond_it_that_nothing_writes_may_be_there(tmp_path: Path) -> None:
    """A pad token that was added, or Gemma's image token. One in a prompt is a failure of its own."""
    policy = HFPolicy(folder_of(tmp_path, made=with_bos()))
    assert policy.tokenizer.pad_token_id == SIZE and policy.tokens.pad == EOS
    drawn = policy.sample(
        [prompt("1"), prompt("[PAD]1"), prompt("1+2")], 2, Sampling(max_tokens=3), [1] * 3
    )
    assert [[one.error for one in group] for group in drawn] == [
        ["", ""],
        ["unknown_token"] * 2,
        ["", ""],
    ]


def test_a_chat_template_beyond_it_is_refused(tmp_path: Path) -> None:
    made = tokenizer("<s>", chat_template=PLAIN.replace("<end>", "<over>"))
    made.add_special_tokens({"additional_special_tokens": ["<over>"]})
    folder = folder_of(tmp_path, made=made)
    read(folder, chat=False)
    with pytest.raises(ModelUnavailable, match=rf"'<over>' \({SIZE}\) cannot be read"):
        read(folder, chat=True)


def test_ids_beyond_the_tokenizer_have_no_text(tmp_path: Path) -> None:
    """An embedding is often padded to a round number: nothing keeps such ids from being drawn."""
    folder = folder_of(tmp_path, "qwen2", vocab_size=SIZE + 400)
    drawn = HFPolicy(folder).sample(
        [prompt("1+2=")], 8, Sampling(max_tokens=12, temperature=2.0), [1]
    )[0]
    beyond = [token for one in drawn for token in one.token_ids if token >= SIZE]
    assert len(beyond) > 40
    for one in drawn:
        known = [token for token in one.token_ids if token < SIZE]
        assert one.text == LLAMA.decode(known, skip_special_tokens=True)
    groups = [
        Group(problem_id="p", prompt="1+2=", completions=tuple(drawn), rewards=(1.0,) + (0.0,) * 7)
    ]
    learner = Learner(folder, LearnerConfig(objective="grpo"), temperature=2.0, longest=12)
    assert learner.update(groups, seed=0, version=1)["skipped_steps"] == 0


# -- positions ------------------------------------------------------------------------------------

LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("gpt2", {"n_positions": 48}, 48),
        ("llama", {"max_position_embeddings": 4096}, 4096),
        ("opt", {"max_position_embeddings": 100}, 100),
        ("mamba2", {}, None),
        ("falcon", {"alibi": True}, None),
        ("falcon", {"alibi": False, "max_position_embeddings": 64}, 64),
        ("bloom", {}, None),
        ("mpt", {"max_seq_len": 77}, None),
        (
            "llama",
            {
                "max_position_embeddings": 512,
                "rope_parameters": {"rope_type": "linear", "factor": 4.0},
            },
            2048,
        ),
        ("qwen2", {"max_position_embeddings": 4096, "rope_parameters": YARN}, 4096),
        ("gemma3_text", {"max_position_embeddings": 512}, 512),
    ],
)
def test_positions_of_a_configuration(
    kind: str, settings: dict[str, Any], expected: int | None
) -> None:
    config = AutoConfig.for_model(kind, **settings)
    assert positions(config.to_dict()) == expected
    assert positions({"text_config": config.to_dict()}) == expected
