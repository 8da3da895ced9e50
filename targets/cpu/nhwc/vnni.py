"""AVX-512 VNNI: sixteen sums of four products of uint8 and int8 in one instruction, exact."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.tiling import cheapest, endings, order_of
from joulecut.targets.cpu.nhwc.vector_ir import function, name_of
from joulecut.targets.cpu.nhwc.x86_depthwise import vnni_depthwise
from joulecut.targets.cpu.nhwc.x86_ends import AVX512_ENDS, late_load
from joulecut.targets.cpu.script import lines, nest

LANES, GRANULE = 16, 4
_BIAS = late_load(LANES, "i32")
_DOT = "llvm.x86.avx512.vpdpbusd.512"
_INTRINSICS = (
    f"""\
declare <16 x i32> @{_DOT}(<16 x i32>, <64 x i8>, <64 x i8>)
"""
    + function(
        "<16 x i32>",
        "jc_dot",
        "<16 x i32> %a, ptr %x, <64 x i8> %w",
        "%s = load i32, ptr %x, align 1",
        "%e = insertelement <16 x i32> poison, i32 %s, i32 0",
        "%v = shufflevector <16 x i32> %e, <16 x i32> poison, <16 x i32> zeroinitializer",
        "%b = bitcast <16 x i32> %v to <64 x i8>",
        f"%r = call <16 x i32> @{_DOT}(<16 x i32> %a, <64 x i8> %b, <64 x i8> %w)",
        "ret <16 x i32> %r",
    )
    + _BIAS
)


def accumulate(tile: Reduction, x: str, w: str, bias: str) -> tuple[str, str]:
    """Weights of a granule are read once and meet all pixels of the tile."""
    over = [
        f"th in T.unroll({tile.rows})",
        f"tw in T.unroll({tile.columns})",
        f"j in T.unroll({tile.blocks})",
    ]
    spot = f"((th * {tile.columns} + tw) * {tile.blocks} + j) * {LANES}"
    acc = f"acc[T.Ramp({spot}, 1, {LANES})]"
    loops = [f"s{i} in T.serial({count})" for i, (count, _) in enumerate(tile.segments)]
    at = [x, *(f"s{i} * {step}" for i, (_, step) in enumerate(tile.segments))]
    at += [f"th * {tile.row_step}", f"tw * {tile.column_step}", f"k * {GRANULE}"]
    segment = "0"
    for i, (count, _) in enumerate(tile.segments):
        segment = f"({segment} * {count} + s{i})"
    width = LANES * GRANULE
    where = f"{w} + (({segment} * {tile.steps} + k) * {tile.blocks} + j) * {width}"
    dot = (
        f'T.call_extern("int32x{LANES}", "jc_dot", {acc}, '
        f"T.address_of(X[{' + '.join(at)}]), W[T.Ramp({where}, 1, {width})])"
    )
    start = (
        f'T.call_extern("int32x{LANES}", "{name_of(_BIAS)}", '
        f"T.address_of(B[{bias} + j * {LANES}]))"
    )
    text = lines(
        nest(over[2:], f"acc[T.Ramp(j * {LANES}, 1, {LANES})] = {start}"),
        nest(over, f"{acc} = acc[T.Ramp(j * {LANES}, 1, {LANES})]"),
        nest([*loops, f"k in T.serial({tile.steps})", *over], f"{acc} = {dot}"),
    )
    return text, ""


VNNI512 = Family(
    name="vnni512",
    lanes=LANES,
    granule=GRANULE,
    dtype="uint8",
    weight_dtype="int8",
    registers=28,
    lowest_weight=-128,
    units=(4, 2, 1),
    intrinsics=_INTRINSICS,
    accumulate=accumulate,
    pack=partial(packed, lanes=LANES, granule=GRANULE),
    ends=AVX512_ENDS,
)


# What fits into 32 registers: sums, weights of a step and one broadcast.
_SIZES = tuple((31 // blocks - 1, blocks) for blocks in (1, 2, 3, 4, 5, 6, 8))
_NEAR_BYTES = 1 << 20  # of L2; processors with AVX-512 have 1 or 2 MiB
_L1_BYTES = 24 << 10  # of weights that stay in L1 beside x
_TILE, _SEGMENT, _STEP, _ENDING, _UNIT = 20.0, 4.0, 1.0, 2.0, 2.5  # cycles, fitted
_BROADCAST, _WEIGHTS, _FAR_WEIGHTS, _LATENCY = 0.25, 0.25, 0.6, 5.0


def tile_of(work: Conv) -> Tile:
    """Enough sums at once to hide the latency of a product, in as few registers as there are.

    Two products start in a cycle. A broadcast costs what it does because few blocks share it.
    """
    _, segments, length = work.stretches.shape
    steps = -(-length // GRANULE)

    def cycles(rows: int, columns: int, blocks: int) -> float:
        pixels = rows * columns * work.pool[0] * work.pool[1]
        step = (
            max(_LATENCY, pixels * blocks / 2 + _BROADCAST * pixels) + _WEIGHTS * blocks + _STEP
        )
        if segments * steps * blocks * LANES * GRANULE > _L1_BYTES:
            step += _FAR_WEIGHTS * blocks
        ending = rows * blocks * endings(columns, VNNI512.units, _ENDING, _UNIT)
        return _TILE + segments * (_SEGMENT + steps * step) + ending

    tile = cheapest(work, LANES, _SIZES, cycles)
    return replace(tile, order=order_of(work, tile, work.weights.size, _NEAR_BYTES))


KERNELS = Kernels((VNNI512,), tile_of, vnni_depthwise)
