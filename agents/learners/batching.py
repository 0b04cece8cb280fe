"""From groups of completions to padded micro-batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One completion of a group as token ids."""

    token_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...] = ()
    weight: float = 0.0


@dataclass(slots=True, kw_only=True)
class TokenGroup:
    """A group as token ids; `pairs` are (chosen, rejected) positions in `rows`.

    `ref_logprobs[i]`, once computed, has the length of `rows[i].token_ids`.
    """

    prompt_ids: tuple[int, ...]
    rows: list[Row]
    pairs: list[tuple[int, int]]
    ref_logprobs: list[torch.Tensor] | None = None

    @property
    def longest(self) -> int:
        """Positions of the prompt and the longest completion."""
        return len(self.prompt_ids) + max(len(row.token_ids) for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Whole groups; a group's prompt stands once, however many completions it has.

    Shapes: g groups, s positions of the longest prompt, b completions, t tokens of the longest.
    `prompt_ids`, `prompt_mask`: (g, s), padded on the left. `group_of_row`: (b,), whose prompt a
    completion follows. `targets`, `loss_mask`: (b, t), padded on the right.
    """

    groups: list[TokenGroup]
    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    group_of_row: torch.Tensor
    targets: torch.Tensor
    loss_mask: torch.Tensor

    @property
    def rows(self) -> list[Row]:
        return [row for group in self.groups for row in group.rows]

    def to(self, device: str) -> MicroBatch:
        """The same with its tensors on a device."""
        names = ("prompt_ids", "prompt_mask", "group_of_row", "targets", "loss_mask")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in names})

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
    width = max(len(group.prompt_ids) for group in groups)
    tokens = max(len(row.token_ids) for row in rows)
    prompt_ids = torch.full((len(groups), width), pad_id)
    prompt_mask = torch.zeros((len(groups), width), dtype=torch.long)
    targets = torch.full((len(rows), tokens), pad_id)
    loss_mask = torch.zeros((len(rows), tokens))
    for i, group in enumerate(groups):
        prompt_ids[i, width - len(group.prompt_ids) :] = torch.tensor(group.prompt_ids)
        prompt_mask[i, width - len(group.prompt_ids) :] = 1
    for i, row in enumerate(rows):
        targets[i, : len(row.token_ids)] = torch.tensor(row.token_ids)
        loss_mask[i, : len(row.token_ids)] = 1.0
    sizes = torch.tensor([len(group.rows) for group in groups])
    return MicroBatch(
        groups=groups,
        prompt_ids=prompt_ids,
        prompt_mask=prompt_mask,
        group_of_row=torch.arange(len(groups)).repeat_interleave(sizes),
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
