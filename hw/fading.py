"""Closed forms of block fading: the rate that it averages to, and how often it is too slow.

Both hold for Shannon's rate (Eq. 3 in docs/energy.md) and a gain |h|^2 of mean 1, times that of
the link. They are what averages over `rayleigh_gains` and `rician_gains` approach.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from joulecut.hw.radio import RadioError, RadioLink

_GREATEST_K = 1e8  # 80 dB: the gain is within 0.1 % of its mean
_EULER = 0.57721566490153286


@dataclass(frozen=True)
class ErgodicLink:
    """A link through fading, on average: sending takes so many blocks that their mean rate counts.

    What is shorter than that meets one gain or few: follow it along drawn gains instead (FadingLink).

    Attributes:
        link: the link, whose gain is the mean.
        k_factor: K; 0 is Rayleigh.
    """

    link: RadioLink
    k_factor: float = 0.0

    def __post_init__(self) -> None:
        _check(self.link, self.k_factor)

    @property
    def power_w(self) -> float:
        """Transmitted."""
        return self.link.power_w

    @property
    def rate_bits_per_s(self) -> float:
        """The mean of Eq. 3 over the fading."""
        return ergodic_rate_bits_per_s(self.link, self.k_factor)

    def energy_j(self, bits: float) -> float:
        """Eq. 5 at the mean rate; infinite where it is 0 and there is something to send."""
        rate = self.rate_bits_per_s
        if bits and not rate:
            return math.inf
        return self.link.power_w * bits / rate if bits else 0.0

    def describe(self) -> str:
        """One line for people."""
        kind = f"Rician fading, K {self.k_factor:g}" if self.k_factor else "Rayleigh fading"
        return (
            f"{self.link.describe()}; {kind}: {self.rate_bits_per_s / 1e6:.4g} Mb/s on average "
            "(modelled)"
        )


def ergodic_rate_bits_per_s(link: RadioLink, k_factor: float = 0.0) -> float:
    """The mean of Eq. 3 over fading, which a transmission through many blocks approaches.

    Rayleigh: W e^(1/g) E1(1/g) / ln 2 at a mean SNR of g (Alouini and Goldsmith, IEEE Trans. Veh.
    Technol. 48(4), 1999). Rician: W / ln 2 times the integral of (1 - M(g z)) e^-z / z over z,
    where M(t) = E[e^(-t |h|^2)] (Hamdi, IEEE Trans. Commun. 58(2), 2010). In u = ln z the integrand
    is analytic and bounded for |Im u| < pi/2 and falls at both ends, so that the sum over steps
    of 1/4 is exact to rounding.

    Args:
        link: the link, whose gain is the mean.
        k_factor: K, the power of the steady path over that of all the others, a ratio; 0 is
            Rayleigh.

    Raises:
        RadioError: the K factor is negative, or the link has a blocklength.
    """
    _check(link, k_factor)
    if link.snr == 0:
        return 0.0
    nats = scaled_e1(1 / link.snr) if k_factor == 0 else _rician_nats(link.snr, float(k_factor))
    return link.bandwidth_hz * nats / math.log(2)


def outage_probability(link: RadioLink, rate_bits_per_s: float, k_factor: float = 0.0) -> float:
    """How probable it is that a block is too slow: that Eq. 3 is below a rate.

    That is so where |h|^2 < x = (2^(R/W) - 1) / g, at a mean SNR of g: with probability 1 - e^-x in
    Rayleigh fading, 1 - Q1(sqrt(2 K), sqrt(2 (K + 1) x)) in Rician (Marcum's Q).

    Args:
        link: the link, whose gain is the mean.
        rate_bits_per_s: R, at which is sent.
        k_factor: K, as in `ergodic_rate_bits_per_s`, up to 1e8.

    Raises:
        RadioError: the rate or the K factor is negative or too great, or the link has a
            blocklength.
    """
    _check(link, k_factor)
    if not math.isfinite(rate_bits_per_s) or rate_bits_per_s < 0:
        raise RadioError(f"rate_bits_per_s must be finite and 0 or more, not {rate_bits_per_s}")
    if k_factor > _GREATEST_K:
        raise RadioError(
            f"k_factor must be at most {_GREATEST_K:g}, not {k_factor:g}: beyond it nothing fades"
        )
    if rate_bits_per_s == 0:
        return 0.0
    nats = rate_bits_per_s / link.bandwidth_hz * math.log(2)
    if link.snr == 0 or nats > 700:
        return 1.0
    level = math.expm1(nats) / link.snr
    if k_factor == 0:
        return -math.expm1(-level)
    return _marcum_p1(float(k_factor), (k_factor + 1) * level)


def scaled_e1(x: float) -> float:
    """e^x E1(x), the exponential integral scaled, for x > 0; relative error below 1e-13.

    Up to 1 its power series (DLMF 6.6.2), above its continued fraction (DLMF 6.9.1, contracted to
    its even part), 1 / (x + 1 - 1 / (x + 3 - 4 / (x + 5 - 9 / ...))).
    """
    if x <= 1:
        terms, term = [-_EULER, -math.log(x)], -1.0
        for index in range(1, 25):
            term *= -x / index
            terms.append(term / index)
        return math.exp(x) * math.fsum(terms)
    depth = 12 + int(600 / x)  # the error falls as e^(-4 sqrt(x depth))
    tail = 0.0
    for index in range(depth, 0, -1):
        tail = index * index / (x + 2 * index + 1 - tail)
    return 1 / (x + 1 - tail)


def _rician_nats(snr: float, k_factor: float) -> float:
    """The integral of `ergodic_rate_bits_per_s` by the trapezoidal rule in ln z."""
    step = 0.25
    # Below the first node the integrand is at most snr e^u, above the last e^-735.
    nodes = np.arange(-40 - max(0.0, math.log(snr)), 6.6, step)
    scaled = snr * np.exp(nodes)
    exponent = k_factor * (scaled / (k_factor + 1 + scaled)) + np.log1p(scaled / (k_factor + 1))
    return step * float(np.sum(np.exp(-np.exp(nodes)) * -np.expm1(-exponent)))


def _marcum_p1(steady: float, level: float) -> float:
    """1 - Q1(sqrt(2 steady), sqrt(2 level)).

    That is P(M > N) for independent Poisson M of mean `level` and N of mean `steady`. It is the series of the noncentral chi-square distribution, the sum of P(N = k) P(M > k) over
    k. The terms left out hold e^-50 of the probability at most, by Bernstein's inequality, so that
    the error is that of rounding.
    """
    # Chernoff: M <= N, or M > N, has at most exp(-(sqrt(level) - sqrt(steady))^2).
    distance = math.sqrt(level) - math.sqrt(steady)
    if distance > 7:
        return 1.0
    if distance < -27.3:
        return 0.0
    low, high = sorted((steady, level))
    first = max(0, math.floor(low - 10 * math.sqrt(low) - 60))
    stop = math.ceil(high + 10 * math.sqrt(high) + 60)
    exceeded = np.cumsum(_poisson(level, first, stop)[::-1])[::-1]
    products = _poisson(steady, first, stop)[:-1] * exceeded[1:]
    return min(1.0, float(np.sum(products)))


def _poisson(mean: float, first: int, stop: int) -> NDArray[np.float64]:
    """P(N = k) for k in first..stop-1, which hold all but e^-50: ratios from the mode, scaled to 1."""
    mode = min(max(int(mean), first), stop - 1)
    up = np.cumprod(mean / np.arange(mode + 1, stop))
    down = np.cumprod(np.arange(mode, first, -1) / mean)[::-1]
    terms = np.concatenate((down, [1.0], up))
    return terms / np.sum(terms)


def _check(link: RadioLink, k_factor: float) -> None:
    if not math.isfinite(k_factor) or k_factor < 0:
        raise RadioError(f"k_factor must be finite and 0 or more, not {k_factor}")
    if link.blocklength is not None:
        raise RadioError(
            f"blocklength must be None for a closed form, not {link.blocklength}; "
            "average such a link over gains by mean_rate_bits_per_s"
        )
