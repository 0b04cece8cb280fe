"""From groups of completions to padded micro-batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One completion of a group as token ids; `policy_version` is -1 where no policy drew it.

    `right`: it is right, and the first of its group with these tokens.
    """

    token_ids: tuple[int, ...]
    sampling_logprobs: tuple[float, ...] = ()
    policy_version: int = -1
    weight: float = 0.0
    right: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class TokenGroup:
    """A group as token ids; `pairs` are (chosen, rejected) positions in `rows`.

    `success` is the share of right completions. `ref_logprobs[i]` and `old_logprobs[i]`, once computed,
    have the length of `rows[i].token_ids`. `mismatched`, for KTO, is this prompt with the
    completions of another.
    """

    prompt_ids: tuple[int, ...]
    rows: list[Row]
    pairs: list[tuple[int, int]]
    success: float = 0.0
    ref_logprobs: list[torch.Tensor] | None = None
    old_logprobs: list[torch.Tensor] | None = None
    mismatched: TokenGroup | None = None

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

    def split(self, values: torch.Tensor) -> list[list[torch.Tensor]]:
        """(b, t) values as one tensor a completion, by group: the inverse of `padded`."""
        lines = iter(values.detach().cpu())
        return [
            [next(lines)[: len(row.token_ids)].clone() for row in group.rows]
            for group in self.groups
        ]

    def pairs(self) -> torch.Tensor:
        """(p, 2): rows of the chosen and the rejected sequences."""
        pairs, first = [], 0
        for group in self.groups:
            pairs += [(first + chosen, first + rejected) for chosen, rejected in group.pairs]
            first += len(group.rows)
        return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The tokens of a micro-batch in one line without padding: a prompt once, its completions after it.

    Each completion but for its last token, which is predicted and not read. Attention sees b rows, a
    prompt and a completion each, padded on the right to l positions. Shapes: N tokens in the line,
    n predicted ones. `token_ids`, `positions`: (1, N). `to_rows`: (b · l,), the place in the line of
    each position of a row. `from_rows`: (N,), where in the rows each token stands, a prompt in
    its first row. `repeats`: places in the line and in the rows of the prompts' further copies,
    no place twice in one entry. `before`: (n,), the place before each predicted token.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    rows: int
    to_rows: torch.Tensor
    from_rows: torch.Tensor
    repeats: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    before: torch.Tensor

    def to(self, device: torch.device | str) -> Packed:
        """The same with its tensors on a device."""
        if self.token_ids.device == torch.device(device):
            return self
        names = ("token_ids", "positions", "to_rows", "from_rows", "before")
        moved = {name: getattr(self, name).to(device) for name in names}
        repeats = tuple((line.to(device), row.to(device)) for line, row in self.repeats)
        return dataclasses.replace(self, repeats=repeats, **moved)


def pack(groups: Sequence[TokenGroup]) -> Packed:
    """The groups' tokens in one line; on the CPU."""
    width = max(group.longest for group in groups) - 1
    ids: list[int] = []
    positions, to_rows, from_rows, before = [], [], [], []
    repeats: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    row = 0
    for group in groups:
        size = len(group.prompt_ids)
        prompt = torch.arange(len(ids), len(ids) + size)
        ids += group.prompt_ids
        positions.append(torch.arange(size))
        from_rows.append(torch.arange(row * width, row * width + size))
        for copy, completion in enumerate(group.rows):
            read = len(completion.token_ids) - 1
            own = torch.arange(len(ids), len(ids) + read)
            ids += completion.token_ids[:-1]
            start = row * width
            positions.append(torch.arange(size, size + read))
            from_rows.append(torch.arange(start + size, start + size + read))
            # what stands in the padding is never looked at: the rows are causal
            to_rows += [prompt, own, prompt.new_zeros(width - size - read)]
            before += [prompt[-1:], own]
            if copy:
                if len(repeats) < copy:
                    repeats.append([])
                repeats[copy - 1].append((prompt, torch.arange(start, start + size)))
            row += 1
    return Packed(
        token_ids=torch.tensor([ids]),
        positions=torch.cat(positions)[None],
        rows=row,
        to_rows=torch.cat(to_rows),
        from_rows=torch.cat(from_rows),
        repeats=tuple(
            (torch.cat(line), torch.cat(rows))
            for line, rows in (zip(*each, strict=True) for each in repeats)
        ),
        before=torch.cat(before),
    )


def whole_rows(groups: Sequence[TokenGroup]) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, l) token ids, a prompt and a completion each, padded on the right; and (n,) the places, in the
    rows one after the other, before each completion token. On the CPU.

    The last token of a completion is predicted and not read. Padding repeats the first token: a
    model's own padding id may be none, or make it warn of a missing mask.
    """
    width = max(group.longest for group in groups) - 1
    rows: list[list[int]] = []
    before = []
    for group in groups:
        for completion in group.rows:
            ids = [*group.prompt_ids, *completion.token_ids[:-1]]
            first = len(rows) * width + len(group.prompt_ids) - 1
            before.append(torch.arange(first, first + len(completion.token_ids)))
            rows.append(ids + ids[:1] * (width - len(ids)))
    return torch.tensor(rows), torch.cat(before)


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
