"""Rows of x side by side for each channel, and the products that they then take part in."""

from __future__ import annotations

from dataclasses import dataclass

from joulecut.targets.cpu.nhwc.family import Ends
from joulecut.targets.cpu.nhwc.vector_ir import function, joined, mask
from joulecut.targets.cpu.nhwc.x86_ends import AVX2_ENDS, ZIPPED_ENDS


@dataclass(frozen=True)
class Zips:
    """How some rows of x become what is multiplied.

    Attributes:
        lanes: channels.
        rows: that are zipped.
        zipped: type of the zipped integers.
        weights: type of weights.
        registers: that hold the sums.
        zip: LLVM function `jc_zip(address in each row)` -> [lanes, rows].
        dot: LLVM function `jc_dot(sums, zipped, weights)` -> sums.
        zip_cost: instructions of a zip.
        dot_cost: instructions of a dot.
        ends: of a tile.
        order: channels as the sums hold them.
    """

    lanes: int
    rows: int
    zipped: str
    weights: str
    registers: int
    zip: str
    dot: str
    zip_cost: int
    dot_cost: int
    ends: Ends
    order: tuple[int, ...] = ()


def vnni_zips(bits: int) -> Zips:
    """Four rows of 64 or 32 channels."""
    lanes = bits // 8
    chunks = bits // 128
    order = [16 * c + 4 * q + i for q in range(4) for c in range(chunks) for i in range(4)]
    return Zips(
        lanes,
        rows=4,
        zipped="uint8",
        weights="int8",
        registers=4,
        zip=_interleaved(lanes),
        dot=_dot(lanes),
        zip_cost=8,
        dot_cost=4,
        ends=ZIPPED_ENDS[bits],
        order=tuple(order),
    )


def _interleaved(lanes: int) -> str:
    """Unpacks of bytes, then of pairs of bytes, within 128 bits each."""
    row, pairs, whole = f"<{lanes} x i8>", f"<{lanes // 2} x i16>", f"<{4 * lanes} x i8>"
    body = [f"%v{r} = load {row}, ptr %{r}, align 1" for r in "abcd"]
    for name, (x, y) in {"ab": "ab", "cd": "cd"}.items():
        for half in range(2):
            spots = mask(_unpacked(lanes, 16, half))
            made = f"%{name}{half}"
            body += [
                f"{made}.0 = shufflevector {row} %v{x}, {row} %v{y}, {spots}",
                f"{made} = bitcast {row} {made}.0 to {pairs}",
            ]
    for quad in range(4):
        spots = mask(_unpacked(lanes // 2, 8, quad % 2))
        x, y = f"%ab{quad // 2}", f"%cd{quad // 2}"
        body += [
            f"%q{quad}.0 = shufflevector {pairs} {x}, {pairs} {y}, {spots}",
            f"%q{quad} = bitcast {pairs} %q{quad}.0 to {row}",
        ]
    body += joined([f"%q{quad}" for quad in range(4)], lanes, "i8", "%r")
    given = ", ".join(f"ptr %{r}" for r in "abcd")
    return function(whole, "jc_zip", given, *body, f"ret {whole} %r")


def _unpacked(lanes: int, chunk: int, half: int) -> list[int]:
    """Elements of two vectors in turn: of each 128 bits the lower or the upper half."""
    return [
        start + half * chunk // 2 + i + which * lanes
        for start in range(0, lanes, chunk)
        for i in range(chunk // 2)
        for which in range(2)
    ]


def _dot(lanes: int) -> str:
    """One instruction for each quarter of the lanes."""
    part, sums = lanes // 4, f"<{lanes} x i32>"
    few, narrow, whole = f"<{part} x i32>", f"<{lanes} x i8>", f"<{4 * lanes} x i8>"
    name = f"llvm.x86.avx512.vpdpbusd.{8 * lanes}"
    body: list[str] = []
    for q in range(4):
        some, bytes_ = (
            mask(range(q * part, (q + 1) * part)),
            mask(range(q * lanes, (q + 1) * lanes)),
        )
        body += [
            f"%a{q} = shufflevector {sums} %a, {sums} poison, {some}",
            f"%x{q} = shufflevector {whole} %x, {whole} poison, {bytes_}",
            f"%w{q} = shufflevector {whole} %w, {whole} poison, {bytes_}",
            f"%r{q} = call {few} @{name}({few} %a{q}, {narrow} %x{q}, {narrow} %w{q})",
        ]
    body += joined([f"%r{q}" for q in range(4)], part, "i32", "%r")
    declared = f"declare {few} @{name}({few}, {narrow}, {narrow})\n"
    given = f"{sums} %a, {whole} %x, {whole} %w"
    return declared + function(sums, "jc_dot", given, *body, f"ret {sums} %r")


def madd_zips() -> Zips:
    """Two rows of 16 channels, as 16-bit integers."""
    name = "llvm.x86.avx2.pmadd.wd"
    body: list[str] = [f"%v{r} = load <16 x i8>, ptr %{r}, align 1" for r in "ab"]
    for half in range(2):
        spots = mask([i // 2 + 8 * half + i % 2 * 16 for i in range(16)])
        body += [
            f"%b{half} = shufflevector <16 x i8> %va, <16 x i8> %vb, {spots}",
            f"%h{half} = zext <16 x i8> %b{half} to <16 x i16>",
        ]
    body += joined(["%h0", "%h1"], 16, "i16", "%r")
    zip_text = function("<32 x i16>", "jc_zip", "ptr %a, ptr %b", *body, "ret <32 x i16> %r")
    body = []
    for half in range(2):
        some, words = (
            mask(range(8 * half, 8 * half + 8)),
            mask(range(16 * half, 16 * half + 16)),
        )
        body += [
            f"%a{half} = shufflevector <16 x i32> %a, <16 x i32> poison, {some}",
            f"%x{half} = shufflevector <32 x i16> %x, <32 x i16> poison, {words}",
            f"%w{half} = shufflevector <32 x i16> %w, <32 x i16> poison, {words}",
            f"%p{half} = call <8 x i32> @{name}(<16 x i16> %x{half}, <16 x i16> %w{half})",
            f"%r{half} = add <8 x i32> %a{half}, %p{half}",
        ]
    body += joined(["%r0", "%r1"], 8, "i32", "%r")
    dot_text = f"declare <8 x i32> @{name}(<16 x i16>, <16 x i16>)\n" + function(
        "<16 x i32>",
        "jc_dot",
        "<16 x i32> %a, <32 x i16> %x, <32 x i16> %w",
        *body,
        "ret <16 x i32> %r",
    )
    return Zips(
        lanes=16,
        rows=2,
        zipped="int16",
        weights="int16",
        registers=2,
        zip=zip_text,
        dot=dot_text,
        zip_cost=4,
        dot_cost=4,
        ends=AVX2_ENDS,
    )
