"""D(R) of the uniform and the Laplacian density by the Blahut-Arimoto algorithm.

R. Blahut, "Computation of channel capacity and rate-distortion functions", IEEE Transactions on
Information Theory 18 (4), 1972. Densities are cut into cells; each slope of the curve gives an
explicit channel, whose mutual information any rate must reach, and a bound below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Exact = NDArray[np.float64]

CELLS = {"uniform": 600, "Laplacian": 1200}
REACH = {"uniform": math.sqrt(3), "Laplacian": 14 * math.sqrt(0.5)}  # of variance 1
BISECTIONS, COARSE_ROUNDS, FINE_ROUNDS = 14, 150, 1500


@dataclass(frozen=True)
class Point:
    """One point of the curve: the rate that suffices, one that does not, and the distortion."""

    enough_bits: float
    too_few_bits: float
    distortion: float


def cells(source: str) -> tuple[Exact, Exact, Exact]:
    """Probability and middle of each cell, and where reproductions may lie."""
    n, reach = CELLS[source], REACH[source]
    edges = np.linspace(-reach, reach, n + 1)
    mass = np.full(n, 1 / n)
    if source == "Laplacian":
        tail = np.exp(-np.abs(edges) * math.sqrt(2)) / 2
        mass = np.diff(np.where(edges < 0, tail, 1 - tail))
    return mass / mass.sum(), (edges[1:] + edges[:-1]) / 2, np.linspace(-reach, reach, n // 2)


def point(source: str, slope: float, rounds: int) -> Point:
    """Where the curve has this slope, in nats per unit of squared error."""
    p, x, y = cells(source)
    squares = np.square(x[:, None] - y[None, :])
    kernel = np.exp(-slope * squares)
    q = np.full(y.size, 1 / y.size)
    for _ in range(rounds):
        q = q * ((p / (kernel @ q)) @ kernel)
        q[q < 1e-200] = 0  # denormal numbers are slow
    norm = kernel @ q
    growth = (p / norm) @ kernel
    distortion = float(np.sum((p / norm)[:, None] * kernel * q * squares))
    shared = -slope * distortion - float(p @ np.log(norm))
    used = q > 0
    enough = shared - float((q * growth)[used] @ np.log(growth[used]))
    too_few = shared - math.log(float(growth.max()))
    return Point(enough / math.log(2), too_few / math.log(2), distortion)


def limit_db(source: str, rate_bits: int) -> tuple[float, float]:
    """Two bounds of the signal-to-noise ratio at a rate, for the density cut into cells."""
    low, high = 0.15 * 4**rate_bits, 2.2 * 4**rate_bits
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        found = point(source, middle, COARSE_ROUNDS)
        if found.enough_bits + found.too_few_bits < 2 * rate_bits:
            low = middle
        else:
            high = middle
    found = point(source, math.sqrt(low * high), FINE_ROUNDS)
    slope_db = 20 * math.log10(2)  # per bit; the correction is of some thousandths of a bit
    snr_db = -10 * math.log10(found.distortion)
    return (
        snr_db - (found.enough_bits - rate_bits) * slope_db,
        snr_db - (found.too_few_bits - rate_bits) * slope_db,
    )


def main(rates: Iterable[int] = (1, 2, 3, 4)) -> None:
    """Print the bounds."""
    for source in CELLS:
        for rate in rates:
            low, high = limit_db(source, rate)
            print(f"{source:9} R = {rate}: {low:.3f} to {high:.3f} dB", flush=True)


if __name__ == "__main__":
    main()
