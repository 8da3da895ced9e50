"""Rates, times and energies of a link: the paper's numbers, and the integral of Eq. 4 step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.hw.radio import (
    FadingLink,
    RadioError,
    RadioLink,
    mean_rate_bits_per_s,
    rayleigh_gains,
)

POOL1_BITS = 32 * 3136


@pytest.mark.parametrize(
    ("bandwidth_hz", "rate", "snr_db"),
    [(15e3, 91.2e3, 18.2), (5e6, 1.315e6, -7.0), (15e6, 1.397e6, -11.8)],
)
def test_rates_at_the_papers_bandwidths(bandwidth_hz: float, rate: float, snr_db: float):
    link = RadioLink(bandwidth_hz)
    assert link.rate_bits_per_s == pytest.approx(rate, rel=5e-4)
    assert 10 * math.log10(link.snr) == pytest.approx(snr_db, abs=0.05)


def test_defaults_are_the_papers():
    assert RadioLink() == RadioLink(5e6, 1e-3, 1e-9, 1.0)


def test_energy_of_pool1_is_tau_times_power():
    """1.100e-3 and 7.19e-5 J; tau squared times power, as Eq. 5 is printed, is 17 times apart."""
    narrow, wide = RadioLink(15e3), RadioLink(15e6)
    assert narrow.energy_j(POOL1_BITS) == pytest.approx(1.100e-3, rel=5e-4)
    assert wide.energy_j(POOL1_BITS) == pytest.approx(7.19e-5, rel=1e-3)
    ratio = narrow.energy_j(POOL1_BITS) / wide.energy_j(POOL1_BITS)
    assert ratio == pytest.approx(15.3, abs=0.05)  # the paper: 7.98 / 0.58 = 13.8
    assert ratio**2 == pytest.approx(235, abs=1)  # as Eq. 5 is printed


def test_a_link_says_what_it_is():
    text = "5 MHz, 1 mW, 1e-09 W/Hz, gain 1: 1.315 Mb/s at most (modelled)"
    assert RadioLink().describe() == text


def test_nothing_takes_no_time_and_no_gain_takes_forever():
    assert RadioLink(gain=0).time_s(0) == 0
    assert RadioLink(gain=0).time_s(1) == math.inf
    assert RadioLink().energy_j(0) == 0


@pytest.mark.parametrize("field", ["bandwidth_hz", "power_w", "noise_density_w_per_hz"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_link_must_be_physical(field: str, value: float):
    with pytest.raises(RadioError, match=f"^{field} must be finite and positive, not {value}"):
        RadioLink(**{field: value})


def test_gain_and_bits_must_not_be_negative():
    with pytest.raises(RadioError, match=r"^gain must be finite and 0 or more, not -0.5"):
        RadioLink(gain=-0.5)
    with pytest.raises(RadioError, match=r"^bits must be finite and 0 or more, not -1"):
        RadioLink().time_s(-1)
    with pytest.raises(RadioError, match=r"^bits must be finite and 0 or more, not nan"):
        FadingLink(RadioLink(), (1.0,), 1.0).time_s(math.nan)


GAINS = st.lists(st.floats(0, 10), min_size=1, max_size=20).map(tuple)


@given(st.floats(0.01, 10), st.floats(0, 1), st.integers(1, 20))
def test_fading_of_one_gain_is_no_fading(gain: float, fraction: float, blocks: int):
    link = RadioLink(gain=gain)
    bits = fraction * 0.999 * link.rate_bits_per_s * blocks
    fading = FadingLink(RadioLink(), (gain,) * blocks, block_s=1.0)
    assert fading.time_s(bits) == pytest.approx(link.time_s(bits), rel=1e-9, abs=1e-12)
    assert fading.energy_j(bits) == pytest.approx(link.energy_j(bits), rel=1e-9, abs=1e-12)


@given(GAINS, st.floats(0, 1))
def test_the_integral_of_the_rate_reaches_the_bits(gains: tuple[float, ...], fraction: float):
    fading = FadingLink(RadioLink(), gains, block_s=0.5)
    rates = fading.rates_bits_per_s()
    bits = fraction * 0.999 * sum(rates) * 0.5
    time_s = fading.time_s(bits)
    sent = sum(
        rate * min(0.5, max(0.0, time_s - 0.5 * block)) for block, rate in enumerate(rates)
    )
    assert sent == pytest.approx(bits, rel=1e-9, abs=1e-6)


def test_gains_that_end_too_early():
    fading = FadingLink(RadioLink(), (1.0, 0.0), block_s=1.0)
    text = r"bits must be at most 1.31517e\+06 for 2 blocks of 1 s, not 2e\+06; give more gains"
    with pytest.raises(RadioError, match=text):
        fading.time_s(2e6)


def test_a_trajectory_must_make_sense():
    with pytest.raises(RadioError, match="gains must be one or more, not none"):
        FadingLink(RadioLink(), (), block_s=1.0)
    with pytest.raises(RadioError, match="block_s must be finite and positive, not 0"):
        FadingLink(RadioLink(), (1.0,), block_s=0)
    with pytest.raises(RadioError, match=r"gain must be finite and 0 or more, not -1.0"):
        FadingLink(RadioLink(), (-1.0,), block_s=1)
    with pytest.raises(RadioError, match=r"correlation must be in 0..1, not 1.5"):
        rayleigh_gains(3, 0, correlation=1.5)


def test_rayleigh_gains_are_seeded():
    assert rayleigh_gains(50, 7) == rayleigh_gains(50, 7)
    assert rayleigh_gains(50, 7) != rayleigh_gains(50, 8)
    assert rayleigh_gains(50, 7) == rayleigh_gains(80, 7)[:50]


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_rayleigh_gains_are_exponential_with_mean_1(correlation: float):
    gains = np.array(rayleigh_gains(40_000, 1, correlation=correlation))
    assert gains.mean() == pytest.approx(1, abs=0.06)
    for level in (0.1, 0.5, 1, 2):
        assert (gains < level).mean() == pytest.approx(1 - math.exp(-level), abs=0.02)
    neighbours = np.corrcoef(gains[:-1], gains[1:])[0, 1]
    assert neighbours == pytest.approx(correlation**2, abs=0.04)


def test_full_correlation_stands_still():
    assert len(set(rayleigh_gains(10, 3, correlation=1.0))) == 1


def test_the_mean_rate_through_fading_is_below_that_of_the_mean_gain():
    """Jensen: log is concave."""
    link = RadioLink()
    mean_rate = mean_rate_bits_per_s(link, rayleigh_gains(4000, 1))
    assert 0.8 * link.rate_bits_per_s < mean_rate < link.rate_bits_per_s
    assert mean_rate_bits_per_s(link, (1.0,)) == link.rate_bits_per_s
