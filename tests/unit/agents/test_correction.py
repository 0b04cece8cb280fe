"""Estimates of the divergence from the reference, and weights that correct for the sampling policy."""

from __future__ import annotations

import math

import pytest
import torch

from agents.learners.policy_gradient import correction_weights, divergence, grpo
from tests.unit.agents.loss_cases import Case, draw, evaluate, inputs_of, settings

# -- the divergence from the reference ------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "value", "slope"),
    [("k1", 0.693147, 1.0), ("k2", 0.240227, 0.693147), ("k3", 0.193147, 0.5)],
)
def test_divergence_by_hand(estimator: str, value: float, slope: float) -> None:
    """d = log 2: k1 = d; k2 = d² / 2 = 0.240227, slope d; k3 = 1/2 + d - 1 = 0.193147, slope 1 - 1/2."""
    logprobs = torch.tensor([-1.0 + math.log(2)], dtype=torch.double, requires_grad=True)
    got = divergence(logprobs, torch.tensor([-1.0], dtype=torch.double), estimator)
    assert got.item() == pytest.approx(value, abs=1e-6)
    assert torch.autograd.grad(got, logprobs)[0].item() == pytest.approx(slope, abs=1e-6)


def test_estimators_against_the_divergence_itself() -> None:
    """Over all tokens of a vocabulary, weighted by π: k1 and k3 are KL(π ‖ π_ref) in the mean; k1's gradient
    vanishes and k2's is that of the divergence."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(7, generator=random, dtype=torch.double).requires_grad_()
    ref = torch.randn(7, generator=random, dtype=torch.double).log_softmax(-1)
    logprobs = logits.log_softmax(-1)
    shares = logprobs.exp().detach()
    exact = (logprobs.exp() * (logprobs - ref)).sum()
    (slope,) = torch.autograd.grad(exact, logits, retain_graph=True)
    means = {name: (shares * divergence(logprobs, ref, name)).sum() for name in ("k1", "k2", "k3")}
    slopes = {
        name: torch.autograd.grad(mean, logits, retain_graph=True)[0]
        for name, mean in means.items()
    }
    assert exact.item() > 0.1
    assert means["k1"].item() == pytest.approx(exact.item(), abs=1e-12)
    assert means["k3"].item() == pytest.approx(exact.item(), abs=1e-12)
    assert torch.allclose(slopes["k1"], torch.zeros_like(slope), atol=1e-12)
    assert torch.allclose(slopes["k2"], slope, atol=1e-12)
    assert not torch.allclose(slopes["k3"], slope, atol=1e-3)


# -- correction -----------------------------------------------------------------------------------

# π_old/π_sampling: 3 and 0.4 in the first row, product 1.2; then 1.5; then 0.3 and 0.5, product 0.15.
GAPS = [[3.0, 0.4], [1.5], [0.3, 0.5]]


@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [
        ("truncate", "token", [[2.0, 0.4], [1.5], [0.3, 0.5]]),
        ("mask", "token", [[0.0, 0.0], [1.5], [0.0, 0.5]]),
        ("truncate", "sequence", [[1.2, 1.2], [1.5], [0.15, 0.15]]),
        ("mask", "sequence", [[1.2, 1.2], [1.5], [0.0, 0.0]]),
    ],
)
def test_correction_weights_by_hand(kind: str, level: str, expected: list[list[float]]) -> None:
    """Cap 2: truncated above 2, or masked outside [0.5, 2]; 0.5 itself is inside."""
    case = Case(
        rows=[[-1.0, -1.0], [-1.0], [-1.0, -1.0]],
        old=[[math.log(gap) - 1 for gap in row] for row in GAPS],
        sampling=[[-1.0] * len(row) for row in GAPS],
    )
    config = settings("grpo", correction=kind, correction_level=level, correction_cap=2.0 + 1e-9)
    got = correction_weights(inputs_of(case), config)
    assert got is not None
    for line, wanted in zip(got, expected, strict=True):
        assert line[: len(wanted)].tolist() == pytest.approx(wanted, abs=1e-8)


def test_sequence_weights_are_capped_too() -> None:
    """Ratios 2 and 1.5 make 3: truncated to 2, or masked."""
    case = Case(rows=[[0.0, 0.0]], old=[[math.log(2), math.log(1.5)]], sampling=[[0.0, 0.0]])
    for kind, expected in (("truncate", 2.0), ("mask", 0.0)):
        config = settings("grpo", correction=kind, correction_level="sequence")
        got = correction_weights(inputs_of(case), config)
        assert got is not None
        assert got[0, :2].tolist() == pytest.approx([expected, expected])


def test_no_correction_has_no_weights() -> None:
    assert correction_weights(inputs_of(draw(0, corrected=True)), settings("grpo")) is None


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("kind", ["truncate", "mask"])
def test_correction_weights_carry_no_gradient(kind: str, level: str) -> None:
    inputs = inputs_of(draw(0, corrected=True))
    assert inputs.old_logprobs is not None and inputs.sampling_logprobs is not None
    inputs.old_logprobs.requires_grad_()
    inputs.sampling_logprobs.requires_grad_()
    config = settings("grpo", correction=kind, correction_level=level)
    weights = correction_weights(inputs, config)
    assert weights is not None and not weights.requires_grad


def test_corrected_grpo_by_hand() -> None:
    """π_old/π_sampling = 3, truncated to 2; π/π_old = 1.1, A = 1: -2.2, gradient -2.2; not 3.3, the ratio
    to the sampling policy."""
    case = Case(rows=[[math.log(1.1)]], old=[[0.0]], sampling=[[-math.log(3)]], weights=[1.0])
    got = evaluate(grpo, settings("grpo", correction="truncate"), case)
    assert got.loss == pytest.approx(-2.2)
    assert got.gradient[0] == pytest.approx([-2.2])
    assert got.metrics == pytest.approx({"clip_share": 0.0, "correction": 2.0})
