"""The head's log-probabilities against log_softmax, and packed lines against plain padded batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from agents import precision
from agents.learners import forward
from agents.learners.batching import MicroBatch, Row, TokenGroup, collate
from agents.learners.forward import Forward, packable
from agents.learners.head import target_logprobs
from agents.learners.learner import Learner
from coevo.config import LearnerConfig

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 40,
    "pad_token_id": 0,
}
FAMILIES = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}


def model(family: str = "llama", dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = SIZES | ({"head_dim": 8} if family == "qwen3" else {}) | changes
    made = AutoModelForCausalLM.from_config(FAMILIES[family](**sizes)).to(dtype)
    for parameter in made.parameters():  # far from the start's small logits
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def batch(*lengths: tuple[int, ...]) -> MicroBatch:
    """A group for each tuple: the prompt's tokens, then its completions'."""
    draw = torch.Generator().manual_seed(1)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, 40, (count,), generator=draw).tolist())

    groups = [
        TokenGroup(prompt_ids=ids(prompt), rows=[Row(token_ids=ids(n)) for n in rows], pairs=[])
        for prompt, *rows in lengths
    ]
    return collate(groups, pad_id=0)


RAGGED = batch((3, 5, 2), (7, 1), (1, 4, 4, 9))


def run(of: Any, work: MicroBatch = RAGGED, **changes: Any) -> torch.Tensor:
    settings: dict[str, Any] = {"device": "cpu", "dtype": "float32", "temperature": 0.7}
    return Forward(**settings | changes).logprobs(of, work)


def gradients(of: Any, states: torch.Tensor) -> list[torch.Tensor]:
    """Of a sum in which every state has a weight of its own."""
    weights = torch.linspace(0.5, 1.5, states.numel(), dtype=states.dtype).view_as(states)
    return list(torch.autograd.grad((weights * states).sum(), list(of.base_model.parameters())))


# -- the head -------------------------------------------------------------------------------------


def head_inputs(n: int, vocabulary: int = 11) -> tuple[torch.nn.Linear, Any, Any]:
    torch.manual_seed(2)
    head = torch.nn.Linear(6, vocabulary, dtype=torch.float64)
    states = torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
    return head, states, torch.randint(0, vocabulary, (n,))


@pytest.mark.parametrize("n", [0, 1, 5, 8])
@pytest.mark.parametrize("at_once", [1, 3, 100], ids=lambda rows: f"read_{rows}")
@pytest.mark.parametrize("kept", [1, 3, 100], ids=lambda rows: f"kept_{rows}")
def test_head_equals_log_softmax(
    monkeypatch: pytest.MonkeyPatch, n: int, at_once: int, kept: int
) -> None:
    """Values and gradients, for parts that divide n and parts that do not; float64 throughout."""
    monkeypatch.setattr("agents.learners.head.CHUNK", at_once * 11)
    monkeypatch.setattr("agents.learners.head.LOGITS_KEPT", kept * 11)
    head, states, targets = head_inputs(n)
    got = target_logprobs(head, states, targets, temperature=0.7)
    expected = (head(states) / 0.7).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert torch.allclose(got, expected, rtol=0, atol=1e-12)
    wanted = [states, head.weight, head.bias]
    pull = torch.linspace(-1, 2, n, dtype=torch.float64)
    for found, right in zip(
        torch.autograd.grad((pull * got).sum(), wanted),
        torch.autograd.grad((pull * expected).sum(), wanted),
        strict=True,
    ):
        assert torch.allclose(found, right, rtol=0, atol=1e-12)


def test_head_passes_gradcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.learners.head.CHUNK", 2 * 11)
    head, states, targets = head_inputs(5)
    assert torch.autograd.gradcheck(lambda s: target_logprobs(head, s, targets, 0.7), states)


def test_head_of_a_probability_by_hand() -> None:
    """Logits (log 1, log 3) at temperature 1: log 1/4 and log 3/4; at 0.5 they are squared: log 1/10 and
    log 9/10."""
    head = torch.nn.Linear(1, 2)
    head.weight.data, head.bias.data = torch.zeros(2, 1), torch.tensor([1.0, 3.0]).log()
    states, targets = torch.zeros(2, 1), torch.tensor([0, 1])
    for temperature, shares in ((1.0, [0.25, 0.75]), (0.5, [0.1, 0.9])):
        got = target_logprobs(head, states, targets, temperature)
        assert got.exp().tolist() == pytest.approx(shares, abs=1e-6)


def test_head_reads_bfloat16_in_float32() -> None:
    """Only the logits are rounded: log-probabilities within 2⁻⁸ of the largest logit."""
    head, states, targets = head_inputs(8)
    exact = target_logprobs(head, states, targets, 1.0)
    rounded = target_logprobs(head.bfloat16(), states.bfloat16(), targets, 1.0)
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded.double(), exact, rtol=0, atol=0.05)


# -- packed lines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_packed_states_and_gradients_equal_plain_ones(family: str, checkpointing: bool) -> None:
    """In float64, but for the models' own norms, whose gradients are summed in float32."""
    of = model(family).train()
    assert packable(of.config)
    plain = forward._plain(of.base_model, RAGGED)
    expected = gradients(of, plain)
    if checkpointing:
        of.gradient_checkpointing_enable({"use_reentrant": False})
    packed = forward._packed(of.base_model, RAGGED)
    assert torch.allclose(packed, plain, rtol=0, atol=1e-10)
    for got, right in zip(gradients(of, packed), expected, strict=True):
        assert torch.allclose(got, right, rtol=0, atol=1e-6 * right.abs().max().item())


@pytest.mark.parametrize("work", [batch((1, 1)), batch((4, 1, 1, 1)), batch((2, 6))], ids=str)
def test_small_batches_are_packed_too(work: MicroBatch) -> None:
    of = model()
    plain, packed = (part(of.base_model, work) for part in (forward._plain, forward._packed))
    assert torch.allclose(packed, plain, rtol=0, atol=1e-10)


def test_logprobs_stand_where_their_tokens_do() -> None:
    """One row a completion, 0 on padding, each value that of a forward of its sequence alone."""
    of = model(dtype=torch.float32)
    with torch.no_grad():
        found = run(of)
        row = 0
        for group in RAGGED.groups:
            for completion in group.rows:
                ids = torch.tensor([[*group.prompt_ids, *completion.token_ids]])
                table = (of(input_ids=ids).logits[0] / 0.7).log_softmax(-1)
                places = range(len(group.prompt_ids) - 1, ids.shape[1] - 1)
                alone = [
                    table[i, t].item() for i, t in zip(places, completion.token_ids, strict=True)
                ]
                size = len(alone)
                assert found[row, :size].tolist() == pytest.approx(alone, abs=1e-4)
                assert not found[row, size:].any()
                row += 1
    assert row == len(found)


def test_padded_batches_are_still_masked_after_a_packed_one() -> None:
    """The model's attention is exchanged: whoever calls it otherwise must see no change."""
    of = model()
    ids, mask = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 3]]), torch.ones(2, 4).long()
    mask[0, :2] = 0
    with torch.no_grad():
        before = of(input_ids=ids, attention_mask=mask).logits
        forward._packed(of.base_model, RAGGED)
        after = of(input_ids=ids, attention_mask=mask).logits
    assert torch.allclose(after[mask.bool()], before[mask.bool()], rtol=0, atol=1e-12)
    assert forward.PACKED not in of.config.to_json_string()


@pytest.mark.parametrize(
    "config",
    [
        MistralConfig(**SIZES, sliding_window=4),
        Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=0),
    ],
    ids=["mistral", "qwen2"],
)
def test_windows_of_attention_are_not_packed(config: Any) -> None:
    """Such a model reads plain batches: each row is that of a forward of its sequence alone."""
    assert not packable(config)
    torch.manual_seed(0)
    of = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        whole = run(of, batch((3, 9, 2), (7, 1)))
        alone = run(of, batch((3, 9)))
    assert whole[0].tolist() == pytest.approx(alone[0].tolist(), abs=1e-5)


# -- bfloat16 -------------------------------------------------------------------------------------


def test_bfloat16_is_close_to_float32() -> None:
    of = model(dtype=torch.float32)
    exact, rounded = run(of), run(of, dtype="bfloat16")
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert torch.allclose(rounded, exact, rtol=0.05, atol=0.5)
    (gradient,) = torch.autograd.grad(rounded.sum(), of.base_model.embed_tokens.weight)
    (right,) = torch.autograd.grad(exact.sum(), of.base_model.embed_tokens.weight)
    assert torch.nn.functional.cosine_similarity(gradient.flatten(), right.flatten(), 0) > 0.98


def test_frozen_bfloat16_weights_work() -> None:
    of = model(dtype=torch.float32)
    exact = run(of)
    of.base_model.bfloat16()
    assert torch.allclose(run(of, dtype="bfloat16"), exact, rtol=0.05, atol=0.5)


@pytest.mark.parametrize("native", [False, True])
def test_auto_is_bfloat16_where_the_device_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """And nowhere else does a configured type become another."""
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: native)
    assert precision.chosen("auto", "cpu") == ("bfloat16" if native else "float32")
    assert precision.chosen("bfloat16", "cpu") == "bfloat16"
    assert precision.chosen("float32", "cpu") == "float32"
    assert Learner("tiny", LearnerConfig(dtype="auto")).config.dtype == precision.chosen(
        "auto", "cpu"
    )
