"""Codes: the integers low..high of a quantizer and the numbers that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.builder import Attribute
from joulecut.compiler.graph import int_of
from joulecut.compiler.quant import QType

Array = npt.NDArray[Any]

# QONNX names; the last four are symmetric about zero.
ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND_TO_ZERO": np.trunc,
    "DOWN": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


@dataclass(frozen=True)
class Codes:
    """The integers low..high of a quantizer and the numbers that they stand for.

    Attributes:
        scale: float32 [1] or [C], positive.
        zero_point: int64 [1] or [C].
        low: the lowest code.
        high: the highest code.
        dtype: int8, uint8 or, for biases, int32.
        axis: of C.
    """

    scale: Array
    zero_point: Array
    low: int
    high: int
    dtype: np.dtype[Any]
    axis: int = 0

    def encode(self, x: Array, rounding: Callable[[Array], Array] = np.rint) -> Array:
        """The codes of an array."""
        with np.errstate(over="ignore"):  # infinity is clamped like any large number
            scaled = np.asarray(x / self._along(self.scale, x.ndim), np.float32)
        shifted = rounding(scaled).astype(np.float64) + self._along(self.zero_point, x.ndim)
        return np.clip(shifted, self.low, self.high).astype(self.dtype)

    @property
    def qtype(self) -> QType | None:
        """The QType, unless channels differ in their zero points."""
        zero_points = set(self.zero_point.tolist())
        if len(zero_points) > 1:
            return None
        axis = self.axis if self.scale.size > 1 else None
        scale = tuple(map(float, self.scale))
        (zero_point,) = zero_points
        bits, narrow = bits_for(self.low, self.high, int(zero_point), self.dtype)
        return QType(bits, self.dtype.kind == "i", scale, int(zero_point), narrow, axis)

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The attributes of `joulecut.Quantize`."""
        return {
            "scale": float(self.scale[0]),
            "zero_point": int(self.zero_point[0]),
            "low": self.low,
            "high": self.high,
            "dtype": int(ir.DataType.from_numpy(self.dtype)),
        }

    def _along(self, numbers: Array, rank: int) -> Array:
        if numbers.size == 1:
            return numbers.reshape(())
        shape = [1] * rank
        shape[self.axis] = numbers.size
        return numbers.reshape(shape)


def bits_for(low: int, high: int, zero_point: int, dtype: np.dtype[Any]) -> tuple[int, bool]:
    """The fewest bits, and whether narrow, that have the codes low..high and the zero point."""
    signed = dtype.kind == "i"
    low, high = min(low, zero_point), max(high, zero_point)
    for bits in range(1, 9):
        for narrow in (True, False):
            floor = -(1 << (bits - 1)) + narrow if signed else 0
            top = (1 << (bits - signed)) - 1 - (narrow and not signed)
            if floor <= low and high <= top and bits > narrow:
                return bits, narrow
    return 32, False


def codes_of_quantize(node: ir.Node) -> Codes:
    """The codes of a `joulecut.Quantize`."""
    scale = node.attributes["scale"].as_float()
    return Codes(
        np.array([scale], np.float32),
        np.array([int_of(node, "zero_point")]),
        int_of(node, "low"),
        int_of(node, "high"),
        ir.DataType(int_of(node, "dtype")).numpy(),
    )
