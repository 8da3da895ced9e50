"""What symbols cost, learned from what occurs: the prices that encoders weigh against distance.

A price is the mean length of the code of a magnitude, were it coded as well as possible under the
contexts of docs/bitstream.md. Prices are for the choice of symbols only; they are not sent.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler.quantizers.grid import Symbols
from joulecut.kernels import coder

Magnitudes = NDArray[np.int64]

N_UNIONS = 2
N_RATES = 16  # magnitudes with a price of their own
_FIRST_ALIKE = 4  # from this magnitude on, unions have the same prices
N_CLASSES = 24
_N_BUCKETS = 32  # each magnitude below N_RATES, then one for each octave
_MOST_Q4 = 255
_PRIOR = 4.0  # symbols that each class and union is taken to have seen, as all others have
_LAMBDA = (
    math.log(2) / 6
)  # -dD/dR of a fine uniform quantizer, D = cell^2 / 12, in cell^2 a bit


def lambda_q8(weight: float) -> int:
    """The price of a bit in cell^2 / 256: `weight` times that of a fine uniform quantizer."""
    return min(round(256 * weight * _LAMBDA), 256)


def learned_rates(
    magnitudes: Magnitudes, unions: Magnitudes | None, row: int, fold: bool, weight: float
) -> coder.Rates:
    """Prices for what looks like these symbols.

    Args:
        magnitudes: of the symbols in order, [n].
        unions: of each symbol, [n]; None where there is one.
        row: distance of the upper neighbour; 0 for none.
        fold: symbols have signs, which cost a bit.
        weight: see `lambda_q8`.
    """
    n_unions = 1 if unions is None else N_UNIONS
    buckets = _buckets(magnitudes)
    key = _classes(magnitudes, row) * n_unions
    key = (key if unions is None else key + unions) * _N_BUCKETS + buckets
    counts = np.bincount(key, minlength=N_CLASSES * n_unions * _N_BUCKETS).astype(float)
    prices, occurs = _prices(counts.reshape(N_CLASSES, n_unions, _N_BUCKETS), fold)
    prices[:, _FIRST_ALIKE:] = _pooled(prices, occurs)[_FIRST_ALIKE:]
    last, slope_q4 = _large_magnitudes(prices[0], occurs.sum(axis=0))
    prices[:, N_RATES - 1] = last
    bits_q4 = np.clip(np.rint(16 * prices[:, :N_RATES]), 0, _MOST_Q4).astype(int)
    table = tuple(tuple(map(int, bits_q4[min(q, n_unions - 1)])) for q in range(N_UNIONS))
    return coder.Rates(table, slope_q4, lambda_q8(weight))


def unions_of(header: coder.Quantizer, magnitudes: Magnitudes) -> Magnitudes | None:
    """The union of each symbol of a trellis; None for other quantizers.

    The trellis is walked by the kernel: with step 1 it values magnitude k at 2k - union, if the
    zeros of the unions are made 0 and -1.
    """
    if header.kind != "trellis":
        return None
    plain = header._replace(
        width=16, fold=False, step=1.0, offset=0.0, centroids=((0.0,), (-1.0,))
    )
    values = np.empty(magnitudes.size, np.float32)
    coder.values_into(magnitudes.astype(np.uint16), "float32", plain, values)
    return 2 * magnitudes - values.astype(np.int64)


def magnitudes_of(header: coder.Quantizer, symbols: Symbols) -> Magnitudes:
    """The magnitude of each symbol, [n]."""
    return (symbols.reshape(-1).astype(np.int64) + header.fold) >> int(header.fold)


def _buckets(magnitudes: Magnitudes) -> Magnitudes:
    octave = np.frexp(magnitudes)[1] - 1  # floor(log2 k)
    return np.where(magnitudes < N_RATES, magnitudes, N_RATES - 4 + octave).astype(np.int64)


def _classes(magnitudes: Magnitudes, row: int) -> Magnitudes:
    """The context of each symbol; lanes and blocks, at whose ends it is another, are left out."""
    west = np.concatenate([magnitudes[:1] * 0, magnitudes[:-1]])
    north = west.copy()
    if 0 < row < magnitudes.size:
        north[row:] = magnitudes[:-row]
    t = west + north
    octave = np.maximum(np.frexp(t)[1] - 1, 1)
    above = 2 * octave + ((t >> (octave - 1)) & 1)
    return np.minimum(np.where(t < 2, t, above), N_CLASSES - 1).astype(np.int64)


def _prices(counts: NDArray[np.float64], fold: bool) -> tuple[NDArray[np.float64], ...]:
    """Mean bits of each bucket, [unions, buckets], and how often it occurs.

    The mean is over the contexts in which the magnitude occurs in whatever union, so that unions
    differ by what they are rather than by the company they keep: else the trellis would seek the
    union where it was most, which is no gain (0.1 dB at 3 bits a sample).
    """
    occurs = counts.sum(axis=1)  # [classes, buckets]
    anywhere = occurs.sum(axis=0)
    prior = (anywhere + 0.5) / (anywhere.sum() + 0.5 * _N_BUCKETS)
    in_class = (occurs + _PRIOR * prior) / (occurs.sum(axis=1, keepdims=True) + _PRIOR)
    share = counts + _PRIOR * in_class[:, np.newaxis]
    bits = -np.log2(share / share.sum(axis=2, keepdims=True))
    weights = (occurs + 1e-9) / (occurs + 1e-9).sum(axis=0)
    prices = (bits * weights[:, np.newaxis]).sum(axis=0)
    bucket = np.arange(_N_BUCKETS)
    inside_octave = np.where(bucket < N_RATES, 0, bucket - (N_RATES - 4))
    signs = (bucket > 0) * int(fold)
    return prices + inside_octave + signs, counts.sum(axis=0)


def _pooled(prices: NDArray[np.float64], occurs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean price in both unions, [buckets].

    Away from zero they differ by chance alone, and a trellis that seeks the cheaper one makes it
    cheaper still: at 3 bits on VGG16 that lost up to 0.8 dB, at some steps and not at others.
    """
    weights = occurs + 1e-9
    means: NDArray[np.float64] = (prices * weights).sum(axis=0) / weights.sum(axis=0)
    return means


def _large_magnitudes(
    prices: NDArray[np.float64], occurs: NDArray[np.float64]
) -> tuple[float, int]:
    """A line through the prices from magnitude `N_RATES - 1` on, weighted by how often they occur.

    Returns:
        The price at `N_RATES - 1`, and how much dearer each octave is, in 1/16 bits.
    """
    octaves = np.arange(_N_BUCKETS - N_RATES + 1.0)
    tail, weights = prices[N_RATES - 1 :], occurs[N_RATES - 1 :] + 1e-6
    mean_octave, mean_price = (
        np.average(octaves, weights=weights),
        np.average(tail, weights=weights),
    )
    spread = np.average((octaves - mean_octave) ** 2, weights=weights)
    slope = np.average((octaves - mean_octave) * (tail - mean_price), weights=weights) / spread
    slope_q4 = int(np.clip(round(16 * float(slope)), 0, _MOST_Q4))
    return float(mean_price - slope_q4 / 16 * mean_octave), slope_q4
