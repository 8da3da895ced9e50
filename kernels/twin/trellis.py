"""Dead zone and trellis the slow and obvious way: every candidate, every state's whole best path.

Written from docs/bitstream.md, "Quantizers", "Trellis" and "Dead zone and trellis". Steps that it
wants in binary32 are numpy scalars of that type, one rounding each; all others are Python's integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POLYNOMIALS = {4: (0o5, 0o2), 8: (0o13, 0o4)}
"""States -> parity-check polynomials (h0, h1) of the encoder."""

MOST_PRICE = 1792
"""What a magnitude of a trellis costs at most, beside its distance."""

Path = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Quantizer:
    """The parameters of quantizer 4 (n_states = 0) or 5; centroids are those of each union."""

    width: int
    fold: int = 1
    step: float = 1.0
    offset: float = 0.0
    centroids: tuple[Sequence[float], ...] = ((), ())
    n_states: int = 0

    @property
    def most(self) -> int:
        """K, the largest magnitude."""
        return (1 << (self.width - self.fold)) - 1


@dataclass(frozen=True)
class Rates:
    """What magnitudes cost: lambda in 1/256, bits and slope in 1/16 bits."""

    lambda_q8: int
    bits_q4: tuple[Sequence[int], ...]
    slope_q4: int = 0

    def rate(self, union: int, k: int) -> int:
        """The price of a magnitude in 1/16 bits."""
        beyond = k.bit_length() - 1 - 3 if k > 15 else 0
        return self.bits_q4[union][min(k, 15)] + beyond * self.slope_q4


FREE = Rates(0, ((0,) * 16, (0,) * 16))


def next_state(n_states: int, state: int, parity: int) -> int:
    """Where the trellis goes from a state, bit by bit."""
    v, (h0, h1) = n_states.bit_length() - 1, POLYNOMIALS[n_states]
    z0 = state & 1
    bits = [
        (state >> i & 1 if i < v else 0) ^ (h0 >> i & z0) ^ (h1 >> i & parity)
        for i in range(1, v + 1)
    ]
    return sum(bit << i for i, bit in enumerate(bits))


def lane_bounds(n: int, lanes: int) -> list[tuple[int, int]]:
    """Start and end of each lane of n symbols."""
    segment = -(-n // lanes)
    return [(min(n, lane * segment), min(n, (lane + 1) * segment)) for lane in range(lanes)]


def magnitude(symbol: int, fold: int) -> int:
    """The magnitude k of a symbol."""
    return (symbol + 1) // 2 if fold else symbol


def sign(symbol: int, fold: int) -> int:
    """-1 for the folded symbols 1, 3, 5 .., else 1."""
    return -1 if fold and symbol % 2 else 1


def scaled(q: Quantizer, x: float, parts: int, most: int) -> tuple[int, bool]:
    """The distance to the offset in step / parts, rounded, at most `most`; and if it is below."""
    with np.errstate(over="ignore"):  # infinity is above the most
        distance = np.float32(x) - np.float32(q.offset)
        a = abs(distance) if q.fold else max(distance, np.float32(0))
        product = np.float32(a) * (np.float32(parts) / np.float32(q.step))
    t = int(min(product, np.float32(most)) + np.float32(0.5))
    return t, bool(q.fold and distance < 0)


def symbol_of(q: Quantizer, k: int, below: bool) -> int:
    """The symbol of a magnitude."""
    return 2 * k - (1 if below and k else 0) if q.fold else k


def dead_zone_candidates(q: Quantizer, t: int) -> list[int]:
    """The magnitudes that are compared, in that order."""
    k = min((t + 32) // 64, q.most)
    return [k, *([k - 1] if k >= 1 else []), *([0] if 2 <= k <= 7 else [])]


def dead_zone_symbols(q: Quantizer, x: Sequence[float], rates: Rates = FREE) -> list[int]:
    """The cheapest candidate of each sample, the first such."""
    found: list[int] = []
    for value in x:
        t, below = scaled(q, value, 64, 64 * q.most)
        costs = {
            k: (t - 64 * k) ** 2 + rates.lambda_q8 * rates.rate(0, k)
            for k in dead_zone_candidates(q, t)
        }
        found.append(symbol_of(q, min(costs, key=lambda k: costs[k]), below))
    return found


def trellis_candidates(q: Quantizer, t: int, union: int, parity: int) -> list[int]:
    """The magnitudes of a union and a parity that are compared, in that order."""
    k = 2 * max(0, (t - 32 * parity + 16 * union + 32) // 64) + parity
    while k > q.most:
        k -= 2
    return [k, *([k - 2] if k >= 2 else []), *([0] if parity == 0 and k > 2 else [])]


def branch(q: Quantizer, rates: Rates, t: int, union: int, parity: int) -> tuple[int, int]:
    """The cost and the magnitude of the best candidate, the first such."""
    costs: dict[int, int] = {}
    for k in trellis_candidates(q, t, union, parity):
        level = 32 * k - 16 * union if k else 0
        price = min(MOST_PRICE, rates.lambda_q8 * rates.rate(union, k) // 4)
        costs[k] = (t - level) ** 2 + price
    best = min(costs, key=lambda k: costs[k])
    return costs[best], best


def _lane_symbols(q: Quantizer, x: Sequence[float], rates: Rates) -> tuple[int, ...]:
    paths: dict[int, Path] = {0: (0, ())}
    for value in x:
        t, below = scaled(q, value, 16, 32 * q.most)
        branches = [[branch(q, rates, t, union, p) for p in (0, 1)] for union in (0, 1)]
        found: dict[int, Path] = {}
        for state, (cost, symbols) in sorted(paths.items()):  # the lower state keeps a tie
            for parity, (more, k) in enumerate(branches[state & 1]):
                target = next_state(q.n_states, state, parity)
                if target not in found or cost + more < found[target][0]:
                    found[target] = cost + more, (*symbols, symbol_of(q, k, below))
        paths = found
    return min(sorted(paths.items()), key=lambda item: item[1][0])[1][1]


def trellis_symbols(
    q: Quantizer, x: Sequence[float], rates: Rates = FREE, lanes: int = 1
) -> list[int]:
    """The symbols of the best path of each lane."""
    return [
        symbol
        for start, end in lane_bounds(len(x), lanes)
        for symbol in _lane_symbols(q, x[start:end], rates)
    ]


def value_of(q: Quantizer, symbol: int, union: int, level: int) -> np.float32:
    """Value sign * r + offset, where r is a centroid or level * step; offset is added even if 0."""
    k, book = magnitude(symbol, q.fold), q.centroids[union]
    with np.errstate(over="ignore"):
        r = np.float32(book[k]) if k < len(book) else np.float32(level) * np.float32(q.step)
        return np.float32(sign(symbol, q.fold)) * r + np.float32(q.offset)


def dead_zone_values(q: Quantizer, symbols: Sequence[int]) -> list[np.float32]:
    """The value of each symbol."""
    return [value_of(q, symbol, 0, magnitude(symbol, q.fold)) for symbol in symbols]


def trellis_values(q: Quantizer, symbols: Sequence[int], lanes: int = 1) -> list[np.float32]:
    """The value of each symbol."""
    found: list[np.float32] = []
    for start, end in lane_bounds(len(symbols), lanes):
        state = 0
        for symbol in symbols[start:end]:
            k, union = magnitude(symbol, q.fold), state & 1
            found.append(value_of(q, symbol, union, 2 * k - union if k else 0))
            state = next_state(q.n_states, state, k & 1)
    return found
