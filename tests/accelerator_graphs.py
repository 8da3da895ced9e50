"""Random integer graphs of a layer each, over all sizes that the accelerator is asked to take.

Their activations are of one type, since onnxruntime has no product from one to the other; the
twin in `qlinear_models.py` makes the same of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from cpu_cases import Cases
from random_layers import conv_of, integer, kind_of, scaled, weights_of

from joulecut.compiler.graph import Graph, constant_of, nodes, shape_of

MOST_CHANNELS, LARGEST_KERNEL, LARGEST_STRIDE, LARGEST_SIDE = 512, 7, 3, 24
MOST_PRODUCTS = 3e7  # of a layer, zeros between groups included: the RTL takes half a second

Draw = Callable[[Cases, str], ir.Value]


def random_graph(seed: int, number: int) -> tuple[str, Graph]:
    """The layer of a number, and its kind; kinds take turns."""
    kind = list(LAYERS)[number % len(LAYERS)]
    cases = Cases([seed, number])
    LAYERS[kind](cases, kind_of(cases))
    return kind, narrowed(cases.graph())


def narrowed(graph: Graph) -> Graph:
    """The graph without the weights of -128 that random layers draw at times."""
    for node in nodes(graph):
        for value in node.inputs:
            array = constant_of(value)
            if value is not None and array is not None and array.dtype == np.int8:
                value.const_value = ir.tensor(np.maximum(array, -127), name=value.name)
    return graph


def _count(cases: Cases, most: int = MOST_CHANNELS) -> int:
    """From 1 to `most`, each power of two as often as the next."""
    return round(2 ** cases.rng.uniform(0, math.log2(most)))


def _zero_point(cases: Cases, kind: str) -> int:
    limits = np.iinfo(kind)
    return integer(cases, limits.min, limits.max)


def _pads(cases: Cases, extents: list[int], size: list[int]) -> list[int]:
    """Pads below the extents, such that a window fits."""
    while True:
        pads = [integer(cases, 0, extent - 1) for extent in extents * 2]
        rooms = zip(size, pads[: len(size)], pads[len(size) :], extents, strict=True)
        if all(side + begin + end >= extent for side, begin, end, extent in rooms):
            return pads


def _conv(cases: Cases, kind: str, group: int, deep: int, wide: int, axes: int = 2) -> ir.Value:
    """A convolution of `group` groups, `deep` channels to `wide` each."""
    while True:
        kernel = tuple(integer(cases, 1, LARGEST_KERNEL) for _ in range(axes))
        is_dilated = cases.rng.random() < 0.2
        dilations = tuple(integer(cases, 1, 2) if is_dilated else 1 for _ in kernel)
        strides = tuple(integer(cases, 1, LARGEST_STRIDE) for _ in kernel)
        size = [integer(cases, 1, LARGEST_SIDE) for _ in kernel]
        extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        if any(
            side + 2 * (extent - 1) < extent for side, extent in zip(size, extents, strict=True)
        ):
            continue
        pixels = np.prod(size) / np.prod(strides)
        if pixels * np.prod(kernel) * group**2 * deep * wide <= MOST_PRODUCTS:
            break
    return conv_of(
        cases,
        cases.input((1, group * deep, *size), kind),
        group * wide,
        kernel,
        group=group,
        strides=strides,
        dilations=dilations,
        pads=_pads(cases, extents, size),
        kind=kind,
    )


def conv(cases: Cases, kind: str) -> ir.Value:
    """One group."""
    return _conv(cases, kind, 1, _count(cases), _count(cases))


def first(cases: Cases, kind: str) -> ir.Value:
    """So few channels that rows of the window are packed into the columns."""
    return _conv(cases, kind, 1, integer(cases, 1, 7), _count(cases))


def conv_1d(cases: Cases, kind: str) -> ir.Value:
    """Over a sequence."""
    return _conv(cases, kind, 1, _count(cases), _count(cases), axes=1)


def depthwise(cases: Cases, kind: str) -> ir.Value:
    """One filter a channel."""
    return _conv(cases, kind, _count(cases), 1, 1)


def grouped(cases: Cases, kind: str) -> ir.Value:
    """Several channels in a group, or several filters."""
    group = 1 + _count(cases, 63)
    most = MOST_CHANNELS // group
    return _conv(cases, kind, group, _count(cases, most), _count(cases, most))


def dense(cases: Cases, kind: str) -> ir.Value:
    """A product with a vector, which may have been a map of a few pixels."""
    channels, outputs = _count(cases), _count(cases)
    size = [integer(cases, 1, 3), integer(cases, 1, 3)] if cases.rng.random() < 0.5 else []
    x = cases.input((1, channels, *size), kind)
    depth = channels * int(np.prod(size))
    if size:
        shape = cases.constant(np.array([1, depth], np.int64))
        x = cases.node("Reshape", [x, shape], {}, domain="", shape=(1, depth))
    weights = weights_of(cases, (depth, outputs))
    attributes = {"a_zero_point": _zero_point(cases, kind), "b_zero_point": [0]}
    return scaled(cases, cases.node("MatMul", [x, weights], attributes), kind=kind)


def _map(cases: Cases, kind: str) -> ir.Value:
    size = [integer(cases, 1, LARGEST_SIDE) for _ in range(2)]
    return cases.input((1, _count(cases), *size), kind)


def add(cases: Cases, kind: str) -> ir.Value:
    """A sum of two activations; the first may have a multiplier for each channel."""
    a = _map(cases, kind)
    b = cases.input(shape_of(a), kind)
    counts = int(cases.rng.choice([1, shape_of(a)[1]])), 1
    factors = [cases.rng.uniform(0.1, 1.2, count).astype(np.float32) for count in counts]
    limits = np.iinfo(kind)
    attributes = {
        "axis": 1,
        "x_zero_points": [_zero_point(cases, kind) for _ in factors],
        "zero_point": _zero_point(cases, kind),
        "low": limits.min + integer(cases, 0, 9),
        "high": limits.max - integer(cases, 0, 9),
        "dtype": kind,
    }
    operands = [a, b, *map(cases.constant, factors)]
    return cases.node("Add", operands, attributes, name="sum")


def requantize(cases: Cases, kind: str) -> ir.Value:
    """8 bits at another scale."""
    x = _map(cases, kind)
    cases.requantize(x, "y", dtype=kind, x_zero_point=_zero_point(cases, kind))
    return cases.last


def _pooling(cases: Cases, size: tuple[int, ...]) -> dict[str, list[int]]:
    """A window that fits, without pads."""
    kernel = [integer(cases, 1, min(LARGEST_KERNEL, side)) for side in size]
    strides = [integer(cases, 1, LARGEST_STRIDE) for _ in kernel]
    return {"kernel_shape": kernel, "strides": strides, "pads": [0] * 4}


def max_pool(cases: Cases, kind: str) -> ir.Value:
    """The largest of every window."""
    x = _map(cases, kind)
    window = _pooling(cases, shape_of(x)[2:])
    window["pads"] = _pads(cases, window["kernel_shape"], list(shape_of(x)[2:]))
    return cases.node("MaxPool", [x], window, name="y", domain="")


def average_pool(cases: Cases, kind: str) -> ir.Value:
    """The mean of every window."""
    x = _map(cases, kind)
    limits = np.iinfo(kind)
    window = _pooling(cases, shape_of(x)[2:])
    is_padded = bool(cases.rng.integers(2))
    if is_padded:
        window["pads"] = _pads(cases, window["kernel_shape"], list(shape_of(x)[2:]))
    attributes = {
        **window,
        "count_include_pad": int(is_padded),
        "x_zero_point": _zero_point(cases, kind),
        "x_scale": float(cases.rng.uniform(0.1, 0.9)),
        "y_scale": float(cases.rng.uniform(0.1, 0.9)),
        "zero_point": _zero_point(cases, kind),
        "low": limits.min + integer(cases, 0, 9),
        "high": limits.max - integer(cases, 0, 9),
        "dtype": kind,
    }
    return cases.node("AveragePool", [x], attributes, name="y")


def concat(cases: Cases, kind: str) -> ir.Value:
    """Channels side by side, and a product that reads all of them."""
    size = [integer(cases, 1, LARGEST_SIDE) for _ in range(2)]
    x = cases.input((1, _count(cases, 64), *size), kind)
    widths = [8 * integer(cases, 1, 6) for _ in range(integer(cases, 1, 3))]
    parts = [
        conv_of(cases, x, width, (1, 1), pads=[0] * 4, kind=kind, kept=False)
        for width in (*widths, integer(cases, 1, 40))
    ]
    joined = cases.node("Concat", parts, {"axis": 1}, domain="")
    return conv_of(cases, joined, _count(cases, 64), (3, 3), pads=[1] * 4, kind=kind)


LAYERS: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (
        conv,
        grouped,
        first,
        depthwise,
        conv_1d,
        dense,
        add,
        requantize,
        max_pool,
        average_pool,
        concat,
    )
}
