"""The end of a tile in armv7 NEON: what LLVM does not find by itself.

TVM's maximum of floats says which operand wins if one is not a number, so LLVM compares and
selects; `llvm.maximum` is one instruction here. And integers that fit in 16 bits before they are
clamped need no float bounds: saturation is the clamp.
"""

from __future__ import annotations

import struct

from joulecut.targets.cpu.epilogue import ROUNDER, Integers
from joulecut.targets.cpu.nhwc.family import Ends
from joulecut.targets.cpu.nhwc.vector_ir import function, joined, mask

_SATURATE = "llvm.arm.neon.vqmovns.v8i8"


def begin(lanes: int) -> str:
    """`jc_begin_L(v)`: v in registers, by an assembly statement that is empty."""
    kind, count = f"<{lanes} x i32>", lanes // 4
    q = "<4 x i32>"
    whole = f"{{ {', '.join([q] * count)} }}" if count > 1 else q
    body: list[str] = []
    for i in range(count):
        spots = mask(range(4 * i, 4 * i + 4))
        body.append(f"%i{i} = shufflevector {kind} %v, {kind} poison, {spots}")
    constraints = ",".join([*["=w"] * count, *map(str, range(count)), "~{memory}"])
    given = ", ".join(f"{q} %i{i}" for i in range(count))
    body.append(f'%all = call {whole} asm sideeffect "", "{constraints}"({given})')
    if count > 1:
        body += [f"%o{i} = extractvalue {whole} %all, {i}" for i in range(count)]
        body += joined([f"%o{i}" for i in range(count)], 4, "i32", "%r")
    last = "%r" if count > 1 else "%all"
    return function(kind, f"jc_begin_{lanes}", f"{kind} %v", *body, f"ret {kind} {last}")


def clamp(lanes: int) -> str:
    """`jc_clamp_L(v, low, high)`."""
    kind = f"<{lanes} x float>"
    body: list[str] = []
    now = "%v"
    for bound, name in (("low", "maximum"), ("high", "minimum")):
        body += [
            f"%{bound}.0 = insertelement {kind} poison, float %{bound}, i32 0",
            f"%{bound}.s = shufflevector {kind} %{bound}.0, {kind} poison, {mask([0] * lanes)}",
            f"%{name} = call {kind} @llvm.{name}.v{lanes}f32({kind} {now}, {kind} %{bound}.s)",
        ]
        now = f"%{name}"
    declared = "".join(
        f"declare {kind} @llvm.{name}.v{lanes}f32({kind}, {kind})\n"
        for name in ("maximum", "minimum")
    )
    parameters = f"{kind} %v, float %low, float %high"
    return (
        function(kind, f"jc_clamp_{lanes}", parameters, *body, f"ret {kind} {now}") + declared
    )


def apart(lanes: int) -> str:
    """`jc_apart_L(v)`: v."""
    kind = f"<{lanes} x float>"
    fence = f"@llvm.arithmetic.fence.v{lanes}f32"
    return (
        function(
            kind,
            f"jc_apart_{lanes}",
            f"{kind} %v",
            f"%r = call {kind} {fence}({kind} %v)",
            f"ret {kind} %r",
        )
        + f"declare {kind} {fence}({kind})\n"
    )


def store(lanes: int, target: Integers, saturate: str = _SATURATE) -> str:
    """`jc_int8_L_Z_LOW_HIGH(v)`: int8 of reals whose integers fit in 16 bits.

    The sum with the rounder holds the integer in its low bits; an even zero point leaves ties
    where they are, so the same addition adds it. `saturate` makes int8 of eight int16.
    """
    zero_point = target.zero_point
    is_even = zero_point % 2 == 0
    real, wide, half, narrow = (f"<{lanes} x {t}>" for t in ("float", "i32", "i16", "i8"))
    rounder = struct.pack(">d", ROUNDER + (zero_point if is_even else 0)).hex()
    body = [
        f"%apart = call {real} @llvm.arithmetic.fence.v{lanes}f32({real} %v)",
        f"%sum = fadd {real} %apart, {_splat(lanes, 'float', f'0x{rounder}')}",
        f"%bits = bitcast {real} %sum to {wide}",
        f"%low = trunc {wide} %bits to {half}",
    ]
    now = "%low"
    if not is_even:
        body.append(f"%moved = add {half} {now}, {_splat(lanes, 'i16', str(zero_point))}")
        now = "%moved"
    parts: list[str] = []
    for first in range(0, lanes, 8):
        spots = [first + i if first + i < lanes else -1 for i in range(8)]
        body += [
            f"%h{first} = shufflevector {half} {now}, {half} poison, {mask(spots)}",
            f"%q{first} = call <8 x i8> @{saturate}(<8 x i16> %h{first})",
        ]
        parts.append(f"%q{first}")
    body += joined(parts, 8, "i8", "%q")
    now = "%q" if len(parts) > 1 else "%q0"
    if lanes < 8:
        body.append(
            f"%few = shufflevector <8 x i8> {now}, <8 x i8> poison, {mask(range(lanes))}"
        )
        now = "%few"
    declared = [
        f"declare {real} @llvm.arithmetic.fence.v{lanes}f32({real})",
        f"declare <8 x i8> @{saturate}(<8 x i16>)",
    ]
    for name, bound, natural in (("smax", target.low, -128), ("smin", target.high, 127)):
        if bound != natural:
            bounds = _splat(lanes, "i8", str(bound))
            body.append(
                f"%{name} = call {narrow} @llvm.{name}.v{lanes}i8({narrow} {now}, {narrow} {bounds})"
            )
            declared.append(f"declare {narrow} @llvm.{name}.v{lanes}i8({narrow}, {narrow})")
            now = f"%{name}"
    numbers = (zero_point, target.low, target.high)
    name = "_".join(["jc_int8", str(lanes), *(str(n).replace("-", "m") for n in numbers)])
    text = function(narrow, name, f"{real} %v", *body, f"ret {narrow} {now}")
    return text + "".join(f"{line}\n" for line in declared)


def _splat(lanes: int, element: str, value: str) -> str:
    return f"<{', '.join([f'{element} {value}'] * lanes)}>"


ENDS = Ends(begin, clamp, apart, store)
