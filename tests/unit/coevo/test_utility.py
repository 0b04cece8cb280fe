"""Utilities by hand."""

from __future__ import annotations

import math

import pytest

from coevo.config import UtilityConfig
from coevo.utility import UTILITIES

CONFIG = UtilityConfig()
TABLE = {
    # s:          0,      0.25,    0.5,    0.75,   1
    "gaussian": [0.043937, 0.457833, 1.0, 0.457833, 0.043937],  # e^-3.125, e^-0.78125, 1
    "constant": [1.0, 1.0, 1.0, 1.0, 1.0],
    "success": [0.0, 0.25, 0.5, 0.75, 1.0],
    "failure": [1.0, 0.75, 0.5, 0.25, 0.0],
    "parabola": [0.0, 0.75, 1.0, 0.75, 0.0],
    "tent": [0.0, 0.25, 0.5, 0.25, 0.0],
    "variance": [0.0, 0.1875, 0.25, 0.1875, 0.0],
}


def test_the_table_has_every_utility() -> None:
    assert TABLE.keys() == UTILITIES.keys()


@pytest.mark.parametrize("name", TABLE)
def test_utility_by_hand(name: str) -> None:
    got = [UTILITIES[name](s, CONFIG) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert got == pytest.approx(TABLE[name], abs=1e-6)


def test_gaussian_reads_mu_and_sigma() -> None:
    """One deviation away from μ: e^-1/2, on either side."""
    config = UtilityConfig(mu=0.7, sigma=0.1)
    assert UTILITIES["gaussian"](0.7, config) == 1.0
    assert UTILITIES["gaussian"](0.8, config) == pytest.approx(math.exp(-0.5))
    assert UTILITIES["gaussian"](0.6, config) == pytest.approx(math.exp(-0.5))
