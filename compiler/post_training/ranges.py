"""From what a value did over all samples to the range that its quantizer covers.

Three methods. `minmax` covers all that was seen; `percentile` leaves out a share of the values at
either end; `mse` takes the range whose quantizer has the least mean squared error on what was
seen, clipping against rounding. The last two work on a histogram, so that memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from joulecut.compiler.codes import Codes

Array = npt.NDArray[Any]
Method = Literal["minmax", "percentile", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)

BINS = 4096  # 16 for each of 256 codes
STEPS = 255  # from the lowest code of 8 bits to the highest
_FRACTIONS = np.linspace(0.2, 1.0, 161)  # of each end that `mse` tries
_ROUNDS = 3  # of trying one end with the other one fixed
_LEAST_RANGE = 2.0**-90  # products of two scales stay normal float32 numbers


@dataclass(frozen=True, eq=False)
class Seen:
    """What one value did over all samples.

    Attributes:
        low: the least number, 0 or below: padding needs an exact 0.
        high: the greatest number, 0 or above.
        counts: int64 [BINS], how often each of as many equal parts of low..high was met, or
            None if nobody counted.
    """

    low: float
    high: float
    counts: Array | None = None

    @property
    def centres(self) -> Array:
        """The middle of each part."""
        width = (self.high - self.low) / BINS
        return self.low + (np.arange(BINS) + 0.5) * width


def bins_of(x: Array, low: float, high: float) -> Array:
    """Counts of x in the parts of low..high."""
    if high - low <= _LEAST_RANGE:
        return np.bincount([0], minlength=BINS) * x.size
    with np.errstate(over="ignore"):  # beyond the last part is in the last part
        place = (x.reshape(-1) - np.float32(low)) * np.float32(BINS / (high - low))
    return np.bincount(np.clip(place, 0, BINS - 1).astype(np.int32), minlength=BINS)


def chosen_range(seen: Seen, method: Method, percentile: float) -> tuple[float, float]:
    """The range that a quantizer covers.

    Args:
        seen: with counts, unless the method is `minmax`.
        method: how to choose.
        percentile: 50 to 100; of `percentile`, the part of the values below the upper end, and
            above the lower one.
    """
    if method == "minmax" or seen.high - seen.low <= _LEAST_RANGE:
        return seen.low, seen.high
    assert seen.counts is not None
    if method == "percentile":
        return _percentile(seen, seen.counts, percentile / 100)
    return _least_error(seen, seen.counts)


def codes_for(low: float, high: float, dtype: np.dtype[Any]) -> Codes:
    """An 8-bit quantizer that covers low..high and has an exact 0.

    Where nothing but 0 was seen any step is as good as another; 1 is far from both ends of float32.
    """
    limits = np.iinfo(dtype)
    step = np.float32((high - low) / STEPS if high - low > _LEAST_RANGE else 1.0)
    zero = int(np.clip(np.rint(limits.min - low / float(step)), limits.min, limits.max))
    return Codes(
        np.array([step], np.float32), np.array([zero]), int(limits.min), int(limits.max), dtype
    )


def _percentile(seen: Seen, counts: Array, share: float) -> tuple[float, float]:
    below = np.cumsum(counts)
    count = int(counts.sum())
    width = (seen.high - seen.low) / BINS
    first = int(np.count_nonzero(below <= (1 - share) * count))
    last = int(np.count_nonzero(below < share * count))
    return min(seen.low + first * width, 0.0), max(seen.low + (last + 1) * width, 0.0)


def _least_error(seen: Seen, counts: Array) -> tuple[float, float]:
    """Each end in turn, the other fixed; ties go to the wider range."""
    met = counts > 0
    x, weight = seen.centres[met], counts[met].astype(np.float64)
    low, high = seen.low, seen.high
    for _ in range(_ROUNDS):
        before = low, high
        if seen.high > 0:
            high = _best(x, weight, np.full(_FRACTIONS.size, low), seen.high * _FRACTIONS)[1]
        if seen.low < 0:
            low = _best(x, weight, seen.low * _FRACTIONS, np.full(_FRACTIONS.size, high))[0]
        if (low, high) == before:
            break
    return low, high


def _best(x: Array, weight: Array, lows: Array, highs: Array) -> tuple[float, float]:
    """The candidate with the least squared error."""
    step = (highs - lows)[:, None] / STEPS
    zero = np.rint(-lows[:, None] / step)
    codes = np.clip(np.rint(x / step) + zero, 0, STEPS)
    errors = np.square((codes - zero) * step - x) @ weight
    best = len(errors) - 1 - int(np.argmin(errors[::-1]))
    return float(lows[best]), float(highs[best])
