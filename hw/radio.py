"""How fast, how long and at what energy a radio sends bits, steadily or through fading.

Rates are Shannon's (Eq. 3 of the split paper in docs/energy.md): no real modem reaches them, so
times and energies are lower bounds. Power is that of transmission alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


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
    """

    bandwidth_hz: float = 5e6
    power_w: float = 1e-3
    noise_density_w_per_hz: float = 1e-9
    gain: float = 1.0

    def __post_init__(self) -> None:
        for name in ("bandwidth_hz", "power_w", "noise_density_w_per_hz"):
            _check(name, getattr(self, name), positive=True)
        _check("gain", self.gain, positive=False)

    @property
    def snr(self) -> float:
        """P |h|^2 / (N_0 W), a ratio and not decibels."""
        return self.power_w * self.gain / (self.noise_density_w_per_hz * self.bandwidth_hz)

    @property
    def rate_bits_per_s(self) -> float:
        """Eq. 3: W log2(1 + SNR)."""
        return self.bandwidth_hz * math.log1p(self.snr) / math.log(2)

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
        return (
            f"{self.bandwidth_hz / 1e6:g} MHz, {self.power_w * 1e3:g} mW, "
            f"{self.noise_density_w_per_hz:g} W/Hz, gain {self.gain:g}: "
            f"{self.rate_bits_per_s / 1e6:.4g} Mb/s at most (modelled)"
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


def rayleigh_gains(blocks: int, seed: int, *, correlation: float = 0.0) -> tuple[float, ...]:
    """|h|^2 of Rayleigh fading, h ~ CN(0, 1), so that the mean gain is 1.

    Args:
        blocks: how many.
        seed: the same seed gives the same trajectory.
        correlation: of h from one block to the next (a first-order Gauss-Markov process), 0 to 1.
    """
    if not 0 <= correlation <= 1:
        raise RadioError(f"correlation must be in 0..1, not {correlation}")
    draws = np.random.default_rng(seed).normal(0, math.sqrt(0.5), (blocks, 2)).tolist()
    fresh = math.sqrt(1 - correlation**2)
    gains: list[float] = []
    real = imaginary = 0.0
    for index, (first, second) in enumerate(draws):
        weight, kept = (fresh, correlation) if index else (1.0, 0.0)
        real, imaginary = kept * real + weight * first, kept * imaginary + weight * second
        gains.append(real * real + imaginary * imaginary)
    return tuple(gains)


def mean_rate_bits_per_s(link: RadioLink, gains: Sequence[float]) -> float:
    """Eq. 3 averaged over gains: what a long transmission through them approaches."""
    rates = FadingLink(link, tuple(gains), block_s=1.0).rates_bits_per_s()
    return math.fsum(rates) / len(rates)


def _check(name: str, value: float, *, positive: bool) -> None:
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        wanted = "positive" if positive else "0 or more"
        raise RadioError(f"{name} must be finite and {wanted}, not {value}")
