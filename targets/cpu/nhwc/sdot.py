"""Arm cores with dot products: four sums of four products of int8 in one instruction, exact.

`sdot` by element multiplies 4 channels x 4 products with one word of a register, so 16 bytes of
a pixel are loaded at once and used word by word.

LLVM orders such instructions to save registers: what a core that runs in order needs next is
loaded too late. So the sums of a few pixels are one assembly statement, which loads the weights
of two vectors of channels while it multiplies with those before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from joulecut.targets.cpu.nhwc.arm64_asm import (
    LANES,
    REGISTERS,
    VECTOR,
    Statement,
    from_bias,
    statement_calls,
)
from joulecut.targets.cpu.nhwc.arm64_ends import ENDS
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed

GRANULE = 4
WORDS = 4  # granules that are loaded at once
_WIDTH = LANES * GRANULE  # bytes of the weights of a vector of channels
_MOST_VECTORS = 12  # of one pixel, that the registers hold
_LONGEST = 4095  # bytes, that an instruction moves a pointer
_FARTHEST = 1008  # bytes from a pointer, that a load of two registers reaches


def pixels_of(vectors: int) -> int:
    """Pixels whose sums fit in registers, with x and the weights of a vector of channels."""
    return (REGISTERS - 2) // (2 * vectors + 1)


def statements(pixels: int, blocks: int) -> Iterator[tuple[range, range]]:
    """Pixels and vectors of channels of each statement of a tile."""
    for j in range(0, blocks, _MOST_VECTORS):
        vectors = range(j, min(j + _MOST_VECTORS, blocks))
        some = pixels_of(len(vectors))
        for p in range(0, pixels, some):
            yield range(p, min(p + some, pixels)), vectors


def accumulate(tile: Reduction, x: str, w: str, bias: str) -> tuple[str, str]:
    """A statement for every block of pixels and channels whose sums fit in registers."""

    def text(offsets: tuple[int, ...], vectors: int) -> str:
        return _Program(tile, offsets, vectors).function()

    parts = statements(tile.rows * tile.columns, tile.blocks)
    return statement_calls(tile, parts, text, _WIDTH, (x, w, bias))


@dataclass(frozen=True)
class _Program:
    """The instructions of a statement.

    Registers hold 16 bytes of every pixel, then pairs for the weights of a vector of channels,
    of which one is multiplied with while the others are loaded, then the sums.

    Attributes:
        tile: that it is a part of.
        offsets: of the pixels in x, from the first.
        vectors: of channels.
    """

    tile: Reduction
    offsets: Sequence[int]
    vectors: int

    @property
    def sums(self) -> dict[tuple[int, int, int], str]:
        """Registers of four int32 sums by pixel, vector and half."""
        spots = itertools.product(range(len(self.offsets)), range(self.vectors), range(2))
        first = REGISTERS - 2 * len(self.offsets) * self.vectors
        return {spot: f"v{first + i}" for i, spot in enumerate(spots)}

    @property
    def pairs(self) -> list[int]:
        """The first register of each pair."""
        last = REGISTERS - len(self.sums) - 1
        return list(range(len(self.offsets), last, 2))

    def function(self) -> str:
        """LLVM text of a function of x, weights, bias and where the sums are stored."""
        far = {f"o{p}": at for p, at in enumerate(self.offsets) if not _is_near(at)}
        jumps = {f"j{i}": move for i, move in enumerate(self._jumps())}
        return Statement(
            name="jc_sdot",
            lines=self._lines(),
            sums=self.sums,
            of=self.tile.blocks,
            starts={"x": 0},
            weights={"w": 0},
            constants={**far, **jumps},
            counters=(*(f"c{i}" for i in range(len(self.tile.segments))), "k"),
        ).function()

    def _lines(self) -> Iterator[str]:
        segments = self.tile.segments
        turns, rest = divmod(self.tile.steps, WORDS)
        yield from from_bias(self.sums)
        for level, (count, _) in enumerate(segments):
            if count > 1:
                yield f"mov {{c{level}}}, #{count}"
                yield f"{level + 1}:"
        if turns > 1:
            yield f"mov {{k}}, #{turns}"
            yield "9:"
            yield "subs {k}, {k}, #1"
        if turns:
            yield from self._turn(WORDS)
            yield f"add {{x}}, {{x}}, #{WORDS * GRANULE}"
        if turns > 1:
            yield "b.ne 9b"
        if rest:
            yield from self._turn(rest)
        for level in reversed(range(len(segments))):
            if segments[level][0] > 1:
                yield f"add {{x}}, {{x}}, {{j{level}}}"
                yield f"subs {{c{level}}}, {{c{level}}}, #1"
                yield f"b.ne {level + 1}b"

    def _jumps(self) -> list[int]:
        """Bytes to move after each turn of a loop, from where the pointer is then."""
        found, moved = list[int](), self.tile.steps // WORDS * WORDS * GRANULE
        for count, step in reversed(self.tile.segments):
            found.insert(0, step - moved)
            moved = count * step if count > 1 else moved
        return found

    def _turn(self, words: int) -> Iterator[str]:
        """The products of so many words of every pixel; weights move on, x does not."""
        for p, at in enumerate(self.offsets):
            yield f"ldr q{p}, [{{x}}, {f'#{at}' if _is_near(at) else f'{{o{p}}}'}]"
        groups = [(word, j) for word in range(words) for j in range(self.vectors)]
        loads = self._weights(groups)
        ahead = len(self.pairs) - 1
        for load in itertools.islice(loads, ahead):
            yield from load
        for i, (word, j) in enumerate(groups):
            for load in itertools.islice(loads, 1):
                yield from load
            pair = self.pairs[i % len(self.pairs)]
            for p in range(len(self.offsets)):
                for half in range(2):
                    factors = f"v{pair + half}.16b, v{p}.4b[{word}]"
                    yield f"sdot {self.sums[p, j, half]}.4s, {factors}"
        for load in loads:
            yield from load

    def _weights(self, groups: Sequence[tuple[int, int]]) -> Iterator[list[str]]:
        """Loads of each group; last, what brings the pointer to the next words."""
        before = 0  # where the pointer is
        for i, (word, j) in enumerate(groups):
            at = (word * self.tile.blocks + j) * _WIDTH
            text = list[str]()
            if at - before > _FARTHEST:
                text += _moved("w", at - before)
                before = at
            pair = self.pairs[i % len(self.pairs)]
            text.append(f"ldp q{pair}, q{pair + 1}, [{{w}}, #{at - before}]")
            yield text
        words = groups[-1][0] + 1
        yield list(_moved("w", words * self.tile.blocks * _WIDTH - before))


def _moved(pointer: str, nbytes: int) -> Iterator[str]:
    """Move a pointer on, in steps for which an instruction has room."""
    for first in range(0, nbytes, _LONGEST):
        yield f"add {{{pointer}}}, {{{pointer}}}, #{min(nbytes - first, _LONGEST)}"


def _is_near(offset: int) -> bool:
    """Does an instruction have room for it?"""
    return offset < 256 or (offset % VECTOR == 0 and offset < 65536)


SDOT = Family(
    name="sdot",
    lanes=LANES,
    granule=GRANULE,
    dtype="int8",
    weight_dtype="int8",
    registers=28,
    lowest_weight=-128,
    units=(2, 1),
    intrinsics="",
    accumulate=accumulate,
    pack=partial(packed, lanes=LANES, granule=GRANULE),
    ends=ENDS,
)
