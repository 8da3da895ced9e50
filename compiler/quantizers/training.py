"""Samples => the codebook that loses least on them.

Both trainers alternate two steps that cannot lose: assign each sample to a level, move each level
to the mean of its samples. Lloyd and Max assign to the nearest level; on a trellis the best path
assigns. The path comes from a function that the caller passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler.errors import ConfigError

__all__ = ["Assign", "TrainingPlan", "lloyd_max", "train_fixed_trellis"]

Floats = NDArray[np.float32]
Exact = NDArray[np.float64]
Assign = Callable[[Floats, Floats], tuple[NDArray[np.uint16], NDArray[np.integer]]]
"""(x, book) -> the symbol of each x, and the place of its level in the book."""

DENSITY_CELLS = 4096
LLOYD_MAX_ROUNDS = 5000
STILL = 1e-7  # of the largest level: a book that moves less has arrived


@dataclass(frozen=True)
class TrainingPlan:
    """How long to train on a trellis.

    Attributes:
        max_rounds: Viterbi passes over all samples, at most.
        stride: how far a level moves towards its mean, 1 being all the way. Means drag each
            other along slowly; going 1.6 times as far takes half the rounds.
        min_gain: stop when `patience` rounds in a row have lowered the distortion by less.
        patience: see min_gain.
    """

    max_rounds: int = 60
    stride: float = 1.6
    min_gain: float = 1e-5
    patience: int = 3


def lloyd_max(samples: Floats, bits: int) -> Floats:
    """The 2^bits levels, ascending, of a scalar quantizer that is optimal for the samples."""
    _check(samples, bits, 9)
    ordered = np.sort(samples.astype(np.float64))
    sums: Exact = np.concatenate([np.zeros(1), np.cumsum(ordered)])
    book = _companded(ordered, 2**bits)
    for _ in range(LLOYD_MAX_ROUNDS):
        inner = np.searchsorted(ordered, (book[1:] + book[:-1]) / 2, side="right")
        ends = np.concatenate([[0], inner, [ordered.size]])
        moved = _means(sums[ends[1:]] - sums[ends[:-1]], np.diff(ends), book)
        arrived = np.abs(moved - book).max() <= STILL * np.abs(book).max()
        book = moved
        if arrived:
            break
    return book.astype(np.float32)


def train_fixed_trellis(
    samples: Floats, bits: int, assign: Assign, plan: TrainingPlan | None = None
) -> Floats:
    """The 2^(bits + 1) levels, ascending, that lose least on the trellis that `assign` walks.

    Training starts from the levels of Lloyd and Max for `bits`, each split in two: closer to
    where it ends than their 2^(bits + 1) levels, which reach too far into the tails.

    Args:
        samples: finite numbers like those to quantize; a thousand a level or more.
        bits: R, the bits a sample, 1 to 8.
        assign: the best path, at this number of states.
        plan: when to stop.
    """
    _check(samples, bits, 8)
    plan = plan or TrainingPlan()
    book = _split(lloyd_max(samples, bits).astype(np.float64))
    best, least, idle = book, np.inf, 0
    for _ in range(plan.max_rounds):
        rounded = book.astype(np.float32)
        _, levels = assign(samples, rounded)
        lost = float(np.mean(np.square(samples - rounded[levels], dtype=np.float64)))
        idle = 0 if lost < least * (1 - plan.min_gain) else idle + 1
        if lost < least:
            best, least = book, lost
        if idle == plan.patience:
            break
        counts = np.bincount(levels, minlength=book.size)
        sums = np.bincount(levels, samples, book.size).astype(np.float64)
        book = np.sort(book + plan.stride * (_means(sums, counts, book) - book))
    return best.astype(np.float32)


def _check(samples: Floats, bits: int, max_bits: int) -> None:
    if not 1 <= bits <= max_bits:
        raise ConfigError(f"bits must be 1 to {max_bits}, not {bits}; choose another rate")
    if samples.dtype != np.float32 or samples.ndim != 1 or samples.size == 0:
        raise ConfigError(
            f"samples must be a vector of float32, not {samples.dtype} of shape "
            f"{samples.shape}; pass x.astype('float32').ravel()"
        )
    if not np.isfinite(samples).all():
        raise ConfigError("samples must be finite, not NaN or infinity; remove those")


def _companded(ordered: Exact, n_levels: int) -> Exact:
    """Levels as dense as the cube root of the density, which is right where they are many."""
    counts, edges = np.histogram(ordered, DENSITY_CELLS)
    mass: Exact = np.cumsum(
        np.cbrt(counts + 0.02)
    )  # empty cells count a little: no flat stretch
    wanted: Exact = (np.arange(n_levels) + 0.5) / n_levels * mass[-1]
    centres: Exact = (edges[1:] + edges[:-1]) / 2
    return np.interp(wanted, mass, centres)


def _split(book: Exact) -> Exact:
    """Each level becomes two, half the distance of its neighbours' apart."""
    ends = np.concatenate([book[:1], book, book[-1:]])
    quarter = (ends[2:] - ends[:-2]) / 8
    quarter[[0, -1]] *= 2
    return np.sort(np.concatenate([book - quarter, book + quarter]))


def _means(sums: Exact, counts: NDArray[np.integer], otherwise: Exact) -> Exact:
    """Means of the samples of each level; a level without samples stays."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), otherwise)
