"""Arm cores with dot products: four sums of four products of int8 in one instruction, exact.

`sdot` by element multiplies 4 channels x 4 products with one word of a register, so 16 bytes of
a pixel are loaded at once and used word by word. LLVM folds the broadcast of the word into the
instruction where it is the last operand.
"""

from __future__ import annotations

from functools import partial

from joulecut.targets.cpu.nhwc.arm64_ends import ENDS
from joulecut.targets.cpu.nhwc.family import Family, Reduction, packed
from joulecut.targets.cpu.nhwc.vector_ir import function, mask
from joulecut.targets.cpu.script import lines, local, nest

LANES, GRANULE = 8, 4
_WIDTH = LANES * GRANULE
WORDS = 4  # granules that are loaded at once
_SDOT = "llvm.aarch64.neon.sdot.v4i32.v16i8"


def _dot(word: int) -> str:
    """`jc_dotN(acc, w, x)`: 8 channels meet word N of x."""
    body = [
        "%xw = bitcast <16 x i8> %x to <4 x i32>",
        f"%xs = shufflevector <4 x i32> %xw, <4 x i32> poison, {mask([word] * 4)}",
        "%xb = bitcast <4 x i32> %xs to <16 x i8>",
    ]
    for half in range(2):
        a, w = (mask(range(size * half, size * half + size)) for size in (4, 16))
        sums = f"(<4 x i32> %a{half}, <16 x i8> %w{half}, <16 x i8> %xb)"
        body += [
            f"%a{half} = shufflevector <8 x i32> %a, <8 x i32> poison, {a}",
            f"%w{half} = shufflevector <32 x i8> %w, <32 x i8> poison, {w}",
            f"%r{half} = call <4 x i32> @{_SDOT}{sums}",
        ]
    body += [
        f"%r = shufflevector <4 x i32> %r0, <4 x i32> %r1, {mask(range(8))}",
        "ret <8 x i32> %r",
    ]
    parameters = "<8 x i32> %a, <32 x i8> %w, <16 x i8> %x"
    return function("<8 x i32>", f"jc_dot{word}", parameters, *body)


_INTRINSICS = f"declare <4 x i32> @{_SDOT}(<4 x i32>, <16 x i8>, <16 x i8>)\n" + "".join(
    _dot(word) for word in range(WORDS)
)


def accumulate(tile: Reduction, x: str, w: str, bias: str) -> tuple[str, str]:
    """Statements that leave bias + sum in `acc`."""
    pixels = tile.rows * tile.columns
    whole, rest = divmod(tile.steps, WORDS)
    over = [f"p in T.unroll({pixels})", f"j in T.unroll({tile.blocks})"]
    acc = f"acc[T.Ramp((p * {tile.blocks} + j) * {LANES}, 1, {LANES})]"
    loops = [f"s{i} in T.serial({count})" for i, (count, _) in enumerate(tile.segments)]
    place = " + ".join([x, *(f"s{i} * {step}" for i, (_, step) in enumerate(tile.segments))])
    segment = "0"
    for i, (count, _) in enumerate(tile.segments):
        segment = f"({segment} * {count} + s{i})"

    def granules(first: str, words: int) -> str:
        """Sixteen bytes of every pixel, of which some words are used."""
        at = f"{place} + th * {tile.row_step} + tw * {tile.column_step} + ({first}) * {GRANULE}"
        pixel = f"xs[T.Ramp((th * {tile.columns} + tw) * 16, 1, 16)]"
        load = [f"th in T.unroll({tile.rows})", f"tw in T.unroll({tile.columns})"]
        parts = [nest(load, f"{pixel} = X[T.Ramp({at}, 1, 16)]")]
        for word in range(words):
            where = f"(({segment} * {tile.steps} + {first} + {word}) * {tile.blocks} + j)"
            weights = f"W[T.Ramp({w} + {where} * {_WIDTH}, 1, {_WIDTH})]"
            dot = f'T.call_extern("int32x{LANES}", "jc_dot{word}", {acc}, {weights}, xs[T.Ramp(p * 16, 1, 16)])'
            parts.append(nest(over[::-1], f"{acc} = {dot}"))
        return lines(*parts)

    body = lines(
        nest([f"k in T.serial({whole})"], granules(f"k * {WORDS}", WORDS)) if whole else "",
        granules(f"{whole * WORDS}", rest) if rest else "",
    )
    return lines(
        local("xs", (pixels * 16,), "int8"),
        nest(over, f"{acc} = B[T.Ramp({bias} + j * {LANES}, 1, {LANES})]"),
        nest(loops, body),
    ), ""


SDOT = Family(
    name="sdot",
    lanes=LANES,
    granule=GRANULE,
    dtype="int8",
    weight_dtype="int8",
    registers=28,
    lowest_weight=-128,
    units=(2, 1),
    intrinsics=_INTRINSICS,
    accumulate=accumulate,
    pack=partial(packed, lanes=LANES, granule=GRANULE),
    ends=ENDS,
)
