"""From a round's groups to token ids, with what cannot teach left out and counted."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import MutableMapping, Sequence
from typing import Any

from agents.learners.advantages import estimate
from agents.learners.batching import Row, TokenGroup
from agents.learners.objectives import Objective
from agents.records import Completion, Group
from agents.tokens import Tokens


class BadGroup(ValueError):
    """A group that no learner can read; the message says which and why."""


def prepare(
    groups: Sequence[Group],
    objective: Objective,
    settings: Any,
    tokens: Tokens,
    baselines: MutableMapping[str, float],
) -> tuple[list[TokenGroup], dict[str, float]]:
    """Token groups for the objective, and counts of what is in them and what was left out.

    Left out: completions without a token, completions that go on beyond the model's positions,
    completions without log-probabilities where those are needed, and then groups that give no gradient
    (no pairs, no advantage, no weight), of which right completions stay with `rft_weight`. Raises
    `BadGroup` for token ids outside the vocabulary, a prompt without a token, or rewards that are no numbers.
    """
    counts: Counter[str] = Counter(empty_completions=0)
    read = [_read(group, objective, tokens, counts) for group in groups]
    for group, token_group in zip(groups, read, strict=True):
        _check(group, token_group, tokens.rows)
    weights = _weights(read, groups, objective, settings, baselines)
    useful = []
    for token_group, own in zip(read, weights, strict=True):
        token_group.rows = [
            dataclasses.replace(row, weight=weight)
            for row, weight in zip(token_group.rows, own, strict=True)
        ]
        if not _teaches(token_group, objective):
            token_group.pairs = []
            token_group.rows = [
                row for row in token_group.rows if row.right and settings.rft_weight > 0
            ]
        if token_group.rows:
            useful.append(token_group)
    counts.update(
        groups=len(useful),
        groups_without_gradient=len(groups) - len(useful),
        sequences=sum(len(g.rows) for g in useful),
        pairs=sum(len(g.pairs) for g in useful),
        tokens=sum(len(g.prompt_ids) + sum(len(r.token_ids) for r in g.rows) for g in useful),
    )
    return useful, {name: float(count) for name, count in counts.items()}


def _read(group: Group, objective: Objective, tokens: Tokens, counts: Counter[str]) -> TokenGroup:
    """The group as token ids; a row's weight is its reward, 1 for a reference that is imitated."""
    prompt_ids = next((c.prompt_ids for c in group.completions if c.prompt_ids), None)
    if prompt_ids is None:
        prompt_ids = tuple(tokens.prompt(group.prompt))
    room = tokens.room(prompt_ids)
    rewards = group.rewards or (0.0,) * len(group.completions)
    ends = group.ends or (None,) * len(group.completions)
    rows: list[Row] = []
    place: dict[int, int] = {}  # of a completion among the rows
    seen: set[tuple[int, ...]] = set()
    for index, (completion, reward, end) in enumerate(
        zip(group.completions, rewards, ends, strict=True)
    ):
        row = _row(completion, _label(completion, reward, objective), end, tokens)
        if not row.token_ids:
            counts["empty_completions"] += 1
            continue
        if len(row.token_ids) > room:
            counts["completions_too_long"] += 1
            continue
        if objective.learns_from == "rewards" and len(row.sampling_logprobs) < len(row.token_ids):
            counts["completions_without_logprobs"] += 1
            continue
        right = reward > 0 or completion.finish_reason == "reference"
        if right and row.token_ids not in seen:
            seen.add(row.token_ids)
            row = dataclasses.replace(row, right=True)
        elif objective.learns_from == "positives":
            continue
        place[index] = len(rows)
        rows.append(row)
    drawn = [row.weight for row in rows]
    return TokenGroup(
        prompt_ids=prompt_ids,
        rows=rows,
        pairs=[
            (place[chosen], place[rejected])
            for chosen, rejected in group.pairs
            if chosen in place and rejected in place
        ],
        success=sum(weight > 0 for weight in drawn) / len(drawn) if drawn else 0.0,
    )


def _label(completion: Completion, reward: float, objective: Objective) -> float:
    """The reward; a reference solution, which has none as no policy drew it, counts as right where
    right is told from wrong."""
    told = objective.learns_from in ("labels", "positives")
    return 1.0 if told and completion.finish_reason == "reference" else reward


def _row(completion: Completion, weight: float, end: int | None, tokens: Tokens) -> Row:
    token_ids, logprobs = completion.token_ids, completion.logprobs
    version = completion.policy_version if token_ids else -1
    if (
        not token_ids and completion.text
    ):  # a text that no policy drew, such as a reference solution
        token_ids = tuple(tokens.completion(completion.text))
    if end is not None and end < len(completion.text):
        count = _tokens_of(tokens.tokenizer, token_ids, end)
        token_ids, logprobs = token_ids[:count], logprobs[:count]
    return Row(
        token_ids=tuple(token_ids),
        sampling_logprobs=logprobs,
        policy_version=version,
        weight=weight,
    )


def _tokens_of(tokenizer: Any, token_ids: Sequence[int], characters: int) -> int:
    """How many tokens it takes to write that many characters, at least one."""
    return next(
        (
            count
            for count in range(1, len(token_ids))
            if len(tokenizer.decode(token_ids[:count])) >= characters
        ),
        len(token_ids),
    )


def _weights(
    read: Sequence[TokenGroup],
    groups: Sequence[Group],
    objective: Objective,
    settings: Any,
    baselines: MutableMapping[str, float],
) -> list[list[float]]:
    """What each row weighs in the loss: its advantage, label or weight."""
    rewards = [[row.weight for row in token_group.rows] for token_group in read]
    if objective.learns_from == "rewards":
        for group, own in zip(groups, rewards, strict=True):
            if not all(map(math.isfinite, own)):
                raise BadGroup(f"problem {group.problem_id}: the rewards {own} are not all numbers")
        kept = [i for i, own in enumerate(rewards) if own]
        found = estimate(
            settings.advantage,
            [rewards[i] for i in kept],
            [groups[i].task for i in kept],
            baselines,
            settings.baseline_decay,
        )
        for i, own in zip(kept, found, strict=True):
            rewards[i] = own
    elif objective.learns_from == "everything":
        rewards = [[1.0] * len(own) for own in rewards]
    return rewards


def _teaches(group: TokenGroup, objective: Objective) -> bool:
    """Whether the group gives a gradient."""
    if objective.learns_from == "pairs":
        return bool(group.pairs)
    if objective.learns_from == "labels":
        return bool(group.rows)
    return any(row.weight for row in group.rows)


def trained_tokens(groups: Sequence[TokenGroup], objective: Objective, settings: Any) -> int:
    """Completion tokens that an optimizer step on these groups takes into its loss.

    Of pairs: those of every completion in a pair, once however many pairs it is in. Of weights to imitate:
    those of every completion whose weight is not 0. Of rewards and labels: those of all completions. With
    `rft_weight` those of all right completions, once too. Prompts and what `prepare` leaves out carry no
    loss.
    """
    total = 0
    for group in groups:
        paired = {i for pair in group.pairs for i in pair}
        for i, row in enumerate(group.rows):
            if objective.learns_from == "pairs":
                counts = i in paired
            elif objective.learns_from in ("weights", "positives"):
                counts = row.weight != 0
            else:
                counts = True
            if counts or (settings.rft_weight > 0 and row.right):
                total += len(row.token_ids)
    return total


def _check(group: Group, token_group: TokenGroup, vocabulary: int) -> None:
    if not token_group.prompt_ids:
        raise BadGroup(f"problem {group.problem_id}: the prompt {group.prompt!r} has no token")
    for name, ids in (
        ("prompt", token_group.prompt_ids),
        *((f"completion {i}", row.token_ids) for i, row in enumerate(token_group.rows)),
    ):
        if ids and not (min(ids) >= 0 and max(ids) < vocabulary):
            bad = next(one for one in ids if not 0 <= one < vocabulary)
            raise BadGroup(
                f"problem {group.problem_id}, {name}: token id {bad} is outside the model's "
                f"vocabulary of {vocabulary}; was it drawn by another model?"
            )
