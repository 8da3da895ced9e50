"""Zero points folded away when a layer is built, so that kernels multiply plain 8-bit numbers.

    sum (x - zx) * (w - zw) + bias  ==  sum x * w'  +  (bias - zx * sum w'),    w' = w - zw

holds in int32 where both sides fit, which is checked here. If w - zw does not fit in 8 bits the
weights stay what they are and the kernel subtracts zw, a number per channel, after widening.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.compiler.graph import Node
from joulecut.targets.cpu.operands import unsupported
from joulecut.targets.cpu.script import Array

_INT32 = np.iinfo(np.int32)
_LARGEST_INPUT = 255  # |x| of an int8 or a uint8


@dataclass(frozen=True)
class Folded:
    """What a kernel computes with.

    Attributes:
        weights: int8 or uint8.
        offsets: int32 per channel, still to be subtracted from the weights; None for nothing.
        bias: int32 per channel, the input's share included.
    """

    weights: Array
    offsets: Array | None
    bias: Array


def fold_zero_points(
    node: Node,
    weights: Array,
    zero_points: Array,
    bias: Array | None,
    x_zero_point: int,
    channel_axis: int,
) -> Folded:
    """Fold what can be folded.

    Args:
        node: named if the sums do not fit.
        weights: int8 or uint8.
        zero_points: of the weights; broadcast against them.
        bias: int32 per channel, or None.
        x_zero_point: of the input.
        channel_axis: of the weights.

    Raises:
        UnsupportedError: a partial sum could leave int32.
    """
    centred = weights.astype(np.int64) - zero_points
    others = tuple(axis for axis in range(weights.ndim) if axis != channel_axis)
    channels = weights.shape[channel_axis]
    start = np.zeros(channels, np.int64) if bias is None else bias.astype(np.int64)
    total = np.broadcast_to(start, channels) - x_zero_point * centred.sum(axis=others)
    reach = int(np.max(np.abs(total) + _LARGEST_INPUT * np.abs(centred).sum(axis=others)))
    if reach > _INT32.max:
        raise unsupported(
            node,
            f"partial sums must stay below 2**31 in magnitude, not reach {reach}",
            "split the layer along its input channels",
        )
    folded = total.astype(np.int32)
    for dtype in (weights.dtype, np.dtype(np.int8), np.dtype(np.uint8)):
        limits = np.iinfo(dtype)
        if limits.min <= centred.min() and centred.max() <= limits.max:
            return Folded(centred.astype(dtype), None, folded)
    offsets = np.broadcast_to(zero_points.reshape(-1), channels).astype(np.int32)
    return Folded(weights, offsets, folded)
