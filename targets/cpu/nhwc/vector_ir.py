"""LLVM functions that kernels call for what TVM cannot say about vectors.

A kernel imports their text, LLVM inlines them: `T.call_extern` of one costs nothing. Names begin
with `jc_`, then the operation, then the shape: `jc_load_2x8_i8` reads 8 bytes at each of 2 pixels.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence

from joulecut.targets.cpu.epilogue import ROUNDER

_ONE = re.compile(r"^(?:declare .*\n|define (?:.|\n)*?\n}\n)", re.MULTILINE)


def function(result: str, name: str, parameters: str, *body: str) -> str:
    """The text of one function that is always inlined."""
    lines = "".join(f"  {line}\n" for line in body)
    return f"define {result} @{name}({parameters}) alwaysinline {{\n{lines}}}\n"


def prelude(*texts: str) -> str:
    """The functions and declarations of several texts, each once."""
    return "".join(dict.fromkeys(one for text in texts for one in _ONE.findall(text)))


def name_of(text: str) -> str:
    """The name of a function, from its text."""
    return text.partition("@")[2].partition("(")[0]


def mask(indices: Sequence[int]) -> str:
    """A shuffle mask; -1 stands for any element."""
    words = (f"i32 {index}" if index >= 0 else "i32 poison" for index in indices)
    return f"<{len(indices)} x i32> <{', '.join(words)}>"


def joined(parts: Sequence[str], lanes: int, element: str, result: str) -> list[str]:
    """Statements that put vectors side by side; `result` names the whole."""
    level, names, statements = lanes, list(parts), list[str]()
    while len(names) > 1:
        assert len(names) % 2 == 0, "vectors are joined in pairs"
        paired: list[str] = []
        for i in range(0, len(names), 2):
            name = f"{result}" if len(names) == 2 else f"{result}.{level}.{i}"
            kind = f"<{level} x {element}>"
            statements.append(
                f"{name} = shufflevector {kind} {names[i]}, {kind} {names[i + 1]}, "
                f"{mask(range(2 * level))}"
            )
            paired.append(name)
        level, names = 2 * level, paired
    return statements


def load(pixels: int, lanes: int, element: str) -> str:
    """`jc_load_PxL_T(at, stride)`: L neighbours at each of P places, `stride` elements apart."""
    kind = f"<{lanes} x {element}>"
    body: list[str] = []
    for p in range(pixels):
        body += [
            f"%o{p} = mul i32 %stride, {p}",
            f"%p{p} = getelementptr {element}, ptr %at, i32 %o{p}",
            f"%v{p} = load {kind}, ptr %p{p}, align 1",
        ]
    whole = "%v0" if pixels == 1 else "%r"
    body += joined([f"%v{p}" for p in range(pixels)], lanes, element, "%r")
    body.append(f"ret <{pixels * lanes} x {element}> {whole}")
    name = f"jc_load_{pixels}x{lanes}_{element}"
    return function(f"<{pixels * lanes} x {element}>", name, "ptr %at, i32 %stride", *body)


def store(pixels: int, lanes: int, kept: int, element: str) -> str:
    """`jc_store_PxL_K_T(at, stride, v)`: the first K of L neighbours at each of P places."""
    total = pixels * lanes
    body: list[str] = []
    for p in range(pixels):
        body += [
            f"%o{p} = mul i32 %stride, {p}",
            f"%p{p} = getelementptr {element}, ptr %at, i32 %o{p}",
        ]
        start = 0
        while start < kept:
            size = 1 << ((kept - start).bit_length() - 1)
            spots = [p * lanes + start + i for i in range(size)]
            v, q = f"%v{p}.{start}", f"%q{p}.{start}"
            body += [
                (
                    f"{v} = shufflevector <{total} x {element}> %v, <{total} x {element}> poison, "
                    f"{mask(spots)}"
                ),
                f"{q} = getelementptr {element}, ptr %p{p}, i32 {start}",
                f"store <{size} x {element}> {v}, ptr {q}, align 1",
            ]
            start += size
    name = f"jc_store_{pixels}x{lanes}_{kept}_{element}"
    parameters = f"ptr %at, i32 %stride, <{total} x {element}> %v"
    return function("i32", name, parameters, *body, "ret i32 0")


def repeat(pixels: int, lanes: int, element: str) -> str:
    """`jc_repeat_PxL_T(v)`: a vector of L, P times side by side."""
    kind, total = f"<{lanes} x {element}>", pixels * lanes
    spots = [i % lanes for i in range(total)]
    return function(
        f"<{total} x {element}>",
        f"jc_repeat_{pixels}x{lanes}_{element}",
        f"{kind} %v",
        f"%r = shufflevector {kind} %v, {kind} poison, {mask(spots)}",
        f"ret <{total} x {element}> %r",
    )


def join(pixels: int, lanes: int, element: str) -> str:
    """`jc_join_PxL_T(v0, v1, ..)`: P vectors of L side by side."""
    kind, names = f"<{lanes} x {element}>", [f"%v{p}" for p in range(pixels)]
    return function(
        f"<{pixels * lanes} x {element}>",
        f"jc_join_{pixels}x{lanes}_{element}",
        ", ".join(f"{kind} {name}" for name in names),
        *joined(names, lanes, element, "%r"),
        f"ret <{pixels * lanes} x {element}> {'%v0' if pixels == 1 else '%r'}",
    )


def shuffle(element: str, order: Sequence[int]) -> str:
    """`jc_shuffle_L_T_..(v)`: lanes in another order, of which the name has a hash."""
    kind = f"<{len(order)} x {element}>"
    key = hashlib.sha256(repr(list(order)).encode()).hexdigest()[:8]
    return function(
        kind,
        f"jc_shuffle_{len(order)}_{element}_{key}",
        f"{kind} %v",
        f"%r = shufflevector {kind} %v, {kind} poison, {mask(order)}",
        f"ret {kind} %r",
    )


def rounding(lanes: int) -> str:
    """`jc_round_L(v)`: the nearest integers, ties to even, of floats below 2**22 in magnitude."""
    kind, bits = f"<{lanes} x float>", struct.pack(">d", ROUNDER).hex()
    splat = f"<{', '.join([f'float 0x{bits}'] * lanes)}>"
    return function(
        kind,
        f"jc_round_{lanes}",
        f"{kind} %v",
        f"%s = fadd {kind} %v, {splat}",
        f"%r = fsub {kind} %s, {splat}",
        f"ret {kind} %r",
    )


def interleave(vectors: int, lanes: int, element: str) -> str:
    """`jc_interleave_VxL_T(at, v0, v1, ..)`: stores v0[0], v1[0], .., v0[1], v1[1], .."""
    kind, total = f"<{lanes} x {element}>", vectors * lanes
    body: list[str] = []
    whole = "poison"
    for i in range(vectors):
        spots = [spot // vectors if spot % vectors == i else -1 for spot in range(total)]
        merge = [total + spot if spot % vectors == i else spot for spot in range(total)]
        body += [
            f"%w{i} = shufflevector {kind} %v{i}, {kind} poison, {mask(spots)}",
            (
                f"%m{i} = shufflevector <{total} x {element}> {whole}, "
                f"<{total} x {element}> %w{i}, {mask(merge)}"
            ),
        ]
        whole = f"%m{i}"
    body += [f"store <{total} x {element}> {whole}, ptr %at, align 1", "ret i32 0"]
    name = f"jc_interleave_{vectors}x{lanes}_{element}"
    parameters = ", ".join(["ptr %at", *(f"{kind} %v{i}" for i in range(vectors))])
    return function("i32", name, parameters, *body)
