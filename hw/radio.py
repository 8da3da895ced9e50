"""How fast, how long and at what energy a radio sends bits, steadily or through fading.

Rates are Shannon's (Eq. 3 of the split paper in docs/energy.md): no real modem reaches them, so
times and energies are lower bounds. A link with a blocklength has the rate of the best codes that
long instead, by the normal approximation. Power is that of transmission alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

_SHORTEST_BLOCK = (
    100  # symbols; Polyanskiy, Poor and Verdu show the approximation from there on
)


class RadioError(ValueError):
    """A link is not physical, or too short for what is to be sent."""


@dataclass(frozen=True)
class RadioLink:
    """A flat channel of constant gain; the defaults are the paper's.

    Attributes:
        bandwidth_hz: W.
        power_w: P, transmitted.
        noise_density_w_per_hz: N_0, one-sided.
        gain: |h|^2, the power gain of the channel; 1 is the mean of the fading.
        blocklength: complex symbols of a code word, 100 or more; None is Shannon's rate, that of
            words without end.
        error_probability: of a code word, above 0 and below 0.5; given with a blocklength and
            only then. Nothing is repeated: what is lost is lost.

    Raises:
        RadioError: a value is none of these.
    """

    bandwidth_hz: float = 5e6
    power_w: float = 1e-3
    noise_density_w_per_hz: float = 1e-9
    gain: float = 1.0
    blocklength: int | None = None
    error_probability: float | None = None

    def __post_init__(self) -> None:
        for name in ("bandwidth_hz", "power_w", "noise_density_w_per_hz"):
            _check(name, getattr(self, name), positive=True)
        _check("gain", self.gain, positive=False)
        _check_block(self.blocklength, self.error_probability)

    @property
    def snr(self) -> float:
        """P |h|^2 / (N_0 W), a ratio and not decibels."""
        return self.power_w * self.gain / (self.noise_density_w_per_hz * self.bandwidth_hz)

    @property
    def rate_bits_per_s(self) -> float:
        """Eq. 3: W log2(1 + SNR); with a blocklength, W times the bits of `block_bits`."""
        if self.blocklength is None or self.error_probability is None:
            return self.bandwidth_hz * math.log1p(self.snr) / math.log(2)
        return self.bandwidth_hz * block_bits(
            self.snr, self.blocklength, self.error_probability
        )

    def time_s(self, bits: float) -> float:
        """Eq. 4 for a constant gain; infinite where the gain is 0 and there is something to send."""
        _check("bits", bits, positive=False)
        if bits == 0:
            return 0.0
        rate = self.rate_bits_per_s
        return bits / rate if rate > 0 else math.inf

    def energy_j(self, bits: float) -> float:
        """Eq. 5 without its leading tau, a misprint: the integral of P over the time is tau P."""
        return self.time_s(bits) * self.power_w

    def describe(self) -> str:
        """One line for people, with what every modelled result of the link rests on."""
        block = "Mb/s at most (modelled)"
        if self.blocklength is not None:
            block = (
                f"Mb/s in words of {self.blocklength} symbols, of which "
                f"{self.error_probability:g} are lost (modelled)"
            )
        return (
            f"{self.bandwidth_hz / 1e6:g} MHz, {self.power_w * 1e3:g} mW, "
            f"{self.noise_density_w_per_hz:g} W/Hz, gain {self.gain:g}: "
            f"{self.rate_bits_per_s / 1e6:.4g} {block}"
        )


@dataclass(frozen=True)
class FadingLink:
    """A link whose gain changes from one coherence block to the next.

    Attributes:
        link: everything but the gain, which multiplies the gains below (path loss).
        gains: |h(t)|^2, one per block.
        block_s: how long a gain lasts.
    """

    link: RadioLink
    gains: tuple[float, ...]
    block_s: float

    def __post_init__(self) -> None:
        _check("block_s", self.block_s, positive=True)
        if not self.gains:
            raise RadioError("gains must be one or more, not none")
        for gain in self.gains:
            _check("gain", gain, positive=False)

    def rates_bits_per_s(self) -> tuple[float, ...]:
        """Eq. 3 in every block."""
        return tuple(
            replace(self.link, gain=self.link.gain * gain).rate_bits_per_s
            for gain in self.gains
        )

    def time_s(self, bits: float) -> float:
        """Eq. 4: the first time at which the integral of the rate reaches the bits.

        Raises:
            RadioError: the gains end before the bits are sent.
        """
        _check("bits", bits, positive=False)
        left = bits
        for block, rate in enumerate(self.rates_bits_per_s()):
            if left <= rate * self.block_s:
                return block * self.block_s + (left / rate if left else 0.0)
            left -= rate * self.block_s
        raise RadioError(
            f"bits must be at most {bits - left:.6g} for {len(self.gains)} blocks of "
            f"{self.block_s:g} s, not {bits:.6g}; give more gains"
        )

    def energy_j(self, bits: float) -> float:
        """Eq. 5: the integral of a constant power over the time, tau P."""
        return self.time_s(bits) * self.link.power_w


def rician_gains(
    blocks: int, seed: int, *, k_factor: float, correlation: float = 0.0
) -> tuple[float, ...]:
    """|h|^2 of Rician fading with mean 1: a steady path beside scattered ones.

    h = sqrt(K / (K + 1)) + sqrt(1 / (K + 1)) s, where s ~ CN(0, 1) is the scattered part. The
    steady part keeps its phase, as between antennas that do not move.

    Args:
        blocks: how many.
        seed: the same seed gives the same trajectory.
        k_factor: K, the power of the steady path over that of all the others, a ratio and not
            decibels; 0 is Rayleigh fading.
        correlation: of s from one block to the next (a first-order Gauss-Markov process), 0 to 1.

    Raises:
        RadioError: the K factor is negative, or the correlation out of its range.
    """
    _check("k_factor", k_factor, positive=False)
    if not 0 <= correlation <= 1:
        raise RadioError(f"correlation must be in 0..1, not {correlation}")
    draws = np.random.default_rng(seed).normal(0, math.sqrt(0.5), (blocks, 2)).tolist()
    steady, scattered = math.sqrt(k_factor / (k_factor + 1)), math.sqrt(1 / (k_factor + 1))
    fresh = math.sqrt(1 - correlation**2)
    gains: list[float] = []
    real = imaginary = 0.0
    for index, (first, second) in enumerate(draws):
        weight, kept = (fresh, correlation) if index else (1.0, 0.0)
        real, imaginary = kept * real + weight * first, kept * imaginary + weight * second
        in_phase, quadrature = steady + scattered * real, scattered * imaginary
        gains.append(in_phase * in_phase + quadrature * quadrature)
    return tuple(gains)


def rayleigh_gains(blocks: int, seed: int, *, correlation: float = 0.0) -> tuple[float, ...]:
    """|h|^2 of Rayleigh fading, h ~ CN(0, 1), so that the mean gain is 1.

    Args:
        blocks: how many.
        seed: the same seed gives the same trajectory.
        correlation: of h from one block to the next (a first-order Gauss-Markov process), 0 to 1.
    """
    return rician_gains(blocks, seed, k_factor=0.0, correlation=correlation)


def mean_rate_bits_per_s(link: RadioLink, gains: Sequence[float]) -> float:
    """Eq. 3 averaged over gains: what a long transmission through them approaches."""
    rates = FadingLink(link, tuple(gains), block_s=1.0).rates_bits_per_s()
    return math.fsum(rates) / len(rates)


def block_bits(snr: float, blocklength: int, error_probability: float) -> float:
    """Bits a symbol of the best code of n complex symbols that is lost with probability e.

    C - sqrt(V / n) Q^-1(e) + log2(n) / (2 n), the normal approximation of Polyanskiy, Poor and
    Verdu (IEEE Trans. Inf. Theory 56(5), 2010), with C = log2(1 + snr) and the dispersion
    V = snr (snr + 2) / (snr + 1)^2 log2(e)^2. Both are twice those of a real symbol, because a
    complex one is two real ones at the same SNR. Terms of order 1/n are left out.

    It is no bound, and at low SNR its last term alone would promise more than there is: so it is
    0 where the first two are not positive, and never above C.

    Args:
        snr: of a symbol, a ratio.
        blocklength: n.
        error_probability: e, below 0.5.
    """
    capacity = math.log1p(snr) / math.log(2)
    deviation = math.sqrt(snr / (snr + 1) * ((snr + 2) / (snr + 1))) / math.log(2)
    quantile = -NormalDist().inv_cdf(error_probability)
    bits = capacity - deviation / math.sqrt(blocklength) * quantile
    if bits <= 0:
        return 0.0
    return min(capacity, bits + math.log2(blocklength) / (2 * blocklength))


def _check_block(blocklength: int | None, error_probability: float | None) -> None:
    if (blocklength is None) != (error_probability is None):
        raise RadioError(
            "blocklength and error_probability must both be given or neither, "
            f"not {blocklength} and {error_probability}"
        )
    if blocklength is None or error_probability is None:
        return
    if blocklength < _SHORTEST_BLOCK:
        raise RadioError(
            f"blocklength must be {_SHORTEST_BLOCK} symbols or more, not {blocklength}: "
            "the normal approximation is not known to hold for shorter words"
        )
    if not 0 < error_probability < 0.5:
        raise RadioError(
            f"error_probability must be above 0 and below 0.5, not {error_probability}"
        )


def _check(name: str, value: float, *, positive: bool) -> None:
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        wanted = "positive" if positive else "0 or more"
        raise RadioError(f"{name} must be finite and {wanted}, not {value}")
