"""How far the drawn tokens are from the learner, against numbers derived by hand."""

from __future__ import annotations

import math

import pytest
import torch

from agents.learners.batching import MicroBatch, Row, TokenGroup, collate
from agents.learners.diagnostics import Drift

GARBAGE = 7.7


def batch(*rows: Row) -> MicroBatch:
    return collate([TokenGroup(prompt_ids=(5,), rows=list(rows), pairs=[])], pad_id=0)


def row(ratios: list[float], version: int = 0) -> tuple[Row, list[float]]:
    """A completion drawn at log-probability -1, and the learner's own, by their ratio."""
    tokens = tuple(range(10, 10 + len(ratios)))
    drawn = Row(token_ids=tokens, sampling_logprobs=(-1.0,) * len(tokens), policy_version=version)
    return drawn, [-1.0 + math.log(ratio) for ratio in ratios]


def watch(drift: Drift, *rows: tuple[Row, list[float]]) -> None:
    width = max(len(line) for _, line in rows)
    lines = [line + [GARBAGE] * (width - len(line)) for _, line in rows]
    drift.watch(batch(*(one for one, _ in rows)), torch.tensor(lines, dtype=torch.double))


def test_ratios_by_hand() -> None:
    """Ratios 1/2, 1, 2, of a longer and a shorter row: the median is 1, the largest 2.

    Of three values the 1% quantile lies 0.02 of the way from the first to the second, the 99% one 0.98 from
    the second to the third: 0.51 and 1.98. k3 is r - 1 - log r: 0.193147, 0, 0.306853; mean 1/6.
    """
    drift = Drift(version=0)
    watch(drift, row([0.5, 2.0]), row([1.0]))
    got = drift.metrics()
    assert got["ratio_p01"] == pytest.approx(0.51, abs=1e-6)
    assert got["ratio_p50"] == pytest.approx(1.0, abs=1e-6)
    assert got["ratio_p99"] == pytest.approx(1.98, abs=1e-6)
    assert got["ratio_max"] == pytest.approx(2.0, abs=1e-6)
    assert got["mismatch_kl"] == pytest.approx(1 / 6, abs=1e-6)


def test_mismatch_is_the_divergence_of_the_sampling_policy() -> None:
    """KL(π_sampling ‖ π), as the tokens come from π_sampling: of (3/4, 1/4) from (1/2, 1/2) in four draws.

    0.75 log(0.75 / 0.5) + 0.25 log(0.25 / 0.5) = 0.304099 - 0.173287 = 0.130812.
    """
    drift = Drift(version=0)
    watch(drift, row([0.5 / 0.75] * 3 + [0.5 / 0.25]))
    assert drift.metrics()["mismatch_kl"] == pytest.approx(0.130812, abs=1e-6)


def test_equal_policies_do_not_drift() -> None:
    drift = Drift(version=2)
    watch(drift, row([1.0, 1.0], version=2))
    assert drift.metrics() == pytest.approx(
        {
            "staleness": 0.0,
            "staleness_max": 0,
            "mismatch_kl": 0.0,
            "ratio_p01": 1.0,
            "ratio_p50": 1.0,
            "ratio_p99": 1.0,
            "ratio_max": 1.0,
        },
        abs=1e-6,
    )


def test_staleness_by_hand() -> None:
    """The learner is at 7; completions of 7, 5 and 3 are 0, 2 and 4 updates old. Batches add up."""
    drift = Drift(version=7)
    watch(drift, row([1.0], version=7), row([1.0], version=5))
    watch(drift, row([4.0], version=3))
    got = drift.metrics()
    assert got["staleness"] == 2.0
    assert got["staleness_max"] == 4
    assert got["ratio_max"] == pytest.approx(4.0, abs=1e-6)


def test_older_versions_are_no_mismatch() -> None:
    """A token of the learner's version with ratio 2, and one of the version before with ratio 4: k3 is that
    of the first, 2 - 1 - log 2 = 0.306853; the quantiles are of both."""
    drift = Drift(version=7)
    watch(drift, row([2.0], version=7), row([4.0], version=6))
    got = drift.metrics()
    assert got["mismatch_kl"] == pytest.approx(0.306853, abs=1e-6)
    assert got["ratio_max"] == pytest.approx(4.0, abs=1e-6)


def test_draws_from_another_distribution_have_an_age_alone() -> None:
    drift = Drift(version=7, comparable=False)
    watch(drift, row([2.0], version=7))
    assert drift.metrics() == {"staleness": 0.0, "staleness_max": 0}


def test_references_are_not_counted() -> None:
    """No policy drew them: they have neither an age nor a ratio."""
    drift = Drift(version=7)
    reference = Row(token_ids=(10, 11), policy_version=-1), [-9.0, -9.0]
    watch(drift, reference, row([1.0], version=6))
    got = drift.metrics()
    assert got["staleness"] == 1.0
    assert got["ratio_p01"] == got["ratio_max"] == pytest.approx(1.0, abs=1e-6)


def test_completions_without_logprobs_have_an_age_alone() -> None:
    drift = Drift(version=7)
    watch(drift, (Row(token_ids=(10, 11), policy_version=4), [-9.0, -9.0]))
    assert drift.metrics() == {"staleness": 3.0, "staleness_max": 3}


def test_nothing_seen_is_nothing_said() -> None:
    assert Drift(version=7).metrics() == {}


def test_the_gradient_is_left_alone() -> None:
    logprobs = torch.tensor([[-1.0]], requires_grad=True)
    drift = Drift(version=0)
    drift.watch(batch(row([1.0])[0]), logprobs)
    assert drift.metrics()["ratio_max"] == 1.0
