"""Where the values of an integer Graph lie in a .tflite file, and what their integers mean there.

Channels come last there, 1-D data are one row, and codes are int8: uint8 codes are stored 128
lower. A draft of real numbers holds what the codes stand for, as float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from peers.tflite_file import TfliteFile

from joulecut.compiler.graph import dtype_of, int_of, shape_of
from joulecut.compiler.quant import QType, qtype_of

Array = npt.NDArray[Any]
NONE, RELU, RELU6 = 0, 1, 3  # schema.fbs, ActivationFunctionType
CLOSE = 1e-5  # two float32 ways to the same scale differ by less


class CannotSayError(Exception):
    """LiteRT's int8 operators have no form of this; the text is the reason."""


class Draft:
    """A file under construction, and which tensor of it is which value.

    Attributes:
        real: float32 instead of int8.
        file: receives tensors and operators.
        flattened: values whose elements lie in another order than the network's, with the
            shape, channels first and without the batch, that they had before.
        done: nodes that an earlier operator has taken in.
    """

    def __init__(self, *, real: bool = False) -> None:
        self.real = real
        self.file = TfliteFile()
        self.flattened: dict[ir.Value, tuple[int, ...]] = {}
        self.done: set[ir.Node] = set()
        self._tensors: dict[ir.Value, int] = {}

    def tensor(self, value: ir.Value) -> int:
        """The tensor of a value; made at the first question."""
        if value not in self._tensors:
            self._tensors[value] = self.like(value, in_memory(shape_of(value)))
        return self._tensors[value]

    def rename(self, value: ir.Value, other: ir.Value) -> None:
        """Give another value the tensor of this one."""
        self._tensors[other] = self.tensor(value)

    def like(self, value: ir.Value, shape: Sequence[int]) -> int:
        """A new tensor of this shape whose integers mean what those of `value` mean."""
        return self._tensor(value, shape, None)

    def fill(self, value: ir.Value, code: int) -> int:
        """A constant tensor of one code of `value`."""
        return self._tensor(value, (1,), np.array([code], np.int8))

    def _tensor(self, value: ir.Value, shape: Sequence[int], codes: Array | None) -> int:
        scale, zero = meaning_of(value).scale, zero_point_of(value)
        if not self.real:
            return self.file.tensor(shape, "int8", scale=scale, zero_point=zero, data=codes)
        numbers = None if codes is None else (codes.astype(np.float32) - zero) * scale[0]
        return self.file.tensor(shape, "float32", data=numbers)

    def clamp(self, node: ir.Node) -> int:
        """The activation function that clamps to the codes to which the node clamps.

        A narrow quantizer, which leaves out the lowest code, counts as one that does not.
        """
        value, zero = node.outputs[0], zero_point_of(node.outputs[0])
        low, high = _range_of(node)
        if not is_clamped(node) and not (self.real and low == zero):
            return NONE
        six = min(127, zero + round(6 / meaning_of(value).scale[0]))
        if low == zero and high in (127, six):
            return RELU if high == 127 else RELU6
        raise CannotSayError(f"it clamps to {low}..{high}, which no activation function does")


def is_clamped(node: ir.Node) -> bool:
    """Does the node clamp to less than int8 holds, the lowest code left out?"""
    low, high = _range_of(node)
    return low > -127 or high < 127


def _range_of(node: ir.Node) -> tuple[int, int]:
    shift = shift_of(dtype_of(node.outputs[0]))
    return int_of(node, "low") - shift, int_of(node, "high") - shift


def in_memory(shape: Sequence[int]) -> tuple[int, ...]:
    """How a tensor of the network lies there."""
    if len(shape) == 3:
        return (shape[0], 1, shape[2], shape[1])
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else tuple(shape)


def axis_in_memory(axis: int, rank: int) -> int:
    """Where an axis of the network lies there."""
    places = {3: (0, 3, 2), 4: (0, 3, 1, 2)}.get(rank, tuple(range(rank)))
    return places[axis % rank]


def channels_last(array: Array) -> Array:
    """An input or output of the network as the .tflite file has it."""
    codes = (array.astype(np.int16) - shift_of(array.dtype)).astype(np.int8)
    order = {3: (0, 2, 1), 4: (0, 2, 3, 1)}.get(codes.ndim, tuple(range(codes.ndim)))
    return np.ascontiguousarray(codes.transpose(order).reshape(in_memory(array.shape)))


def real_channels_last(array: Array, value: ir.Value) -> Array:
    """The numbers that codes of a value stand for, as a file of real numbers has them."""
    numbers = channels_last(array).astype(np.float32) - zero_point_of(value)
    return numbers * np.float32(meaning_of(value).scale[0])


def is_order_kept(shape: Sequence[int]) -> bool:
    """Do the elements of such a tensor lie in the same order, channels first or last?"""
    return len(shape) < 3 or 1 in (shape[1], int(np.prod(shape[2:])))


def shift_of(dtype: np.dtype[Any]) -> int:
    """How much lower the codes of a type are stored."""
    return 128 if dtype == np.uint8 else 0


def meaning_of(value: ir.Value) -> QType:
    """What the integers of a value mean; they must have 8 bits and one scale."""
    meaning = qtype_of(value)
    if meaning is None or dtype_of(value).name not in ("int8", "uint8"):
        raise CannotSayError(f"{value.name} must be int8 or uint8, not {dtype_of(value).name}")
    if len(meaning.scale) != 1:
        raise CannotSayError(f"{value.name} must have one scale, not {len(meaning.scale)}")
    return meaning


def zero_point_of(value: ir.Value) -> int:
    """The zero point of a value, as stored."""
    return meaning_of(value).zero_point - shift_of(dtype_of(value))


def require_factor(factor: Array | float, source: npt.ArrayLike, target: npt.ArrayLike) -> None:
    """The node's multiplier must be the ratio of the scales: LiteRT knows no other."""
    expected = np.asarray(source, np.float64) / np.asarray(target, np.float64)
    if not np.allclose(factor, expected, rtol=CLOSE, atol=0):
        raise CannotSayError("its multiplier is not the ratio of the scales")
