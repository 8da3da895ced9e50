"""Convolutions and dense layers over planes: a tile of pixels and channels in registers.

A tile sums all taps into int32 registers, takes the maximum of pooled pixels there, brings the
rest back to 8 bits and stores it: nothing in between is written. Tiles at the end of a row may
be of another size. A dense layer is a convolution of one tap over a row of one pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.epilogue import float32
from joulecut.targets.cpu.nhwc import vector_ir
from joulecut.targets.cpu.nhwc.ending import Ending, Term, ended
from joulecut.targets.cpu.nhwc.family import Family, Reduction
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.nhwc.tile import Span, Tile, spans
from joulecut.targets.cpu.script import (
    Arg,
    Array,
    Step,
    constant,
    lines,
    local,
    nest,
    parallel_step,
)


@dataclass(frozen=True)
class Conv:
    """A convolution, its endings and the pooling between.

    Attributes:
        x: its border has room for all taps.
        y: what is stored, pooled.
        weights: int8 [O, C / group, kh, kw].
        bias: int32 [O], with the share of x's zero point as it is stored.
        strides: of rows and columns.
        dilations: of rows and columns.
        begins: padding above and left.
        group: groups of channels that do not see each other.
        pool: rows and columns of which the maximum is taken; windows do not overlap.
        endings: none stores the int32 sums.
        operands: planes that endings read, shaped like y.
    """

    x: Plane
    y: Plane
    weights: Array
    bias: Array
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    begins: tuple[int, int] = (0, 0)
    group: int = 1
    pool: tuple[int, int] = (1, 1)
    endings: tuple[Ending, ...] = ()
    operands: tuple[Plane, ...] = ()

    @property
    def outputs(self) -> int:
        """Output channels of one group."""
        return len(self.weights) // self.group

    @property
    def macs(self) -> int:
        """Products that are summed."""
        pixels = self.y.rows * self.y.columns * math.prod(self.pool)
        return self.y.batch * pixels * self.weights.size

    @property
    def is_flat(self) -> bool:
        """Do the taps of a row of the kernel lie side by side?"""
        return self.dilations[1] == 1 and self.x.is_whole and self.group == 1

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """Loops over contiguous stretches of x: count and step."""
        _, _, kh, kw = self.weights.shape
        down = (kh, self.dilations[0] * self.x.row)
        return (down,) if self.is_flat else (down, (kw, self.dilations[1] * self.x.pixel))

    @property
    def stretches(self) -> Array:
        """Weights as [O, segments, length]."""
        o, c, kh, kw = self.weights.shape
        last = self.weights.transpose(0, 2, 3, 1)
        return last.reshape(o, kh, kw * c) if self.is_flat else last.reshape(o, kh * kw, c)


def conv(work: Conv, family: Family, tile: Tile) -> Step:
    """The kernel; its tasks are tiles of rows, or tiles of channels times tiles of rows."""
    return _Kernel(work, family, tile).step()


class _Kernel:
    """The text of one kernel, and the functions that the text calls."""

    def __init__(self, work: Conv, family: Family, tile: Tile) -> None:
        self.work, self.family, self.tile = work, family, tile
        lanes, outputs = family.lanes, work.outputs
        self.blocks = -(-outputs // lanes)
        self.starts = [max(0, min(b * lanes, outputs - lanes)) for b in range(self.blocks)]
        self.kept = min(lanes, outputs)
        self.rows = tile.rows // work.pool[0]  # of y in a tile, as are columns
        self.columns = spans(work.y.columns, tile.columns // work.pool[1], overlap=True)
        self.channels = spans(self.blocks, tile.blocks)
        self.row_tiles = -(-work.y.rows // self.rows)
        _, segments, length = work.stretches.shape
        self.steps = -(-length // family.granule)
        self.block_weights = segments * self.steps * lanes * family.granule
        self.scales = {
            id(term): f"M{i}"
            for i, term in enumerate(t for ending in work.endings for t in ending.terms)
            if term.multiplier.size > 1
        }
        self.functions: list[str] = []

    def step(self) -> Step:
        """The kernel as a step of a part."""
        work = self.work
        row_tasks = work.y.batch * self.row_tiles
        if self.tile.order == "rows":
            bodies = [
                nest([f"og in T.serial({span.count})"], self._columns(span)) for span in self.channels
            ]
            groups = [f"g in T.serial({work.group})"] if work.group > 1 else []
            body = nest(
                ["task in T.serial(tasks_end - tasks_begin)"],
                lines("rt = tasks_begin + task", nest(groups, lines(*bodies))),
            )
            tasks = row_tasks
        else:
            tasks, parts = 0, list[str]()
            for span in self.channels:
                first, tasks = tasks, tasks + work.group * span.count * row_tasks
                parts.append(self._channel_tasks(span, first, tasks, row_tasks))
            body = lines(*parts)
        args = self._args()
        imports = vector_ir.prelude(self.family.intrinsics, *self.functions)
        return parallel_step("conv", args, body, tasks, imports)

    def _channel_tasks(self, span: Span, first: int, end: int, row_tasks: int) -> str:
        low, high = f"T.max(tasks_begin, {first})", f"T.min(tasks_end, {end})"
        spot = f"({low} - {first} + task)"
        tile = f"{spot} // {row_tasks}"
        body = lines(
            f"rt = {spot} % {row_tasks}",
            f"og = {tile} % {span.count}",
            f"g = {tile} // {span.count}" if self.work.group > 1 else "",
            self._columns(span),
        )
        return nest([f"task in T.serial(T.max({high} - {low}, 0))"], body)

    def _columns(self, channels: Span) -> str:
        parts: list[str] = []
        for span in self.columns:
            column = f"({span.start} + wb * {span.size})"
            header = [f"wb in T.serial({span.count})"]  # also a scope of its own for a count of 1
            parts.append(nest(header, self._tile(channels, column, span.size)))
        return lines(*parts)

    def _tile(self, channels: Span, column: str, columns: int) -> str:
        """One tile; `columns` are of y. The text knows `rt`, `og` and, with groups, `g`."""
        work, lanes, pool = self.work, self.family.lanes, self.work.pool
        x, y = work.x, work.y
        g = "g" if work.group > 1 else "0"
        sample = f"rt // {self.row_tiles}" if y.batch > 1 else "0"
        tile_row = f"rt % {self.row_tiles}" if y.batch > 1 else "rt"
        row = f"({tile_row}) * {self.rows}"
        if y.rows % self.rows:
            row = f"T.min({row}, {y.rows - self.rows})"
        down, across = pool[0] * work.strides[0], pool[1] * work.strides[1]
        x_at = (
            f"({sample}) * {x.sample} + ({row}) * {down * x.row} + {column} * {across * x.pixel}"
            f" + {g} * {work.weights.shape[1]}"
        )
        before = self.block_weights * channels.start
        w_at = (
            f"{g} * {self.block_weights * self.blocks} + {before}"
            f" + og * {self.block_weights * channels.size}"
        )
        block = f"({channels.start} + og * {channels.size})"
        shape = Reduction(
            rows=self.rows * pool[0],
            columns=columns * pool[1],
            blocks=channels.size,
            row_step=work.strides[0] * x.row,
            column_step=work.strides[1] * x.pixel,
            segments=work.segments,
            steps=self.steps,
        )
        bias = f"({g} * {self.blocks} + {block}) * {lanes}"
        sums, functions = self.family.accumulate(shape, x_at, w_at, bias)
        self.functions.append(functions)
        return lines(
            local("acc", (shape.rows * shape.columns * shape.blocks * lanes,), "int32"),
            sums,
            self._ending(shape, sample, row, column, block, g),
        )

    def _ending(
        self, shape: Reduction, sample: str, row: str, column: str, block: str, g: str
    ) -> str:
        """Pool, bring back to 8 bits and store; a unit is some neighbouring pixels of y."""
        work, lanes, pool = self.work, self.family.lanes, self.work.pool
        columns = shape.columns // pool[1]
        pixels = next(unit for unit in self.family.units if columns % unit == 0)
        wide = pixels * lanes
        sums = [self._pooled(shape, p) for p in range(pixels)]
        if pixels > 1:
            joined = self._call(vector_ir.join(pixels, lanes, "i32"), f"int32x{wide}", *sums)
        else:
            (joined,) = sums
        channel = f"({block} + j) * {lanes}"
        if self.work.outputs > lanes and self.work.outputs % lanes:
            channel = f"T.min({channel}, {self.work.outputs - lanes})"
        channel = f"{channel} + {g} * {self.work.outputs}"

        def spot(plane: Plane) -> str:
            return (
                f"({sample}) * {plane.sample} + ({row} + r) * {plane.row}"
                f" + ({column} + u * {pixels}) * {plane.pixel} + {channel}"
            )

        def load(i: int) -> str:
            plane = work.operands[i]
            text = vector_ir.load(pixels, lanes, element_of(plane.dtype))
            at = f"T.address_of(R{i}[{spot(plane)}])"
            raw = self._call(text, f"{plane.dtype}x{wide}", at, f"{plane.pixel}")
            return f'T.cast({raw}, "int32x{wide}")'

        def scale_of(term: Term) -> str:
            name = self.scales.get(id(term))
            if name is None:
                return f"T.Broadcast({float32(float(term.multiplier.flat[0]))}, {wide})"
            at = f"{name}[T.Ramp(({g} * {self.blocks} + {block} + j) * {lanes}, 1, {lanes})]"
            if pixels == 1:
                return at
            return self._call(vector_ir.repeat(pixels, lanes, "float"), f"float32x{wide}", at)

        def rounded(real: str) -> str:
            return self._call(vector_ir.rounding(wide), f"float32x{wide}", real)

        value = ended(work.endings, joined, wide, load, scale_of, rounded)
        element = element_of(work.y.dtype)
        text = vector_ir.store(pixels, lanes, self.kept, element)
        stored = self._call(text, "int32", f"T.address_of(Y[{spot(work.y)}])", f"{work.y.pixel}", value)
        loops = [
            f"r in T.unroll({self.rows})",
            f"u in T.unroll({columns // pixels})",
            f"j in T.unroll({shape.blocks})",
        ]
        return nest(loops, f"T.evaluate({stored})")

    def _pooled(self, shape: Reduction, pixel: int) -> str:
        """The largest sum of a window: pixel number `pixel` of unit u in row r."""
        lanes, pool = self.family.lanes, self.work.pool
        columns = shape.columns // pool[1]
        pixels = next(unit for unit in self.family.units if columns % unit == 0)
        found = ""
        for down in range(pool[0]):
            for across in range(pool[1]):
                at = (
                    f"(((r * {pool[0]} + {down}) * {shape.columns}"
                    f" + (u * {pixels} + {pixel}) * {pool[1]} + {across})"
                    f" * {shape.blocks} + j) * {lanes}"
                )
                one = f"acc[T.Ramp({at}, 1, {lanes})]"
                found = f"T.max({found}, {one})" if found else one
        return found

    def _args(self) -> list[Arg]:
        work, x, y = self.work, self.work.x, self.work.y
        start = x.at(-work.begins[0], -work.begins[1])
        args = [
            Arg("X", x.name, (x.size,), x.dtype, start),
            constant("W", self._weights()),
            constant("B", self._by_block(work.bias)),
        ]
        args += [
            constant(self.scales[id(term)], self._by_block(term.multiplier))
            for ending in work.endings
            for term in ending.terms
            if id(term) in self.scales
        ]
        args += [
            Arg(f"R{i}", plane.name, (plane.size,), plane.dtype, plane.origin)
            for i, plane in enumerate(work.operands)
        ]
        return [*args, Arg("Y", y.name, (y.size,), y.dtype, y.origin)]

    def _weights(self) -> Array:
        """Groups one after the other; in each, tiles of blocks one after the other."""
        family, parts = self.family, list[Array]()
        for group in np.split(self.work.stretches, self.work.group):
            for span in self.channels:
                for i in range(span.count):
                    first = span.start + i * span.size
                    starts = self.starts[first : first + span.size]
                    parts.append(family.pack(group, starts).reshape(-1))
        return np.concatenate(parts).astype(family.weight_dtype)

    def _by_block(self, values: Array) -> Array:
        """[O] => [groups * blocks * lanes], as the blocks lie."""
        lanes, parts = self.family.lanes, list[Array]()
        for group in np.split(values, self.work.group):
            room = np.zeros(len(group) + lanes, values.dtype)
            room[: len(group)] = group
            parts += [room[start : start + lanes] for start in self.starts]
        return np.concatenate(parts)

    def _call(self, text: str, result: str, *operands: str) -> str:
        """A call of a function of `vector_ir`, which the kernel then imports."""
        self.functions.append(text)
        return f'T.call_extern("{result}", "{vector_ir.name_of(text)}", {", ".join(operands)})'


def element_of(dtype: str) -> str:
    """LLVM's name of an integer type."""
    return f"i{8 * np.dtype(dtype).itemsize}"
