"""A rate in bits a sample => the step that meets it, measured with the coder that will be used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.block_size import default_block_log2
from joulecut.compiler.quantizers.cells import range_of
from joulecut.compiler.quantizers.dead_zone import DeadZoneQuantizer
from joulecut.compiler.quantizers.grid import Array, Grid, quantizable
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.compiler.quantizers.trellis import TrellisQuantizer
from joulecut.kernels import coder

TOLERANCE = 0.005  # of the rate: it is met from below, this near
_TRIALS = 16
_MAX_LEVELS = {
    "best": 1 << 15,
    "fast": 1 << 7,
}  # symbols of 16 bits, or those that Huffman takes

Candidate = DeadZoneQuantizer | TrellisQuantizer


@dataclass(frozen=True)
class RateQuantizer(Quantizer):
    """The best of some quantizers at a rate.

    Attributes:
        rate: the most bits a sample of the whole coded tensor. A tensor that needs more even
            when most is lost, or fewer when as little is lost as 16 bits allow, gets that.
        among: which quantizers; their steps are ignored.
        entropy: the coder that measures, "best" or "fast".
        block_log2: its blocks; None for those that `codec.encode` takes, too.
    """

    rate: float
    among: tuple[Candidate, ...] = (DeadZoneQuantizer(step=1.0), TrellisQuantizer(step=1.0))
    entropy: Literal["best", "fast"] = "best"
    block_log2: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 32:
            raise ConfigError(f"rate must be above 0 and at most 32 bits, not {self.rate}")
        if not self.among:
            raise ConfigError("among must name at least one quantizer, not none")

    def fit(self, array: Array) -> Grid:
        """The grid for one tensor: of those that meet the rate, the one of least distance.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        array = quantizable(array)
        if not array.size:
            return self.among[0].fit(array)
        found = [self._searched(array, candidate) for candidate in self.among]
        if len(found) == 1:
            return found[0].grid
        allowed = [trial for trial in found if trial.rate <= self.rate] or found
        return min(allowed, key=lambda trial: _distortion(array, trial.blob)).grid

    def _searched(self, array: Array, candidate: Candidate) -> Trial:
        """The candidate with the step that meets the rate."""
        spread = range_of(array)
        finest = math.log2(spread / _MAX_LEVELS[self.entropy])

        def tried(log2_step: float, **changes: Any) -> Trial:
            changes |= {"step": 2.0**log2_step, "bits": None}
            grid = replace(candidate, **changes).fit(array)
            blob = coder.encode(
                array,
                array.dtype.name,
                array.shape,
                grid.header,
                modes=coder.MODES if self.entropy == "best" else coder.FAST_MODES,
                rates=grid.rates,
                block_log2=self.block_log2 or default_block_log2(array.size),
            )
            return Trial(log2_step, grid, blob, 8 * len(blob) / array.size)

        coarsest = math.log2(4 * spread)
        found = _met(tried, self.rate, finest, coarsest, _guess(array, self.rate))
        if found.rate > self.rate or found.rate >= self.rate * (1 - TOLERANCE):
            return found
        if found.log2_step <= finest:  # bits to spare: then none are saved for distance
            other = tried(finest, weight=0.0)
        else:  # what is learned may jump with the step: keep it, and try other steps
            known = partial(tried, rates=found.grid.rates)
            other = _met(known, self.rate, finest, coarsest, found.log2_step)
        return max(found, other, key=lambda trial: (trial.rate <= self.rate, trial.rate))


@dataclass(frozen=True)
class Trial:
    """A step and what came of it.

    Attributes:
        log2_step: of the grid.
        grid: fitted.
        blob: the coded tensor.
        rate: its bits a sample.
    """

    log2_step: float
    grid: Grid
    blob: bytes
    rate: float


def _met(
    tried: Callable[[float], Trial], rate: float, finest: float, coarsest: float, guess: float
) -> Trial:
    """The finest trial that is not above the rate, by secants and bisection.

    The rate is nearly linear in the logarithm of the step: a secant needs three or four trials.
    """
    above: Trial | None = None
    below: Trial | None = None
    at = min(max(guess, finest), coarsest)
    for _ in range(_TRIALS):
        trial = tried(at)
        if trial.rate <= rate:
            below = trial
            if trial.rate >= rate * (1 - TOLERANCE) or at <= finest:
                break
        else:
            above = trial
            if at >= coarsest:
                break
        at = _next(above, below, rate * (1 - TOLERANCE / 2), finest, coarsest)
        if above and below and abs(above.log2_step - below.log2_step) < 1e-4:
            break
    trial = below or above
    assert trial is not None
    return trial


def _next(
    above: Trial | None, below: Trial | None, wanted: float, finest: float, coarsest: float
) -> float:
    """Where to try next: inside the bracket if there is one, else further the same way."""
    if below is None:
        assert above is not None
        return min(above.log2_step + 0.2 + (above.rate - wanted), coarsest)
    if above is None:
        return max(below.log2_step - 0.2 - 2 * (wanted - below.rate), finest)
    share = (above.rate - wanted) / max(above.rate - below.rate, 1e-9)
    share = min(
        max(share, 0.1), 0.9
    )  # a secant that hugs an end would never shrink the bracket
    return above.log2_step + share * (below.log2_step - above.log2_step)


def _guess(array: Array, rate: float) -> float:
    """log2 of a step to begin with: that of a uniform quantizer of a bell of the same power."""
    power = float(np.mean(np.square(array, dtype=np.float64)))
    return 0.5 * math.log2(power or 1.0) + 2 - rate


def _distortion(array: Array, blob: bytes) -> float:
    """Sum of the squared differences to what will be decoded."""
    decoded = np.empty_like(array)
    coder.decode_into(blob, decoded)
    return float(np.sum(np.square(np.subtract(array, decoded, dtype=np.float64))))
