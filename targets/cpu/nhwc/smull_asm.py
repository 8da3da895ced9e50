"""Sums of products of int8 on AArch64 without dot products, as assembly statements.

A statement holds the int32 sums of some pixels and some vectors of eight output channels. Two
neighbours of a pixel are repeated through a register and meet these two weights of eight
channels. Of two such products `smull` and `smlal` make a sum of 16 bits, `sadalp` adds
neighbours of these to the int32 sums.

The Cortex-A53 takes instructions in order and needs six cycles for each of these, so up to
eight of a kind follow each other. What the next eight need is loaded before the last of these
kinds, all at once: by LLVM's model of the core a load waits for the vector instruction before.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from joulecut.targets.cpu.nhwc.arm64_asm import REGISTERS, VECTOR, Statement, from_bias

_STRAIGHT = 48  # pairs in a straight line of instructions, 6 KiB at most
_BODY = 32  # pairs in the body of a loop


@dataclass(frozen=True)
class Walk:
    """The way of every pixel over x.

    Attributes:
        segments: loops around contiguous stretches, outermost first: count, and step in bytes.
        steps: pairs of neighbours in each stretch.
    """

    segments: tuple[tuple[int, int], ...]
    steps: int

    @property
    def pairs(self) -> int:
        """Of all stretches."""
        return self.steps * math.prod(count for count, _ in self.segments)

    @property
    def is_straight(self) -> bool:
        """Are there so few pairs that no instruction is repeated?"""
        return self.pairs <= _STRAIGHT

    @property
    def runs(self) -> list[int]:
        """Pairs that follow each other; two of a run are added in 16 bits."""
        length = self.pairs if self.is_straight else self.steps
        return [length] * (self.pairs // length)

    @property
    def jumps(self) -> list[int]:
        """Bytes to move after each turn of a loop, from where the pointer is then."""
        found, moved = list[int](), 2 * self.steps
        for count, step in reversed(self.segments):
            found.insert(0, step - moved)
            moved = count * step
        return found

    def jumps_before(self, pair: int) -> list[int]:
        """The loops that turn before a pair of a straight line, innermost first."""
        turns, rest = divmod(pair, self.steps)
        found = list[int]()
        if rest or not turns or not self.is_straight:
            return found
        for level in reversed(range(len(self.segments))):
            found.append(level)
            turns, rest = divmod(turns, self.segments[level][0])
            if rest:
                break
        return found


@dataclass(frozen=True)
class Block:
    """Pixels and channels whose sums are in registers.

    Attributes:
        offsets: of the pixels in x.
        vectors: of eight output channels.
        of: vectors of the tile.
        safe: sums of 16 bits hold one product.
        in_order: for a core that takes instructions in order. Loads then do not change their
            pointers: by LLVM's model that waits for all vector instructions before.
    """

    offsets: tuple[int, ...]
    vectors: int
    of: int
    safe: bool
    in_order: bool

    @property
    def pixels(self) -> int:
        """How many there are."""
        return len(self.offsets)

    @property
    def sums(self) -> dict[tuple[int, int, int], str]:
        """Registers of four int32 sums by pixel, vector and half."""
        spots = itertools.product(range(self.pixels), range(self.vectors), range(2))
        first = REGISTERS - 2 * self.pixels * self.vectors
        return {spot: f"v{first + i}" for i, spot in enumerate(spots)}


def has_room(pixels: int, vectors: int, *, safe: bool) -> bool:
    """Do the sums fit in registers, with what is needed to add to some of them?"""
    few = min(pixels, vectors)
    products = 2 * few * (2 if safe else 1)
    return 2 * pixels * vectors + 2 * few + 2 + products <= REGISTERS


@dataclass(frozen=True)
class _Batch:
    """What loads, then instructions of one kind, which do not wait for each other."""

    loads: list[str]
    products: list[str]
    more: list[str]
    sums: list[str]


class _Program:
    """Batches of instructions.

    Of pixels and vectors the fewer are kept in registers while the others come and go. In order,
    every load of weights for two pairs has a pointer of its own, which moves once for both.
    """

    def __init__(self, block: Block, walk: Walk) -> None:
        self.block, self.walk, self.sums = block, walk, block.sums
        self._are_pixels_kept = block.pixels <= block.vectors
        self._few, self._many = sorted((block.pixels, block.vectors))
        free = REGISTERS - len(self.sums) - 2 * self._few
        each = 2 + 2 * self._few * (2 if block.safe else 1)
        self._at_once = min(self._many, free // each)
        self.pointers = len(self._sizes(2)) if block.in_order else 1
        self._at = [0] * self.pointers  # where they point, from the first weights of `text`
        self._loaded = 0  # loads of weights for the pairs that come

    def text(self, count: int, *, again: bool = False) -> Iterator[str]:
        """The products of so many pairs of neighbours.

        Args:
            count: of pairs.
            again: more pairs follow: pointers move on.
        """
        batches = list(self._batches(count))
        yield from batches[0].loads
        for batch, after in itertools.zip_longest(batches, batches[1:]):
            yield from batch.products
            yield from batch.more
            yield from after.loads if after else ()
            yield from batch.sums
        size = VECTOR * self.block.vectors * count
        yield from self.aim(2, size) if again else ()
        self._at = [at - size for at in self._at]

    def aim(self, both: int, first: int) -> Iterator[str]:
        """Let the pointers to weights point at those of one or two pairs."""
        self._loaded = 0
        if not self.block.in_order:
            return
        for i, size in enumerate(self._sizes(both)):
            if move := first - self._at[i]:
                yield f"{'add' if move > 0 else 'sub'} {{w{i}}}, {{w{i}}}, #{abs(move)}"
            self._at[i], first = first, first + size

    def _sizes(self, both: int) -> list[int]:
        """Bytes of every load of weights for one or two pairs."""
        groups = [self._few]
        if self._are_pixels_kept:
            groups = [len(some) for some in self._groups()]
        registers = [min(4, both * n - i) for n in groups for i in range(0, both * n, 4)]
        return [VECTOR * count for count in registers]

    def _groups(self) -> list[range]:
        """Of what comes and goes, those that are there together."""
        starts = range(0, self._many, self._at_once)
        return [range(start, min(start + self._at_once, self._many)) for start in starts]

    def _batches(self, count: int) -> Iterator[_Batch]:
        for pair in range(0, count, 2):
            both = min(2, count - pair)
            loads = list(self.aim(both, pair * VECTOR * self.block.vectors))
            kept = [[f"v{both * i + k}" for k in range(both)] for i in range(self._few)]
            first = 2 * self._few
            for group in self._groups():
                here = [
                    [f"v{first + both * i + k}" for k in range(both)] for i in range(len(group))
                ]
                x, w = (kept, here) if self._are_pixels_kept else (here, kept)
                is_first = group.start == 0
                if is_first or not self._are_pixels_kept:
                    start = 0 if self._are_pixels_kept else group.start
                    loads += self._pixels(pair, dict(enumerate(x, start)))
                if is_first or self._are_pixels_kept:
                    loads += self._weights([name for names in w for name in names])
                yield self._batch(loads, kept, dict(zip(group, here, strict=True)))
                loads = []

    def _pixels(self, pair: int, names: dict[int, list[str]]) -> Iterator[str]:
        """Load and repeat neighbours, two pairs at once where nothing lies between."""
        both = len(next(iter(names.values())))
        jumps = [self.walk.jumps_before(pair + k) for k in range(both)]
        at_once = 1 if any(jumps[1:]) else both
        moves = list[str]()
        for k in range(0, both, at_once):
            for p, registers in names.items():
                yield from (jump(level, p) for level in jumps[k])
                some = registers[k : k + at_once]
                load = f"ld{at_once}r {{{{{', '.join(f'{name}.8h' for name in some)}}}}}, [{{x{p}}}]"
                if self.block.in_order and at_once == both:
                    yield load
                    moves.append(f"add {{x{p}}}, {{x{p}}}, #{2 * at_once}")
                else:
                    yield f"{load}, #{2 * at_once}"
        yield from moves

    def _weights(self, names: Sequence[str]) -> Iterator[str]:
        """Load the next weights, up to four registers at once."""
        for i in range(0, len(names), 4):
            some = names[i : i + 4]
            registers = f"{{{{{', '.join(f'{name}.16b' for name in some)}}}}}"
            if self.block.in_order:
                yield f"ld1 {registers}, [{{w{self._loaded}}}]"
                self._loaded += 1
            else:
                yield f"ld1 {registers}, [{{w0}}], #{VECTOR * len(some)}"

    def _batch(
        self, loads: list[str], kept: list[list[str]], here: dict[int, list[str]]
    ) -> _Batch:
        first = 2 * self._few + 2 * self._at_once
        free = (f"v{i}" for i in range(first, REGISTERS - len(self.sums)))
        batch, late = _Batch(loads, [], [], []), list[str]()
        for (o, there), (i, own) in itertools.product(here.items(), enumerate(kept)):
            x, w, spot = (own, there, (i, o)) if self._are_pixels_kept else (there, own, (o, i))
            for half, (two, kind) in enumerate((("", "8b"), ("2", "16b"))):
                total = self.sums[*spot, half]
                factors = [f"{a}.{kind}, {b}.{kind}" for a, b in zip(w, x, strict=True)]
                name = next(free)
                batch.products.append(f"smull{two} {name}.8h, {factors[0]}")
                batch.sums.append(f"sadalp {total}.4s, {name}.8h")
                for factor in factors[1:]:
                    if self.block.safe:
                        name = next(free)
                        batch.products.append(f"smull{two} {name}.8h, {factor}")
                        late.append(f"sadalp {total}.4s, {name}.8h")
                    else:
                        batch.more.append(f"smlal{two} {name}.8h, {factor}")
        batch.sums.extend(late)
        return batch


def jump(level: int, pixel: int) -> str:
    """Move the pointer of a pixel after a turn of a loop."""
    return f"add {{x{pixel}}}, {{x{pixel}}}, {{j{level}}}"


def _text(program: _Program) -> Iterator[str]:
    block, walk = program.block, program.walk
    yield from from_bias(block.sums)
    if walk.is_straight:
        yield from program.text(walk.pairs)
        return
    yield from program.aim(2, 0)
    for level, (count, _) in enumerate(walk.segments):
        yield f"mov {{c{level}}}, #{count}"
        yield f"{level + 1}:"
    parts = -(-walk.steps // _BODY)
    pairs = 2 * -(-walk.steps // (2 * parts))
    turns, rest = divmod(walk.steps, pairs)
    if turns:
        yield f"mov {{k}}, #{turns}"
        yield "9:"
        yield "subs {k}, {k}, #1"
        yield from program.text(pairs, again=True)
        yield "b.ne 9b"
    if rest:
        yield from program.text(rest, again=True)
    for level in reversed(range(len(walk.segments))):
        yield from (jump(level, p) for p in range(block.pixels))
        yield f"subs {{c{level}}}, {{c{level}}}, #1"
        yield f"b.ne {level + 1}b"


def sums(block: Block, walk: Walk) -> str:
    """LLVM text of a function of x, weights, bias and where the sums are stored."""
    program = _Program(block, walk)
    return Statement(
        name="jc_smull",
        lines=_text(program),
        sums=block.sums,
        of=block.of,
        starts={f"x{p}": offset for p, offset in enumerate(block.offsets)},
        weights={f"w{i}": 0 for i in range(program.pointers)},
        constants={f"j{i}": move for i, move in enumerate(walk.jumps)},
        counters=(*(f"c{i}" for i in range(len(walk.segments))), "k"),
    ).function()
