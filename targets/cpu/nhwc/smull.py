"""Arm cores without dot products: products of int8 in 16 bits, two of which are added there.

Two products fit in 16 bits where no weight is -128; else every product is added by itself.

LLVM orders such instructions to save registers, and the Cortex-A53 then waits for most of
them. So the sums of a few pixels are one assembly statement, in an order made for that core.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from joulecut.targets.cpu.nhwc.arm64_asm import LANES, VECTOR, statement_calls
from joulecut.targets.cpu.nhwc.arm64_ends import ENDS
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed
from joulecut.targets.cpu.nhwc.smull_asm import Block, Walk, has_room, sums
from joulecut.targets.cpu.script import Array

GRANULE = 2
_MOST = 9  # vectors of eight sums that the registers hold
_VECTORS = 8  # of one pixel, that a statement sums


def accumulate(
    tile: Reduction, x: str, w: str, bias: str, *, safe: bool, in_order: bool
) -> tuple[str, str]:
    """A statement for every block of pixels and channels whose sums fit in registers."""
    walk = Walk(tile.segments, tile.steps)

    def text(offsets: tuple[int, ...], vectors: int) -> str:
        return sums(Block(offsets, vectors, tile.blocks, safe, in_order), walk)

    parts = statements(tile.rows * tile.columns, tile.blocks, safe=safe)
    return statement_calls(tile, parts, text, walk.pairs * VECTOR, (x, w, bias))


def statements(pixels: int, blocks: int, *, safe: bool) -> Iterator[tuple[range, range]]:
    """Pixels and vectors of channels of each statement of a tile."""
    for j in range(0, blocks, _VECTORS):
        vectors = range(j, min(j + _VECTORS, blocks))
        many = range(_MOST // len(vectors), 0, -1)
        some = next(p for p in many if has_room(p, len(vectors), safe=safe))
        for p in range(0, pixels, some):
            yield range(p, min(p + some, pixels)), vectors


def pack(weights: Array, starts: list[int]) -> Array:
    """Vectors of one statement after those of the other; of two pairs, each vector's side by side."""
    _, segments, length = weights.shape
    walk = Walk(((segments, 0),), -(-length // GRANULE))
    found = packed(weights, starts, lanes=LANES, granule=GRANULE)
    pairs = found.reshape(walk.pairs, len(starts), VECTOR)
    parts = list[Array]()
    for j in range(0, len(starts), _VECTORS):
        some, first = pairs[:, j : j + _VECTORS], 0
        for run in walk.runs:
            even = first + run // 2 * 2
            twos = some[first:even].reshape(run // 2, 2, *some.shape[1:]).swapaxes(1, 2)
            parts += [twos.reshape(-1), some[even : first + run].reshape(-1)]
            first += run
    return np.concatenate(parts)


def _family(name: str, *, safe: bool, in_order: bool) -> Family:
    return Family(
        name=name,
        lanes=LANES,
        granule=GRANULE,
        dtype="int8",
        weight_dtype="int8",
        registers=2 * _MOST,
        lowest_weight=-128 if safe else -127,
        units=(2, 1),
        intrinsics="",
        accumulate=partial(accumulate, safe=safe, in_order=in_order),
        pack=pack,
        ends=ENDS,
    )


SMULL = _family("smull", safe=False, in_order=True)
SMULL_SAFE = _family("smull_safe", safe=True, in_order=True)
SMULL_AHEAD = _family("smull_ahead", safe=False, in_order=False)
SMULL_AHEAD_SAFE = _family("smull_ahead_safe", safe=True, in_order=False)
