"""Exact position, target and mask lists of padded micro-batches."""

from __future__ import annotations

import torch

from agents.learners.batching import Row, TokenGroup, collate, micro_batches


def row(prompt: int, completion: int, first: int = 10) -> Row:
    """Prompt tokens 10, 11, …, completion tokens 50, 51, … (for first = 10)."""
    return Row(
        prompt_ids=tuple(range(first, first + prompt)),
        token_ids=tuple(range(first + 40, first + 40 + completion)),
    )


def group(*lengths: tuple[int, int], pairs: list[tuple[int, int]] | None = None) -> TokenGroup:
    return TokenGroup(rows=[row(*pair) for pair in lengths], pairs=pairs or [])


def test_collate_writes_exact_lists() -> None:
    """Row 0: prompt 10 11 12, completion 50 51. Row 1: prompt 10, completion 50 51 52.

    The logits that predict position i stand at i - 1: completions start at 3 and 1, so their
    tokens are read at 2, 3 and at 0, 1, 2.
    """
    batch = collate([group((3, 2)), group((1, 3))], pad_id=0)
    assert batch.input_ids.tolist() == [[10, 11, 12, 50, 51], [10, 50, 51, 52, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert batch.positions.tolist() == [[2, 3, 0], [0, 1, 2]]
    assert batch.targets.tolist() == [[50, 51, 0], [50, 51, 52]]
    assert batch.loss_mask.tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]


def test_every_target_follows_its_position() -> None:
    batch = collate([group((4, 1), (2, 6)), group((7, 3))], pad_id=0)
    for i in range(len(batch.rows)):
        for t in range(int(batch.loss_mask[i].sum())):
            assert batch.input_ids[i, batch.positions[i, t] + 1] == batch.targets[i, t]


def test_padding_uses_the_pad_id() -> None:
    batch = collate([group((1, 1), (2, 2))], pad_id=99)
    assert batch.input_ids.tolist() == [[10, 50, 99, 99], [10, 11, 50, 51]]


def test_pairs_point_at_the_rows_of_the_batch() -> None:
    """The second group starts at row 3: its pair (1, 0) is rows 4 and 3."""
    first = group((1, 1), (1, 2), (1, 3), pairs=[(0, 1), (0, 2)])
    second = group((1, 1), (1, 2), pairs=[(1, 0)])
    batch = collate([first, second], pad_id=0)
    assert batch.pairs().tolist() == [[0, 1], [0, 2], [4, 3]]
    assert batch.rows == first.rows + second.rows


def test_no_pairs_is_an_empty_table_of_two_columns() -> None:
    assert tuple(collate([group((1, 1))], pad_id=0).pairs().shape) == (0, 2)


def test_padded_fills_with_zeros() -> None:
    batch = collate([group((1, 2), (1, 3))], pad_id=0)
    got = batch.padded([[-0.5, -0.25], torch.tensor([-1.0, -2.0, -3.0])])
    assert got.tolist() == [[-0.5, -0.25, 0.0], [-1.0, -2.0, -3.0]]


def test_micro_batches_sort_by_length_and_keep_the_budget() -> None:
    """Longest rows 8, 3, 5, 3 with two rows each. Sorted 3, 3, 5, 8; budget 20:

    3 and 3: 4 rows · 3 = 12 fits; with 5: 6 · 5 = 30 does not; 5 alone: 2 · 5 = 10; with 8:
    4 · 8 = 32 does not; 8 alone: 16.
    """
    groups = [
        group((4, 4), (1, 1)),
        group((1, 2), (1, 1)),
        group((3, 2), (1, 1)),
        group((2, 1), (1, 1)),
    ]
    batches = list(micro_batches(groups, token_budget=20, pad_id=0))
    assert [[g.longest for g in batch.groups] for batch in batches] == [[3, 3], [5], [8]]
    assert all(batch.input_ids.numel() <= 20 for batch in batches)


def test_micro_batches_hold_every_group_once_and_never_split_one() -> None:
    random = torch.Generator().manual_seed(0)
    groups = [
        group(*[(1 + i % 5, 1 + int(n)) for n in torch.randint(0, 9, (4,), generator=random)])
        for i in range(23)
    ]
    batches = list(micro_batches(groups, token_budget=100, pad_id=0))
    assert sorted(id(g) for batch in batches for g in batch.groups) == sorted(map(id, groups))
    assert len(batches) > 1
    for batch in batches:
        assert batch.input_ids.numel() <= 100


def test_a_group_over_the_budget_goes_alone() -> None:
    groups = [group((10, 10), (10, 10)), group((1, 1))]
    batches = list(micro_batches(groups, token_budget=16, pad_id=0))
    assert [len(batch.groups) for batch in batches] == [1, 1]
    assert batches[1].input_ids.shape == (2, 20)


def test_no_groups_give_no_micro_batch() -> None:
    assert list(micro_batches([], token_budget=16, pad_id=0)) == []
