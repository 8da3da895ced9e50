"""Closed forms of fading: against Monte Carlo, against each other, and at their limits."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.hw.fading import (
    ErgodicLink,
    ergodic_rate_bits_per_s,
    outage_probability,
    scaled_e1,
)
from joulecut.hw.radio import (
    FadingLink,
    RadioError,
    RadioLink,
    mean_rate_bits_per_s,
    rayleigh_gains,
    rician_gains,
)

PAPERS = [RadioLink(15e3), RadioLink(5e6), RadioLink(15e6)]
K_FACTORS = [0.0, 0.5, 4.0, 30.0]
BLOCKS = 100_000


@lru_cache
def gains(k_factor: float) -> tuple[float, ...]:
    return rician_gains(BLOCKS, seed=11, k_factor=k_factor)


def db(value: float) -> float:
    return 10 ** (value / 10)


def link_of_snr(snr: float) -> RadioLink:
    return RadioLink(1e6, power_w=snr, noise_density_w_per_hz=1e-6)


# Monte Carlo


@pytest.mark.parametrize("link", PAPERS, ids=lambda link: f"{link.bandwidth_hz:g}Hz")
@pytest.mark.parametrize("k_factor", K_FACTORS)
def test_the_ergodic_rate_is_the_mean_over_blocks_to_1_percent(
    link: RadioLink, k_factor: float
):
    drawn = mean_rate_bits_per_s(link, gains(k_factor))
    assert ergodic_rate_bits_per_s(link, k_factor) == pytest.approx(drawn, rel=0.01)


@pytest.mark.parametrize("k_factor", K_FACTORS)
@pytest.mark.parametrize("fraction", [0.7, 0.9, 1.0])
def test_outage_is_how_often_a_block_is_too_slow(k_factor: float, fraction: float):
    link = RadioLink()
    rate = fraction * link.rate_bits_per_s
    rates = np.array(FadingLink(link, gains(k_factor), block_s=1.0).rates_bits_per_s())
    probability = outage_probability(link, rate, k_factor)
    deviation = math.sqrt(probability / BLOCKS)  # of the fraction that is drawn
    assert (rates < rate).mean() == pytest.approx(probability, rel=0.01, abs=3 * deviation)


def test_rayleigh_outage_to_1_percent():
    link = RadioLink(15e3)
    rate = link.rate_bits_per_s
    rates = np.array(FadingLink(link, rayleigh_gains(BLOCKS, 5), 1.0).rates_bits_per_s())
    probability = outage_probability(link, rate)
    assert probability == pytest.approx(1 - math.exp(-1), rel=1e-12)
    assert (rates < rate).mean() == pytest.approx(probability, rel=0.01)


# The special functions


@pytest.mark.parametrize(
    ("x", "e1"),
    [  # Abramowitz and Stegun, tables 5.1 and 5.2, and Mathematica's digits of E1
        (0.1, 1.8229239584193906661),
        (0.5, 0.55977359477616081175),
        (1.0, 0.21938393439552027368),
        (2.0, 0.048900510708061119567),
        (10.0, 4.1569689296853242775e-6),
    ],
)
def test_e1_as_tabled(x: float, e1: float):
    assert scaled_e1(x) == pytest.approx(math.exp(x) * e1, rel=1e-13)


@given(st.floats(1e-12, 1e12))
def test_e1_lies_between_its_bounds(x: float):
    """DLMF 6.8.1: ln(1 + 2/x) / 2 < e^x E1(x) < ln(1 + 1/x)."""
    assert 0.5 * math.log1p(2 / x) * (1 - 1e-14) <= scaled_e1(x)
    assert scaled_e1(x) <= math.log1p(1 / x) * (1 + 1e-14)


def test_the_two_forms_of_e1_meet():
    below, above = scaled_e1(1.0), scaled_e1(math.nextafter(1, 2))
    assert above == pytest.approx(below, rel=1e-14)


@pytest.mark.parametrize("snr_db", [-40, -12, 0, 18, 60, 100])
def test_the_rician_integral_at_k_0_is_the_rayleigh_closed_form(snr_db: float):
    link = link_of_snr(db(snr_db))
    assert ergodic_rate_bits_per_s(link, 1e-15) == pytest.approx(
        ergodic_rate_bits_per_s(link), rel=1e-13
    )


@pytest.mark.parametrize("k_factor", [0.7, 6.0])
@pytest.mark.parametrize("snr_db", [-10, 15])
def test_the_rician_integral_is_that_over_the_density(k_factor: float, snr_db: float):
    """A slow twin: the density of |h|^2 by Bessel's I0, by Simpson's rule over the amplitude."""
    amplitude = np.linspace(0, 8, 40_001)
    offset = math.sqrt(k_factor / (k_factor + 1))
    argument = 2 * (k_factor + 1) * offset * amplitude
    density = (
        2
        * (k_factor + 1)
        * amplitude
        * np.exp(-k_factor - (k_factor + 1) * amplitude**2)
        * np.i0(argument)
    )
    weights = np.full(amplitude.size, 2.0)
    weights[1::2], weights[[0, -1]] = 4, 1
    weights *= amplitude[1] / 3
    assert float(weights @ density) == pytest.approx(1, rel=1e-9)
    snr = db(snr_db)
    twin = 1e6 * float(weights @ (density * np.log2(1 + snr * amplitude**2)))
    assert ergodic_rate_bits_per_s(link_of_snr(snr), k_factor) == pytest.approx(twin, rel=1e-9)
    below = amplitude <= 0.75
    rate = 1e6 * math.log2(1 + snr * 0.75**2)
    head = weights[below].copy()
    head[-1] = amplitude[1] / 3
    assert outage_probability(link_of_snr(snr), rate, k_factor) == pytest.approx(
        float(head @ density[below]), rel=1e-8
    )


# Limits


@pytest.mark.parametrize("snr_db", [-12, 0, 18])
def test_no_steady_path_is_rayleigh(snr_db: float):
    link = link_of_snr(db(snr_db))
    for fraction in (0.01, 0.5, 1, 3):
        rate = fraction * link.rate_bits_per_s
        assert outage_probability(link, rate, 1e-14) == pytest.approx(
            outage_probability(link, rate), rel=1e-12
        )


@pytest.mark.parametrize("snr_db", [-12, 0, 18])
def test_a_steady_path_alone_is_a_constant_gain(snr_db: float):
    link = link_of_snr(db(snr_db))
    assert ergodic_rate_bits_per_s(link, 1e9) == pytest.approx(link.rate_bits_per_s, rel=1e-8)
    assert outage_probability(link, 0.99 * link.rate_bits_per_s, 1e8) == 0
    assert outage_probability(link, 1.01 * link.rate_bits_per_s, 1e8) == 1


@pytest.mark.parametrize("sigmas", [-3.0, -1.0, 0.0, 1.0, 3.0])
def test_outage_of_a_great_k_factor_is_that_of_a_normal_gain(sigmas: float):
    """The gain's variance is (2 K + 1) / (K + 1)^2; its skew makes an error of order 1/sqrt(K)."""
    link, k_factor = link_of_snr(1.0), 1e6
    gain = 1 + sigmas * math.sqrt(2 * k_factor + 1) / (k_factor + 1)
    rate = 1e6 * math.log2(1 + gain)
    normal = 0.5 * math.erfc(-sigmas / math.sqrt(2))
    assert outage_probability(link, rate, k_factor) == pytest.approx(normal, abs=3e-4)


@pytest.mark.parametrize("k_factor", [1.0, 10.0])
def test_outage_of_a_deep_fade_keeps_its_digits(k_factor: float):
    """Near 0 the density of the gain is (K + 1) e^-K."""
    link, level = link_of_snr(1e3), 1e-12
    rate = 1e6 * math.log1p(1e3 * level) / math.log(2)
    expected = (k_factor + 1) * math.exp(-k_factor) * level
    assert outage_probability(link, rate, k_factor) == pytest.approx(expected, rel=1e-6)


@given(st.floats(-30, 40), st.floats(0, 1e4), st.floats(0.01, 5))
def test_fading_costs_rate_and_a_steady_path_gives_it_back(
    snr_db: float, k_factor: float, fraction: float
):
    """Jensen, and then: both are monotone in what they should be."""
    link = link_of_snr(db(snr_db))
    rayleigh = ergodic_rate_bits_per_s(link)
    rician = ergodic_rate_bits_per_s(link, k_factor)
    assert 0 < rayleigh <= rician * (1 + 1e-12)
    assert rician <= link.rate_bits_per_s * (1 + 1e-12)
    rate = fraction * link.rate_bits_per_s
    outage = outage_probability(link, rate, k_factor)
    assert 0 <= outage <= 1
    assert outage <= outage_probability(link, 1.1 * rate, k_factor) + 1e-12


def test_a_link_without_gain_sends_nothing():
    link = RadioLink(gain=0)
    for k_factor in (0.0, 3.0):
        assert ergodic_rate_bits_per_s(link, k_factor) == 0
        assert outage_probability(link, 0, k_factor) == 0
        assert outage_probability(link, 1, k_factor) == 1
    assert outage_probability(RadioLink(), 1e12) == 1


# Errors


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_k_factor_must_be_a_ratio_of_powers(value: float):
    text = f"^k_factor must be finite and 0 or more, not {value}$"
    with pytest.raises(RadioError, match=text):
        ergodic_rate_bits_per_s(RadioLink(), value)
    with pytest.raises(RadioError, match=text):
        outage_probability(RadioLink(), 1, value)
    with pytest.raises(RadioError, match=text):
        rician_gains(3, 0, k_factor=value)


def test_what_outage_refuses():
    text = r"^k_factor must be at most 1e\+08, not 1e\+09: beyond it nothing fades$"
    with pytest.raises(RadioError, match=text):
        outage_probability(RadioLink(), 1, 1e9)
    text = "^rate_bits_per_s must be finite and 0 or more, not -1$"
    with pytest.raises(RadioError, match=text):
        outage_probability(RadioLink(), -1)


def test_closed_forms_are_shannons():
    link = RadioLink(blocklength=200, error_probability=1e-3)
    text = (
        r"^blocklength must be None for a closed form, not 200; "
        r"average such a link over gains by mean_rate_bits_per_s$"
    )
    with pytest.raises(RadioError, match=text):
        ergodic_rate_bits_per_s(link)
    with pytest.raises(RadioError, match=text):
        outage_probability(link, 1, 2.0)
    assert mean_rate_bits_per_s(link, gains(4.0)[:100]) > 0


def test_an_ergodic_link_sends_at_the_mean_rate():
    link = RadioLink()
    for k_factor in (0.0, 4.0):
        faded = ErgodicLink(link, k_factor)
        rate = ergodic_rate_bits_per_s(link, k_factor)
        assert faded.rate_bits_per_s == rate < link.rate_bits_per_s
        assert faded.energy_j(1000) == link.power_w * 1000 / rate
        assert faded.energy_j(0) == 0
    assert "Rayleigh fading: " in ErgodicLink(link).describe()
    assert "Rician fading, K 4: " in ErgodicLink(link, 4).describe()
    assert ErgodicLink(RadioLink(gain=0)).energy_j(1) == math.inf


def test_an_ergodic_link_has_no_blocklength():
    with pytest.raises(RadioError, match="blocklength must be None for a closed form"):
        ErgodicLink(RadioLink(blocklength=200, error_probability=1e-3))
    with pytest.raises(RadioError, match="k_factor must be finite and 0 or more"):
        ErgodicLink(RadioLink(), -1)
