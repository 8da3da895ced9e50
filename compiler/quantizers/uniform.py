"""Uniform scalar quantization: real numbers to the nearest of 2 to 256 evenly spaced values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import Array, Grid, quantizable, require_bits
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.compiler.quantizers.sample import sample
from joulecut.kernels import coder

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).smallest_subnormal)
_CLIPS = 40  # ranges that are tried for the least error, each 0.9 times the one before


@dataclass(frozen=True)
class UniformQuantizer(Quantizer):
    """2^bits values from `low` to `high`, both ends included.

    On integers the step is at least 1, so a tensor of at most 2^bits neighbouring integers
    crosses unchanged.

    Attributes:
        bits: 1 to 8.
        low: the value of symbol 0; None takes it from each tensor.
        high: the value of the last symbol; None takes it from each tensor.
        clip: which ends are taken from a tensor: None for minimum and maximum; a number for
            the quantiles 1 - clip and clip; "mse" for those with the least squared error.
    """

    bits: int
    low: float | None = None
    high: float | None = None
    clip: float | Literal["mse"] | None = None

    def __post_init__(self) -> None:
        require_bits(self.bits)
        for name, end in (("low", self.low), ("high", self.high)):
            if end is not None and not abs(end) <= _FLOAT32_MAX:
                raise ConfigError(f"{name} must be finite in float32, not {end}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ConfigError(f"low must be less than high, not {self.low} and {self.high}")
        if self.clip not in (None, "mse") and not 0.5 < float(self.clip) <= 1:
            raise ConfigError(f"clip must be 'mse' or above 0.5 and at most 1, not {self.clip}")

    def fit(self, array: Array) -> Grid:
        """The grid for one tensor.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        array = quantizable(array)
        low, high = self._ends(array)
        step = max(high - low, 0.0) / ((1 << self.bits) - 1)
        if array.dtype.kind != "f":
            step = max(step, 1.0)
        offset = float(np.float32(low))
        return Grid(coder.Quantizer("uniform", self.bits, False, 0, _above(step), offset))

    def _ends(self, array: Array) -> tuple[float, float]:
        if not array.size:
            return self.low or 0.0, self.high or 0.0
        low, high = float(array.min()), float(array.max())
        if self.clip == "mse":
            low, high = self._least_error(sample(array).astype(np.float64), low, high)
        elif self.clip is not None:
            low, high = map(float, np.quantile(array, [1 - self.clip, self.clip]))
        return low if self.low is None else self.low, high if self.high is None else self.high

    def _least_error(self, x: Array, low: float, high: float) -> tuple[float, float]:
        """Ends nearer to the middle of the data, on both sides by the same factor."""
        middle = min(max(0.0, low), high)  # zero stays a value: it is what a ReLU makes most
        best = (float("inf"), low, high)
        for power in range(_CLIPS):
            factor = 0.9**power
            ends = middle + (low - middle) * factor, middle + (high - middle) * factor
            step = (ends[1] - ends[0]) / ((1 << self.bits) - 1)
            if step == 0:
                break
            index = np.clip(np.rint((x - ends[0]) / step), 0, (1 << self.bits) - 1)
            error = float(np.mean(np.square(x - ends[0] - index * step)))
            best = min(best, (error, *ends))
        return best[1:]


def _above(step: float) -> float:
    """The smallest float32 that is not below `step`, so that the last symbol reaches `high`."""
    if step == 0:
        return 1.0  # one value: any step will do
    rounded = np.float32(max(step, _FLOAT32_TINY))
    if float(rounded) < step:
        rounded = np.nextafter(rounded, np.float32(np.inf))
    return float(rounded)
