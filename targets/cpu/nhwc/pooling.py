"""Poolings over planes, channels side by side.

A maximum reads the nearest pixel in place of one in the padding: it is in the window, too. A mean
reads the border, which holds the zero point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.epilogue import Integers, float32
from joulecut.targets.cpu.nhwc.ending import stored
from joulecut.targets.cpu.nhwc.lanes import cast, run, splat
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.script import (
    Arg,
    Array,
    Step,
    blocks,
    constant,
    lines,
    local,
    nest,
    parallel_step,
    power_of_two,
    start_of,
)

_LANES = 16  # of int32
_NARROW_LANES = 64  # of what planes hold


@dataclass(frozen=True)
class Pooling:
    """Windows over a plane.

    Attributes:
        x: what is read.
        y: what is stored.
        kernel: rows and columns of a window.
        strides: of rows and columns.
        dilations: of rows and columns.
        begins: padding above and left.
    """

    x: Plane
    y: Plane
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    begins: tuple[int, int]


def max_pool(pool: Pooling) -> Step:
    """The largest integer of every window; dilations must be 1 where there is padding."""
    x, dtype = pool.x, pool.x.dtype
    lanes = min(_NARROW_LANES, power_of_two(x.channels))

    def clipped(place: str, begin: int, size: int, last: int) -> str:
        moved = f"{place} - {begin}" if begin else place
        if begin == 0 and last < size:
            return f"({moved})"
        return f"T.max(T.min({moved}, {size - 1}), 0)"

    rows = _last(pool.y.rows, pool.strides[0], pool.kernel[0], pool.dilations[0])
    columns = _last(pool.y.columns, pool.strides[1], pool.kernel[1], pool.dilations[1])
    h = clipped(
        f"h * {pool.strides[0]} + kh * {pool.dilations[0]}", pool.begins[0], x.rows, rows
    )
    w = clipped(
        f"w * {pool.strides[1]} + kw * {pool.dilations[1]}", pool.begins[1], x.columns, columns
    )
    c = start_of("b", x.channels, lanes)
    tap = run("X", f"n * {x.sample} + {h} * {x.row} + {w} * {x.pixel} + {c}", lanes)
    acc = run("acc", "0", lanes)
    body = lines(
        local("acc", (lanes,), dtype),
        f"{acc} = {splat(f'T.{dtype}({np.iinfo(dtype).min})', lanes)}",
        nest(
            [f"kh, kw in T.grid({pool.kernel[0]}, {pool.kernel[1]})"],
            f"{acc} = T.max({acc}, {tap})",
        ),
        f"{_at(pool.y, c, lanes)} = {acc}",
    )
    return _pixels("maxpool", pool, [], lanes, body)


def _last(count: int, stride: int, taps: int, dilation: int) -> int:
    """The last place that a window touches, padding included."""
    return (count - 1) * stride + (taps - 1) * dilation


def average_pool(pool: Pooling, zero_point: int, factors: Array, target: Integers) -> Step:
    """The rounded mean of every window.

    Args:
        pool: the windows.
        zero_point: of x as it is stored, also what its border holds.
        factors: float32 [rows, columns] of y, or [1]: what the sum of a window is multiplied by.
        target: the integers of y as they are stored.
    """
    x = pool.x
    lanes = min(_LANES, power_of_two(x.channels))
    c = start_of("b", x.channels, lanes)
    spot = (
        f"n * {x.sample} + (h * {pool.strides[0]} + kh * {pool.dilations[0]}) * {x.row}"
        f" + (w * {pool.strides[1]} + kw * {pool.dilations[1]}) * {x.pixel} + {c}"
    )
    tap, acc = run("X", spot, lanes), run("acc", "0", lanes)
    args: list[Arg] = []
    factor = float32(float(factors.flat[0]))
    if factors.size > 1:
        args.append(constant("F", factors.reshape(-1)))
        factor = f"F[h * {pool.y.columns} + w]"
    start = -zero_point * math.prod(pool.kernel)
    product = f"{cast(acc, 'float32', lanes)} * {splat(factor, lanes)}"
    body = lines(
        local("acc", (lanes,), "int32"),
        f"{acc} = {splat(str(start), lanes)}",
        nest(
            [f"kh, kw in T.grid({pool.kernel[0]}, {pool.kernel[1]})"],
            f"{acc} = {acc} + {cast(tap, 'int32', lanes)}",
        ),
        f"{_at(pool.y, c, lanes)} = {stored(product, target, lanes)}",
    )
    return _pixels("averagepool", pool, args, lanes, body)


def _at(y: Plane, channel: str, lanes: int) -> str:
    spot = f"n * {y.sample} + h * {y.row} + w * {y.pixel} + {channel}"
    return run("Y", spot, lanes)


def _pixels(op: str, pool: Pooling, args: list[Arg], lanes: int, body: str) -> Step:
    x, y = pool.x, pool.y
    row = "(tasks_begin + task)"
    start = x.at(-pool.begins[0], -pool.begins[1]) if op == "averagepool" else x.origin
    header = [
        "task in T.serial(tasks_end - tasks_begin)",
        f"n in T.serial({row} // {y.rows}, {row} // {y.rows} + 1)",
        f"h in T.serial({row} % {y.rows}, {row} % {y.rows} + 1)",
        f"w in T.serial({y.columns})",
        f"b in T.serial({blocks(y.channels, lanes)})",
    ]
    ends = [
        Arg("X", x.name, (x.size,), x.dtype, start),
        *args,
        Arg("Y", y.name, (y.size,), y.dtype, y.origin),
    ]
    return parallel_step(op, ends, nest(header, body), y.batch * y.rows)
