"""The kernels of AArch64 cores, and how much of a layer each computes at once.

The costs are counts of the instructions that the kernels are made of. Loops and the start and
the end of a tile were fitted to what QEMU counts of layers of ResNet-8, DS-CNN and
EfficientNet-Lite0.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from joulecut.targets.cpu.nhwc import sdot
from joulecut.targets.cpu.nhwc.arm64_depthwise import sdot_depthwise, smull_depthwise
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.sdot import SDOT
from joulecut.targets.cpu.nhwc.smull import (
    LANES,
    SMULL,
    SMULL_AHEAD,
    SMULL_AHEAD_SAFE,
    SMULL_SAFE,
)
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.tiling import Cycles, cheapest, order_of

# Pixels and vectors of eight channels: two registers of sums for each, and room for x and weights.
_SDOT_SIZES = ((10, 1), (6, 2), (4, 3), (3, 4), (2, 5), (2, 6), (1, 12))
_SMULL_SIZES = ((9, 1), (4, 2), (3, 3), (2, 4), (1, 5), (1, 6), (1, 8))
_NEAR_BYTES = 256 << 10  # of an L2 of 512 KiB
_TILE, _PIXEL, _STRETCH, _TURN, _STORED = 20, 2, 4, 4, 10  # instructions
_VECTORS_OF_SUMS = 2


def sdot_tile(work: Conv) -> Tile:
    """The fewest instructions."""
    _, segments, length = work.stretches.shape
    whole, rest = divmod(-(-length // sdot.GRANULE), sdot.WORDS)

    def statement(pixels: int, vectors: int) -> float:
        word = vectors + _VECTORS_OF_SUMS * pixels * vectors  # two registers of weights at once
        turns = whole * (sdot.WORDS * word + pixels + _TURN)
        return segments * (turns + (rest * word + pixels if rest else 0) + _STRETCH)

    def cost(rows: int, columns: int, blocks: int) -> float:
        pixels = rows * columns * work.pool[0] * work.pool[1]
        parts = sdot.statements(pixels, blocks)
        sums = sum(statement(len(some), len(vectors)) for some, vectors in parts)
        return sums + _around(work, rows * columns, pixels, blocks)

    return _cheapest(work, _SDOT_SIZES, cost)


def smull_tile(work: Conv, *, in_order: bool) -> Tile:
    """The fewest instructions."""
    _, segments, length = work.stretches.shape
    twos = segments * -(-length // 2) / 2  # times two pairs of neighbours

    def cost(rows: int, columns: int, blocks: int) -> float:
        pixels = rows * columns * work.pool[0] * work.pool[1]
        loads = pixels + blocks / 2  # two pairs of a pixel, four vectors of weights
        turn = 6 * pixels * blocks + (2 if in_order else 1) * loads
        return twos * turn + _around(work, rows * columns, pixels, blocks)

    return _cheapest(work, _SMULL_SIZES, cost)


def _around(work: Conv, stored: int, pixels: int, blocks: int) -> float:
    """Before and after the sums."""
    endings = 1 + 2 * (len(work.endings) - 1 if work.endings else 0)
    start = _TILE + _PIXEL * pixels + _VECTORS_OF_SUMS * pixels * blocks
    return start + _STORED * endings * stored * blocks


def _cheapest(work: Conv, sizes: tuple[tuple[int, int], ...], cost: Cycles) -> Tile:
    tile = cheapest(work, LANES, sizes, cost)
    return replace(tile, order=order_of(work, tile, work.weights.size, _NEAR_BYTES))


SDOT_KERNELS = Kernels((SDOT,), sdot_tile, sdot_depthwise)
SMULL_KERNELS = Kernels(
    (SMULL, SMULL_SAFE), partial(smull_tile, in_order=True), smull_depthwise
)
SMULL_AHEAD_KERNELS = Kernels(
    (SMULL_AHEAD, SMULL_AHEAD_SAFE), partial(smull_tile, in_order=False), smull_depthwise
)
