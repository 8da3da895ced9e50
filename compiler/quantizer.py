"""Uniform scalar quantization: real numbers to the nearest of 2 to 256 evenly spaced values.

The grid that a quantizer fits to a tensor travels with the coded tensor, so that the receiver
needs nothing else. Both ends use the value table of the grid: at most 256 numbers, computed in
binary64 and rounded once, so that every machine decodes the same values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler.errors import ConfigError

Array = NDArray[Any]
Symbols = NDArray[np.uint8]

QUANTIZABLE = ("float32", "int8", "uint8")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).smallest_subnormal)


@dataclass(frozen=True)
class UniformGrid:
    """2^bits values `offset + index * step`; exact in float32 are step and offset.

    Attributes:
        bits: 1 to 8.
        step: distance of neighbours, positive.
        offset: the value of index 0.
    """

    bits: int
    step: float
    offset: float

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ConfigError(f"bits must be 1 to 8, not {self.bits}")
        if not (math.isfinite(self.step) and self.step > 0):
            raise ConfigError(f"step must be finite and positive, not {self.step}")
        if not math.isfinite(self.offset):
            raise ConfigError(f"offset must be finite, not {self.offset}")

    def values(self, dtype: np.dtype[Any]) -> Array:
        """The value of every index, shape [2^bits].

        Computed in binary64, rounded half to even onto the grid of an integer dtype, and
        clamped to the finite range of the dtype.
        """
        exact = self.offset + self.step * np.arange(1 << self.bits, dtype=np.float64)
        if dtype.kind == "f":
            return np.clip(exact, -_FLOAT32_MAX, _FLOAT32_MAX).astype(dtype)
        limits = np.iinfo(dtype)
        return np.clip(np.rint(exact), limits.min, limits.max).astype(dtype)

    def quantize(self, array: Array) -> Symbols:
        """The index of the nearest value (ties to even, outside values clamped), same shape."""
        if array.dtype.kind == "f":
            return self._nearest(array)
        every = np.arange(256, dtype=np.uint8).view(array.dtype)
        return np.asarray(np.take(self._nearest(every), array.view(np.uint8)))

    def dequantize(self, indices: Symbols, out: Array) -> None:
        """Write the values of the indices to `out`, same shape."""
        np.take(self.values(out.dtype), indices, out=out, mode="clip")  # clip: no buffering

    def _nearest(self, array: Array) -> Symbols:
        index = np.rint((array.astype(np.float64) - self.offset) / self.step)
        return np.clip(index, 0, (1 << self.bits) - 1).astype(np.uint8)


class Quantizer(Protocol):
    """Lossy: chooses, for one tensor, the grid onto which it is rounded."""

    def fit(self, array: Array) -> UniformGrid:
        """The grid for a finite tensor of one of the QUANTIZABLE types."""
        ...


@dataclass(frozen=True)
class UniformQuantizer:
    """2^bits evenly spaced values from `low` to `high`, both ends included.

    On integers the step is at least 1, so a tensor of at most 2^bits neighbouring integers
    crosses unchanged.

    Attributes:
        bits: 1 to 8.
        low: the value of index 0; None takes the minimum of each tensor.
        high: the value of the last index; None takes the maximum of each tensor.
    """

    bits: int
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise ConfigError(f"bits must be 1 to 8, not {self.bits}")
        for name, end in (("low", self.low), ("high", self.high)):
            if end is not None and not abs(end) <= _FLOAT32_MAX:
                raise ConfigError(f"{name} must be finite in float32, not {end}")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ConfigError(f"low must be less than high, not {self.low} and {self.high}")

    def fit(self, array: Array) -> UniformGrid:
        """The grid for one tensor.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        if array.dtype.name not in QUANTIZABLE:
            raise ConfigError(
                f"a quantized tensor must be one of {', '.join(QUANTIZABLE)}, "
                f"not {array.dtype.name}; leave the quantizer out to send it losslessly"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ConfigError("a quantized tensor must be finite; look for NaN or infinity")
        low = self.low if self.low is not None else float(array.min()) if array.size else 0.0
        high = self.high if self.high is not None else float(array.max()) if array.size else 0.0
        step = max(high - low, 0.0) / ((1 << self.bits) - 1)
        if array.dtype.kind != "f":
            step = max(step, 1.0)
        return UniformGrid(self.bits, _float32_above(step), float(np.float32(low)))


def lossless_grid(array: Array) -> UniformGrid | None:
    """The grid of step 1 for integers that need at most 4 bits, so that symbols can share codes.

    Returns None for other tensors, which gain nothing from it.
    """
    if array.dtype.name not in ("int8", "uint8") or not array.size:
        return None
    low = int(array.min())
    bits = max((int(array.max()) - low).bit_length(), 1)
    return UniformGrid(bits, 1.0, float(low)) if bits <= 4 else None


def _float32_above(step: float) -> float:
    """The smallest float32 that is not below `step`, so that the last index reaches `high`."""
    if step == 0:
        return 1.0  # one value: any step will do
    rounded = np.float32(max(step, _FLOAT32_TINY))
    if float(rounded) < step:
        rounded = np.nextafter(rounded, np.float32(np.inf))
    return float(rounded)
