"""Rates, times and energies of a link: the paper's numbers, and the integral of Eq. 4 step by step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.hw.radio import (
    FadingLink,
    RadioError,
    RadioLink,
    block_bits,
    mean_rate_bits_per_s,
    rayleigh_gains,
    rician_gains,
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
        replace(RadioLink(), **{field: value})


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


@given(GAINS, st.floats(0.05, 1), st.floats(0.01, 1))
def test_eq_4_is_a_fine_riemann_sum(
    gains: tuple[float, ...], fraction: float, path_gain: float
):
    """A slow twin that knows no blocks: the rate at 2,000 times, summed until the bits are sent."""
    block_s, link = 0.25, RadioLink(gain=path_gain)
    fading = FadingLink(link, gains, block_s)
    end_s = block_s * len(gains)
    step_s = end_s / 2000
    times = (np.arange(2000) + 0.5) * step_s
    gain = np.array(gains)[(times / block_s).astype(int)] * path_gain
    rate = link.bandwidth_hz * np.log2(1 + link.power_w * gain / (1e-9 * link.bandwidth_hz))
    sent = np.cumsum(rate) * step_s
    bits = fraction * 0.99 * float(sent[-1])
    if bits < 1:
        return  # the sum is over before its first step is
    time_s = fading.time_s(bits)
    steps = int(time_s / step_s)
    # Each of the blocks' edges may fall into a step, as may the end.
    slack = (len(gains) + 2) * float(rate.max()) * step_s
    assert abs(float(sent[max(0, steps - 1)]) - bits) <= slack
    assert fading.energy_j(bits) == pytest.approx(1e-3 * time_s)


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


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_rician_gains_without_a_steady_path_are_rayleigh_gains(correlation: float):
    rician = rician_gains(50, 7, k_factor=0.0, correlation=correlation)
    assert rician == rayleigh_gains(50, 7, correlation=correlation)


def test_rayleigh_gains_of_a_seed_stay_what_they_were():
    first = (0.04462520472925377, 0.4341526935018295, 0.5950442064625114)
    assert rayleigh_gains(3, 7) == pytest.approx(first, rel=1e-12)


@pytest.mark.parametrize("k_factor", [0.5, 4.0, 50.0])
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_moments_of_rician_gains(k_factor: float, correlation: float):
    """Mean 1, variance (2 K + 1) / (K + 1)^2, and neighbours that move together.

    With a = h's steady amplitude and s the scattered part, |h|^2 is a^2 + 2 a b Re s + b^2 |s|^2,
    whose first part keeps the correlation r of s and whose second has r^2.
    """
    gains = np.array(rician_gains(40_000, 2, k_factor=k_factor, correlation=correlation))
    variance = (2 * k_factor + 1) / (k_factor + 1) ** 2
    assert gains.mean() == pytest.approx(1, abs=0.06 * math.sqrt(variance))
    assert gains.var() == pytest.approx(variance, rel=0.1)
    neighbours = np.corrcoef(gains[:-1], gains[1:])[0, 1]
    expected = (2 * k_factor * correlation + correlation**2) / (2 * k_factor + 1)
    assert neighbours == pytest.approx(expected, abs=0.04)


def test_a_great_k_factor_does_not_fade():
    assert rician_gains(100, 3, k_factor=1e12) == pytest.approx([1.0] * 100, abs=1e-5)


def test_rician_gains_refuse_what_rayleigh_gains_do():
    with pytest.raises(RadioError, match=r"correlation must be in 0..1, not -0.1"):
        rician_gains(3, 0, k_factor=1.0, correlation=-0.1)


# Finite blocklength

SNRS = st.floats(-5, 40).map(lambda snr_db: 10 ** (snr_db / 10))
ERRORS = st.floats(1e-9, 1e-2)


def test_block_bits_worked_by_hand():
    """At 0 dB, 500 symbols, 1e-3: C = 1, V = 3/4 log2(e)^2, Q^-1 = 3.0902, log2(500) = 8.9658."""
    deviation = math.sqrt(0.75) * 1.442695
    expected = 1 - deviation * 3.090232 / math.sqrt(500) + 8.965784 / 1000
    assert block_bits(1.0, 500, 1e-3) == pytest.approx(expected, rel=1e-6)
    link = RadioLink(1e6, 1.0, 1e-6, blocklength=500, error_probability=1e-3)
    assert link.rate_bits_per_s == pytest.approx(1e6 * expected, rel=1e-6)


def test_block_bits_is_twice_what_two_real_symbols_carry():
    """The form for real symbols: V = snr (snr + 2) / 2 / (snr + 1)^2, over 2 n of them."""
    snr, n, error = 10.0, 400, 1e-5
    log2_e = math.log2(math.e)
    dispersion = snr * (snr + 2) / (2 * (snr + 1) ** 2) * log2_e**2
    quantile = 4.264890793923  # Q^-1(1e-5)
    real = 0.5 * math.log2(1 + snr) - math.sqrt(dispersion / (2 * n)) * quantile
    expected = 2 * real + math.log2(n) / (2 * n)
    assert block_bits(snr, n, error) == pytest.approx(expected, rel=1e-9)


@given(SNRS, ERRORS)
def test_long_blocks_approach_shannon_from_below(snr: float, error: float):
    capacity = math.log2(1 + snr)
    bits = [block_bits(snr, 10**power, error) for power in range(2, 13)]
    assert bits == sorted(bits)
    assert all(each < capacity for each in bits)
    assert bits[-1] == pytest.approx(capacity, rel=1e-4)


@given(SNRS, ERRORS, st.integers(100, 10**6))
def test_blocks_carry_more_at_a_higher_snr_and_a_laxer_error(snr: float, error: float, n: int):
    bits = block_bits(snr, n, error)
    assert block_bits(1.1 * snr, n, error) >= bits
    assert block_bits(snr, n, 1.5 * error) >= bits


@given(st.floats(0, 1e3), st.floats(1e-9, 0.499), st.integers(100, 10**6))
def test_blocks_never_beat_shannon(snr: float, error: float, n: int):
    assert 0 <= block_bits(snr, n, error) <= math.log2(1 + snr) * (1 + 1e-12)


def test_blocks_carry_nothing_where_the_approximation_ends():
    assert block_bits(0.0, 100, 1e-3) == 0
    assert block_bits(1e-3, 100, 1e-3) == 0
    link = RadioLink(gain=1e-3, blocklength=100, error_probability=1e-3)
    assert link.time_s(1) == math.inf


def test_a_fading_link_keeps_its_blocklength():
    link = RadioLink(15e3, blocklength=200, error_probability=1e-3)
    fading = FadingLink(link, (0.5, 1.0), block_s=1.0)
    half = RadioLink(15e3, gain=0.5, blocklength=200, error_probability=1e-3)
    assert fading.rates_bits_per_s() == (half.rate_bits_per_s, link.rate_bits_per_s)
    assert link.rate_bits_per_s < RadioLink(15e3).rate_bits_per_s


def test_a_link_says_how_long_its_words_are():
    link = RadioLink(blocklength=200, error_probability=1e-3)
    text = (
        "5 MHz, 1 mW, 1e-09 W/Hz, gain 1: 0.5394 Mb/s in words of 200 symbols, "
        "of which 0.001 are lost (modelled)"
    )
    assert link.describe() == text


def test_a_block_must_make_sense():
    text = "^blocklength and error_probability must both be given or neither, not 200 and None$"
    with pytest.raises(RadioError, match=text):
        RadioLink(blocklength=200)
    with pytest.raises(RadioError, match=r"given or neither, not None and 0\.1$"):
        RadioLink(error_probability=0.1)
    text = "^blocklength must be 100 symbols or more, not 99: the normal approximation is not "
    with pytest.raises(RadioError, match=text):
        RadioLink(blocklength=99, error_probability=0.1)
    for error in (0.0, 0.5, math.nan):
        text = f"^error_probability must be above 0 and below 0.5, not {error}$"
        with pytest.raises(RadioError, match=text):
            RadioLink(blocklength=100, error_probability=error)


def test_the_mean_rate_through_fading_is_below_that_of_the_mean_gain():
    """Jensen: log is concave."""
    link = RadioLink()
    mean_rate = mean_rate_bits_per_s(link, rayleigh_gains(4000, 1))
    assert 0.8 * link.rate_bits_per_s < mean_rate < link.rate_bits_per_s
    assert mean_rate_bits_per_s(link, (1.0,)) == link.rate_bits_per_s
