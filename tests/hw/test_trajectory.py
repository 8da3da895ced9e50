"""Gains along a path: a power of the distance, times fading of mean 1."""

from __future__ import annotations

import math

import numpy as np
import pytest

from joulecut.hw.radio import RadioError, rayleigh_gains
from joulecut.hw.trajectory import PathLoss, faded_gains, mean_gains


def test_gains_fall_with_a_power_of_the_distance():
    loss = PathLoss(reference_m=2.0, gain=0.5, exponent=3.0)
    assert loss.at(2.0) == 0.5
    assert loss.at(20.0) == pytest.approx(0.5e-3)
    assert loss.at(0.0) == loss.at(1.0) == 0.5  # nearer than the reference
    assert 10 * math.log10(loss.at(4.0) / loss.at(8.0)) == pytest.approx(30 * math.log10(2))


def test_a_path_has_the_gains_of_its_distances():
    found = mean_gains([(3.0, 4.0), (6.0, 8.0), (0.0, 0.5)], (0.0, 0.0), PathLoss(exponent=2))
    assert found == pytest.approx((1 / 25, 1 / 100, 1.0))


def test_fading_multiplies_and_has_mean_1():
    means = (0.25,) * 20_000
    found = faded_gains(means, 3)
    assert found == tuple(0.25 * gain for gain in rayleigh_gains(20_000, 3))
    assert np.mean(found) == pytest.approx(0.25, rel=0.03)
    steady = faded_gains(means, 3, k_factor=1e9)
    assert steady == pytest.approx(means, rel=1e-3)


@pytest.mark.parametrize(
    "fields", [{"gain": 0.0}, {"exponent": -1.0}, {"reference_m": math.inf}]
)
def test_what_is_not_physical_is_refused(fields: dict[str, float]):
    with pytest.raises(RadioError, match=r"must be finite and positive, not"):
        PathLoss(**fields)
    with pytest.raises(RadioError, match=r"distance_m must be 0 or more, not -1"):
        PathLoss().at(-1.0)
