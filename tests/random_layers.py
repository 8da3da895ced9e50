"""Random layers of one operator, enough of them to make a given number of outputs.

Every layer is fed by a product of its own, so that on targets with kernels over planes it reads
and makes planes. Sizes are drawn around the tiles of the kernels; types, zero points, bounds and
scales are drawn as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from cpu_cases import Cases

from joulecut.compiler.graph import Graph, shape_of

Draw = Callable[[Cases], ir.Value]


def layers_of(operator: str, outputs: int, seed: int) -> list[Graph]:
    """Graphs of a few layers each, whose last values hold `outputs` integers or more in all."""
    graphs: list[Graph] = []
    made = 0
    while made < outputs:
        cases = Cases([seed, len(graphs)])
        for _ in range(3):
            made += int(np.prod(shape_of(OPERATORS[operator](cases))))
        graphs.append(cases.graph())
    return graphs


def one_of_each(seed: int) -> Graph:
    """A layer of every operator side by side in one graph, so that they build together."""
    cases = Cases(seed)
    for draw in OPERATORS.values():
        draw(cases)
    return cases.graph()


def integer(cases: Cases, low: int, high: int) -> int:
    """One from low to high, both included."""
    return int(cases.rng.integers(low, high + 1))


def kind_of(cases: Cases) -> str:
    """A type of 8 bits."""
    return str(cases.rng.choice(["int8", "uint8"]))


def scaled(cases: Cases, x: ir.Value, *, kept: bool = True, kind: str = "") -> ir.Value:
    """Sums scaled to 8 bits; an output of the graph if it is kept."""
    name = f"y{cases.count}" if kept else ""
    cases.requantize(x, name, dtype=kind or kind_of(cases), x_zero_point=0)
    return cases.last


def weights_of(cases: Cases, shape: tuple[int, ...]) -> ir.Value:
    """Weights, one of them -128 at times."""
    weights = cases.rng.integers(-127, 128, shape).astype(np.int8)
    if cases.rng.random() < 0.2:
        weights.flat[0] = -128
    return cases.constant(weights)


def conv_of(
    cases: Cases,
    x: ir.Value,
    outputs: int,
    kernel: tuple[int, ...],
    *,
    group: int = 1,
    strides: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    pads: Sequence[int] | None = None,
    kind: str = "",
    kept: bool = True,
) -> ir.Value:
    """Products of windows, scaled to 8 bits; pads and type are drawn if they are not given."""
    axes = len(kernel)
    limits = (-128, 127) if x.dtype == ir.DataType.INT8 else (0, 255)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations or (1,) * axes, strict=True)]
    if pads is None:
        pads = [int(cases.rng.integers(0, extent)) for extent in extents * 2]
    bias = cases.rng.integers(-9999, 9999, outputs).astype(np.int32)
    weights = weights_of(cases, (outputs, shape_of(x)[1] // group, *kernel))
    attributes = {
        "x_zero_point": integer(cases, *limits),
        "w_zero_point": [0],
        "strides": strides or (1,) * axes,
        "pads": pads,
        "dilations": dilations or (1,) * axes,
        "group": group,
    }
    sums = cases.node("Conv", [x, weights, cases.constant(bias)], attributes)
    return scaled(cases, sums, kind=kind, kept=kept)


def _plane(cases: Cases, channels: int, size: tuple[int, ...]) -> ir.Value:
    """An activation that a product makes."""
    x = cases.input((1, integer(cases, 1, 5), *size), kind_of(cases))
    return _conv_plain(cases, x, channels)


def _conv_plain(cases: Cases, x: ir.Value, channels: int) -> ir.Value:
    axes = len(shape_of(x)) - 2
    weights = weights_of(cases, (channels, shape_of(x)[1], *(1,) * axes))
    attributes = {
        "x_zero_point": 7,
        "w_zero_point": [0],
        "strides": (1,) * axes,
        "pads": (0,) * 2 * axes,
        "dilations": (1,) * axes,
        "group": 1,
    }
    return scaled(cases, cases.node("Conv", [x, weights], attributes), kept=False)


def _image(cases: Cases) -> tuple[int, int]:
    return integer(cases, 6, 60), integer(cases, 6, 60)


def conv(cases: Cases) -> ir.Value:
    """A 2-D convolution of any kernel, stride and dilation."""
    x = cases.input((1, integer(cases, 1, 70), *_image(cases)), kind_of(cases))
    kernel = (integer(cases, 1, 5), integer(cases, 1, 5))
    return conv_of(
        cases,
        x,
        integer(cases, 1, 100),
        kernel,
        strides=(integer(cases, 1, 2), integer(cases, 1, 2)),
        dilations=(1, 1) if cases.rng.random() < 0.7 else (2, 2),
    )


def conv_1d(cases: Cases) -> ir.Value:
    """A convolution over a sequence."""
    x = cases.input((1, integer(cases, 1, 50), integer(cases, 100, 900)), kind_of(cases))
    return conv_of(cases, x, integer(cases, 1, 99), (integer(cases, 1, 9),))


def depthwise(cases: Cases) -> ir.Value:
    """One filter a channel."""
    channels = integer(cases, 2, 90)
    side = int(cases.rng.choice([3, 3, 5, 4]))
    stride = integer(cases, 1, 2)
    x = _plane(cases, channels, _image(cases))
    return conv_of(cases, x, channels, (side, side), group=channels, strides=(stride, stride))


def grouped(cases: Cases) -> ir.Value:
    """Several filters for every group of channels."""
    group = integer(cases, 2, 6)
    x = cases.input((1, group * integer(cases, 1, 12), *_image(cases)), kind_of(cases))
    return conv_of(cases, x, group * integer(cases, 1, 20), (3, 3), group=group)


def dense(cases: Cases) -> ir.Value:
    """Constant weights times vectors."""
    depth, columns = integer(cases, 1, 600), integer(cases, 5000, 9000)
    x = cases.input((1, depth), kind_of(cases))
    weights = weights_of(cases, (depth, columns))
    attributes = {"a_zero_point": 5, "b_zero_point": [0]}
    return scaled(cases, cases.node("MatMul", [x, weights], attributes))


def add(cases: Cases) -> ir.Value:
    """A sum of activations, the second of them perhaps made right before it."""
    channels, size = integer(cases, 1, 70), _image(cases)
    inputs = [_plane(cases, channels, size) for _ in range(integer(cases, 2, 3))]
    factors = [
        cases.constant(cases.rng.uniform(0.1, 0.9, count).astype(np.float32))
        for count in (int(cases.rng.choice([1, channels])) for _ in inputs)
    ]
    attributes = {
        "axis": 1,
        "x_zero_points": [integer(cases, -9, 9) for _ in inputs],
        "zero_point": integer(cases, -9, 9),
        "low": -120,
        "high": 125,
        "dtype": "int8",
    }
    return cases.node("Add", [*inputs, *factors], attributes, name=f"y{cases.count}")


def requantize(cases: Cases) -> ir.Value:
    """A scaling of an activation that others read, too."""
    x = _plane(cases, integer(cases, 1, 70), _image(cases))
    scaled(cases, x)
    return scaled(cases, x)


def max_pool(cases: Cases) -> ir.Value:
    """The largest of every window; disjoint windows are fused into the product before."""
    x = _plane(cases, integer(cases, 8, 70), _image(cases))
    side = integer(cases, 2, 3)
    stride = side if cases.rng.random() < 0.5 else integer(cases, 1, 2)
    pads = [0] * 4 if cases.rng.random() < 0.5 else [integer(cases, 0, 1) for _ in range(4)]
    attributes = {"kernel_shape": [side] * 2, "strides": [stride] * 2, "pads": pads}
    return cases.node("MaxPool", [x], attributes, name=f"y{cases.count}", domain="")


def average_pool(cases: Cases) -> ir.Value:
    """The mean of every window."""
    x = _plane(cases, integer(cases, 8, 70), _image(cases))
    attributes = {
        "kernel_shape": [integer(cases, 1, 4), integer(cases, 1, 4)],
        "strides": [integer(cases, 1, 2)] * 2,
        "pads": [0, 0, 0, 0],
        "x_zero_point": integer(cases, -9, 9),
        "x_scale": 0.37,
        "y_scale": float(cases.rng.uniform(0.1, 0.9)),
        "zero_point": integer(cases, -9, 9),
        "low": -120,
        "high": 127,
        "dtype": "int8",
        "count_include_pad": 0,
    }
    return cases.node("AveragePool", [x], attributes, name=f"y{cases.count}")


def concat(cases: Cases) -> ir.Value:
    """Channels side by side, and a product that reads all of them."""
    size, kind = _image(cases), "uint8"
    parts: list[ir.Value] = []
    for _ in range(integer(cases, 2, 4)):
        x = cases.input((1, 3, *size), kind)
        weights = weights_of(cases, (integer(cases, 1, 40), 3, 1, 1))
        window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
        sums = cases.node(
            "Conv", [x, weights], {"x_zero_point": 7, "w_zero_point": [0], **window}
        )
        parts.append(scaled(cases, sums, kept=False, kind=kind))
    joined = cases.node("Concat", parts, {"axis": 1}, domain="")
    return conv_of(cases, joined, 24, (3, 3))


def quantize(cases: Cases) -> ir.Value:
    """Real numbers that a product reads as integers; half of them are ties."""
    x = cases.input((1, integer(cases, 1, 40), *_image(cases)), "float32")
    kind = np.iinfo(kind_of(cases))
    scale = float(np.float32(cases.rng.uniform(0.01, 0.1)))
    attributes = {
        "scale": scale,
        "zero_point": integer(cases, kind.min, kind.max),
        "low": kind.min + 3,
        "high": kind.max,
        "dtype": kind.dtype.name,
    }
    made = cases.node("Quantize", [x], attributes)
    _conv_plain(cases, made, 8)
    return conv_of(cases, made, 9, (1, 1))


OPERATORS: dict[str, Draw] = {
    "quantize": quantize,
    "conv": conv,
    "conv_1d": conv_1d,
    "depthwise": depthwise,
    "grouped": grouped,
    "dense": dense,
    "add": add,
    "requantize": requantize,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "concat": concat,
}
