"""What a float value of the old graph is in the new one: the abstract values of the lowering.

The lowering walks the graph once and knows each old value as one of these forms. A conv between
a Dequantize and a Quantize is a `Pending` sum of one int32 term until its quantizer turns it
into `Ints`; a residual Add is a sum of two; what lies between (ReLU, Clip, pooling, reshapes) is
remembered in the Pending and takes effect at the quantizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.builder import Attribute
from joulecut.compiler.graph import dtype_of, shape_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ints:
    """Integers in the new graph: scale * (value - zero_point), codes in low..high."""

    value: ir.Value
    scale: np.float32
    zero_point: int
    low: int
    high: int

    @property
    def reach(self) -> int:
        """The largest |value - zero_point|."""
        return max(abs(self.low - self.zero_point), abs(self.high - self.zero_point))


@dataclass(frozen=True)
class Bare:
    """Integers whose meaning no Dequantize has given yet: an integer input of the graph."""

    value: ir.Value


@dataclass(frozen=True)
class Constant:
    """A float constant.

    Attributes:
        value: the initializer in the old graph.
        array: its numbers.
    """

    value: ir.Value
    array: Array


@dataclass(frozen=True)
class Weight:
    """A dequantized constant: scale * (codes - zero_point).

    Attributes:
        value: the initializer in the old graph.
        codes: int8, uint8 or int32.
        scale: float32 [1] or [C].
        zero_point: int64 [1] or [C].
        axis: of C.
    """

    value: ir.Value
    codes: Array
    scale: Array
    zero_point: Array
    axis: int

    @property
    def array(self) -> Array:
        """The numbers, in float64 as exact as the scale."""
        shape = [1] * self.codes.ndim
        if shape:
            shape[self.axis] = -1
        scale = self.scale.astype(np.float64)
        centred = self.codes.astype(np.int64) - self.zero_point.reshape(shape)
        return centred * scale.reshape(shape)


@dataclass(frozen=True)
class Accumulation:
    """How an accumulator was made, so that a later addend can still join its bias.

    Attributes:
        op: joulecut.Conv or joulecut.MatMul.
        inputs: x and w in the new graph.
        attributes: of the node.
        bias: int64 [C], or None.
        products: the largest sum of |products|, per output channel [C].
        label: what the old node was called.
    """

    op: str
    inputs: tuple[ir.Value, ir.Value]
    attributes: Mapping[str, Attribute]
    bias: Array | None
    products: Array
    label: str


@dataclass(frozen=True)
class Term:
    """scale * (value - zero_point); the scale may be negative and may lie along `axis`."""

    value: ir.Value
    scale: Array
    zero_point: int = 0
    axis: int = 1
    made: Accumulation | None = None

    @property
    def is_per_tensor(self) -> bool:
        """Is there one scale for all?"""
        return self.scale.size == 1

    @property
    def is_code(self) -> bool:
        """Is it 8 bits wide (true) or an accumulator?"""
        return dtype_of(self.value).itemsize == 1


@dataclass(frozen=True)
class Sum:
    """Terms added up, numpy broadcasting."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Average:
    """An average pool of integers; `scale` is theirs, times factors that came later."""

    source: Ints
    scale: np.float32
    window: Mapping[str, Attribute]


@dataclass(frozen=True)
class Joined:
    """A concatenation whose parts are not yet of one type."""

    parts: tuple[Ints | Pending, ...]
    axis: int


@dataclass(frozen=True)
class Move:
    """A node that only moves elements, waiting for its operand to become integers.

    Attributes:
        node: of the old graph.
        fill: what a Pad pads with, as a real number.
    """

    node: ir.Node
    fill: float = 0.0


@dataclass(frozen=True)
class Pending:
    """A real value that waits for its quantizer: clip(moves(source), low, high).

    Attributes:
        source: where the real number comes from.
        name: of the old float value at the source.
        shape: at the source, before the moves.
        low: a lower bound, after the source and the moves alike.
        high: an upper bound.
        moves: pools, reshapes and the like, in order; all monotone, so they may come after
            the quantizer.
    """

    source: Sum | Average | Joined
    name: str
    shape: tuple[int, ...]
    low: float = -np.inf
    high: float = np.inf
    moves: tuple[Move, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Is nothing waiting but the source itself?"""
        return not self.moves and self.low == -np.inf and self.high == np.inf


@dataclass(frozen=True)
class Floats:
    """A float value in the new graph."""

    value: ir.Value


@dataclass(frozen=True)
class Broken:
    """What a refused node makes; whoever reads it is silent."""


Form = Ints | Bare | Constant | Weight | Pending | Floats | Broken


def pending(ints: Ints, name: str) -> Pending:
    """Integers as a sum of one term."""
    term = Term(ints.value, np.array([ints.scale], np.float32), ints.zero_point)
    return Pending(Sum((term,)), name, shape_of(ints.value))
