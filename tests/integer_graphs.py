"""Integer networks that the tests share: the shapes of real ones, and random DAGs.

`NETWORKS` maps names to functions without arguments; `random_graph(seed)` is the rest of the
space. `feeds(graph, seed)` makes inputs for any of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from graph_builder import GraphBuilder

from joulecut.compiler.graph import Graph, dtype_of, input_specs, shape_of


def feeds(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal float32 numbers for every input."""
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.standard_normal(spec.shape).astype(np.float32)
        for spec in input_specs(graph)
    }


def digits() -> Graph:
    """Four 5x5 convolutions with pools and five dense layers on 1x1x28x28."""
    b = GraphBuilder("digits", 1)
    x = b.quantize(b.input("x", (1, 1, 28, 28)))
    for channels in (16, 32, 48, 64):
        acc = b.conv(x, channels, (5, 5), pads=(2, 2, 2, 2))
        x = b.max_pool(b.requantize(acc, relu=True), (2, 2), (2, 2), ceil_mode=True)
    x = b.reshape(x, (1, 256))
    for columns in (512, 256, 128, 64):
        x = b.requantize(b.matmul(x, columns), relu=True)
    b.output(b.dequantize(b.matmul(x, 10)))
    return b.graph()


def resnet8() -> Graph:
    """The shape of MLPerf Tiny's ResNet-8 on 1x3x32x32; two of its joins add accumulators."""
    b = GraphBuilder("resnet8", 2)

    def conv3(x: ir.Value, channels: int, stride: int = 1) -> ir.Value:
        pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        return b.conv(x, channels, (3, 3), strides=(stride, stride), pads=pads)

    x = b.quantize(b.input("image", (1, 3, 32, 32)), b.qtype())
    x = b.requantize(conv3(x, 16), relu=True)
    y = conv3(b.requantize(conv3(x, 16), relu=True), 16)
    x = b.add([y, x], relu=True)
    for channels in (32, 64):
        y = b.requantize(conv3(x, channels, 2), relu=True)
        shortcut = b.requantize(b.conv(x, channels, (1, 1), strides=(2, 2)))
        y = conv3(y, channels)
        y = b.requantize(y) if channels == 32 else y
        x = b.add([y, shortcut], relu=True)
    x = b.reshape(b.average_pool(x, (8, 8)), (1, 64))
    b.output(b.dequantize(b.matmul(x, 10)))
    return b.graph()


def dense_block() -> Graph:
    """A dense block of three layers: each reads everything before it."""
    b = GraphBuilder("dense_block", 3)
    x = b.quantize(b.input("x", (1, 3, 16, 16)), b.qtype())
    features = [b.requantize(b.conv(x, 8, (3, 3), pads=(1, 1, 1, 1)), relu=True)]
    for _ in range(3):
        x = features[0] if len(features) == 1 else b.concat(features, 1)
        narrow = b.requantize(b.conv(x, 12, (1, 1)), relu=True)
        acc = b.conv(narrow, 6, (3, 3), pads=(1, 1, 1, 1))
        features.append(b.requantize(acc, relu=True))
    x = b.requantize(b.conv(b.concat(features, 1), 10, (1, 1)))
    b.output(b.dequantize(b.average_pool(x, (2, 2), strides=(2, 2))))
    return b.graph()


def depthwise_separable() -> Graph:
    """Three depthwise-pointwise pairs, strides 1 and 2, on 1x3x24x24."""
    b = GraphBuilder("depthwise_separable", 4)
    x = b.quantize(b.input("image", (1, 3, 24, 24)))
    acc = b.conv(x, 8, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    x = b.requantize(acc, b.qtype(signed=False, relu=True), relu=True)
    for channels, stride in ((16, 1), (24, 2), (24, 1)):
        depth = shape_of(x)[1]
        pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        acc = b.conv(x, depth, (3, 3), strides=(stride, stride), pads=pads, group=depth)
        x = b.requantize(acc, b.qtype(signed=False, relu=True), relu=True)
        x = b.requantize(b.conv(x, channels, (1, 1)), relu=True)
    x = b.reshape(b.average_pool(x, shape_of(x)[2:]), (1, 24))
    b.output(b.dequantize(b.matmul(x, 12)))
    return b.graph()


def conv1d() -> Graph:
    """Modulation recognition: I and Q samples, 1x2x128, through 1-D convolutions."""
    b = GraphBuilder("conv1d", 5)
    x = b.quantize(b.input("iq", (1, 2, 128)), b.qtype())
    for channels, bits in ((16, 8), (24, 6), (32, 4)):
        acc = b.conv(x, channels, (7,), pads=(3, 3), weight_bits=bits)
        x = b.requantize(acc, b.qtype(bits, signed=False, relu=True), relu=True)
        x = b.max_pool(x, (2,), (2,))
    x = b.reshape(x, (1, 512))
    x = b.requantize(b.matmul(x, 32), relu=True)
    b.output(b.dequantize(b.matmul(x, 11)))
    return b.graph()


def two_inputs() -> Graph:
    """An image and a vector meet halfway; one output is read inside the graph as well."""
    b = GraphBuilder("two_inputs", 6)
    x = b.quantize(b.input("image", (1, 1, 12, 12)))
    z = b.quantize(b.input("state", (1, 5)), b.qtype())
    x = b.requantize(b.conv(x, 6, (3, 3), strides=(2, 2)), relu=True)
    x = b.requantize(b.matmul(b.reshape(x, (1, 150)), 16), relu=True)
    z = b.requantize(b.matmul(z, 16))
    joined = b.add([x, z])
    b.output(b.dequantize(joined))
    b.output(b.dequantize(b.matmul(joined, 4)))
    return b.graph()


NETWORKS: dict[str, Callable[[], Graph]] = {
    "digits": digits,
    "resnet8": resnet8,
    "dense_block": dense_block,
    "depthwise_separable": depthwise_separable,
    "conv1d": conv1d,
    "two_inputs": two_inputs,
}


def random_graph(seed: int, *, steps: int | None = None, floats: bool = False) -> Graph:
    """A random DAG of small layers.

    Args:
        seed: the same seed gives the same Graph.
        steps: operators to draw; 3 to 12 if None.
        floats: let a float Relu follow some outputs.
    """
    b = GraphBuilder(f"random_{seed}", seed)
    rng = b.rng
    alive: list[ir.Value] = []
    for i in range(1 + int(rng.random() < 0.25)):
        side = int(rng.integers(5, 10))
        shape = (1, int(rng.integers(1, 5)), side, int(rng.integers(5, 10)))
        alive.append(b.quantize(b.input(f"x{i}", shape), _any_type(b)))
    for _ in range(int(rng.integers(3, 13)) if steps is None else steps):
        # Recent values are likelier, so that graphs grow deep as well as wide.
        x = alive[-1 - min(int(rng.geometric(0.5)) - 1, len(alive) - 1)]
        draw = _DRAWS[int(rng.integers(len(_DRAWS)))]
        made = draw(b, x, alive)
        if made is not None:
            alive.append(made)
    inner = {v for v in alive if v.uses()}
    for value in alive:
        if value not in inner or rng.random() < 0.08:
            _finish(b, value, floats)
    return b.graph()


def _finish(b: GraphBuilder, value: ir.Value, floats: bool) -> None:
    """Make the value an output: as it is, as floats, or after a dense layer."""
    fate = int(b.rng.integers(3))
    if fate == 0:
        return b.output(value)
    if fate == 2:
        flat = b.reshape(value, (1, int(np.prod(shape_of(value)))))
        value = b.matmul(flat, 5, bias=bool(b.rng.integers(2)))
    real = b.dequantize(value)
    return b.output(b.relu(real) if floats and b.rng.integers(2) else real)


def _any_type(b: GraphBuilder, *, relu: bool = False):
    bits = int(b.rng.choice([8, 8, 8, 6, 5, 4, 3]))
    return b.qtype(bits, signed=bool(b.rng.integers(2)), relu=relu)


def _out(b: GraphBuilder, acc: ir.Value) -> ir.Value:
    relu = bool(b.rng.integers(2))
    return b.requantize(acc, _any_type(b, relu=relu), relu=relu)


def _is_image(x: ir.Value, side: int) -> bool:
    return len(shape_of(x)) == 4 and min(shape_of(x)[2:]) >= side


def _draw_conv(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if not _is_image(x, 3):
        return None
    kernel = [int(k) for k in b.rng.integers(1, 4, 2)]
    acc = b.conv(
        x,
        int(b.rng.integers(1, 7)),
        kernel,
        strides=[int(s) for s in b.rng.integers(1, 3, 2)],
        pads=[int(p) for p in b.rng.integers(0, 3, 4)],
        dilations=[int(d) if min(shape_of(x)[2:]) >= 5 else 1 for d in b.rng.integers(1, 3, 2)],
        weight_bits=int(b.rng.choice([8, 8, 4, 2])),
        unsigned_weights=bool(b.rng.random() < 0.25),
        bias=bool(b.rng.integers(2)),
    )
    return _out(b, acc)


def _draw_depthwise(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if not _is_image(x, 3):
        return None
    depth = shape_of(x)[1]
    return _out(b, b.conv(x, depth * int(b.rng.integers(1, 3)), (3, 3), group=depth))


def _draw_residual(b: GraphBuilder, x: ir.Value, alive: list[ir.Value]) -> ir.Value | None:
    if len(shape_of(x)) != 4:
        return None
    acc = b.conv(x, shape_of(x)[1], (3, 3), pads=(1, 1, 1, 1))
    others = [v for v in alive if v is not x and shape_of(v) == shape_of(x)]
    relu = bool(b.rng.integers(2))
    return b.add([acc, x, *others[:1]], _any_type(b, relu=relu), relu=relu)


def _draw_add(b: GraphBuilder, x: ir.Value, alive: list[ir.Value]) -> ir.Value | None:
    others = [v for v in alive if v is not x and shape_of(v) == shape_of(x)]
    if not others:
        return None
    b.rng.shuffle(others)
    return b.add([x, *others[: int(b.rng.integers(1, 3))]], _any_type(b))


def _draw_gate(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if not _is_image(x, 2):
        return None
    return _out(b, b.mul(x, b.average_pool(x, shape_of(x)[2:])))


def _draw_concat(b: GraphBuilder, x: ir.Value, alive: list[ir.Value]) -> ir.Value | None:
    same = [
        v
        for v in alive
        if len(shape_of(v)) == len(shape_of(x))
        and shape_of(v)[2:] == shape_of(x)[2:]
        and v is not x
    ]
    if not same or len(shape_of(x)) != 4:
        return None
    return b.concat([x, *same[:2]], 1)


def _draw_max_pool(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if not _is_image(x, 3):
        return None
    pads = [int(p) for p in b.rng.integers(0, 2, 4)]
    return b.max_pool(x, (2, 2), (2, 1), pads=pads, ceil_mode=bool(b.rng.integers(2)))


def _draw_average_pool(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if not _is_image(x, 3):
        return None
    include = bool(b.rng.integers(2))
    return b.average_pool(
        x, (3, 2), strides=(2, 1), pads=(1, 0, 1, 1), count_include_pad=include
    )


def _draw_slice(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    axis = int(b.rng.integers(1, len(shape_of(x))))
    size = shape_of(x)[axis]
    if size < 3:
        return None
    start = int(b.rng.integers(0, size - 1))
    return b.slice(x, axis, start, size, int(b.rng.integers(1, 3)))


def _draw_transpose(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if len(shape_of(x)) != 4:
        return None
    return b.transpose(x, [0, *(1 + int(i) for i in b.rng.permutation(3))])


def _draw_pad(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    if len(shape_of(x)) != 4:
        return None
    return b.pad(x, [0, 0, *map(int, b.rng.integers(0, 2, 2))] * 2)


def _draw_requantize(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    return b.requantize(x, _any_type(b))


def _draw_matmul(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    return _out(b, b.matmul(x, int(b.rng.integers(2, 9)), bias=bool(b.rng.integers(2))))


def _draw_identity(b: GraphBuilder, x: ir.Value, _: list[ir.Value]) -> ir.Value | None:
    assert dtype_of(x) in (np.int8, np.uint8)
    return b.identity(x)


_DRAWS: tuple[Callable[[GraphBuilder, ir.Value, list[ir.Value]], ir.Value | None], ...] = (
    _draw_conv,
    _draw_conv,
    _draw_depthwise,
    _draw_residual,
    _draw_add,
    _draw_add,
    _draw_gate,
    _draw_concat,
    _draw_max_pool,
    _draw_average_pool,
    _draw_slice,
    _draw_transpose,
    _draw_pad,
    _draw_requantize,
    _draw_matmul,
    _draw_identity,
)
