"""armv7 NEON, for the Cortex-A9: no dot products, but two products of int8 fit in 16 bits.

There are two ways to fill the vectors. Of 16 neighbours in x and as many weights of one output
channel every lane sums a few, and the lanes are added up at the end: best for long sums. Or two
neighbours in x are repeated and meet those weights of 16 output channels: nothing is left to
add up, and a sum may have any length. Both need that no 16-bit sum of two products can be
128 * 128 * 2, or add each product by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from joulecut.targets.cpu.nhwc.arm32 import Group, Load, Product, Program, Walk, walk
from joulecut.targets.cpu.nhwc.arm32_ends import ENDS
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed
from joulecut.targets.cpu.nhwc.vector_ir import name_of
from joulecut.targets.cpu.script import Array, lines

DEEP, WIDE = 4, 16  # lanes: sums within vectors, and sums across vectors
_GRANULE = {DEEP: 16, WIDE: 2}
_LIMIT = {DEEP: 36, WIDE: 40}  # steps in a straight line: about 4 and 2 KiB of instructions


def _accumulate(
    tile: Reduction, x: str, w: str, bias: str, *, lanes: int, safe: bool
) -> tuple[str, str]:
    """A statement for every block of channels and every two pixels."""
    way = walk(tile.segments, tile.steps, _GRANULE[lanes], _LIMIT[lanes])
    build = _deep if lanes == DEEP else _wide
    spots = [(row, column) for row in range(tile.rows) for column in range(tile.columns)]
    couples = [spots[i : i + 2] for i in range(0, len(spots), 2)]
    texts = {n: build(way, n, safe=safe) for n in {len(couple) for couple in couples}}
    block_weights = sum(way.runs) * _GRANULE[lanes] * lanes
    calls: list[str] = []
    for block in range(tile.blocks):
        for couple in couples:
            at = [f"X[{x} + {r * tile.row_step + c * tile.column_step}]" for r, c in couple]
            at += [f"W[{w} + {block * block_weights}]", f"B[{bias} + {block * lanes}]"]
            at += [
                f"acc[{((r * tile.columns + c) * tile.blocks + block) * lanes}]"
                for r, c in couple
            ]
            given = ", ".join(f"T.address_of({one})" for one in at)
            name = name_of(texts[len(couple)])
            calls.append(f'T.evaluate(T.call_extern("int32", "{name}", {given}))')
    return lines(*calls), "".join(texts.values())


def _deep(way: Walk, pixels: int, *, safe: bool) -> str:
    """Four output channels, an accumulator for each of them and each pixel."""
    totals = [range(8 + 4 * p, 12 + 4 * p) for p in range(pixels)]
    program = Program()
    if not way.is_straight:
        program.add(*(f"vmov.i32 q{q}, #0" for total in totals for q in total))
    bodies = [
        _split((group for _ in part.offsets for group in _granule(pixels, totals)), safe=safe)
        for part in way.parts
    ]
    program.sums(way, bodies, pixels, fresh=way.is_straight)
    program.add("vld1.32 {d12, d13}, [%b]")
    for p, total in enumerate(totals):
        program.add(
            *(f"vpadd.i32 d{4 * p + j}, d{2 * q}, d{2 * q + 1}" for j, q in enumerate(total))
        )
    for i in range(2 * pixels):
        program.add(f"vpadd.i32 d{8 + i}, d{2 * i}, d{2 * i + 1}")
    program.add(*(f"vadd.i32 q{4 + p}, q{4 + p}, q6" for p in range(pixels)))
    return program.function(_pointers(pixels), [[4 + p] for p in range(pixels)])


def _granule(pixels: int, totals: list[range]) -> Iterator[Group]:
    """16 products for every pixel and channel, of two channels at once where registers are few."""
    loads = [
        Load("vld1.8", f"d{2 * p}, d{2 * p + 1}", f"x{p}", 16, 1) for p in range(pixels)
    ]
    halves: list[list[Product]] = []
    weights: list[Load] = []
    for half in range(2):
        first = 4 if pixels == 2 else (4, 24)[half]
        weights.append(_weights(first))
        halves.append(
            [
                Product(
                    totals[p][2 * half + j],
                    ((2 * p, first + 2 * j), (2 * p + 1, first + 2 * j + 1)),
                )
                for j in range(2)
                for p in range(pixels)
            ]
        )
    if pixels == 2:
        yield Group((*loads, weights[0]), tuple(halves[0]))
        yield Group((weights[1],), tuple(halves[1]))
    else:
        yield Group((*loads, *weights), (*halves[0], *halves[1]))


def _wide(way: Walk, pixels: int, *, safe: bool) -> str:
    """Sixteen output channels, an accumulator for each four of them and each pixel."""
    totals = [range(8 + 4 * p, 12 + 4 * p) for p in range(pixels)]
    program = Program()
    for half in range(2):
        for p, total in enumerate(totals):
            q, last = total[2 * half], p + 1 == pixels
            registers = ", ".join(f"d{2 * q + i}" for i in range(4))
            program.add(f"vld1.32 {{{registers}}}, [%b]{'!' if last else ''}")
    bodies = [
        _split(_pairs(part.offsets, pixels, totals), safe=safe) for part in way.parts
    ]
    program.sums(way, bodies, pixels, fresh=False)
    return program.function(_pointers(pixels), totals)


def _pairs(offsets: Sequence[int], pixels: int, totals: list[range]) -> Iterator[Group]:
    """Two neighbours in x for every pixel and channel, two times at once."""
    for i in range(0, len(offsets), 2):
        spots = offsets[i : i + 2]
        both = len(spots)
        loads = [load for p in range(pixels) for load in _repeated(2 * p, f"x{p}", spots)]
        halves: list[list[Product]] = []
        for half in range(2):
            first = 4 if both == 1 or pixels == 2 else (4, 24)[half]
            step = 2 if both == 2 else 0
            start = first if both == 2 else first + 2 * half
            halves.append(
                [
                    Product(
                        totals[p][2 * half + j],
                        tuple((2 * p + k, start + k * step + j) for k in range(both)),
                    )
                    for j in range(2)
                    for p in range(pixels)
                ]
            )
        if pixels == 2:
            yield Group((*loads, _weights(4)), tuple(halves[0]))
            yield Group((_weights(4),) if both == 2 else (), tuple(halves[1]))
        else:
            more = [_weights(24)] if both == 2 else []
            yield Group((*loads, _weights(4), *more), (*halves[0], *halves[1]))


def _repeated(first: int, pointer: str, offsets: Sequence[int]) -> list[Load]:
    """Two neighbours in all of a D register, and two others in all of the next."""
    if len(offsets) == 2 and offsets[1] - offsets[0] == 2:
        return [Load("vld2.16", f"d{first}[], d{first + 1}[]", pointer, 4, 2)]
    return [Load("vld1.16", f"d{first + i}[]", pointer, 2, 1) for i in range(len(offsets))]


def _weights(first: int) -> Load:
    return Load("vld1.8", ", ".join(f"d{first + i}" for i in range(4)), "w", 32)


def _split(groups: Iterator[Group], *, safe: bool) -> list[Group]:
    """Safe sums hold one product: they are added up before the next."""
    if not safe:
        return list(groups)
    found: list[Group] = []
    for group in groups:
        for nth in range(max(len(product.pairs) for product in group.products)):
            products = (Product(p.total, p.pairs[nth : nth + 1]) for p in group.products)
            found.append(Group(group.loads if nth == 0 else (), tuple(products)))
    return found


def _pointers(pixels: int) -> list[str]:
    return [*(f"x{p}" for p in range(pixels)), "w", "b"]


def _packed_deep(weights: Array, starts: list[int]) -> Array:
    """[blocks, segments, steps, 4, 16]."""
    found = packed(weights, starts, lanes=DEEP, granule=16)
    return np.ascontiguousarray(found.transpose(2, 0, 1, 3, 4))


def _packed_wide(weights: Array, starts: list[int]) -> Array:
    """[blocks, steps of all segments, 16, 2], but eight channels of two steps side by side."""
    found = packed(weights, starts, lanes=WIDE, granule=2)
    segments, steps, blocks, _, _ = found.shape
    pairs = found.reshape(segments * steps, blocks, WIDE, 2).transpose(1, 0, 2, 3)
    parts: list[Array] = []
    at = 0
    for run in walk([(segments, 0)], steps, 2, _LIMIT[WIDE]).runs:
        even = at + run // 2 * 2
        twos = (
            pairs[:, at:even].reshape(blocks, run // 2, 2, 2, 8, 2).transpose(0, 1, 3, 2, 4, 5)
        )
        parts += [twos.reshape(blocks, -1), pairs[:, even : at + run].reshape(blocks, -1)]
        at += run
    return np.concatenate(parts, axis=1)


def _family(name: str, lanes: int, *, safe: bool) -> Family:
    return Family(
        name=name,
        lanes=lanes,
        granule=_GRANULE[lanes],
        dtype="int8",
        weight_dtype="int8",
        registers=8,
        lowest_weight=-128 if safe else -127,
        units=(2, 1) if lanes == DEEP else (1,),
        intrinsics="",
        accumulate=partial(_accumulate, lanes=lanes, safe=safe),
        pack=_packed_deep if lanes == DEEP else _packed_wide,
        ends=ENDS,
    )


NEON32 = _family("neon32", DEEP, safe=False)
NEON32_WIDE = _family("neon32_wide", WIDE, safe=False)
NEON32_SAFE = _family("neon32_safe", DEEP, safe=True)
NEON32_WIDE_SAFE = _family("neon32_wide_safe", WIDE, safe=True)
