"""The end of a tile on x86: conversions round, packs saturate, so that nothing else clamps.

`cvtps2dq` rounds to the nearest integer, ties to even, as additions of floats do. `packssdw` and
`packuswb` work within 128 bits: they leave four bytes of each vector side by side, and one
permutation of such words puts the vectors in order.
"""

from __future__ import annotations

from functools import partial

from joulecut.targets.cpu.epilogue import Integers
from joulecut.targets.cpu.nhwc.family import Ends
from joulecut.targets.cpu.nhwc.vector_ir import function, mask

_WORDS = {256: "llvm.x86.avx2.packssdw", 512: "llvm.x86.avx512.packssdw.512"}
_BYTES = {
    128: "llvm.x86.sse2.packuswb.128",
    256: "llvm.x86.avx2.packuswb",
    512: "llvm.x86.avx512.packuswb.512",
}
_NEAREST_EVEN = 8


ALIGNED_STACK = function(
    "i32",
    "jc_align_stack",
    "",
    "%a = alloca <64 x i8>, align 64",
    'call void asm sideeffect "", "r"(ptr %a)',
    "ret i32 0",
)
"""`jc_align_stack()`: registers that do not suffice go to whole lines of the stack in the kernel.

LLVM decides so before it knows how many do not suffice, and lets them straddle lines otherwise.
"""


def late_load(lanes: int, element: str = "float") -> str:
    """`jc_late_L_T(at)`: a vector, loaded here: nothing tells LLVM that `at` is what it was."""
    kind = f"<{lanes} x {element}>"
    return function(
        kind,
        f"jc_late_{lanes}_{element}",
        "ptr %at",
        '%p = call ptr asm sideeffect "", "=r,0"(ptr %at)',
        f"%v = load {kind}, ptr %p, align 4",
        f"ret {kind} %v",
    )


def _store(lanes: int, target: Integers, bits: int, *, is_zipped: bool) -> str:
    """`jc_uint8_L_Z_LOW_HIGH(v)`: uint8 of reals whose integers fit in 16 bits.

    Args:
        lanes: of v.
        target: the integers.
        bits: of a register.
        is_zipped: four registers hold every fourth quad of channels, as packs interleave them.
    """
    assert target.dtype == "uint8", "packs saturate to uint8"
    most = bits // 32
    count = lanes // most
    text, convert = _conversion(most)
    declared = [text]
    body: list[str] = []
    for i in range(count):
        spots = mask(range(i * most, (i + 1) * most))
        real = f"<{lanes} x float>"
        body += [
            f"%f{i} = shufflevector {real} %v, {real} poison, {spots}",
            f"%i{i} = {convert.format(f'%f{i}')}",
        ]
    if count == 1:
        more, last = _clamped(most, target)
    else:
        more, last = _packed(count, target, bits, is_zipped=is_zipped)
    declared += more
    numbers = (target.zero_point, target.low, target.high)
    name = "_".join(["jc_uint8", str(lanes), *(str(n).replace("-", "m") for n in numbers)])
    made = f"<{lanes} x i8>"
    text = function(made, name, f"<{lanes} x float> %v", *body, *last, f"ret {made} %r")
    return text + "".join(dict.fromkeys(declared))


def _conversion(lanes: int) -> tuple[str, str]:
    """Its declaration, and a call of it for a vector to be named."""
    real, whole = f"<{lanes} x float>", f"<{lanes} x i32>"
    if lanes == 8:
        name = "llvm.x86.avx.cvt.ps2dq.256"
        return f"declare {whole} @{name}({real})\n", f"call {whole} @{name}({real} {{}})"
    name = "llvm.x86.avx512.mask.cvtps2dq.512"
    given = f"{real} {{}}, {whole} zeroinitializer, i16 -1, i32 {_NEAREST_EVEN}"
    return (
        f"declare {whole} @{name}({real}, {whole}, i16, i32)\n",
        f"call {whole} @{name}({given})",
    )


def _packed(
    count: int, target: Integers, bits: int, *, is_zipped: bool
) -> tuple[list[str], list[str]]:
    """Declarations, and statements from %i0, %i1, .. to %r."""
    lanes, register = bits // 32, "v" if bits == 512 else "x"
    whole, words = f"<{lanes} x i32>", f"<{2 * lanes} x i16>"
    declared = [f"declare {words} @{_WORDS[bits]}({whole}, {whole})\n"]
    body: list[str] = []
    for i in range(count // 2):
        given = f"{whole} %i{2 * i}, {whole} %i{2 * i + 1}"
        body.append(f"%w{i}.0 = call {words} @{_WORDS[bits]}({given})")
        moved = f"@llvm.sadd.sat.v{2 * lanes}i16"
        declared.append(f"declare {words} {moved}({words}, {words})\n")
        splat = f"{words} splat (i16 {target.zero_point})"
        body.append(f"%w{i} = call {words} {moved}({words} %w{i}.0, {splat})")
    chunks = bits // 128  # of each vector of int32
    if count == 4:
        order = [4 * chunk + v for v in range(4) for chunk in range(chunks)]
        pair = ("%w0", "%w1")
    else:
        half = chunks // 2
        order = [
            4 * (chunk % half) + 2 * (chunk // half) + v
            for v in range(2)
            for chunk in range(chunks)
        ]
        for i in range(2):
            spots = mask(range(i * lanes, (i + 1) * lanes))
            body.append(f"%h{i} = shufflevector {words} %w0, {words} poison, {spots}")
        pair, words, bits = ("%h0", "%h1"), f"<{lanes} x i16>", bits // 2
    if is_zipped:
        order = list(range(4 * chunks))
    total = bits // 8
    made = f"<{total} x i8>"
    declared.append(f"declare {made} @{_BYTES[bits]}({words}, {words})\n")
    body.append(f"%b = call {made} @{_BYTES[bits]}({words} {pair[0]}, {words} {pair[1]})")
    more, last, now = _bounded(total, target, "%b")
    quads = f"<{total // 4} x i32>"
    return [*declared, *more], [
        *body,
        *last,
        f"%q = bitcast {made} {now} to {quads}",
        f"%o = shufflevector {quads} %q, {quads} poison, {mask(order)}",
        f"%r.0 = bitcast {quads} %o to {made}",
        # What is stored of it may be a few bytes here and there; LLVM 22 never ends where it looks
        # for the shortest way from the pack to them.
        f'%r = call {made} asm "", "={register},0"({made} %r.0)',
    ]


def _bounded(lanes: int, target: Integers, now: str) -> tuple[list[str], list[str], str]:
    """Bounds that saturation does not hold: declarations, statements, the name of the result."""
    kind, declared, body = f"<{lanes} x i8>", list[str](), list[str]()
    for name, bound, natural in (("umax", target.low, 0), ("umin", target.high, 255)):
        if bound != natural:
            declared.append(f"declare {kind} @llvm.{name}.v{lanes}i8({kind}, {kind})\n")
            given = f"{kind} {now}, {kind} splat (i8 {(bound + 128) % 256 - 128})"
            body.append(f"%{name} = call {kind} @llvm.{name}.v{lanes}i8({given})")
            now = f"%{name}"
    return declared, body, now


def _clamped(lanes: int, target: Integers) -> tuple[list[str], list[str]]:
    """A vector by itself: LLVM knows what clamps and truncates at once."""
    kind = f"<{lanes} x i32>"
    declared = [
        f"declare {kind} @llvm.{name}.v{lanes}i32({kind}, {kind})\n"
        for name in ("smax", "smin")
    ]
    return declared, [
        f"%moved = add {kind} %i0, splat (i32 {target.zero_point})",
        f"%low = call {kind} @llvm.smax.v{lanes}i32({kind} %moved, {kind} splat (i32 {target.low}))",
        f"%whole = call {kind} @llvm.smin.v{lanes}i32({kind} %low, {kind} splat (i32 {target.high}))",
        f"%r = trunc {kind} %whole to <{lanes} x i8>",
    ]


AVX2_ENDS = Ends(store=partial(_store, bits=256, is_zipped=False), load=late_load)
AVX512_ENDS = Ends(store=partial(_store, bits=512, is_zipped=False), load=late_load)
ZIPPED_ENDS = {  # bits of a register -> ends
    bits: Ends(store=partial(_store, bits=bits, is_zipped=True), load=late_load)
    for bits in (256, 512)
}
