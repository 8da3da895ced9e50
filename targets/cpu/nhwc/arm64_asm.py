"""An assembly statement that leaves sums in vector registers, as an LLVM function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from joulecut.targets.cpu.nhwc.family import Reduction
from joulecut.targets.cpu.nhwc.vector_ir import function, name_of
from joulecut.targets.cpu.script import lines

REGISTERS = 32  # of vectors
VECTOR = 16  # bytes
LANES = 8  # channels of a vector of channels

Sums = Mapping[tuple[int, int, int], str]  # registers by pixel, vector of channels and half


@dataclass(frozen=True)
class Statement:
    """What a statement is made of; its lines name operands in braces.

    Attributes:
        name: how the function's name begins.
        lines: instructions.
        sums: registers of four int32 sums; no other holds anything later.
        of: vectors of channels of a pixel where the sums are stored.
        starts: bytes from where x begins, for every pointer into x, which moves.
        weights: the same for weights.
        constants: numbers in registers.
        counters: registers that the lines set first.
    """

    name: str
    lines: Iterable[str]
    sums: Sums
    of: int
    starts: Mapping[str, int]
    weights: Mapping[str, int]
    constants: Mapping[str, int] = field(default_factory=dict[str, int])
    counters: tuple[str, ...] = ()

    def function(self) -> str:
        """LLVM text of a function of x, weights, bias `{b}` and where the sums are stored."""
        totals = list(self.sums.values())
        pointers = [*self.starts, *self.weights]
        changed = [*totals, *pointers, *self.counters]
        operands = [*changed, *pointers, "b", *self.constants]
        number = {name: f"${i}" for i, name in reversed(list(enumerate(operands)))}
        text = "\\0A".join(self.lines).format(**number)
        constraints = [
            *(f"={{{name}}}" for name in totals),
            *("=&r" for _ in (*pointers, *self.counters)),
            *(number[name][1:] for name in pointers),
            *("r" for _ in ("b", *self.constants)),
            *(f"~{{v{i}}}" for i in range(REGISTERS) if f"v{i}" not in totals),
            "~{cc}",
        ]
        kinds = ["<4 x i32>"] * len(totals) + ["ptr"] * len(pointers)
        result = f"{{ {', '.join([*kinds, *['i64'] * len(self.counters)])} }}"
        given = [*(f"ptr %to.{name}" for name in pointers), "ptr %b"]
        given += [f"i64 {number}" for number in self.constants.values()]
        body = [
            f"%to.{name} = getelementptr i8, ptr %{base}, i64 {start}"
            for base, starts in (("x", self.starts), ("w", self.weights))
            for name, start in starts.items()
        ]
        body.append(
            f'%r = call {result} asm "{text}", "{",".join(constraints)}"({", ".join(given)}) '
            "nounwind memory(read)"
        )
        for i, (p, j, half) in enumerate(self.sums):
            body += [
                f"%s{i} = extractvalue {result} %r, {i}",
                f"%a{i} = getelementptr <4 x i32>, ptr %a, i64 {2 * (p * self.of + j) + half}",
                f"store <4 x i32> %s{i}, ptr %a{i}, align 4",
            ]
        digest = hashlib.sha256("".join(body).encode()).hexdigest()[:12]
        parameters = "ptr %x, ptr %w, ptr %b, ptr %a"
        return function("i32", f"{self.name}_{digest}", parameters, *body, "ret i32 0")


def from_bias(sums: Sums) -> Iterator[str]:
    """Every sum begins with the bias."""
    for (p, j, half), name in sums.items():
        if p:
            yield f"mov {name}.16b, {sums[0, j, half]}.16b"
        elif half == 0:
            q = f"q{name[1:]}, q{int(name[1:]) + 1}"
            yield f"ldp {q}, [{{b}}, #{2 * j * VECTOR}]"


def statement_calls(
    tile: Reduction,
    parts: Iterable[tuple[range, range]],
    text_of: Callable[[tuple[int, ...], int], str],
    vector_bytes: int,
    spots: tuple[str, str, str],
) -> tuple[str, str]:
    """TVMScript that calls a statement for every part of a tile, and the LLVM texts of all.

    Args:
        tile: what is summed.
        parts: pixels and vectors of channels of each statement.
        text_of: the function for offsets of pixels from the first, and a number of vectors.
        vector_bytes: between the weights of two vectors.
        spots: where x, the weights and the bias of the tile begin.
    """
    x, w, bias = spots
    places = [
        row * tile.row_step + column * tile.column_step
        for row in range(tile.rows)
        for column in range(tile.columns)
    ]
    calls, texts = list[str](), list[str]()
    for pixels, vectors in parts:
        p, j = pixels[0], vectors[0]
        text = text_of(tuple(places[pixel] - places[p] for pixel in pixels), len(vectors))
        given = (
            f"X[{x} + {places[p]}]",
            f"W[{w} + {j * vector_bytes}]",
            f"B[{bias} + {j * LANES}]",
            f"acc[{(p * tile.blocks + j) * LANES}]",
        )
        addresses = ", ".join(f"T.address_of({one})" for one in given)
        calls.append(f'T.evaluate(T.call_extern("int32", "{name_of(text)}", {addresses}))')
        texts.append(text)
    return lines(*calls), "".join(dict.fromkeys(texts))
