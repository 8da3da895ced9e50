"""AVX-512 VNNI: sixteen sums of four products of uint8 and int8 in one instruction, exact."""

from __future__ import annotations

from functools import partial

from joulecut.targets.cpu.nhwc.family import Family, dot_products, packed
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
