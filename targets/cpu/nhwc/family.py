"""What a class of processors multiplies with: the only part of a kernel that differs by machine.

A family turns "acc += x * w over the taps of a tile" into the instructions of one core class. The
loops around it and the ending are the same text for all. Weights are packed so that the family
reads them in one stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.epilogue import Integers
from joulecut.targets.cpu.script import Array


@dataclass(frozen=True)
class Reduction:
    """The sum that one tile of a convolution needs; all numbers are elements.

    Attributes:
        rows: of pixels in the tile.
        columns: of pixels in the tile.
        blocks: vectors of output channels in the tile.
        row_step: in x from one row of pixels to the next.
        column_step: in x from one pixel to the next.
        segments: stretches of x that a pixel reads, each contiguous: nested loops, outermost
            first, each a count and the step in x.
        steps: granules of each segment.
    """

    rows: int
    columns: int
    blocks: int
    row_step: int
    column_step: int
    segments: tuple[tuple[int, int], ...]
    steps: int


@dataclass(frozen=True)
class Ends:
    """LLVM functions for the end of a tile where a processor has better than TVM's words.

    Attributes:
        begin: lanes -> of int32 v: v, which LLVM then touches only after what was stored before,
            so that units wait in fewer registers.
        clamp: lanes -> of float32 v, low, high: v within the scalar bounds.
        apart: lanes -> of float32 v: v, which LLVM then fuses with no sum.
        store: lanes and integers -> of float32 v: the rounded, shifted and clamped integers, if
            the rounded and shifted ones fit in 16 bits.
        load: lanes -> of a pointer: the float32 v there, which LLVM then loads where it is used
            and not before the sums, whose registers it would take.
    """

    begin: Callable[[int], str] | None = None
    clamp: Callable[[int], str] | None = None
    apart: Callable[[int], str] | None = None
    store: Callable[[int, Integers], str] | None = None
    load: Callable[[int], str] | None = None


PLAIN_ENDS = Ends()


@dataclass(frozen=True)
class Family:
    """A class of processors.

    Attributes:
        name: for people and for the build report.
        lanes: output channels in an accumulator.
        granule: elements of x that one step sums.
        dtype: of stored activations.
        weight_dtype: of packed weights.
        registers: accumulators that may live at once.
        lowest_weight: weights must not be below.
        units: pixels that end together, the largest that fits is taken.
        intrinsics: LLVM functions that `accumulate` calls.
        accumulate: a Reduction; where x, w and the bias begin -> statements, which leave
            bias + sum in the local buffer `acc`, [rows, columns, blocks, lanes] of int32; and
            the LLVM functions that only this tile needs.
        pack: weights [O, segments, length], the first channel of each block -> their bytes in
            the order in which `accumulate` reads them.
        program: used instead of `pack` where what is done depends on the weights: weights
            [O, segments, length], the first channel of a block, where in x each segment begins
            -> bytes that `accumulate` reads from where the block's weights begin.
            Tiles then have one block.
        ends: what it has for the end of a tile.
    """

    name: str
    lanes: int
    granule: int
    dtype: str
    weight_dtype: str
    registers: int
    lowest_weight: int
    units: tuple[int, ...]
    intrinsics: str
    accumulate: Callable[[Reduction, str, str, str], tuple[str, str]]
    pack: Callable[[Array, list[int]], Array]
    program: Callable[[Array, int, Array], Array] | None = None
    ends: Ends = PLAIN_ENDS

    def shift_of(self, dtype: str) -> int:
        """What is added to an integer of a type before it is stored."""
        return _SHIFTS.get((dtype, self.dtype), 0)


_SHIFTS = {("int8", "uint8"): 128, ("uint8", "int8"): -128}


def packed(weights: Array, starts: list[int], *, lanes: int, granule: int) -> Array:
    """Weights of some blocks of output channels, as a tile streams them.

    Args:
        weights: [O, segments, length].
        starts: first output channel of each block.
        lanes: output channels of a block; those beyond the last are zeros.
        granule: elements summed at once.

    Returns:
        [segments, steps, blocks, lanes, granule].
    """
    outputs, segments, length = weights.shape
    steps = -(-length // granule)
    room = np.zeros((outputs + lanes, segments, steps * granule), weights.dtype)
    room[:outputs, :, :length] = weights
    picked = np.stack([room[start : start + lanes] for start in starts])
    shaped = picked.reshape(len(starts), lanes, segments, steps, granule)
    return np.ascontiguousarray(shaped.transpose(2, 3, 0, 1, 4))
