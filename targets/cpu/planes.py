"""Layers that slide windows over planes: convolutions and poolings, and the padding they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from joulecut.compiler.graph import (
    Node,
    Value,
    constant_of,
    dtype_of,
    float_of,
    int_of,
    ints_of,
    shape_of,
)
from joulecut.compiler.windows import Window, window_of
from joulecut.targets.cpu.convolution import Convolution, convolution
from joulecut.targets.cpu.epilogue import Ending
from joulecut.targets.cpu.movement import (
    Pooling,
    average_pool,
    bordered,
    least,
    literal,
    max_pool,
)
from joulecut.targets.cpu.operands import (
    constant_input,
    integers_of,
    operand,
    require_batch_1,
    unsupported,
)
from joulecut.targets.cpu.script import Arg, Step, Tiling, constant
from joulecut.targets.cpu.weights import fold_zero_points

Shaper = Callable[[tuple[int, ...]], tuple[int, ...]]
PADDED = "#padded"  # suffix of the name of a padded copy


@dataclass(frozen=True)
class Geometry:
    """A window over rows and columns; a sequence is a plane of one row."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    begins: tuple[int, int]

    def room(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of x, padding included, that so many windows need."""
        down, across = (
            (count - 1) * stride + (taps - 1) * dilation + 1
            for count, stride, taps, dilation in zip(
                (rows, columns), self.strides, self.kernel, self.dilations, strict=True
            )
        )
        return down, across


def lower_conv(
    node: Node, ending: Ending, y: Value, tiling: Tiling, scratch: str
) -> tuple[list[Step], int]:
    """The steps of a joulecut.Conv and how many products they sum."""
    x_value, w_value = (value for value in node.inputs[:2] if value is not None)
    weights = constant_of(w_value)
    if weights is None:
        raise unsupported(node, f"weights '{w_value.name}' must be a constant", "fold them")
    window = window_of(node, weights.shape[2:])
    geometry = _geometry(node, window, [x_value, y])
    zero_point = int_of(node, "x_zero_point")
    folded = fold_zero_points(
        node,
        weights,
        np.array(ints_of(node, "w_zero_point")).reshape(-1, *[1] * (weights.ndim - 1)),
        constant_input(node, 2),
        zero_point,
        channel_axis=0,
    )
    out = operand("Y", y, _plane(y, batch=True))
    pads, x = _padded(x_value, out.shape[2:], geometry, scratch, zero_point, tiling)
    planar = weights.reshape(*weights.shape[:2], *geometry.kernel)
    work = Convolution(
        x,
        folded.weights.reshape(planar.shape),
        folded.offsets,
        folded.bias,
        geometry.strides,
        geometry.dilations,
        int_of(node, "group", 1),
        out,
        _planar(ending, len(window.kernel)),
    )
    products = int(np.prod(out.shape)) * int(np.prod(planar.shape[1:]))
    return [*pads, convolution(_flattened(work), tiling)], products


def lower_max_pool(node: Node, tiling: Tiling, scratch: str) -> list[Step]:
    """The steps of a MaxPool."""
    (x,), (y,) = (node.inputs, node.outputs)
    assert x is not None
    geometry = _geometry(node, window_of(node, ints_of(node, "kernel_shape")), [x, y])
    out = operand("Y", y, _plane(y))
    pads, source = _padded(x, out.shape[1:], geometry, scratch, None, tiling)
    pool = Pooling(source, out, geometry.kernel, geometry.strides, geometry.dilations)
    return [*pads, max_pool(pool, tiling)]


def lower_average_pool(node: Node, tiling: Tiling, scratch: str) -> list[Step]:
    """The steps of a joulecut.AveragePool."""
    (x,), (y,) = (node.inputs, node.outputs)
    assert x is not None
    window = window_of(node, ints_of(node, "kernel_shape"))
    geometry = _geometry(node, window, [x, y])
    zero_point = int_of(node, "x_zero_point")
    include = bool(int_of(node, "count_include_pad", 0))
    counts = window.counts(shape_of(x)[2:], include_pad=include).astype(np.float32)
    factors = float_of(node, "x_scale") / (float_of(node, "y_scale") * counts)
    out = operand("Y", y, _plane(y))
    if np.all(factors == factors.flat[0]):
        factor = constant("F", factors.reshape(-1)[:1])
    else:
        factor = constant("F", factors, out.shape[1:])
    pads, source = _padded(x, out.shape[1:], geometry, scratch, zero_point, tiling)
    pool = Pooling(source, out, geometry.kernel, geometry.strides, geometry.dilations)
    return [*pads, average_pool(pool, zero_point, factor, integers_of(node), tiling)]


def _geometry(node: Node, window: Window, ends: Sequence[Value]) -> Geometry:
    if len(window.kernel) not in (1, 2):
        raise unsupported(
            node,
            f"window must have 1 or 2 axes, not {len(window.kernel)}",
            "reshape the model to images or sequences",
        )
    require_batch_1(node, ends)

    def two(numbers: tuple[int, ...], first: int) -> tuple[int, int]:
        return (first, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])

    return Geometry(
        two(window.kernel, 1),
        two(window.strides, 1),
        two(window.dilations, 1),
        two(window.begins, 0),
    )


def _plane(value: Value, *, batch: bool = False) -> tuple[int, ...]:
    """[1, C, W] or [1, C, H, W] => [C, H, W], with the batch if asked."""
    _, channels, *spatial = shape_of(value)
    plane = (channels, *([1] if len(spatial) == 1 else []), *spatial)
    return (1, *plane) if batch else plane


def _padded(
    value: Value,
    windows: tuple[int, ...],
    geometry: Geometry,
    scratch: str,
    zero_point: int | None,
    tiling: Tiling,
) -> tuple[list[Step], Arg]:
    """The input of a sliding kernel, and the step that pads it if it needs padding.

    `zero_point` fills the padding; None stands for what never wins a maximum.
    """
    x = operand("X", value, _plane(value))
    channels, *size = x.shape
    need = geometry.room(windows[0], windows[1])
    fits = all(have >= want for have, want in zip(size, need, strict=True))
    if fits and not any(geometry.begins):
        return [], x
    dtype = dtype_of(value).name
    fill = least(dtype) if zero_point is None else literal(zero_point, dtype)
    room = (
        max(want, begin + have)
        for want, begin, have in zip(need, geometry.begins, size, strict=True)
    )
    copy = Arg("Y", scratch + PADDED, (channels, *room), dtype)
    return [bordered(x, copy, (0, *geometry.begins), fill, tiling)], replace(copy, name="X")


def _planar(ending: Ending, axes: int) -> Ending:
    """The ending of a sequence, as that of a plane of one row."""
    if axes == 2:
        return ending
    return _seen(ending, lambda shape: (*shape[:-1], 1, shape[-1]))


def _flattened(work: Convolution) -> Convolution:
    """A 1x1 convolution sees a plane as one long row, so that no vector ends early."""
    _, channels, height, width = work.y.shape
    same = work.x.shape[1:] == (height, width) and work.weights.shape[2:] == (1, 1)
    plain = work.strides == (1, 1) and height > 1
    alike = all(_aligned(arg)[2:] in ((height, width), (1, 1)) for arg in work.ending.args)
    if not (same and plain and alike):
        return work

    def row(shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape if len(shape) < 2 else (*shape[:-2], 1, shape[-2] * shape[-1])

    return replace(
        work,
        x=replace(work.x, shape=(work.x.shape[0], 1, height * width)),
        y=replace(work.y, shape=(1, channels, 1, height * width)),
        ending=_seen(work.ending, row),
    )


def _aligned(arg: Arg) -> tuple[int, ...]:
    return (1,) * (4 - len(arg.shape)) + arg.shape


def _seen(ending: Ending, view: Shaper) -> Ending:
    """The ending with each buffer seen in another shape."""
    return ending.seen([replace(arg, shape=view(arg.shape)) for arg in ending.args])
