"""AVX2 without VNNI: sums of products of uint8 and int8 in 16 bits, exact by a choice of order.

`vpmaddubsw` sums two products in 16 bits and saturates where both are large. So each block of
eight output channels has a program of its own, which `narrow.py` makes of its weights: which
four neighbours in x meet which weights, in an order in which no sum leaves 16 bits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed
from joulecut.targets.cpu.nhwc.kernels import Kernels
from joulecut.targets.cpu.nhwc.narrow import GRANULE, HEADER, LANES, STEPS, program
from joulecut.targets.cpu.nhwc.tile import Tile
from joulecut.targets.cpu.nhwc.tiling import cheapest, endings, order_of
from joulecut.targets.cpu.nhwc.vector_ir import function, name_of
from joulecut.targets.cpu.nhwc.x86_depthwise import avx2_depthwise
from joulecut.targets.cpu.nhwc.x86_ends import ALIGNED_STACK, AVX2_ENDS, late_load

_UBSW, _WD = "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"
_STEP = LANES * GRANULE  # bytes of weights that a granule meets
_SUMS = f"<{LANES} x i32>"

_BIAS = late_load(LANES, "i32")
_INTRINSICS = (
    _BIAS + ALIGNED_STACK + f"declare <16 x i16> @{_UBSW}(<32 x i8>, <32 x i8>)\n"
    f"declare <8 x i32> @{_WD}(<16 x i16>, <16 x i16>)\n"
    + function(
        "<16 x i16>",
        "jc_products",
        "ptr %x, <32 x i8> %w",
        "%s = load i32, ptr %x, align 1",
        "%e = insertelement <8 x i32> poison, i32 %s, i32 0",
        "%v = shufflevector <8 x i32> %e, <8 x i32> poison, <8 x i32> zeroinitializer",
        "%b = bitcast <8 x i32> %v to <32 x i8>",
        f"%r = call <16 x i16> @{_UBSW}(<32 x i8> %b, <32 x i8> %w)",
        "ret <16 x i16> %r",
    )
    + function(
        "<8 x i32>",
        "jc_widened",
        "<8 x i32> %a, <16 x i16> %n",
        f"%p = call <8 x i32> @{_WD}(<16 x i16> %n, <16 x i16> splat (i16 1))",
        "%r = add <8 x i32> %a, %p",
        "ret <8 x i32> %r",
    )
)


def accumulate(tile: Reduction, x: str, w: str, bias: str) -> tuple[str, str]:
    """A call for one block of channels."""
    assert tile.blocks == 1, "every block has a program of its own"
    spots = [
        row * tile.row_step + column * tile.column_step
        for row in range(tile.rows)
        for column in range(tile.columns)
    ]
    text = _sums(spots)
    given = ", ".join(
        f"T.address_of({at})" for at in ("acc[0]", f"X[{x}]", f"W[{w}]", f"B[{bias}]")
    )
    return f'T.evaluate(T.call_extern("int32", "{name_of(text)}", {given}))', text


def _sums(spots: list[int]) -> str:
    """`jc_sums_..(acc, x, w, b)`: runs a program for pixels that lie at some spots."""
    acc = [f"%a{p}" for p in range(len(spots))]
    body = [
        "entry:",
        *(f"%h{i} = getelementptr i32, ptr %w, i32 {i}" for i in range(HEADER)),
        *(f"%n{i} = load i32, ptr %h{i}, align 4" for i in range(HEADER)),
        f"%t.entry = getelementptr i32, ptr %w, i32 {HEADER}",
        f"%w.entry = getelementptr i8, ptr %w, i32 %n{HEADER - 1}",
        f"%bias = call {_SUMS} @{name_of(_BIAS)}(ptr %b)",
        *(f"{a}.entry = bitcast {_SUMS} %bias to {_SUMS}" for a in acc),
        f"%align = call i32 @{name_of(ALIGNED_STACK)}()",
    ]
    before = "entry"
    for i, granules in enumerate(STEPS):
        body += _loop(f"by{granules}", before, f"%n{i}", granules, spots)
        before = f"by{granules}.end"
    for p, a in enumerate(acc):
        body += [
            f"%to{p} = getelementptr {_SUMS}, ptr %acc, i32 {p}",
            f"store {_SUMS} {a}.{before}, ptr %to{p}, align 4",
        ]
    name = "_".join(["jc_sums", *(str(spot).replace("-", "m") for spot in spots)])
    return function("i32", name, "ptr %acc, ptr %x, ptr %w, ptr %b", *body, "ret i32 0")


def _loop(name: str, before: str, count: str, granules: int, spots: list[int]) -> list[str]:
    """Statements that run `count` steps; values are %a0.. of sums, %t of offsets, %w of weights."""
    values = {"%t": "ptr", "%w": "ptr", **{f"%a{p}": _SUMS for p in range(len(spots))}}
    ways = f"[ %N.{before}, %{before} ], [ %N.{name}.next, %{name} ]"
    phis = [(f"%N.{name}", kind, value) for value, kind in values.items()]
    ends = [(f"%N.{name}.end", kind, value) for value, kind in values.items()]
    body = [
        f"%any.{name} = icmp sgt i32 {count}, 0",
        f"br i1 %any.{name}, label %{name}, label %{name}.end",
        f"{name}:",
        f"%i.{name} = phi i32 [ 0, %{before} ], [ %i.{name}.next, %{name} ]",
        *(f"{to} = phi {kind} {ways}".replace("%N", value) for to, kind, value in phis),
    ]
    for g in range(granules):
        body += [
            f"%t{g}.{name} = getelementptr i32, ptr %t.{name}, i32 {g}",
            f"%o{g}.{name} = load i32, ptr %t{g}.{name}, align 4",
            f"%x{g}.{name} = getelementptr i8, ptr %x, i32 %o{g}.{name}",
            f"%w{g}.{name} = getelementptr i8, ptr %w.{name}, i32 {g * _STEP}",
            f"%v{g}.{name} = load <{_STEP} x i8>, ptr %w{g}.{name}, align 1",
        ]
    for p, spot in enumerate(spots):
        here = f"{p}.{name}"
        for g in range(granules):
            given = f"(ptr %p{g}.{here}, <{_STEP} x i8> %v{g}.{name})"
            body += [
                f"%p{g}.{here} = getelementptr i8, ptr %x{g}.{name}, i32 {spot}",
                f"%m{g}.{here} = call <16 x i16> @jc_products{given}",
            ]
        narrow = f"%m0.{here}"
        for g in range(1, granules):
            total = f"%t{g}.{here}"
            body.append(f"{total} = add <16 x i16> {narrow}, %m{g}.{here}")
            narrow = total
        sums = f"({_SUMS} %a{here}, <16 x i16> {narrow})"
        body.append(f"%a{here}.next = call {_SUMS} @jc_widened{sums}")
    return [
        *body,
        f"%t.{name}.next = getelementptr i32, ptr %t.{name}, i32 {granules}",
        f"%w.{name}.next = getelementptr i8, ptr %w.{name}, i32 {granules * _STEP}",
        f"%i.{name}.next = add nsw i32 %i.{name}, 1",
        f"%more.{name} = icmp slt i32 %i.{name}.next, {count}",
        f"br i1 %more.{name}, label %{name}, label %{name}.end",
        f"{name}.end:",
        *(f"{to} = phi {kind} {ways}".replace("%N", value) for to, kind, value in ends),
    ]


AVX2 = Family(
    name="avx2",
    lanes=LANES,
    granule=GRANULE,
    dtype="uint8",
    weight_dtype="int8",
    registers=12,
    lowest_weight=-128,
    units=(4, 2, 1),
    intrinsics=_INTRINSICS,
    accumulate=accumulate,
    pack=partial(packed, lanes=LANES, granule=GRANULE),
    program=program,
    ends=AVX2_ENDS,
)

_PIXELS = 14  # of a tile; with more, sums do not stay in registers
_NEAR_BYTES = 1 << 19  # of L2; some processors with AVX2 have half as much
_TILE, _GRANULE, _PRODUCT, _ENDING, _UNIT = 24.0, 1.0, 1.05, 2.0, 2.0  # cycles, fitted


def tile_of(work: Conv) -> Tile:
    """As many pixels as there are registers, and no small tile at the end of a row."""
    _, segments, length = work.stretches.shape
    steps = segments * -(-length // GRANULE)

    def cycles(rows: int, columns: int, _: int) -> float:
        pixels = rows * columns * work.pool[0] * work.pool[1]
        ending = rows * endings(columns, AVX2.units, _ENDING, _UNIT)
        return _TILE + steps * (_GRANULE + _PRODUCT * pixels) + ending

    tile = cheapest(work, LANES, ((_PIXELS, 1),), cycles)
    return replace(tile, order=order_of(work, tile, work.weights.size, _NEAR_BYTES))


KERNELS = Kernels((AVX2,), tile_of, avx2_depthwise)
