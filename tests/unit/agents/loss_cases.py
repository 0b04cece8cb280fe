"""What the tests of objectives share: ragged rows, padding full of garbage, losses with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from agents.learners.inputs import Counts, LossInputs, Metrics
from agents.learners.objectives import resolved
from coevo.config import LearnerConfig

GARBAGE = 7.7  # in every padded position: a mask that is off by one changes the numbers
LONGEST = 8.0  # tokens that a completion may have; no row of the tests is as long
LENGTHS = [3, 5, 1, 4]

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an objective is given, without padding: a row a sequence, a number a token."""

    rows: Rows
    ref: Rows | None = None
    old: Rows | None = None
    sampling: Rows | None = None
    divergences: Rows | None = None
    weights: Sequence[float] | None = None
    success: Sequence[float] | None = None
    right: Sequence[float] | None = None
    pairs: Sequence[tuple[int, int]] | None = None
    baseline: float = 0.0

    @property
    def counts(self) -> Counts:
        """Those of a step that consists of this case alone."""
        return Counts(
            sequences=len(self.rows),
            tokens=sum(len(row) for row in self.rows),
            pairs=len(self.pairs or ()),
            chosen=len({chosen for chosen, _ in self.pairs or ()}),
            right=sum(self.right or ()) or 1,
            longest=LONGEST,
        )

    def part(self, wanted: Sequence[int]) -> Case:
        """The `wanted` rows in their order, with the pairs among them."""

        def pick(values: Any) -> Any:
            return None if values is None else [values[i] for i in wanted]

        place = {row: position for position, row in enumerate(wanted)}
        return Case(
            rows=pick(self.rows),
            ref=pick(self.ref),
            old=pick(self.old),
            sampling=pick(self.sampling),
            divergences=pick(self.divergences),
            weights=pick(self.weights),
            success=pick(self.success),
            right=pick(self.right),
            pairs=[(place[w], place[r]) for w, r in self.pairs or () if {w, r} <= set(wanted)],
            baseline=self.baseline,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A loss, its metrics, and its gradients by the log-probabilities and divergences of each token."""

    loss: float
    gradient: list[list[float]]
    of_divergences: list[list[float]]
    metrics: Metrics

    @property
    def flat(self) -> list[float]:
        return [value for row in self.gradient for value in row]


def settings(objective: str, **changes: Any) -> Any:
    """A configuration of the objective, its `default`s resolved."""
    return resolved(LearnerConfig(objective=objective, **changes))[1]


def padded(rows: Rows, garbage: float = GARBAGE) -> torch.Tensor:
    """(b, t) in float64, every row followed by at least one position of garbage."""
    width = max(len(row) for row in rows) + 1
    filled = [[*row, *[garbage] * (width - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.double)


def mask_of(rows: Rows) -> torch.Tensor:
    ones = [[1.0] * len(row) for row in rows]
    return padded(ones, garbage=0.0)


def inputs_of(case: Case, counts: Counts | None = None, garbage: float = GARBAGE) -> LossInputs:
    """The case as a padded micro-batch of a step with these counts, by default its own."""

    def pad(rows: Rows | None) -> torch.Tensor | None:
        return None if rows is None else padded(rows, garbage)

    def column(values: Sequence[float] | None) -> torch.Tensor | None:
        return None if values is None else torch.tensor(values, dtype=torch.double)

    divergences = pad(case.divergences)
    return LossInputs(
        logprobs=padded(case.rows, garbage).requires_grad_(),
        loss_mask=mask_of(case.rows),
        counts=counts or case.counts,
        ref_logprobs=pad(case.ref),
        old_logprobs=pad(case.old),
        sampling_logprobs=pad(case.sampling),
        divergences=None if divergences is None else divergences.requires_grad_(),
        weights=column(case.weights),
        success=column(case.success),
        right=column(case.right),
        pairs=torch.tensor(case.pairs or [], dtype=torch.long).reshape(-1, 2),
        baseline=case.baseline,
    )


def evaluate(
    function: Callable[..., Any],
    config: Any,
    case: Case,
    counts: Counts | None = None,
    garbage: float = GARBAGE,
) -> Outcome:
    """The loss of a case; asserts that no gradient reaches the padding, whatever stands there."""
    inputs = inputs_of(case, counts, garbage)
    loss, metrics = function(inputs, config)

    def gradient(by: torch.Tensor | None) -> list[list[float]]:
        if by is None:
            return []
        (found,) = torch.autograd.grad(loss, by, retain_graph=True, materialize_grads=True)
        assert torch.all(found[inputs.loss_mask == 0] == 0)
        return [line[: len(row)].tolist() for line, row in zip(found, case.rows, strict=True)]

    return Outcome(
        loss=loss.item(),
        gradient=gradient(inputs.logprobs),
        of_divergences=gradient(inputs.divergences),
        metrics=metrics,
    )


def draw(seed: int, corrected: bool = False) -> Case:
    """Four ragged rows of random tokens, close to each other under all policies.

    The log-probabilities of the update's beginning are there only where they are `corrected` for, as
    the learner has it.
    """
    random = torch.Generator().manual_seed(seed)

    def noise() -> list[torch.Tensor]:
        return [torch.randn(n, generator=random, dtype=torch.double) for n in LENGTHS]

    current = [-1.5 - value.abs() for value in noise()]

    def near() -> Rows:
        return [(row + 0.4 * value).tolist() for row, value in zip(current, noise(), strict=True)]

    return Case(
        rows=[row.tolist() for row in current],
        ref=near(),
        old=near() if corrected else None,
        sampling=near(),
        divergences=[value.abs().tolist() for value in noise()],
        weights=torch.randn(4, generator=random, dtype=torch.double).tolist(),
        success=torch.rand(4, generator=random, dtype=torch.double).tolist(),
        right=[1.0, 0.0, 1.0, 1.0],
        pairs=[(0, 1), (0, 2), (3, 1)],
        baseline=0.1,
    )


def by_reduction(terms: Sequence[Sequence[torch.Tensor]], reduction: str) -> torch.Tensor:
    """The loss of a whole step from its terms, one a token, as the papers write it."""
    total = torch.zeros((), dtype=torch.double)
    for line in terms:
        for term in line:
            if reduction == "sum":
                total = total + term / len(terms)
            elif reduction == "mean":
                total = total + term / len(line) / len(terms)
            elif reduction == "token":
                total = total + term / sum(len(other) for other in terms)
            else:
                assert reduction == "constant"
                total = total + term / LONGEST / len(terms)
    return total


def assert_follows(
    function: Callable[..., Any],
    definition: Callable[..., torch.Tensor],
    config: Any,
    case: Case,
) -> None:
    """Loss and gradients are those of `definition(config, case, rows, divergences)`, by autograd."""
    leaves = [torch.tensor(row, dtype=torch.double, requires_grad=True) for row in case.rows]
    apart = [
        torch.tensor(row, dtype=torch.double, requires_grad=True) for row in case.divergences or ()
    ]
    expected = definition(config, case, leaves, apart)
    wanted = torch.autograd.grad(expected, [*leaves, *apart], materialize_grads=True)
    got = evaluate(function, config, case)
    assert abs(got.loss - expected.item()) < 1e-12
    found = [*got.gradient, *got.of_divergences]
    for line, gradient in zip(found, wanted, strict=True):
        assert torch.allclose(torch.tensor(line, dtype=torch.double), gradient, rtol=0, atol=1e-12)
