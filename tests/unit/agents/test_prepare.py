"""What a learner reads of a round's groups, and what is left out and counted."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest

from agents.learners.batching import TokenGroup
from agents.learners.objectives import OBJECTIVES, resolved
from agents.learners.prepare import BadGroup, prepare, trained_tokens
from agents.records import Completion, Group
from agents.tokens import Tokens, encode
from agents.tokens import read as read_tokens
from coevo.config import POLICY_GRADIENT, LearnerConfig

VOCABULARY = 27
EOS = 1
PROMPT = "S:7+5?"


@cache
def tokenizer() -> Any:
    return tokens().tokenizer


@cache
def tokens() -> Tokens:
    return read_tokens("tiny", chat=False)


def ids(text: str) -> tuple[int, ...]:
    """Of the tiny model: one a character."""
    return tuple(tokenizer()(text, add_special_tokens=False).input_ids)


def drawn(text: str, version: int = 3, **changes: Any) -> Completion:
    """A completion as a policy hands it over: the i-th token at log-probability -(i + 1) / 8."""
    token_ids = (*ids(text), EOS)
    values: dict[str, Any] = {
        "text": text,
        "prompt_ids": ids(PROMPT),
        "token_ids": token_ids,
        "logprobs": tuple(-(i + 1) / 8 for i in range(len(token_ids))),
        "policy_version": version,
    }
    return Completion(**(values | changes))


EMPTY = drawn("", token_ids=(), logprobs=())


def reference(text: str) -> Completion:
    return Completion(text=text, finish_reason="reference")


def group(*completions: Completion, **changes: Any) -> Group:
    values: dict[str, Any] = {"problem_id": "p1", "prompt": PROMPT}
    return Group(completions=completions, **(values | changes))


def read(
    objective: str, *groups: Group, **changes: Any
) -> tuple[list[TokenGroup], dict[str, float]]:
    kind, config = resolved(LearnerConfig(objective=objective, **changes))
    return prepare(groups, kind, config, tokens(), {})


def texts(token_group: TokenGroup) -> list[str]:
    return [tokenizer().decode(row.token_ids) for row in token_group.rows]


def weights(token_group: TokenGroup) -> list[float]:
    return [row.weight for row in token_group.rows]


# -- what is read ---------------------------------------------------------------------------------


def test_what_a_policy_drew_is_taken_as_it_is() -> None:
    """Its own token ids, log-probabilities and version; the reward 1 of 1, 0 is 1/2 above their mean."""
    given = group(drawn("5+7", 4), drawn("12", 3), rewards=(1.0, 0.0))
    (got,), counts = read("dr_grpo", given)
    assert got.prompt_ids == ids(PROMPT)
    assert [row.token_ids for row in got.rows] == [(*ids("5+7"), EOS), (*ids("12"), EOS)]
    assert got.rows[1].sampling_logprobs == (-0.125, -0.25, -0.375)
    assert [row.policy_version for row in got.rows] == [4, 3]
    assert weights(got) == [0.5, -0.5]
    assert got.success == 0.5
    assert counts == {
        "empty_completions": 0,
        "groups": 1,
        "groups_without_gradient": 0,
        "sequences": 2,
        "pairs": 0,
        "tokens": 6 + 4 + 3,
    }


def test_a_reference_is_encoded_with_an_end_token() -> None:
    """It has no log-probabilities and no version, and its prompt is encoded from the text."""
    (got,), counts = read("sft", group(reference("7+5=12"), rewards=(0.5,)))
    assert got.prompt_ids == tuple(encode(tokenizer(), PROMPT, False))
    (row,) = got.rows
    assert row.token_ids == (*ids("7+5=12"), EOS)
    assert row.sampling_logprobs == ()
    assert row.policy_version == -1
    assert row.weight == 0.5
    assert counts["tokens"] == 6 + 7


def test_the_prompt_is_that_which_was_drawn_on() -> None:
    """Though the first completion, a reference, has none: another prompt in the group's text is not read."""
    given = group(reference("12"), drawn("13"), pairs=((0, 1),), prompt="S:1+1?")
    assert read("dpo", given)[0][0].prompt_ids == ids(PROMPT)


def test_ends_cut_tokens_and_logprobs_alike() -> None:
    """Five characters of `7+5=13#13` are five tokens; null is all of it, the end token too."""
    given = group(drawn("7+5=12#12"), drawn("7+5=13#13"), pairs=((0, 1),), ends=(None, 5))
    (got,), counts = read("dpo", given)
    assert got.rows[0].token_ids == (*ids("7+5=12#12"), EOS)
    assert len(got.rows[0].sampling_logprobs) == 10
    assert got.rows[1].token_ids == ids("7+5=1")
    assert got.rows[1].sampling_logprobs == (-0.125, -0.25, -0.375, -0.5, -0.625)
    assert counts["tokens"] == 6 + 10 + 5


@pytest.mark.parametrize(("end", "expected"), [(0, "7"), (1, "7"), (2, "7+"), (3, "7+5<eos>")])
def test_ends_at_the_borders(end: int, expected: str) -> None:
    """At least one token; an end at the text's own leaves the end token where it is."""
    given = group(drawn("12"), drawn("7+5"), pairs=((0, 1),), ends=(None, end))
    assert texts(read("dpo", given)[0][0])[1] == expected


def test_ends_cut_a_reference() -> None:
    given = group(drawn("12"), reference("7+5"), pairs=((0, 1),), ends=(None, 2))
    assert texts(read("dpo", given)[0][0])[1] == "7+"


def test_distill_weighs_every_completion_alike() -> None:
    given = group(drawn("12"), drawn("13"), reference("14"), rewards=(1.0, 0.0, 0.0))
    assert weights(read("distill", given)[0][0]) == [1.0, 1.0, 1.0]


def test_advantages_are_relative_to_the_task() -> None:
    """Standardised by task: solve 1, 0 and propose 9, 7 are all one unit of √(1/2) or √2 from the mean."""
    groups = (
        group(drawn("12"), drawn("13"), rewards=(1.0, 0.0)),
        group(drawn("12"), drawn("13"), rewards=(9.0, 7.0), task="propose"),
    )
    first, second = read("reinforce_pp", *groups, advantage="task")[0]
    assert weights(first) == pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-3)
    assert weights(second) == pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-3)


def test_moving_baselines_are_kept_by_the_caller() -> None:
    """b = 0.9 · 0 + 0.1 · 0.5 = 0.05, left behind in the table."""
    kind, config = resolved(LearnerConfig(objective="grpo", advantage="ema", baseline_decay=0.9))
    baselines: dict[str, float] = {}
    given = group(drawn("12"), drawn("13"), rewards=(1.0, 0.0))
    (got,), _ = prepare([given], kind, config, tokens(), baselines)
    assert weights(got) == pytest.approx([0.95, -0.05])
    assert baselines == pytest.approx({"solve": 0.05})


# -- what is left out -----------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_empty_completions_are_left_out_and_counted(objective: str) -> None:
    given = group(
        EMPTY, drawn("12"), drawn("13"), EMPTY, rewards=(1.0, 1.0, 0.0, 0.0), pairs=((1, 2),)
    )
    (got,), counts = read(objective, given)
    assert counts["empty_completions"] == 2
    assert counts["sequences"] == (1 if objective == "rft" else 2)
    assert texts(got)[0] == "12<eos>"


@pytest.mark.parametrize(("positions", "kept"), [(10, 2), (9, 1), (8, 0), (None, 2)])
def test_what_goes_on_beyond_the_positions_is_left_out_and_counted(
    positions: int | None, kept: int
) -> None:
    """The prompt has 6 tokens, the completions have 3 and 4 with their end."""
    kind, config = resolved(LearnerConfig(objective="sft"))
    given = group(reference("12"), reference("1+2"), rewards=(1.0, 1.0))
    short = dataclasses.replace(tokens(), positions=positions)
    got, counts = prepare([given], kind, config, short, {})
    assert counts["sequences"] == kept
    assert counts.get("completions_too_long", 0) == 2 - kept
    assert len(got) == (kept > 0)


def test_pairs_are_renumbered_after_an_empty_completion() -> None:
    """(1, 2) become rows 0 and 1; the pairs with completion 0 go, in either place."""
    given = group(EMPTY, drawn("12"), drawn("13"), pairs=((1, 2), (0, 2), (1, 0)))
    (got,), counts = read("dpo", given)
    assert got.pairs == [(0, 1)]
    assert texts(got) == ["12<eos>", "13<eos>"]
    assert counts["pairs"] == 1


def test_the_chosen_stays_the_chosen() -> None:
    (got,), _ = read("dpo", group(drawn("12"), drawn("13"), pairs=((1, 0),)))
    assert got.pairs == [(1, 0)]


def test_a_pair_that_loses_its_completion_leaves_no_group() -> None:
    got, counts = read("dpo", group(EMPTY, drawn("13"), pairs=((0, 1),)))
    assert got == []
    assert counts["groups_without_gradient"] == 1
    assert counts["groups"] == counts["sequences"] == counts["tokens"] == 0


@pytest.mark.parametrize("objective", POLICY_GRADIENT)
def test_rewards_need_the_logprobs_of_their_drawing(objective: str) -> None:
    """Left out before the advantages: those of the others are as if it had not been there."""
    missing = drawn("14", logprobs=())
    short = drawn("15", logprobs=(-0.5,))
    three = group(missing, drawn("12"), short, drawn("13"), rewards=(1.0, 1.0, 1.0, 0.0))
    (got,), counts = read(objective, three)
    assert counts["completions_without_logprobs"] == 2
    assert texts(got) == ["12<eos>", "13<eos>"]
    (alone,), _ = read(objective, group(drawn("12"), drawn("13"), rewards=(1.0, 0.0)))
    assert weights(got) == weights(alone)
    assert got.success == 0.5


@pytest.mark.parametrize("objective", ["dpo", "kto", "sft", "rft", "distill"])
def test_others_do_without_logprobs(objective: str) -> None:
    pair = (drawn("12", logprobs=()), drawn("13", logprobs=()))
    (got,), counts = read(objective, group(*pair, rewards=(1.0, 0.5), pairs=((0, 1),)))
    assert len(got.rows) == 2
    assert "completions_without_logprobs" not in counts


def test_references_are_right_where_right_is_told_from_wrong() -> None:
    """For kto and rft they count as right though no reward was given them; for grpo no policy drew them."""
    given = group(reference("12"), drawn("13"), drawn("14"), rewards=(0.0, 0.0, 1.0))
    (kto,), _ = read("kto", given)
    assert weights(kto) == [1.0, 0.0, 1.0]
    (rft,), _ = read("rft", given)
    assert texts(rft) == ["12<eos>", "14<eos>"]
    assert weights(rft) == [1.0, 1.0]
    (grpo,), counts = read("grpo", given)
    assert texts(grpo) == ["13<eos>", "14<eos>"]
    assert counts["completions_without_logprobs"] == 1
    (sft,), _ = read("sft", given)
    assert weights(sft) == [0.0, 0.0, 1.0]


def test_rft_takes_each_right_completion_once() -> None:
    completions = drawn("12"), drawn("13"), drawn("12", 2), drawn("14"), reference("12")
    (got,), counts = read("rft", group(*completions, rewards=(1.0, 0.0, 1.0, 1.0, 0.0)))
    assert texts(got) == ["12<eos>", "14<eos>"]
    assert counts["sequences"] == 2


def test_others_keep_duplicates() -> None:
    given = group(drawn("12"), drawn("12"), drawn("13"), rewards=(1.0, 1.0, 0.0))
    assert len(read("grpo", given)[0][0].rows) == 3


@pytest.mark.parametrize("rewards", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3)])
def test_equal_rewards_teach_nothing_within_a_group(rewards: tuple[float, float]) -> None:
    uneven = group(drawn("12"), drawn("13"), rewards=(1.0, 0.0))
    for objective in ("grpo", "dr_grpo", "rloo"):
        even = group(drawn("12"), drawn("13"), rewards=rewards)
        got, counts = read(objective, even, uneven)
        assert len(got) == 1 and weights(got[0])[0] > 0
        assert counts["groups_without_gradient"] == 1
        assert counts["groups"] == 1


def test_equal_rewards_teach_where_the_batch_is_the_baseline() -> None:
    """Rewards 1, 1 and 0, 0: mean 1/2 over the batch, so all four weigh."""
    groups = [group(drawn("12"), drawn("13"), rewards=(r, r)) for r in (1.0, 0.0)]
    got, counts = read("reinforce_pp", *groups)
    assert [weight > 0 for one in got for weight in weights(one)] == [True, True, False, False]
    assert counts["groups_without_gradient"] == 0


@pytest.mark.parametrize("objective", ["grpo", "dr_grpo", "rloo"])
def test_a_group_of_one_has_no_others_to_compare_with(objective: str) -> None:
    got, counts = read(objective, group(drawn("12"), rewards=(1.0,)))
    assert got == []
    assert counts["groups_without_gradient"] == 1


@pytest.mark.parametrize("objective", ["kto", "oreal", "sft", "rft", "distill"])
def test_a_group_of_one_teaches_where_nothing_is_compared(objective: str) -> None:
    assert len(read(objective, group(drawn("12"), rewards=(1.0,)))[0]) == 1


@pytest.mark.parametrize("objective", ["sft", "rft", "oreal"])
def test_groups_without_weight_are_left_out(objective: str) -> None:
    got, counts = read(objective, group(drawn("12"), drawn("13"), rewards=(0.0, 0.0)))
    assert got == []
    assert counts["groups_without_gradient"] == 1


def test_wrong_completions_alone_teach_kto() -> None:
    (got,), _ = read("kto", group(drawn("12"), drawn("13")))
    assert weights(got) == [0.0, 0.0]
    assert got.success == 0.0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_group_of_nothing_is_left_out(objective: str) -> None:
    other = group(drawn("12"), drawn("13"), rewards=(1.0, 0.0), pairs=((0, 1),))
    got, counts = read(objective, group(EMPTY, EMPTY, rewards=(1.0, 0.0), pairs=((0, 1),)), other)
    assert len(got) == 1
    assert counts["empty_completions"] == 2
    assert counts["groups_without_gradient"] == 1


def test_no_groups() -> None:
    got, counts = read("grpo")
    assert got == []
    assert set(counts.values()) == {0.0}


# -- rehearsal ------------------------------------------------------------------------------------


def rights(token_group: TokenGroup) -> list[bool]:
    return [row.right for row in token_group.rows]


@pytest.mark.parametrize("objective", ["dpo", "simpo", "grpo", "rloo"])
def test_groups_that_teach_nothing_else_keep_their_right_completions(objective: str) -> None:
    """Each once; what is wrong goes, and so does a group without a right one."""
    mastered = group(drawn("12"), drawn("13"), drawn("12"), rewards=(1.0, 1.0, 1.0))
    hopeless = group(drawn("14"), drawn("15"), rewards=(0.0, 0.0))
    mixed = group(drawn("12"), drawn("13"), rewards=(1.0, 0.0), pairs=((0, 1),))
    got, counts = read(objective, mastered, hopeless, mixed, rft_weight=0.5)
    assert [texts(one) for one in got] == [["12<eos>", "13<eos>"]] * 2
    assert [rights(one) for one in got] == [[True, True], [True, False]]
    assert weights(got[0]) == [0.0, 0.0] or objective in ("dpo", "simpo")
    assert [one.pairs for one in got] == [[], [(0, 1)]]
    assert (counts["groups"], counts["groups_without_gradient"]) == (2, 1)
    assert (counts["sequences"], counts["pairs"]) == (4, 1)
    assert counts["tokens"] == 2 * (6 + 3 + 3)
    (alone,), without = read(objective, mastered, hopeless, mixed)
    assert texts(alone) == ["12<eos>", "13<eos>"] and without["groups_without_gradient"] == 2


def test_pairs_that_are_lost_leave_what_is_right() -> None:
    """The rejected one is empty; another, which is wrong and in no pair, goes too."""
    lost = group(EMPTY, drawn("12"), drawn("13"), rewards=(0.0, 1.0, 0.0), pairs=((1, 0),))
    (got,), _ = read("dpo", lost, rft_weight=0.5)
    assert texts(got) == ["12<eos>"] and got.pairs == []


def test_pairs_that_rewards_do_not_heed_are_no_pairs_of_what_is_kept() -> None:
    """(0, 2) is of completions of which the second, a duplicate, is not rehearsed."""
    given = group(drawn("12"), drawn("13"), drawn("12"), rewards=(1.0,) * 3, pairs=((0, 2),))
    (got,), counts = read("grpo", given, rft_weight=0.5)
    assert got.pairs == [] and counts["pairs"] == 0


def test_a_group_that_teaches_keeps_everything_and_counts_what_is_right_once() -> None:
    completions = drawn("12"), drawn("13"), drawn("12"), drawn("14")
    given = group(*completions, rewards=(1.0, 0.0, 1.0, 1.0), pairs=((0, 1), (2, 1)))
    for objective in ("dpo", "kto", "grpo"):
        (got,), _ = read(objective, given, rft_weight=0.5)
        assert len(got.rows) == 4
        assert rights(got) == [True, False, False, True]


def test_every_group_has_right_completions_of_its_own() -> None:
    given = group(drawn("12"), drawn("13"), rewards=(1.0, 0.0), pairs=((0, 1),))
    assert [rights(one) for one in read("dpo", given, given)[0]] == [[True, False]] * 2


def test_a_reference_is_right_and_what_is_cut_is_not() -> None:
    """Beside preferences, whatever its reward; for rewards it has no log-probabilities, and is left out."""
    given = group(
        reference("12"), drawn("13"), drawn("14"), pairs=((0, 1), (0, 2)), ends=(None, 1, None)
    )
    (got,), _ = read("dpo", given, rft_weight=0.5)
    assert texts(got) == ["12<eos>", "1", "14<eos>"]
    assert rights(got) == [True, False, False]
    (alone,), _ = read("dpo", group(reference("12"), drawn("13")), rft_weight=0.5)
    assert texts(alone) == ["12<eos>"]
    found, counts = read("grpo", given, rft_weight=0.5)
    assert found == [] and counts["completions_without_logprobs"] == 1


@pytest.mark.parametrize(
    ("objective", "rft_weight", "expected"),
    [("dpo", 0.5, 3 + 4), ("grpo", 0.5, 3 + 4), ("kto", 0.5, 3 + 4 + 3), ("kto", 0.0, 3 + 4 + 3)],
)
def test_trained_tokens_of_a_mastered_group(
    objective: str, rft_weight: float, expected: int
) -> None:
    """A completion that is there twice counts once where it is rehearsed alone."""
    given = group(drawn("12"), drawn("123"), drawn("12"), rewards=(1.0,) * 3)
    kind, settings = resolved(LearnerConfig(objective=objective, rft_weight=rft_weight))
    found, _ = prepare([given], kind, settings, tokens(), {})
    assert trained_tokens(found, kind, settings) == expected


# -- what cannot be read --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, VOCABULARY, 50_000])
@pytest.mark.parametrize("objective", ["dpo", "grpo", "sft"])
def test_token_ids_of_another_model(objective: str, bad: int) -> None:
    other = drawn("13", token_ids=(*ids("1"), bad, EOS), logprobs=(-1.0, -1.0, -1.0))
    given = group(drawn("12"), other, rewards=(1.0, 0.0), pairs=((0, 1),))
    with pytest.raises(BadGroup) as error:
        read(objective, given)
    assert str(error.value) == (
        f"problem p1, completion 1: token id {bad} is outside the model's vocabulary of "
        f"{VOCABULARY}; was it drawn by another model?"
    )


@pytest.mark.parametrize("bad", [-1, VOCABULARY, 50_000])
def test_a_prompt_of_another_model(bad: int) -> None:
    given = group(drawn("12", prompt_ids=(5, bad)), drawn("13"), rewards=(1.0, 0.0))
    with pytest.raises(BadGroup, match=f"problem p1, prompt: token id {bad} is outside"):
        read("grpo", given)


def test_the_last_token_of_the_vocabulary_is_in_it() -> None:
    """And so is the first, 0."""
    given = drawn("12", token_ids=(VOCABULARY - 1, 0), logprobs=(-1.0, -1.0))
    assert len(read("sft", group(given, rewards=(1.0,)))[0]) == 1


def test_an_empty_prompt() -> None:
    with pytest.raises(BadGroup) as error:
        read("sft", group(reference("12"), rewards=(1.0,), prompt=""))
    assert str(error.value) == "problem p1: the prompt '' has no token"


def test_rewards_must_match_their_completions() -> None:
    with pytest.raises(ValueError):
        read("sft", group(drawn("12"), drawn("13"), rewards=(1.0,)))


@pytest.mark.parametrize(
    ("objective", "rft_weight", "rewards", "pairs", "expected"),
    [
        ("dpo", 0.0, (), ((0, 1), (0, 2)), 3 + 4 + 5),  # in two pairs, and read once; one in none
        ("dpo", 0.5, (1.0, 0.0, 0.0, 1.0), ((0, 1), (0, 2)), 3 + 4 + 5 + 6),  # which is right
        ("dpo", 0.5, (1.0, 0.0, 0.0, 0.0), ((0, 1), (0, 2)), 3 + 4 + 5),
        ("grpo", 0.0, (1.0, 0.0, 0.0, 1.0), (), 3 + 4 + 5 + 6),
        ("kto", 0.0, (1.0, 0.0, 0.0, 1.0), (), 3 + 4 + 5 + 6),
        ("sft", 0.0, (0.5, 0.0, 0.0, 0.1), (), 3 + 6),  # a weight of 0 is no loss
        ("rft", 0.0, (1.0, 0.0, 0.0, 1.0), (), 3 + 6),
    ],
)
def test_trained_tokens_are_the_completion_tokens_in_the_loss(
    objective: str,
    rft_weight: float,
    rewards: tuple[float, ...],
    pairs: tuple[tuple[int, int], ...],
    expected: int,
) -> None:
    """Four completions of 3, 4, 5 and 6 tokens, their ends among them."""
    completions = (drawn(text) for text in ("12", "123", "1234", "12345"))
    asked = group(*completions, rewards=rewards, pairs=pairs)
    kind, settings = resolved(LearnerConfig(objective=objective, rft_weight=rft_weight))
    found, _ = prepare([asked], kind, settings, tokens(), {})
    assert trained_tokens(found, kind, settings) == expected
