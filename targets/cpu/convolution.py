"""Convolutions: int8 times int8 into int32 registers, and their ending.

The weights of a layer are repacked when it is built, so that one load brings the weights of a
vector of output channels. The input is read as it lies; its padding was written by a kernel of
its own (movement.py), filled with the zero point, which therefore is folded into the bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.epilogue import Ending, widened_product
from joulecut.targets.cpu.script import (
    Arg,
    Array,
    Step,
    Tiling,
    blocks,
    constant,
    lane,
    lines,
    local,
    nest,
    power_of_two,
    start_of,
    step,
)


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution whose padding is part of x already.

    Attributes:
        x: [C, rows, columns].
        weights: int8 or uint8 [O, C / group, kh, kw], zero point subtracted unless it is `offsets`.
        offsets: int32 [O], what is still to be subtracted from the weights; None for nothing.
        bias: int32 [O], that of the input's zero point included.
        strides: of rows and columns.
        dilations: of rows and columns.
        group: groups of channels that do not see each other.
        y: [1, O, rows, columns].
        ending: its args broadcast against y.
    """

    x: Arg
    weights: Array
    offsets: Array | None
    bias: Array
    strides: tuple[int, int]
    dilations: tuple[int, int]
    group: int
    y: Arg
    ending: Ending

    @property
    def group_channels(self) -> int:
        """Output channels of a group."""
        return self.y.shape[1] // self.group


def convolution(conv: Convolution, tiling: Tiling) -> Step:
    """The kernel for the shape: lanes are output channels, or pixels where channels are few."""
    _, _, _, width = conv.y.shape
    channels = power_of_two(min(conv.group_channels, tiling.lanes))
    pixels = power_of_two(min(width, tiling.lanes))
    contiguous = conv.strides[1] == 1
    if channels >= pixels or (channels >= 4 and not contiguous):
        return _channel_lanes(conv, tiling)
    return _pixel_lanes(conv, tiling)


def best_lanes(size: int, lanes: int) -> int:
    """Lanes, or half of them where that computes less twice."""
    lanes = power_of_two(min(size, lanes))
    half = max(1, lanes // 2)
    return half if blocks(size, half) * half < blocks(size, lanes) * lanes else lanes


def best_rows(size: int, rows: int) -> int:
    """About `rows` elements of `size`, as many as compute least twice."""
    if size <= rows:
        return size
    near = (min(rows + 1, size), rows, max(1, rows - 1))
    return min(near, key=lambda n: blocks(size, n) * n)


def _channel_lanes(conv: Convolution, tiling: Tiling) -> Step:
    _, _, height, width = conv.y.shape
    inputs, kernel = conv.weights.shape[1], conv.weights.shape[2:]
    outputs = conv.group_channels
    lanes = best_lanes(outputs, tiling.lanes)
    rows = tiling.rows if lanes == tiling.lanes else 2 * tiling.rows
    across = best_rows(width, rows)
    down = min(height, max(1, rows // across))
    starts = [min(block * lanes, outputs - lanes) for block in range(blocks(outputs, lanes))]
    packed = _packed(conv.weights, conv.group, starts, lanes)
    offsets = () if conv.offsets is None else (constant("Z", conv.offsets),)
    args = [conv.x, constant("W", packed), *offsets, constant("B", conv.bias)]
    first = f"g * {outputs} + {start_of('ob', outputs, lanes)}"
    oh, ow = start_of("hb", height, down), start_of("wb", width, across)
    x_at = (
        f"{conv.x.name}[g * {inputs} + c, "
        f"({oh} + h) * {conv.strides[0]} + kh * {conv.dilations[0]}, "
        f"({ow} + w) * {conv.strides[1]} + kw * {conv.dilations[1]}]"
    )
    weight = f"W[g * {len(starts)} + ob, c, kh, kw, l]"
    product = _product(conv, x_at, weight, f"Z[{first} + l]", tiling)
    tile = [f"h in T.unroll({down})", f"w in T.unroll({across})", lane("l", lanes)]
    index = ["0", f"{first} + l", f"{oh} + h", f"{ow} + w"]
    stores = [f"l in T.unroll({lanes})", *tile[:2]]
    body = lines(
        local("acc", (down, across, lanes), "int32"),
        local("q", (down, across, lanes), conv.ending.dtype),
        nest(tile, f"acc[h, w, l] = B[{first} + l]"),
        nest(
            [f"c, kh, kw in T.grid({inputs}, {kernel[0]}, {kernel[1]})", *tile],
            f"acc[h, w, l] = acc[h, w, l] + {product}",
        ),
        nest(tile, f"q[h, w, l] = {conv.ending.of('acc[h, w, l]', index)}"),
        nest(stores, f"{conv.y.at(index)} = q[h, w, l]"),
    )
    around = [
        f"g in T.serial({conv.group})",
        f"ob in T.serial({len(starts)})",
        f"hb in T.serial({blocks(height, down)})",
        f"wb in T.serial({blocks(width, across)})",
    ]
    return step("conv", [*args, *conv.ending.args, conv.y], nest(around, body))


def _product(conv: Convolution, x: str, w: str, offset: str, tiling: Tiling) -> str:
    """One product, the rest of the weight's zero point subtracted."""
    if conv.offsets is not None:
        return f'T.cast({x}, "int32") * (T.cast({w}, "int32") - {offset})'
    types = (x, conv.x.dtype), (w, conv.weights.dtype.name)
    return widened_product(*types, narrow=tiling.narrow_products)


def _packed(weights: Array, group: int, starts: list[int], lanes: int) -> Array:
    """[O, C, kh, kw] -> [group * blocks, C, kh, kw, lanes]."""
    grouped = weights.reshape(group, -1, *weights.shape[1:])
    picked = np.stack([grouped[:, start : start + lanes] for start in starts], axis=1)
    return np.moveaxis(picked, 2, -1).reshape(-1, *weights.shape[1:], lanes)


def _pixel_lanes(conv: Convolution, tiling: Tiling) -> Step:
    _, channels, height, width = conv.y.shape
    inputs, kernel = conv.weights.shape[1], conv.weights.shape[2:]
    lanes = best_lanes(width, tiling.lanes)
    down = best_rows(height, tiling.rows)
    offsets = () if conv.offsets is None else (constant("Z", conv.offsets),)
    args = [conv.x, constant("W", conv.weights), *offsets, constant("B", conv.bias)]
    oh, ow = start_of("hb", height, down), start_of("wb", width, lanes)
    x_at = (
        f"{conv.x.name}[o // {conv.group_channels} * {inputs} + c, "
        f"({oh} + h) * {conv.strides[0]} + kh * {conv.dilations[0]}, "
        f"({ow} + l) * {conv.strides[1]} + kw * {conv.dilations[1]}]"
    )
    product = _product(conv, x_at, "W[o, c, kh, kw]", "Z[o]", tiling)
    tile = [f"h in T.unroll({down})", lane("l", lanes)]
    index = ["0", "o", f"{oh} + h", f"{ow} + l"]
    body = lines(
        local("acc", (down, lanes), "int32"),
        nest(tile, "acc[h, l] = B[o]"),
        nest(
            [f"c, kh, kw in T.grid({inputs}, {kernel[0]}, {kernel[1]})", *tile],
            f"acc[h, l] = acc[h, l] + {product}",
        ),
        nest(tile, f"{conv.y.at(index)} = {conv.ending.of('acc[h, l]', index)}"),
    )
    around = [
        f"o in T.serial({channels})",
        f"hb in T.serial({blocks(height, down)})",
        f"wb in T.serial({blocks(width, lanes)})",
    ]
    return step("conv", [*args, *conv.ending.args, conv.y], nest(around, body))
