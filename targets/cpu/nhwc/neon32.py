"""armv7 NEON, for the Cortex-A9: no dot products, but two products of int8 fit in 16 bits.

Two neighbours in x fill a vector, again and again, and meet these two weights of 8 or 16 output
channels. Nothing is left to add up at the end, and a sum may have any length. Sixteen channels
go with two pixels, eight with four: so many accumulators fit in the registers. Two products
are added in 16 bits, which is safe if no weight is -128; else every product is added by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from joulecut.targets.cpu.nhwc.arm32 import Group, Load, Product, Program, Walk, walk
from joulecut.targets.cpu.nhwc.arm32_ends import ENDS
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.neon32_depthwise import neon32_depthwise
from joulecut.targets.cpu.nhwc.neon32_tiles import HALF, SUMS, WIDE, most_pixels, tiled
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.vector_ir import name_of
from joulecut.targets.cpu.script import Array, lines

_PAIR = 2  # neighbours in x
_LONGEST = 40  # pairs in a straight line: about 2 KiB of instructions


def accumulate(
    tile: Reduction, x: str, w: str, bias: str, *, lanes: int, safe: bool
) -> tuple[str, str]:
    """A statement for every block of channels and every few pixels."""
    way = walk(tile.segments, tile.steps, _PAIR, _LONGEST)
    spots = [(row, column) for row in range(tile.rows) for column in range(tile.columns)]
    most = most_pixels(lanes) if len(way.loops) < 2 else 2  # loops want core registers, too
    groups = [spots[i : i + most] for i in range(0, len(spots), most)]
    texts = {n: _sums(way, lanes, n, safe=safe) for n in {len(group) for group in groups}}
    block_weights = sum(way.runs) * _PAIR * lanes
    calls: list[str] = []
    for block in range(tile.blocks):
        for group in groups:
            at = [f"X[{x} + {r * tile.row_step + c * tile.column_step}]" for r, c in group]
            at += [f"W[{w} + {block * block_weights}]", f"B[{bias} + {block * lanes}]"]
            at += [
                f"acc[{((r * tile.columns + c) * tile.blocks + block) * lanes}]"
                for r, c in group
            ]
            given = ", ".join(f"T.address_of({one})" for one in at)
            name = name_of(texts[len(group)])
            calls.append(f'T.evaluate(T.call_extern("int32", "{name}", {given}))')
    return lines(*calls), "".join(texts.values())


def _sums(way: Walk, lanes: int, pixels: int, *, safe: bool) -> str:
    """A statement: some pixels, from their addresses and those of weights, bias and `acc`."""
    each = lanes // 4
    totals = [range(8 + each * p, 8 + each * (p + 1)) for p in range(pixels)]
    program = Program()
    for i in range(0, each, 2):
        for p, total in enumerate(totals):
            registers = ", ".join(f"d{2 * total[i] + k}" for k in range(4))
            program.add(f"vld1.32 {{{registers}}}, [%b]{'!' if p + 1 == pixels else ''}")
    bodies: list[list[Group]] = []
    for part in way.parts:
        groups = [
            group
            for i in range(0, len(part.offsets), 2)
            for group in _groups(part.offsets[i : i + 2], lanes, totals)
        ]
        bodies.append(_split(groups) if safe else groups)
    program.sums(way, bodies, pixels)
    return program.function([*(f"x{p}" for p in range(pixels)), "w", "b"], totals)


def _groups(offsets: Sequence[int], lanes: int, totals: Sequence[range]) -> list[Group]:
    """One or two steps. Eight channels and two pixels at once, or all channels of one pixel."""
    count, alone = len(offsets), len(totals) == 1
    groups: list[Group] = []
    for half in range(lanes // 8):
        for first in range(0, len(totals), 2):
            pixels = range(first, min(first + 2, len(totals)))
            loads: list[Load] = []
            for p in pixels if half == 0 else ():
                loads += _repeated(2 * (p % 2), f"x{p}", offsets)
            weights = 4
            if count == 1:
                weights += 2 * half
                if first == half == 0:
                    loads.append(_weights(4, lanes // 4))
            else:
                weights += 20 * half if alone else 0
                if first == 0:
                    loads.append(_weights(weights, 4))
            products = (
                Product(
                    totals[p][2 * half + j],
                    tuple((2 * (p % 2) + k, weights + 2 * k + j) for k in range(count)),
                )
                for j in range(2)
                for p in pixels
            )
            groups.append(Group(tuple(loads), tuple(products)))
    if alone and len(groups) > 1:
        low, high = groups
        return [Group(low.loads + high.loads, low.products + high.products)]
    return groups


def _repeated(first: int, pointer: str, offsets: Sequence[int]) -> Iterator[Load]:
    """A pair in all of a D register, and the next in all of the next."""
    if len(offsets) == 2 and offsets[1] - offsets[0] == _PAIR:
        yield Load("vld2.16", f"d{first}[], d{first + 1}[]", pointer, 2 * _PAIR, 2)
        return
    for i in range(len(offsets)):
        yield Load("vld1.16", f"d{first + i}[]", pointer, _PAIR, 1)


def _weights(first: int, count: int) -> Load:
    return Load("vld1.8", ", ".join(f"d{first + i}" for i in range(count)), "w", 8 * count)


def _split(groups: Sequence[Group]) -> list[Group]:
    """One product in each sum."""
    found: list[Group] = []
    for group in groups:
        for nth in range(max(len(product.pairs) for product in group.products)):
            products = (Product(p.total, p.pairs[nth : nth + 1]) for p in group.products)
            found.append(Group(group.loads if nth == 0 else (), tuple(products)))
    return found


def pack(weights: Array, starts: list[int], *, lanes: int) -> Array:
    """[blocks, steps of all segments, lanes, 2], but two steps of eight channels side by side."""
    found = packed(weights, starts, lanes=lanes, granule=_PAIR)
    segments, steps, blocks, _, _ = found.shape
    pairs = found.reshape(segments * steps, blocks, lanes, _PAIR).transpose(1, 0, 2, 3)
    parts: list[Array] = []
    at = 0
    for run in walk([(segments, 0)], steps, _PAIR, _LONGEST).runs:
        even = at + run // 2 * 2
        twos = pairs[:, at:even].reshape(blocks, run // 2, 2, lanes // 8, 8, _PAIR)
        parts.append(twos.transpose(0, 1, 3, 2, 4, 5).reshape(blocks, -1))
        parts.append(pairs[:, even : at + run].reshape(blocks, -1))
        at += run
    return np.concatenate(parts, axis=1)


def _family(name: str, lanes: int, *, safe: bool) -> Family:
    return Family(
        name=name,
        lanes=lanes,
        granule=_PAIR,
        dtype="int8",
        weight_dtype="int8",
        registers=SUMS,
        lowest_weight=-128 if safe else -127,
        units=(1,) if lanes == WIDE else (2, 1),
        intrinsics="",
        accumulate=partial(accumulate, lanes=lanes, safe=safe),
        pack=partial(pack, lanes=lanes),
        ends=ENDS,
    )


NEON32 = _family("neon32", WIDE, safe=False)
NEON32_HALF = _family("neon32_half", HALF, safe=False)
NEON32_SAFE = _family("neon32_safe", WIDE, safe=True)
NEON32_HALF_SAFE = _family("neon32_half_safe", HALF, safe=True)


def family_of(work: Conv) -> Family:
    """The family that needs the fewest instructions."""
    lanes, _ = tiled(work)
    if int(work.weights.min()) < NEON32.lowest_weight:
        return NEON32_SAFE if lanes == WIDE else NEON32_HALF_SAFE
    return NEON32 if lanes == WIDE else NEON32_HALF


def tile_of(work: Conv) -> Tile:
    """The tile for that family."""
    return tiled(work)[1]


KERNELS = Kernels(
    (NEON32, NEON32_HALF, NEON32_SAFE, NEON32_HALF_SAFE),
    tile_of,
    neon32_depthwise,
    family_of=family_of,
)
