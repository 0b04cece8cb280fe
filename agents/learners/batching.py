"""From groups of completions to padded micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sequence of a group: prompt and completion as token ids."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...] = ()
    weight: float = 0.0

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.token_ids)


@dataclass(slots=True, kw_only=True)
class TokenGroup:
    """A group as token ids; `pairs` are (chosen, rejected) positions in `rows`.

    `ref_logprobs[i]`, once computed, has the length of `rows[i].token_ids`.
    """

    rows: list[Row]
    pairs: list[tuple[int, int]]
    ref_logprobs: list[torch.Tensor] | None = None

    @property
    def longest(self) -> int:
        return max(row.length for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Whole groups, padded on the right. Shapes: b sequences, s positions, t completion tokens.

    `input_ids`, `attention_mask`: (b, s). `positions`: (b, t), where in s the logits of each
    completion token stand (one before the token itself). `targets`, `loss_mask`: (b, t).
    """

    groups: list[TokenGroup]
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    loss_mask: torch.Tensor

    @property
    def rows(self) -> list[Row]:
        return [row for group in self.groups for row in group.rows]

    def padded(self, values: Sequence[Sequence[float] | torch.Tensor]) -> torch.Tensor:
        """One value for each completion token, padded with zeros to (b, t)."""
        result = torch.zeros_like(self.loss_mask)
        for row, numbers in enumerate(values):
            result[row, : len(numbers)] = torch.as_tensor(numbers, dtype=result.dtype)
        return result

    def pairs(self) -> torch.Tensor:
        """(p, 2): rows of the chosen and the rejected sequences."""
        pairs, first = [], 0
        for group in self.groups:
            pairs += [(first + chosen, first + rejected) for chosen, rejected in group.pairs]
            first += len(group.rows)
        return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


def collate(groups: list[TokenGroup], pad_id: int) -> MicroBatch:
    rows = [row for group in groups for row in group.rows]
    width = max(row.length for row in rows)
    tokens = max(len(row.token_ids) for row in rows)
    input_ids = torch.full((len(rows), width), pad_id)
    attention_mask = torch.zeros((len(rows), width), dtype=torch.long)
    positions = torch.zeros((len(rows), tokens), dtype=torch.long)
    targets = torch.zeros((len(rows), tokens), dtype=torch.long)
    loss_mask = torch.zeros((len(rows), tokens))
    for i, row in enumerate(rows):
        prompt, completion = len(row.prompt_ids), len(row.token_ids)
        input_ids[i, : row.length] = torch.tensor(row.prompt_ids + row.token_ids)
        attention_mask[i, : row.length] = 1
        positions[i, :completion] = torch.arange(prompt - 1, prompt - 1 + completion)
        targets[i, :completion] = torch.tensor(row.token_ids)
        loss_mask[i, :completion] = 1.0
    return MicroBatch(
        groups=groups,
        input_ids=input_ids,
        attention_mask=attention_mask,
        positions=positions,
        targets=targets,
        loss_mask=loss_mask,
    )


def micro_batches(
    groups: Sequence[TokenGroup], token_budget: int, pad_id: int
) -> Iterator[MicroBatch]:
    """Groups sorted by length, packed so that b · s stays within the budget (or one group)."""
    chunk: list[TokenGroup] = []
    for group in sorted(groups, key=lambda group: group.longest):
        sequences = sum(len(member.rows) for member in [*chunk, group])
        if chunk and sequences * group.longest > token_budget:
            yield collate(chunk, pad_id)
            chunk = []
        chunk.append(group)
    if chunk:
        yield collate(chunk, pad_id)
