"""Convolutions with one filter a channel: a vector of channels of a row of pixels at a time.

There is nothing to share between channels, so the filters of a vector of channels stay in
registers while a tile of pixels passes. A family of processors says how one column of a tile
is summed; loops, ending and stores are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.nhwc import vector_ir
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import PLAIN_ENDS, Ends
from joulecut.targets.cpu.nhwc.finish import Finish, Layer, Spot
from joulecut.targets.cpu.nhwc.tile import spans
from joulecut.targets.cpu.script import (
    Arg,
    Array,
    Step,
    constant,
    lines,
    local,
    nest,
    parallel_step,
)

_NEAR_BYTES = 16 << 10  # of x: half of a small L1, where every vector's filters may pass over x
_FEW_TILES = 4  # of rows: with fewer, threads share vectors of channels


@dataclass(frozen=True)
class Filters:
    """How a family of processors sums depthwise.

    Attributes:
        lanes: channels of a vector.
        rows: of y in a tile.
        columns: of y in a tile.
        pack: weights [lanes, kh, kw] -> what the statements read of `W`.
        sums: a column of a tile, and how many the tile has; where in X its first pixel begins,
            in W the weights of the vector, in B its bias -> statements that leave bias + sum of
            the column in the local `acc`, [rows, lanes] of int32. Columns come in order.
        locals: statements before the first column of a tile.
        functions: LLVM functions that the statements call.
        ends: what the processor has for the end of a tile.
        order: channels of a vector as `acc` holds them, if that is not their own order.
    """

    lanes: int
    rows: int
    columns: int
    pack: Callable[[Array], Array]
    sums: Callable[[int, int, str, str, str], str]
    locals: str
    functions: Sequence[str]
    ends: Ends = PLAIN_ENDS
    order: tuple[int, ...] = ()


def depthwise(work: Conv, filters: Filters) -> Step:
    """The kernel; its tasks are tiles of rows times vectors of channels."""
    channels, lanes, rows = len(work.weights), filters.lanes, filters.rows
    ends = (work.y, work.operands, work.endings, (1, 1), 1, channels, lanes, (1,))
    finish = Finish(Layer(*ends, work.largest, filters.ends, filters.order))
    row_tiles = -(-work.y.rows // rows)
    row_tasks = work.y.batch * row_tiles
    sample = f"rt // {row_tiles}" if work.y.batch > 1 else "0"
    row = f"(rt % {row_tiles}) * {rows}" if work.y.batch > 1 else f"rt * {rows}"
    if work.y.rows % rows:
        row = f"T.min({row}, {work.y.rows - rows})"
    channel = f"og * {lanes}"
    if channels > lanes and channels % lanes:
        channel = f"T.min({channel}, {channels - lanes})"
    packed = _packed(work, filters, finish)
    tiles: list[str] = []
    for span in spans(work.y.columns, filters.columns, overlap=True):
        column = f"({span.start} + wb * {span.size})"
        down, across = work.strides[0] * work.x.row, work.strides[1] * work.x.pixel
        x = f"({sample}) * {work.x.sample} + ({row}) * {down} + {column} * {across} + {channel}"
        parts = [filters.locals, local("acc", (rows * lanes,), "int32")]
        for i in range(span.size):
            spot = Spot(sample, row, f"({column} + {i})", "og")
            sums = filters.sums(i, span.size, x, f"og * {packed.shape[1]}", f"og * {lanes}")
            parts += [sums, finish.text(rows, 1, 1, spot)]
        tiles.append(nest([f"wb in T.serial({span.count})"], lines(*parts)))
    spot = "(tasks_begin + task)"
    if work.x.nbytes <= _NEAR_BYTES or row_tasks < _FEW_TILES:
        at = lines(f"rt = {spot} % {row_tasks}", f"og = {spot} // {row_tasks}")
    else:
        at = lines(f"rt = {spot} // {finish.blocks}", f"og = {spot} % {finish.blocks}")
    body = nest(["task in T.serial(tasks_end - tasks_begin)"], lines(at, *tiles))
    start = work.x.at(-work.begins[0], -work.begins[1])
    args = [
        Arg("X", work.x.name, (work.x.size,), work.x.dtype, start),
        constant("W", packed.reshape(-1)),
        constant("B", finish.by_block(work.bias)),
        *finish.args(),
    ]
    imports = vector_ir.prelude(*filters.functions, *finish.functions)
    return parallel_step("depthwise", args, body, row_tasks * finish.blocks, imports)


def _packed(work: Conv, filters: Filters, finish: Finish) -> Array:
    """What each vector of channels needs, one row each."""
    lanes = filters.lanes
    room = np.zeros((len(work.weights) + lanes, *work.weights.shape[2:]), work.weights.dtype)
    room[: len(work.weights)] = work.weights[:, 0]
    return np.stack([filters.pack(room[i : i + lanes]).reshape(-1) for i in finish.starts])
