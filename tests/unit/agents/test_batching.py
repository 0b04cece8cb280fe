"""Exact prompt, target and mask lists of padded micro-batches."""

from __future__ import annotations

import torch

from agents.learners.batching import Row, TokenGroup, collate, micro_batches, pack


def group(
    prompt: int, *completions: int, pairs: list[tuple[int, int]] | None = None, first: int = 10
) -> TokenGroup:
    """Prompt tokens 10, 11, …, and completions of the given lengths, each 50, 51, …"""
    return TokenGroup(
        prompt_ids=tuple(range(first, first + prompt)),
        rows=[Row(token_ids=tuple(range(first + 40, first + 40 + n))) for n in completions],
        pairs=pairs or [],
    )


def test_collate_writes_exact_lists() -> None:
    """A prompt of three with completions of two and one, then a prompt of one with one of three.

    Prompts end in the same column, where the first token of every completion is predicted.
    """
    batch = collate([group(3, 2, 1), group(1, 3)], pad_id=0)
    assert batch.prompt_ids.tolist() == [[10, 11, 12], [0, 0, 10]]
    assert batch.prompt_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert batch.group_of_row.tolist() == [0, 0, 1]
    assert batch.targets.tolist() == [[50, 51, 0], [50, 0, 0], [50, 51, 52]]
    assert batch.loss_mask.tolist() == [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]


def test_padding_uses_the_pad_id() -> None:
    batch = collate([group(1, 1), group(2, 2)], pad_id=99)
    assert batch.prompt_ids.tolist() == [[99, 10], [10, 11]]
    assert batch.targets.tolist() == [[50, 99], [50, 51]]
    assert batch.prompt_mask.tolist() == [[0, 1], [1, 1]]


def test_every_row_keeps_its_prompt() -> None:
    groups = [group(2, 1, 5, first=100), group(4, 3, first=200), group(1, 2, 2, 2, first=300)]
    batch = collate(groups, pad_id=0)
    assert batch.rows == [row for one in groups for row in one.rows]
    for row, mask, target, owner in zip(
        batch.rows, batch.loss_mask, batch.targets, batch.group_of_row, strict=True
    ):
        assert tuple(target[mask.bool()].tolist()) == row.token_ids
        prompt = batch.prompt_ids[owner][batch.prompt_mask[owner].bool()]
        assert tuple(prompt.tolist()) == groups[owner].prompt_ids
        assert row in groups[owner].rows


def test_pairs_point_at_the_rows_of_the_batch() -> None:
    """The second group starts at row 3: its pair (1, 0) is rows 4 and 3."""
    first = group(1, 1, 2, 3, pairs=[(0, 1), (0, 2)])
    second = group(1, 1, 2, pairs=[(1, 0)])
    assert collate([first, second], pad_id=0).pairs().tolist() == [[0, 1], [0, 2], [4, 3]]


def test_no_pairs_is_an_empty_table_of_two_columns() -> None:
    assert tuple(collate([group(1, 1)], pad_id=0).pairs().shape) == (0, 2)


def test_padded_fills_with_zeros() -> None:
    batch = collate([group(1, 2, 3)], pad_id=0)
    got = batch.padded([[-0.5, -0.25], torch.tensor([-1.0, -2.0, -3.0])])
    assert got.tolist() == [[-0.5, -0.25, 0.0], [-1.0, -2.0, -3.0]]


def test_micro_batches_sort_by_length_and_keep_the_budget() -> None:
    """Prompt and longest completion: 8, 3, 5, 3, two completions each. Sorted 3, 3, 5, 8; budget 20:

    3 and 3: 4 rows · 3 = 12 fits; with 5: 6 · 5 = 30 does not; 5 alone: 2 · 5 = 10; with 8:
    4 · 8 = 32 does not; 8 alone: 16.
    """
    groups = [group(4, 4, 1), group(1, 2, 1), group(3, 1, 2), group(2, 1, 1)]
    batches = list(micro_batches(groups, token_budget=20, pad_id=0))
    assert [[one.longest for one in batch.groups] for batch in batches] == [[3, 3], [5], [8]]


def test_micro_batches_hold_every_group_once_and_never_split_one() -> None:
    random = torch.Generator().manual_seed(0)
    groups = [
        group(1 + i % 5, *(torch.randint(1, 10, (4,), generator=random).tolist()))
        for i in range(23)
    ]
    batches = list(micro_batches(groups, token_budget=100, pad_id=0))
    assert sorted(id(g) for batch in batches for g in batch.groups) == sorted(map(id, groups))
    assert len(batches) > 1
    for batch in batches:
        assert len(batch.rows) * max(one.longest for one in batch.groups) <= 100


def test_a_group_over_the_budget_goes_alone() -> None:
    groups = [group(10, 10, 10), group(1, 1)]
    batches = list(micro_batches(groups, token_budget=16, pad_id=0))
    assert [len(batch.groups) for batch in batches] == [1, 1]
    assert batches[1].targets.shape == (2, 10)


def test_no_groups_give_no_micro_batch() -> None:
    assert list(micro_batches([], token_budget=16, pad_id=0)) == []


def test_packed_line_by_hand() -> None:
    """Prompts (10, 11) and (20); completions (50, 51), (50) and (60, 61, 62). The last tokens are not read:

    line    10 11 50 | 20 60 61
    place    0  1  2    3  4  5
    rows    [0 1 2] [0 1 .] [3 4 5], of 3 positions each
    """
    packed = pack([group(2, 2, 1), group(1, 3, first=20)])
    assert packed.token_ids.tolist() == [[10, 11, 50, 20, 60, 61]]
    assert packed.positions.tolist() == [[0, 1, 2, 0, 1, 2]]
    assert packed.rows == 3
    rows = packed.to_rows.view(3, 3).tolist()
    assert rows[0] == [0, 1, 2]
    assert rows[1][:2] == [0, 1]
    assert rows[2] == [3, 4, 5]
    assert packed.from_rows.tolist() == [0, 1, 2, 6, 7, 8]
    assert [(line.tolist(), row.tolist()) for line, row in packed.repeats] == [([0, 1], [3, 4])]
    assert packed.before.tolist() == [1, 2, 1, 3, 4, 5]


def test_packed_lines_hold_each_token_once() -> None:
    groups = [group(2, 1, 5, 3, first=100), group(4, 3, first=200), group(1, 2, 2, first=300)]
    packed = pack(groups)
    total = sum(len(one.prompt_ids) + sum(len(r.token_ids) - 1 for r in one.rows) for one in groups)
    assert packed.token_ids.shape == packed.positions.shape == (1, total)
    places = packed.from_rows.tolist() + [i for _, rows in packed.repeats for i in rows.tolist()]
    assert len(set(places)) == len(places)  # of the rows: none stands for two tokens
    assert packed.to_rows[packed.from_rows].tolist() == list(range(total))
    assert [len(set(line.tolist())) == len(line) for line, _ in packed.repeats] == [True, True]
    assert len(packed.before) == sum(len(r.token_ids) for one in groups for r in one.rows)
