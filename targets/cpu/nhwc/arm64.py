"""The kernels of AArch64 cores, and how much of a layer each computes at once.

The costs are counts of the instructions that the kernels are made of; of sums on cores that run
in order, cycles. Loops and the start and the end of a tile were fitted to what QEMU counts of
layers of ResNet-8, DS-CNN and EfficientNet-Lite0.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from joulecut.targets.cpu.nhwc import sdot, smull
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

# Cycles in which a statement of so many pixels and vectors of channels sums two pairs: 1/16 of a
# long loop, modelled by llvm-mca 19 for the Cortex-A53.
_CYCLES_IN_ORDER = {
    (1, 1): 18.4, (1, 2): 22.4, (1, 3): 27.2, (1, 4): 34.1,
    (1, 5): 43.1, (1, 6): 48.3, (1, 7): 55.2, (1, 8): 62.5,
    (2, 1): 20.4, (2, 2): 30.4, (2, 3): 47.4, (2, 4): 55.4,
    (3, 1): 25.3, (3, 2): 48.4, (3, 3): 62.4,
    (4, 1): 32.4, (4, 2): 58.4, (5, 1): 40.3, (6, 1): 51.4,
    (7, 1): 55.4, (8, 1): 66.4, (9, 1): 71.3,
}  # fmt: skip


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
    """The fewest instructions, or in order the fewest cycles."""
    _, segments, length = work.stretches.shape
    twos = segments * -(-length // 2) / 2  # times two pairs of neighbours

    def statement(pixels: int, vectors: int) -> float:
        if in_order:
            return _CYCLES_IN_ORDER[pixels, vectors]
        return 6 * pixels * vectors + pixels + vectors / 2  # loads of two pairs, four registers

    def cost(rows: int, columns: int, blocks: int) -> float:
        pixels = rows * columns * work.pool[0] * work.pool[1]
        parts = smull.statements(pixels, blocks, safe=False)
        sums = sum(statement(len(some), len(vectors)) for some, vectors in parts)
        return twos * sums + _around(work, rows * columns, pixels, blocks)

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
