"""Kernels that move elements, and the poolings, which hardly do more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecut.targets.cpu.epilogue import Integers, float32
from joulecut.targets.cpu.script import (
    Arg,
    Step,
    Tiling,
    blocks,
    lane,
    lines,
    local,
    nest,
    power_of_two,
    start_of,
    step,
    vector_nest,
)


def bordered(x: Arg, y: Arg, before: Sequence[int], fill: str, tiling: Tiling) -> Step:
    """X inside y, `fill` around it; a negative `before` and a smaller y crop.

    Args:
        x: what is moved.
        y: what is written, of the same rank.
        before: per axis, the index in y of the first element of x.
        fill: literal of y's type.
        tiling: of the target.
    """
    counts: list[int] = []
    sources: list[int] = []
    for size, room, begin in zip(x.shape, y.shape, before, strict=True):
        sources.append(max(0, -begin))
        counts.append(max(0, min(size, room - begin) - max(0, -begin)))
    lanes = 4 * tiling.lanes

    def copy(index: list[str]) -> str:
        read = [_plus(spot, begin) for spot, begin in zip(index, sources, strict=True)]
        write = [
            _plus(spot, begin + source)
            for spot, begin, source in zip(index, before, sources, strict=True)
        ]
        return f"{y.name}[{', '.join(write)}] = {x.name}[{', '.join(read)}]"

    flooded = vector_nest(
        y.shape, lanes, lambda index: f"{y.name}[{', '.join(index)}] = {fill}", prefix="f"
    )
    inside = vector_nest(counts, lanes, copy) if min(counts) > 0 else ""
    covered = tuple(counts) == y.shape
    return step("pad", [x, y], inside if covered else lines(flooded, inside))


def strided(
    x: Arg, y: Arg, starts: Sequence[int], steps: Sequence[int], tiling: Tiling
) -> Step:
    """Every steps-th element of x from starts on, per axis, as many as y holds."""

    def copy(index: list[str]) -> str:
        read = [
            f"{start} + ({spot}) * {pace}" if pace != 1 else _plus(spot, start)
            for spot, start, pace in zip(index, starts, steps, strict=True)
        ]
        return f"{y.name}[{', '.join(index)}] = {x.name}[{', '.join(read)}]"

    return step("slice", [x, y], vector_nest(y.shape, _lanes(tiling, steps[-1]), copy))


def transposed(x: Arg, y: Arg, order: Sequence[int], tiling: Tiling) -> Step:
    """Axis i of y is axis order[i] of x."""

    def copy(index: list[str]) -> str:
        read = [index[order.index(axis)] for axis in range(len(order))]
        return f"{y.name}[{', '.join(index)}] = {x.name}[{', '.join(read)}]"

    lanes = _lanes(tiling, 1 if order[-1] == len(order) - 1 else 0)
    return step("transpose", [x, y], vector_nest(y.shape, lanes, copy))


def joined(xs: Sequence[Arg], y: Arg, axis: int, tiling: Tiling) -> Step:
    """The operands one after the other along an axis of y."""
    outer = math.prod(y.shape[:axis])
    out = replace(y, shape=(outer, math.prod(y.shape[axis:])))
    bodies: list[str] = []
    views: list[Arg] = []
    offset = 0
    for i, x in enumerate(xs):
        view = replace(x, shape=(outer, math.prod(x.shape[axis:])))

        def copy(index: list[str], view: Arg = view, offset: int = offset) -> str:
            row, column = index
            return f"{out.name}[{row}, {_plus(column, offset)}] = {view.name}[{row}, {column}]"

        bodies.append(vector_nest(view.shape, 4 * tiling.lanes, copy, prefix=f"i{i}_"))
        views.append(view)
        offset += view.shape[1]
    return step("concat", [*views, out], lines(*bodies))


@dataclass(frozen=True)
class Pooling:
    """Windows on a plane whose padding is part of x already.

    Attributes:
        x: [C, rows, columns].
        y: [C, rows, columns].
        kernel: taps of rows and columns.
        strides: of rows and columns.
        dilations: of rows and columns.
    """

    x: Arg
    y: Arg
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int] = (1, 1)

    def tap(self, index: Sequence[str]) -> str:
        """The element of x under tap (kh, kw) of the window at an index of y."""
        channel, row, column = index
        return (
            f"{self.x.name}[{channel}, "
            f"({row}) * {self.strides[0]} + kh * {self.dilations[0]}, "
            f"({column}) * {self.strides[1]} + kw * {self.dilations[1]}]"
        )

    @property
    def taps(self) -> str:
        """The loop over the taps of a window."""
        return f"kh, kw in T.grid({self.kernel[0]}, {self.kernel[1]})"


def max_pool(pool: Pooling, tiling: Tiling) -> Step:
    """The largest element of every window."""
    body = _pooled(
        pool,
        tiling,
        accumulator=pool.y.dtype,
        first=least(pool.y.dtype),
        update=lambda tap: f"T.max(acc[v], {tap})",
        result=lambda _: "acc[v]",
    )
    return step("maxpool", [pool.x, pool.y], body)


def average_pool(
    pool: Pooling, zero_point: int, factor: Arg, target: Integers, tiling: Tiling
) -> Step:
    """The rounded mean of every window.

    Args:
        pool: the windows.
        zero_point: of x, also what lies in the padding.
        factor: float32, [rows, columns] or [1]: what the sum of a window is multiplied by.
        target: the integers of y.
        tiling: of the target.
    """
    taps = math.prod(pool.kernel)
    body = _pooled(
        pool,
        tiling,
        accumulator="int32",
        first=f"{-zero_point * taps}",
        update=lambda tap: f'acc[v] + T.cast({tap}, "int32")',
        result=lambda index: target.of(f'T.cast(acc[v], "float32") * {factor.at(index)}'),
    )
    return step("averagepool", [pool.x, factor, pool.y], body)


def _pooled(
    pool: Pooling,
    tiling: Tiling,
    *,
    accumulator: str,
    first: str,
    update: Callable[[str], str],
    result: Callable[[Sequence[str]], str],
) -> str:
    """Loops over the windows, lanes along a row where its windows are neighbours."""
    channels, height, width = pool.y.shape
    lanes = _lanes(tiling, pool.strides[1]) // 4
    lanes = min(lanes, power_of_two(width)) or 1
    size = lanes if lanes >= 4 else 1
    along = lane("v", size)
    index = ["c", "h", f"{start_of('b', width, size)} + v"]
    body = lines(
        local("acc", (size,), accumulator),
        nest([along], f"acc[v] = {first}"),
        nest([pool.taps, along], f"acc[v] = {update(pool.tap(index))}"),
        nest([along], f"{pool.y.at(index)} = {result(index)}"),
    )
    around = [
        f"c in T.serial({channels})",
        f"h in T.serial({height})",
        f"b in T.serial({blocks(width, size)})",
    ]
    return nest(around, body)


def least(dtype: str) -> str:
    """The literal that no other number of the type is below."""
    if dtype == "float32":
        return 'T.float32("-inf")'
    return f"T.{dtype}({np.iinfo(dtype).min})"


def literal(value: float, dtype: str) -> str:
    """A number of the type."""
    return float32(value) if dtype == "float32" else f"T.{dtype}({int(value)})"


def _lanes(tiling: Tiling, pace: int) -> int:
    """Lanes of bytes for neighbours; 1 where elements lie apart."""
    return 4 * tiling.lanes if pace == 1 else 1


def _plus(spot: str, offset: int) -> str:
    return f"{spot} + {offset}" if offset else spot
