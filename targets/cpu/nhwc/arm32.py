"""Sums of products of int8 in armv7 NEON assembly, in the order that the processor should see.

LLVM orders these instructions to save registers and not for the Cortex-A9, which takes NEON
instructions in order and waits for late results. So the whole sum of a few pixels is one
assembly statement. `vmull.s8` and `vmlal.s8` add two products in 16 bits, `vpadal.s16` adds
neighbouring 16-bit sums to an accumulator. Up to four such sums are in flight, and the loads
for the next four stand before `vpadal`, so that nothing needs what was just made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.targets.cpu.nhwc.vector_ir import function, joined

FREE = 4  # the first of four Q registers that hold sums of 16 bits


@dataclass(frozen=True)
class Part:
    """Steps in a straight line, done `count` times.

    Attributes:
        count: of times.
        offsets: of the steps, in bytes from where the pointer is at the first.
        after: where the pointer ends.
    """

    count: int
    offsets: tuple[int, ...]
    after: int


@dataclass(frozen=True)
class Walk:
    """The way of the pointer of a pixel over x.

    Attributes:
        loops: around the parts, outermost first: count, and bytes to move after each time.
        parts: one after the other.
    """

    loops: tuple[tuple[int, int], ...]
    parts: tuple[Part, ...]

    @property
    def runs(self) -> list[int]:
        """How many steps lie in each straight line, in the order in which they are done."""
        each = [len(part.offsets) for part in self.parts for _ in range(part.count)]
        for count, _ in self.loops:
            each = each * count
        return each


def walk(segments: Sequence[tuple[int, int]], steps: int, step: int, limit: int) -> Walk:
    """A straight line if no more than `limit` steps come of it, else loops over the segments.

    Args:
        segments: stretches of x, nested loops, outermost first: count and step in bytes.
        steps: of a segment.
        step: bytes.
        limit: steps in a straight line.
    """
    starts = [0]
    for count, jump in segments:
        starts = [start + i * jump for start in starts for i in range(count)]
    if len(starts) * steps <= limit:
        offsets = tuple(start + i * step for start in starts for i in range(steps))
        return Walk((), (Part(1, offsets, offsets[-1]),))
    nested = [(count, jump) for count, jump in segments if count > 1]
    size, rest = divmod(steps, -(-steps // limit))
    count = (steps - rest) // size
    moved = count * size * step
    jump = nested[-1][1] if nested else moved
    body, tail = (tuple(i * step for i in range(n)) for n in (size, rest))
    if rest:
        parts = (Part(count, body, size * step), Part(1, tail, jump - moved))
        moved = jump
    elif count == 1:
        parts = (Part(1, body, jump),)
        moved = jump
    else:
        parts = (Part(count, body, size * step),)
    loops: list[tuple[int, int]] = []
    for count, jump in reversed(nested):
        loops.insert(0, (count, jump - moved))
        moved = count * jump
    return Walk(tuple(loops), parts)


@dataclass(frozen=True)
class Load:
    """A load, which moves its pointer to what it loads next.

    Attributes:
        name: of the instruction.
        registers: in the assembler's words.
        pointer: the operand's name.
        size: bytes.
        steps: of the walk, if the pointer is that of a pixel.
    """

    name: str
    registers: str
    pointer: str
    size: int
    steps: int = 0


@dataclass(frozen=True)
class Product:
    """Eight products of D registers x and w, and eight more if there are a second x and w.

    Attributes:
        total: Q register that they are added to.
        pairs: x and w.
    """

    total: int
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Group:
    """What is in flight at once: loads and up to four products."""

    loads: tuple[Load, ...]
    products: tuple[Product, ...]


class Program:
    """An assembly statement; `%name` stands for an operand in a core register.

    Attributes:
        text: instructions.
        constants: operands that hold a number.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self.constants: dict[str, int] = {}

    def add(self, *instructions: str) -> None:
        """Instructions at the end."""
        self.text += instructions

    def sums(self, way: Walk, bodies: Sequence[Sequence[Group]], pixels: int) -> None:
        """All products of a walk.

        Args:
            way: of every pixel's pointer, `%x0`, `%x1`, ..
            bodies: of the parts of the walk.
            pixels: pointers.
        """
        for depth, (count, _) in enumerate(way.loops):
            self.add(f"movw %n{depth}, #{count}", f"{depth + 1}:")
        for part, groups in zip(way.parts, bodies, strict=True):
            if part.count > 1:
                self.add(f"movw %n2, #{part.count}", "3:", "subs %n2, %n2, #1")
            self._body(groups, part)
            if part.count > 1:
                self.add("bne 3b")
        for depth, (_, move) in reversed(list(enumerate(way.loops))):
            self.add(f"subs %n{depth}, %n{depth}, #1")
            if move:
                by = self.constant(move)
                self.add(*(f"add %x{p}, %x{p}, {by}" for p in range(pixels)))
            self.add(f"bne {depth + 1}b")

    def _body(self, groups: Sequence[Group], part: Part) -> None:
        places = [*part.offsets, part.after]
        loaded = dict[str, int]()

        def load(group: Group) -> None:
            for one in group.loads:
                move = one.size
                if one.steps:
                    at = loaded.get(one.pointer, 0)
                    loaded[one.pointer] = at + one.steps
                    move = places[at + one.steps] - places[at]
                update = "!"
                if move != one.size:
                    update = f", {self.constant(move)}" if move else ""
                self.add(f"{one.name} {{{one.registers}}}, [%{one.pointer}]{update}")

        load(groups[0])
        for i, group in enumerate(groups):
            for nth in range(2):
                name = "vmlal" if nth else "vmull"
                for t, product in enumerate(group.products):
                    for x, w in product.pairs[nth : nth + 1]:
                        self.add(f"{name}.s8 q{FREE + t}, d{x}, d{w}")
            if i + 1 < len(groups):
                load(groups[i + 1])
            for t, product in enumerate(group.products):
                self.add(f"vpadal.s16 q{product.total}, q{FREE + t}")

    def constant(self, value: int) -> str:
        """The operand that holds a number."""
        name = f"c{value}".replace("-", "m")
        self.constants[name] = value
        return f"%{name}"

    def function(self, pointers: Sequence[str], results: Sequence[Sequence[int]]) -> str:
        """An LLVM function of the pointers, then one pointer for each result.

        Args:
            pointers: operands, in order; the text may move them.
            results: Q registers of int32 that lie side by side in memory at the end.
        """
        counters = sorted(set(re.findall(r"%(n\d)", "\n".join(self.text))))
        moving = [*pointers, *counters]
        registers = [q for result in results for q in result]
        inputs = [str(len(registers) + i) for i in range(len(pointers))]
        constraints = [
            *(f"={{q{q}}}" for q in registers),
            *("=&r" for _ in moving),
            *inputs,
            *("r" for _ in self.constants),
            *(f"~{{q{q}}}" for q in range(16) if q not in registers),
            "~{cc}",
            "~{memory}",
        ]
        first = len(registers)
        places = {name: first + i for i, name in enumerate(moving)}
        after = first + len(moving) + len(pointers)
        places |= {name: after + i for i, name in enumerate(self.constants)}
        text = re.sub(r"%(\w+)", lambda m: f"${places[m[1]]}", "\\0A".join(self.text))
        kinds = ["<4 x i32>"] * first + ["ptr"] * len(pointers) + ["i32"] * len(counters)
        given = [f"ptr %{name}" for name in pointers]
        given += [f"i32 {value}" for value in self.constants.values()]
        whole = f"{{ {', '.join(kinds)} }}"
        statement = f'asm sideeffect "{text}", "{",".join(constraints)}"({", ".join(given)})'
        body = [f"%all = call {whole} {statement}"]
        at = 0
        for i, result in enumerate(results):
            parts = [f"%v{at + j}" for j in range(len(result))]
            body += [
                f"{part} = extractvalue {whole} %all, {at + j}" for j, part in enumerate(parts)
            ]
            at += len(parts)
            body += joined(parts, 4, "i32", f"%r{i}")
            value = parts[0] if len(parts) == 1 else f"%r{i}"
            body.append(f"store <{4 * len(parts)} x i32> {value}, ptr %to{i}, align 4")
        parameters = [*pointers, *(f"to{i}" for i in range(len(results)))]
        name = f"jc_sum_{hashlib.sha256(body[0].encode()).hexdigest()[:16]}"
        given = ", ".join(f"ptr %{parameter}" for parameter in parameters)
        return function("i32", name, given, *body, "ret i32 0")
