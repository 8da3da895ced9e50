"""AVX-512 VNNI: sixteen sums of four products of uint8 and int8 in one instruction, exact."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family, dot_products, packed
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.tiling import cheapest, order_of
from joulecut.targets.cpu.nhwc.vector_ir import function
from joulecut.targets.cpu.nhwc.x86_ends import AVX512_ENDS

_DOT = "llvm.x86.avx512.vpdpbusd.512"
_INTRINSICS = f"""\
declare <16 x i32> @{_DOT}(<16 x i32>, <64 x i8>, <64 x i8>)
""" + function(
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


VNNI512 = Family(
    name="vnni512",
    lanes=16,
    granule=4,
    dtype="uint8",
    weight_dtype="int8",
    registers=28,
    lowest_weight=-128,
    units=(4, 2, 1),
    intrinsics=_INTRINSICS,
    accumulate=partial(dot_products, lanes=16, granule=4),
    pack=partial(packed, lanes=16, granule=4),
    ends=AVX512_ENDS,
)


# What fits into 32 registers: sums, weights of a step and one broadcast.
_SIZES = tuple((31 // blocks - 1, blocks) for blocks in (1, 2, 3, 4, 5, 6, 8))
_NEAR_BYTES = 1 << 20  # of L2; processors with AVX-512 have 1 or 2 MiB
_L1_BYTES = 24 << 10  # of weights that stay in L1 beside x
_TILE, _SEGMENT, _STEP, _ENDING = 20.0, 4.0, 1.0, 2.7  # cycles, fitted to measurements
_BROADCAST, _WEIGHTS, _FAR_WEIGHTS, _LATENCY = 0.25, 0.25, 1.6, 5.0


def tile_of(work: Conv) -> Tile:
    """Enough sums at once to hide the latency of a product, in as few registers as there are.

    Two products start in a cycle. A broadcast costs what it does because few blocks share it.
    """
    _, segments, length = work.stretches.shape
    steps = -(-length // VNNI512.granule)

    def cycles(pixels: int, blocks: int) -> float:
        sums = pixels * blocks
        step = max(_LATENCY, sums / 2 + _BROADCAST * pixels) + _WEIGHTS * blocks + _STEP
        if segments * steps * blocks * 64 > _L1_BYTES:
            step = max(step, _FAR_WEIGHTS * blocks)
        return _TILE + segments * (_SEGMENT + steps * step) + _ENDING * sums

    tile = cheapest(work, VNNI512.lanes, _SIZES, cycles)
    return replace(tile, order=order_of(work, tile, work.weights.size, _NEAR_BYTES))


KERNELS = Kernels((VNNI512,), tile_of)
