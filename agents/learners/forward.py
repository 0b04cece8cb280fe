"""The model's part of a step: from token ids to the states before its head, and log-probabilities.

Where a model reads packed lines, each group's prompt runs once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from agents.learners import models
from agents.learners.batching import MicroBatch, Packed, pack, whole_rows
from agents.learners.head import Head, target_logprobs
from agents.learners.supervised import token_divergence

PACKED = "packed_rows"  # the attention that reads a `Packed`; transformers' own sdpa without one
# models whose layers mix positions by full causal attention alone, and hand on what attention is told
PACKABLE = frozenset({"llama", "qwen2", "qwen3", "qwen3_moe"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """How a micro-batch goes through a model; with dtype bfloat16 under autocast.

    Logits are divided by the temperature of the sampling, so that ratios compare like with like. The
    vocabulary head runs on completion tokens only.
    """

    device: str
    dtype: str
    temperature: float
    checkpointing: bool = False

    def logprobs(self, model: Any, batch: MicroBatch) -> torch.Tensor:
        """(b, t): of every completion token; 0 on padding."""
        batch = batch.to(self.device)
        drawn = batch.loss_mask.bool()
        targets = batch.targets[drawn]
        with self._autocast():
            head = Head(models.causal(model))
            chosen = target_logprobs(head, self._states(model, batch), targets, self.temperature)
        return self._spread(chosen, drawn)

    def with_divergences(
        self, model: Any, teacher: Any, batch: MicroBatch, kind: str, mix: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, t) each: the log-probabilities, and the divergence from the teacher's distribution."""
        batch = batch.to(self.device)
        drawn = batch.loss_mask.bool()
        with torch.no_grad():
            taught = self._logits(teacher, batch)
        logits = self._logits(model, batch)
        chosen = logits.gather(-1, batch.targets[drawn][:, None])[:, 0] - logits.logsumexp(-1)
        apart = token_divergence(logits, taught, kind, mix)
        return self._spread(chosen, drawn), self._spread(apart, drawn)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bfloat16")

    def _spread(self, values: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """(b, t) from one value a completion token."""
        empty = torch.zeros(drawn.shape, device=self.device)
        return empty.masked_scatter(drawn, values.to(self.device))

    def _logits(self, model: Any, batch: MicroBatch) -> torch.Tensor:
        """(n, vocabulary) in float32: of the n completion tokens."""
        with self._autocast():
            logits = Head(models.causal(model))(self._states(model, batch))
        return (logits.float() / self.temperature).to(self.device)

    def _states(self, model: Any, batch: MicroBatch) -> torch.Tensor:
        """(n, d): the states that predict each of the n completion tokens, row by row."""
        body = models.causal(model).base_model
        return _packed(body, batch) if packable(body.config) else _plain(body, batch)


def packable(config: Any) -> bool:
    """Whether a model with this configuration reads a packed line."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return config.model_type in PACKABLE and kinds == {"full_attention"}


def _packed(body: Any, batch: MicroBatch) -> torch.Tensor:
    """(n, d), each group's prompt run once and nothing padded, but for the rows that attention sees."""
    packed = pack(batch.groups).to(batch.targets.device)
    body.config._attn_implementation = PACKED
    states = body(
        input_ids=packed.token_ids,
        position_ids=packed.positions,
        # one of four dimensions is handed on as it is, instead of a mask that nobody reads
        attention_mask=torch.empty((1, 1, 0, 0), device=packed.token_ids.device),
        use_cache=False,
        packed=packed,
    ).last_hidden_state[0]
    return _Gather.apply(states, packed.before.to(states.device))


def _plain(body: Any, batch: MicroBatch) -> torch.Tensor:
    """(n, d) of any model, each completion after its own copy of the prompt.

    Padding stands behind, where nothing causal looks at it. So no mask has to be understood, and
    positions, windows and recurrent states are those of each sequence alone.
    """
    token_ids, before = whole_rows(batch.groups)
    states = body(input_ids=token_ids.to(batch.targets.device), use_cache=False)[0]
    return _Gather.apply(states.flatten(0, 1), before.to(states.device))


# -- attention over a packed line -----------------------------------------------------------------


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed: Packed | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """(1, N, heads, d): causal attention within each row. query, key, value: (1, heads, N, d)."""
    if packed is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **settings
        )
    packed = packed.to(query.device)
    rows = [_ToRows.apply(each[0].transpose(0, 1), packed) for each in (query, key, value)]
    query, key, value = (each.transpose(1, 2) for each in rows)
    seen = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        dropout_p=dropout,
        scale=scaling,
        is_causal=True,
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return _FromRows.apply(seen.transpose(1, 2), packed)[None], None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)


class _ToRows(torch.autograd.Function):
    """(N, heads, d) -> (b, l, heads, d). Gradients of a prompt's copies are added in a fixed order:
    those of plain indexing are added by several threads in any, and runs would differ in the last bit.
    """

    @staticmethod
    def forward(ctx: Any, line: torch.Tensor, packed: Packed) -> torch.Tensor:
        ctx.packed = packed
        return line.index_select(0, packed.to_rows).unflatten(0, (packed.rows, -1))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        rows = gradient.flatten(0, 1)
        line = rows.index_select(0, ctx.packed.from_rows)
        for places, copies in ctx.packed.repeats:
            total = line.index_select(0, places) + rows.index_select(0, copies)
            line.index_copy_(0, places, total)
        return line, None


class _FromRows(torch.autograd.Function):
    """(b, l, heads, d) -> (N, heads, d)."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, packed: Packed) -> torch.Tensor:
        ctx.packed = packed
        return rows.flatten(0, 1).index_select(0, packed.from_rows)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        shape = (ctx.packed.to_rows.shape[0], *gradient.shape[1:])
        rows = gradient.new_zeros(shape).index_copy_(0, ctx.packed.from_rows, gradient)
        return rows.unflatten(0, (ctx.packed.rows, -1)), None


class _Gather(torch.autograd.Function):
    """(N, d) -> (n, d): `index_select`, with gradients of one place added in a fixed order."""

    @staticmethod
    def forward(ctx: Any, line: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.length = len(line)
        return line.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        line = gradient.new_zeros((ctx.length, gradient.shape[1]))
        return line.index_add_(0, places, gradient), None
