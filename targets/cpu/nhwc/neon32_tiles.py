"""Which tile a convolution takes on armv7: the one with the fewest instructions.

They are counted, not measured: what the assembly of a tile has, and what its end and its loops
had where they were looked at. A group of fewer than four products waits as long as a full one.
"""

from __future__ import annotations

import math

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.tile import Order, Tile, spans

WIDE, HALF = 16, 8  # lanes
SUMS = 8  # accumulators of four lanes in the registers
_GROUP = 4  # products in flight
_GROUP_COST = 14  # instructions of a group
_TILE_COST, _STATEMENT_COST = 16, 10  # around a tile and around an assembly statement
_VECTOR_COST, _ENDING_COST = 5.5, 8  # to store four sums; for every further ending
_L1_BYTES = 24 << 10  # of the 32 KiB of a Cortex-A9, for what is read again


def most_pixels(lanes: int) -> int:
    """Pixels whose sums fit in the registers."""
    return 4 * SUMS // lanes


def tiled(work: Conv) -> tuple[int, Tile]:
    """Lanes and tile."""
    down, across = work.pool
    found: list[tuple[float, int, int, int]] = []
    for lanes in (WIDE, HALF):
        for rows in range(down, 4 * down + 1, down):
            for columns in range(across, 4 * across + 1, across):
                fits = rows * columns <= max(most_pixels(lanes), down * across)
                if fits and rows <= work.y.rows * down and columns <= work.y.columns * across:
                    found.append((_cost(work, lanes, rows, columns), -lanes, rows, columns))
    _, lanes, rows, columns = min(found)
    return -lanes, Tile(rows, columns, 1, _order(work, -lanes, rows))


def _cost(work: Conv, lanes: int, rows: int, columns: int) -> float:
    """Instructions of the whole convolution."""
    down, across = work.pool
    tiles = work.y.batch * work.group * math.ceil(work.outputs / lanes)
    tiles *= math.ceil(work.y.rows * down / rows)
    in_row = spans(work.y.columns, columns // across, overlap=True)
    each = (span.count * _tile_cost(work, lanes, rows * span.size * across) for span in in_row)
    return tiles * sum(each)


def _tile_cost(work: Conv, lanes: int, pixels: int) -> float:
    _, segments, length = work.stretches.shape
    steps = math.ceil(segments * math.ceil(length / 2) / 2)
    vectors, most = lanes // 4, most_pixels(lanes)
    cost = float(_TILE_COST)
    for first in range(0, pixels, most):
        some = min(most, pixels - first)
        groups = math.ceil(some * vectors / _GROUP)
        step = max(some * (3 * vectors + 1) + lanes // 8, groups * _GROUP_COST)
        cost += steps * step + _STATEMENT_COST
    if pixels > most:
        cost += 2 * pixels * vectors  # sums wait in memory
    further = max(0, len(work.endings) - 1)
    stored = pixels // math.prod(work.pool) * vectors
    return cost + stored * (_VECTOR_COST + further * _ENDING_COST)


def _order(work: Conv, lanes: int, rows: int) -> Order:
    """What is read again and again should stay in the first cache; ties make more tasks."""
    x_bytes, w_bytes = work.x.sample, work.weights.size
    row_tiles = math.ceil(work.y.rows * work.pool[0] / rows)
    channel_tiles = work.group * math.ceil(work.outputs / lanes)
    by_rows = x_bytes + w_bytes * (row_tiles if w_bytes > _L1_BYTES else 1)
    by_channels = w_bytes + x_bytes * (channel_tiles if x_bytes > _L1_BYTES else 1)
    if by_rows == by_channels:
        return "rows" if row_tiles > 1 else "channels"
    return "rows" if by_rows < by_channels else "channels"
