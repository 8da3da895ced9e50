"""AVX-512 VNNI: sixteen sums of four products of uint8 and int8 in one instruction, exact."""

from __future__ import annotations

from functools import partial

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family, dot_products, packed
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.vector_ir import function

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
    registers=26,
    lowest_weight=-128,
    units=(1,),
    intrinsics=_INTRINSICS,
    accumulate=partial(dot_products, lanes=16, granule=4),
    pack=partial(packed, lanes=16, granule=4),
)


def tile_of(work: Conv) -> Tile:
    """Enough sums at once to hide the latency of a product, in as few registers as there are."""
    lanes, (down, across) = VNNI512.lanes, work.pool
    count = -(-work.outputs // lanes)
    blocks = next(b for b in (2, 3, 1) if count % b == 0)
    room = VNNI512.registers // blocks
    columns = min(work.y.columns * across, room // across * across)
    rows = min(work.y.rows * down, max(1, room // columns) // down * down or down)
    is_heavy = work.weights.size > 1 << 18 or work.y.rows == 1
    return Tile(max(rows, down), max(columns, across), blocks, "channels" if is_heavy else "rows")


KERNELS = Kernels((VNNI512,), tile_of)
