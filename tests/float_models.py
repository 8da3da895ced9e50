"""Float ONNX models with random weights, as exporters write them before anything is quantized."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = Sequence[int | str | None]

OPSET = 17


class FloatBuilder:
    """Adds one operator at a time; values are named by the node that makes them."""

    def __init__(self, seed: int = 0, *, opset: int = OPSET):
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.shapes: dict[str, tuple[int, ...]] = {}

    def input(self, name: str, shape: Shape, sizes: Sequence[int] | None = None) -> str:
        """An input; `sizes` are its dimensions where `shape` has names."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.shapes[name] = tuple(sizes or [dim for dim in shape if isinstance(dim, int)])
        return name

    def output(self, *names: str) -> None:
        """Make values outputs."""
        for name in names:
            self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))

    def constant(self, name: str, array: Array) -> str:
        """An initializer."""
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(
        self, op_type: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any
    ) -> str:
        """Any node with one output."""
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        self.shapes[name] = tuple(shape)
        return name

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        pad: int | None = None,
        group: int = 1,
        bias: bool = True,
    ) -> str:
        """A convolution over all spatial axes, of He's variance."""
        _, depth, *spatial = self.shapes[x]
        pad = kernel // 2 if pad is None else pad
        taps = (depth // group, *[kernel] * len(spatial))
        stem = f"w{len(self.nodes)}"
        operands = [x, self.constant(stem, self._weight((channels, *taps), math.prod(taps)))]
        if bias:
            operands.append(self.constant(f"{stem}_bias", self._normal(channels, 0.1)))
        outs = [(size + 2 * pad - kernel) // stride + 1 for size in spatial]
        return self.node(
            "Conv",
            operands,
            (1, channels, *outs),
            kernel_shape=[kernel] * len(spatial),
            strides=[stride] * len(spatial),
            pads=[pad] * (2 * len(spatial)),
            group=group,
        )

    def dense(self, x: str, columns: int) -> str:
        """A Gemm with a turned weight, as torch writes it."""
        depth = self.shapes[x][-1]
        stem = f"w{len(self.nodes)}"
        weight = self.constant(stem, self._weight((columns, depth), depth))
        bias = self.constant(f"{stem}_bias", self._normal(columns, 0.1))
        return self.node("Gemm", [x, weight, bias], (1, columns), transB=1)

    def norm(self, x: str) -> str:
        """A batch normalization with statistics of all signs and sizes."""
        channels = self.shapes[x][1]
        stem = f"bn{len(self.nodes)}"
        operands = [
            self.constant(f"{stem}_gamma", self._normal(channels, 0.3) + np.float32(1)),
            self.constant(f"{stem}_beta", self._normal(channels, 0.2)),
            self.constant(f"{stem}_mean", self._normal(channels, 0.2)),
            self.constant(f"{stem}_variance", np.exp(self._normal(channels, 0.3))),
        ]
        return self.node("BatchNormalization", [x, *operands], self.shapes[x])

    def relu(self, x: str, most: float | None = None) -> str:
        """ReLU, or Clip to 0..most."""
        if most is None:
            return self.node("Relu", [x], self.shapes[x])
        low = self.constant(f"low{len(self.nodes)}", np.array(0, np.float32))
        high = self.constant(f"high{len(self.nodes)}", np.array(most, np.float32))
        return self.node("Clip", [x, low, high], self.shapes[x])

    def pool(self, x: str, op_type: str = "MaxPool", kernel: int = 2) -> str:
        """MaxPool or AveragePool whose windows do not overlap."""
        _, channels, *spatial = self.shapes[x]
        outs = (1, channels, *(size // kernel for size in spatial))
        sizes = [kernel] * len(spatial)
        return self.node(op_type, [x], outs, kernel_shape=sizes, strides=sizes)

    def average(self, x: str) -> str:
        """GlobalAveragePool and Flatten."""
        _, channels, *spatial = self.shapes[x]
        pooled = self.node("GlobalAveragePool", [x], (1, channels, *[1] * len(spatial)))
        return self.flatten(pooled)

    def flatten(self, x: str) -> str:
        """[1, all]."""
        return self.node("Flatten", [x], (1, math.prod(self.shapes[x][1:])))

    def add(self, a: str, b: str) -> str:
        """The sum of two values of one shape."""
        return self.node("Add", [a, b], self.shapes[a])

    def concat(self, *values: str) -> str:
        """Along the channels."""
        channels = sum(self.shapes[value][1] for value in values)
        shape = (1, channels, *self.shapes[values[0]][2:])
        return self.node("Concat", values, shape, axis=1)

    def model(self) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.nodes, "net", self.inputs, self.outputs, self.initializers
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def write(self, path: Path) -> Path:
        """The finished model in a file."""
        path.write_bytes(self.model().SerializeToString())
        return path

    def samples(self, count: int, seed: int = 7) -> dict[str, Array]:
        """Standard normal samples [count, ...] for each input."""
        rng = np.random.default_rng(seed)
        return {
            value.name: rng.normal(size=(count, *self.shapes[value.name][1:])).astype(
                np.float32
            )
            for value in self.inputs
        }

    def _weight(self, shape: Sequence[int], taps: int) -> Array:
        return self._normal(shape, math.sqrt(2 / taps))

    def _normal(self, shape: int | Sequence[int], deviation: float) -> Array:
        return (self.rng.normal(size=shape) * deviation).astype(np.float32)


def _residual(build: FloatBuilder) -> None:
    x = build.relu(build.norm(build.conv(build.input("x", (1, 3, 12, 12)), 8, bias=False)))
    branch = build.norm(build.conv(build.relu(build.conv(x, 8)), 8, bias=False))
    x = build.relu(build.add(branch, x))
    shortcut = build.conv(x, 16, 1, stride=2)
    branch = build.conv(build.relu(build.conv(x, 16, stride=2)), 16)
    x = build.relu(build.add(branch, shortcut))
    build.output(build.dense(build.average(x), 10))


def _depthwise(build: FloatBuilder) -> None:
    x = build.relu(build.conv(build.input("x", (1, 3, 12, 12)), 8, stride=2), 6.0)
    wide = build.relu(build.norm(build.conv(x, 24, 1, bias=False)), 6.0)
    deep = build.relu(build.norm(build.conv(wide, 24, group=24, bias=False)), 6.0)
    narrow = build.norm(build.conv(deep, 8, 1, bias=False))
    build.output(build.dense(build.average(build.add(narrow, x)), 5))


def _densely(build: FloatBuilder) -> None:
    """Joins, and batch normalizations that no layer precedes."""
    x = build.conv(build.input("x", (1, 2, 8, 8)), 6)
    for _ in range(3):
        new = build.conv(build.relu(build.norm(x)), 4)
        x = build.concat(x, new)
    build.output(build.dense(build.flatten(build.pool(build.relu(x), "AveragePool")), 4))


def _wave(build: FloatBuilder) -> None:
    """Convolutions over time."""
    x = build.relu(build.conv(build.input("x", (1, 2, 64)), 8, 5, stride=2))
    x = build.pool(build.relu(build.norm(build.conv(x, 8, bias=False))))
    build.output(build.dense(build.flatten(x), 6))


def _perceptron(build: FloatBuilder) -> None:
    x = build.relu(build.dense(build.input("x", (1, 20)), 32))
    build.output(build.dense(build.relu(build.dense(x, 16)), 4))


def _two_ends(build: FloatBuilder) -> None:
    """Two inputs, and outputs of three kinds: a layer's, a ReLU's and a join's."""
    a = build.relu(build.conv(build.input("image", (1, 3, 8, 8)), 6))
    b = build.conv(build.input("mask", (1, 1, 8, 8)), 6)
    joined = build.concat(a, b)
    build.output(build.conv(joined, 4, 1), build.relu(build.add(a, b)), joined)


NETWORKS: dict[str, Callable[[FloatBuilder], None]] = {
    "residual": _residual,
    "depthwise": _depthwise,
    "densely": _densely,
    "wave": _wave,
    "perceptron": _perceptron,
    "two ends": _two_ends,
}


def network(name: str, seed: int = 0, *, opset: int = OPSET) -> FloatBuilder:
    """One of `NETWORKS`."""
    build = FloatBuilder(seed, opset=opset)
    NETWORKS[name](build)
    return build


def open_shapes() -> FloatBuilder:
    """A network that leaves its batch, height and width open; 8x12 fits."""
    build = FloatBuilder()
    x = build.conv(build.input("x", ("N", 3, "height", None), (1, 3, 8, 12)), 4)
    build.output(build.dense(build.average(x), 3))
    return build


def random_network(seed: int, depth: int) -> FloatBuilder:
    """Blocks in random order, with weights of random sizes."""
    build = FloatBuilder(seed)
    rng = build.rng
    x = build.conv(build.input("x", (1, 3, 16, 16)), 8)
    for _ in range(depth):
        channels, *spatial = build.shapes[x][1:]
        match int(rng.integers(7)):
            case 0:
                x = build.relu(build.norm(build.conv(x, int(rng.integers(4, 17)), bias=False)))
            case 1:
                x = build.relu(build.conv(x, channels, group=channels), 6.0)
            case 2:
                x = build.relu(build.add(build.conv(build.relu(x), channels), x))
            case 3 if channels < 32:
                x = build.concat(x, build.relu(build.conv(x, 4, 1)))
            case 4 if min(spatial) >= 4:
                x = build.pool(x, str(rng.choice(["MaxPool", "AveragePool"])))
            case 5:
                x = build.node(
                    "Transpose", [x], (1, channels, *spatial[::-1]), perm=[0, 1, 3, 2]
                )
            case _:
                factor = build.constant(
                    f"f{len(build.nodes)}", np.full(1, rng.uniform(0.2, 5), np.float32)
                )
                x = build.node("Mul", [build.conv(x, channels, 1), factor], build.shapes[x])
    build.output(build.dense(build.average(x), 8))
    return build
