"""Convolutions and dense layers over planes: a tile of pixels and channels in registers.

A tile sums all taps into int32 registers, takes the maximum of pooled pixels there, brings the
rest back to 8 bits and stores it: nothing in between is written. Tiles at the end of a row may
be of another size. A dense layer is a convolution of one tap over a row of one pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.nhwc import vector_ir
from joulecut.targets.cpu.nhwc.ending import Ending
from joulecut.targets.cpu.nhwc.family import Family, Reduction
from joulecut.targets.cpu.nhwc.finish import Finish, Layer, Spot
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
    def largest(self) -> Array:
        """What no sum exceeds in magnitude, float64 [O]."""
        weights = np.abs(self.weights.astype(np.float64)).sum(axis=(1, 2, 3))
        stored = np.iinfo(self.x.dtype)
        return weights * max(-int(stored.min), int(stored.max)) + np.abs(self.bias)

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
    """The kernel; its tasks are tiles of rows times tiles of channels, or of all groups."""
    return _Kernel(work, family, tile).step()


class _Kernel:
    """The text of one kernel, and the functions that the text calls."""

    def __init__(self, work: Conv, family: Family, tile: Tile) -> None:
        self.work, self.family, self.tile = work, family, tile
        ends = (work.y, work.operands, work.endings, work.pool, work.group, work.outputs)
        self.finish = Finish(
            Layer(*ends, family.lanes, family.units, work.largest, family.ends)
        )
        self.blocks = self.finish.blocks
        self.rows = tile.rows // work.pool[0]  # of y in a tile, as are columns
        self.columns = spans(work.y.columns, tile.columns // work.pool[1], overlap=True)
        self.channels = spans(self.blocks, 1 if family.program else tile.blocks)
        self.row_tiles = -(-work.y.rows // self.rows)
        _, segments, length = work.stretches.shape
        self.steps: int = -(-length // family.granule)
        self.block_weights = segments * self.steps * family.lanes * family.granule
        self.programs = self._programs()
        if self.programs is not None:
            self.block_weights = self.programs.shape[1]
        self.functions: list[str] = []

    def step(self) -> Step:
        """The kernel as a step of a part."""
        work = self.work
        row_tasks = work.y.batch * self.row_tiles
        if self.tile.order == "channels":
            tasks, parts = 0, list[str]()
            for span in self.channels:
                first, tasks = tasks, tasks + work.group * span.count * row_tasks
                parts.append(self._channel_tasks(span, first, tasks, row_tasks))
            body = lines(*parts)
        elif work.group > 1:
            tasks, body = row_tasks, self._whole_rows()
        else:
            tasks, body = row_tasks * self._tiles, self._row_tasks()
        args = self._args()
        imports = vector_ir.prelude(
            self.family.intrinsics, *self.functions, *self.finish.functions
        )
        return parallel_step("conv", args, body, tasks, imports)

    @property
    def _tiles(self) -> int:
        """Tiles of channels of a group."""
        return sum(span.count for span in self.channels)

    def _whole_rows(self) -> str:
        """A task is a row of tiles with all channels of all groups."""
        bodies = [
            nest([f"og in T.serial({span.count})"], self._columns(span))
            for span in self.channels
        ]
        groups = nest([f"g in T.serial({self.work.group})"], lines(*bodies))
        loops = ["task in T.serial(tasks_end - tasks_begin)"]
        return nest(loops, lines("rt = tasks_begin + task", groups))

    def _row_tasks(self) -> str:
        """A task is a row of tiles with one tile of channels."""
        tiles, first, parts = self._tiles, 0, list[str]()
        for span in self.channels:
            low = f"T.max(tasks_begin - rt * {tiles}, {first})"
            high = f"T.min(tasks_end - rt * {tiles}, {first + span.count})"
            body = lines(f"og = {low} - {first} + tile", self._columns(span))
            parts.append(nest([f"tile in T.serial(T.max({high} - {low}, 0))"], body))
            first += span.count
        top = f"tasks_begin // {tiles}"
        return nest(
            [f"row in T.serial((tasks_end + {tiles - 1}) // {tiles} - {top})"],
            lines(f"rt = {top} + row", *parts),
        )

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
            header = [
                f"wb in T.serial({span.count})"
            ]  # also a scope of its own for a count of 1
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
        spot = Spot(sample, row, column, block, g)
        sums, functions = self.family.accumulate(shape, x_at, w_at, bias)
        self.functions.append(functions)
        return lines(
            local("acc", (shape.rows * shape.columns * shape.blocks * lanes,), "int32"),
            sums,
            self.finish.text(self.rows, columns, channels.size, spot),
        )

    def _args(self) -> list[Arg]:
        work, x = self.work, self.work.x
        start = x.at(-work.begins[0], -work.begins[1])
        return [
            Arg("X", x.name, (x.size,), x.dtype, start),
            constant("W", self._weights()),
            constant("B", self.finish.by_block(work.bias)),
            *self.finish.args(),
        ]

    def _weights(self) -> Array:
        """Groups one after the other; in each, tiles of blocks one after the other."""
        if self.programs is not None:
            return self.programs.reshape(-1)
        family, parts = self.family, list[Array]()
        for group in np.split(self.work.stretches, self.work.group):
            for span in self.channels:
                for i in range(span.count):
                    first = span.start + i * span.size
                    starts = self.finish.starts[first : first + span.size]
                    parts.append(family.pack(group, starts).reshape(-1))
        return np.concatenate(parts).astype(family.weight_dtype)

    def _programs(self) -> Array | None:
        """Programs of all blocks of all groups, each with as much room as the longest."""
        program = self.family.program
        if program is None:
            return None
        begins = np.zeros(1, np.int64)
        for count, step in reversed(self.work.segments):
            begins = np.add.outer(np.arange(count) * step, begins).reshape(-1)
        made = [
            program(group, start, begins)
            for group in np.split(self.work.stretches, self.work.group)
            for start in self.finish.starts
        ]
        room = max(one.size for one in made)
        return np.stack([np.pad(one, (0, room - one.size)) for one in made])
