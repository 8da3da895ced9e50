"""Between which integers each channel of a value lies, whatever the inputs: interval arithmetic.

A channel whose interval is one integer is constant; docs/pruning.md says what follows. Channels
are entries along axis 1 of values [1, C, ...]; other values have no intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.graph import (
    Graph,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    is_constant,
    name_of,
    op_key,
    shape_of,
    values,
)
from joulecut.compiler.reference import evaluate

Integers = npt.NDArray[np.int64]

POOLS = frozenset({"MaxPool", "joulecut.AveragePool"})
_ROWS = 64  # output channels whose weights are widened to int64 at once: bounds the memory


@dataclass(frozen=True, eq=False)
class Ranges:
    """Intervals of the channels of a value.

    Attributes:
        low: of each channel, int64 [C].
        high: of each channel, int64 [C], included.
    """

    low: Integers
    high: Integers

    @property
    def is_constant(self) -> npt.NDArray[np.bool_]:
        """Which channels hold one integer only, bool [C]."""
        return self.low == self.high


def channels_of(value: ir.Value) -> int | None:
    """The size of axis 1 of a computed value [1, C, ...]; None for any other value."""
    shape = shape_of(value)
    if len(shape) < 2 or shape[0] != 1 or is_constant(value):
        return None
    return shape[1]


def channel_ranges(graph: Graph) -> dict[str, Ranges]:
    """Intervals of every integer value [1, C, ...] of an integer Graph, by name.

    They hold for all inputs and need not be tight: the taps of a window are bounded one by one.
    """
    found: dict[str, Ranges] = {}
    for value in values(graph):
        channels = channels_of(value)
        if channels is None or dtype_of(value).kind == "f":
            continue
        node = value.producer()
        made = None if node is None else _after(node, found)
        found[name_of(value)] = made or _of_type(value, channels)
    return found


def flattened(node: ir.Node) -> int | None:
    """How many channels a Reshape makes of each; None if it mixes channels or is no Reshape."""
    if op_key(node) not in ("Reshape", "Flatten") or node.inputs[0] is None:
        return None
    before, after = channels_of(node.inputs[0]), channels_of(node.outputs[0])
    if not before or after is None or after % before:
        return None
    return after // before


def is_channelwise(node: ir.Node) -> bool:
    """Is channel c of the result one of channel c of each computed operand, and of nothing else?"""
    computed, constants = operands(node)
    if op_key(node) in (*POOLS, "Identity"):
        return bool(computed) and channels_of(computed[0]) is not None
    if op_key(node) not in ("joulecut.Requantize", "joulecut.Add"):
        return False
    shape = shape_of(node.outputs[0])
    along = int_of(node, "axis", 1) % len(shape)
    return (
        all(shape_of(value) == shape for value in computed)
        and channels_of(node.outputs[0]) is not None
        and len(computed) == len(constants)  # a multiplier each
        and all(along == 1 or array.size == 1 for array in constants)
    )


def operands(node: ir.Node) -> tuple[list[ir.Value], list[npt.NDArray[Any]]]:
    """The computed operands of a node, and its constant ones, both in order."""
    given = [value for value in node.inputs if value is not None]
    computed = [value for value in given if not is_constant(value)]
    constants = [array for value in given if (array := constant_of(value)) is not None]
    return computed, constants


def weights_of(node: ir.Node) -> npt.NDArray[Any] | None:
    """Constant weights as [O, I / group, taps], of a Conv or of a MatMul of a row; or None."""
    key, weights = op_key(node), constant_of(node.inputs[1]) if len(node.inputs) > 1 else None
    x = node.inputs[0] if node.inputs else None
    if x is None or weights is None or channels_of(x) is None:
        return None
    if key == "joulecut.Conv":
        return weights.reshape(*weights.shape[:2], -1)
    if key == "joulecut.MatMul" and weights.ndim == 2 and len(shape_of(x)) == 2:
        return weights.T[:, :, None]
    return None


def zero_points(node: ir.Node) -> tuple[int, Integers]:
    """Of the input, and of the weights of each output channel, int64 [1] or [O]."""
    x, w = (
        ("x_zero_point", "w_zero_point")
        if op_key(node) == "joulecut.Conv"
        else ("a_zero_point", "b_zero_point")
    )
    return int_of(node, x), np.array(ints_of(node, w), np.int64)


def is_padded(node: ir.Node) -> bool:
    """Does a window of the node reach beyond its input?"""
    return any(ints_of(node, "pads", ())) or bool(int_of(node, "ceil_mode", 0))


def centred_rows(node: ir.Node) -> Iterator[tuple[slice, Integers]]:
    """A few output channels at a time: weights minus zero point, [rows, I / group, taps]."""
    weights = weights_of(node)
    assert weights is not None, f"{op_key(node)} '{node.name}' must have constant weights"
    _, points = zero_points(node)
    points = np.broadcast_to(points, len(weights))
    for start in range(0, len(weights), _ROWS):
        rows = slice(start, start + _ROWS)
        yield rows, weights[rows].astype(np.int64) - points[rows, None, None]


def _of_type(value: ir.Value, channels: int) -> Ranges:
    """All that the value's type can hold, or what its quantizer clamps to."""
    node, limits = value.producer(), np.iinfo(dtype_of(value))
    low, high = int(limits.min), int(limits.max)
    if node is not None and op_key(node) == "joulecut.Quantize":
        low, high = int_of(node, "low"), int_of(node, "high")
    return Ranges(np.full(channels, low), np.full(channels, high))


def _after(node: ir.Node, found: Mapping[str, Ranges]) -> Ranges | None:
    """What follows for the node's output; None: nothing."""
    computed, constants = operands(node)
    known = [found[name_of(value)] for value in computed if name_of(value) in found]
    if not computed or len(known) < len(computed):
        return None
    if weights_of(node) is not None:
        return _sums(node, known[0])
    factor = flattened(node)
    if factor is not None:
        return Ranges(np.repeat(known[0].low, factor), np.repeat(known[0].high, factor))
    if joins_channels(node):
        lows, highs = [each.low for each in known], [each.high for each in known]
        return Ranges(np.concatenate(lows), np.concatenate(highs))
    is_monotone = op_key(node) in POOLS or all((array >= 0).all() for array in constants)
    return _monotone(node, known) if is_channelwise(node) and is_monotone else None


def joins_channels(node: ir.Node) -> bool:
    """Is the node a Concat of channels, all of them computed?"""
    if op_key(node) != "Concat" or channels_of(node.outputs[0]) is None:
        return False
    is_along = int_of(node, "axis") % len(shape_of(node.outputs[0])) == 1
    return is_along and not any(value is None or is_constant(value) for value in node.inputs)


def _sums(node: ir.Node, x: Ranges) -> Ranges:
    """Bounds of bias + sum of (x - x_zero_point) * w; padding adds products that are 0."""
    zero_point, _ = zero_points(node)
    low, high = x.low - zero_point, x.high - zero_point
    if is_padded(node):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    weights, group = weights_of(node), int_of(node, "group", 1)
    assert weights is not None
    n_outputs, n_inputs, _ = weights.shape
    # The inputs that each output reads, [O, I / group].
    first: Integers = np.arange(n_outputs, dtype=np.int64) // (n_outputs // group) * n_inputs
    read = first[:, None] + np.arange(n_inputs, dtype=np.int64)
    bias = constant_of(node.inputs[2]) if len(node.inputs) > 2 else None
    least, most = np.zeros((2, n_outputs), np.int64)
    for rows, w in centred_rows(node):
        up, down = np.maximum(w, 0).sum(axis=2), np.minimum(w, 0).sum(axis=2)
        lows, highs = low[read[rows]], high[read[rows]]
        least[rows] = (up * lows + down * highs).sum(axis=1)
        most[rows] = (up * highs + down * lows).sum(axis=1)
    offset = np.int64(0) if bias is None else bias.astype(np.int64)
    return Ranges(least + offset, most + offset)


def _monotone(node: ir.Node, known: list[Ranges]) -> Ranges:
    """A rounded function that never falls where an operand rises is bounded by those of bounds."""
    computed, constants = operands(node)
    rank = len(shape_of(computed[0]))
    spatial = shape_of(computed[0])[2:] if op_key(node) in POOLS else (1,) * (rank - 2)

    def at(ends: list[Integers]) -> npt.NDArray[Any]:
        planes = [
            np.broadcast_to(end.reshape(1, -1, *(1,) * (rank - 2)), (1, len(end), *spatial))
            for end in ends
        ]
        typed = [
            plane.clip(np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
            for plane, dtype in zip(planes, map(dtype_of, computed), strict=True)
        ]
        return evaluate(node, [*typed, *constants])

    positions = tuple(range(2, rank))
    low, high = at([each.low for each in known]), at([each.high for each in known])
    return Ranges(
        low.min(axis=positions)[0].astype(np.int64),
        high.max(axis=positions)[0].astype(np.int64),
    )
