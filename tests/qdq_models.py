"""Quantized ONNX models in the three dialects, made by hand: what exporters write.

`QdqBuilder` writes the same network as QDQ, QCDQ or QONNX; `NETWORKS` are the shapes that the
tests share. With `power_of_two` every scale is a power of two, so that float and integer
arithmetic are both exact and must agree in every integer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"
Array = npt.NDArray[Any]

OPSET = 17


class QdqBuilder:
    """A model in one dialect; values are named by the node that makes them.

    Scales fill the range of their quantizer: the builder tracks how large values are.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        dialect: str = "QDQ",
        power_of_two: bool = False,
        opset: int = OPSET,
    ):
        self.rng = np.random.default_rng(seed)
        self.dialect, self.power_of_two, self.opset = dialect, power_of_two, opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._rms: dict[str, float] = {}
        self.scales: dict[str, Array] = {}
        self._counts: dict[str, int] = {}

    # ---- the rim ----------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        """A float32 input of standard normal numbers."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self._rms[name] = 1.0
        return name

    def output(self, *names: str) -> None:
        """Graph outputs, float32."""
        for name in names:
            info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            self.outputs.append(info)

    def model(self) -> onnx.ModelProto:
        """The model; shapes of inner values are left to inference."""
        graph = helper.make_graph(
            self.nodes, "net", self.inputs, self.outputs, self.initializers
        )
        opsets = [helper.make_opsetid("", self.opset)]
        if self.dialect == "QONNX":
            opsets.append(helper.make_opsetid(QONNX, 2))
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    # ---- nodes ------------------------------------------------------------------------

    def node(
        self, op: str, inputs: Sequence[str], name: str | None = None, **fields: Any
    ) -> str:
        """One node with one output, named after it."""
        name = name or self._fresh(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{name}_node", **fields))
        sized = inputs if op == "Concat" else inputs[:1]
        known = [self._rms[value] for value in sized if value in self._rms]
        shrink = 0.7 if "Average" in op else 1.0  # also keeps scales apart: no systematic ties
        self._rms[name] = max(known, default=1.0) * shrink
        if inputs and inputs[0] in self.scales:
            self.scales[name] = self.scales[inputs[0]]  # true of the nodes that only move
        return name

    def split(self, x: str, sizes: str, names: Sequence[str], *, axis: int) -> tuple[str, ...]:
        """A Split into parts of these names."""
        self.nodes.append(helper.make_node("Split", [x, sizes], names, name="split", axis=axis))
        for name in names:
            self._rms[name], self.scales[name] = self._rms[x], self.scales[x]
        return tuple(names)

    def constant(self, array: Array, stem: str = "const") -> str:
        """An initializer."""
        name = self._fresh(stem)
        self.initializers.append(numpy_helper.from_array(array, name))
        self._rms[name] = float(np.sqrt(np.mean(array.astype(np.float64) ** 2))) + 1e-9
        return name

    def quantize(
        self,
        x: str,
        *,
        bits: int = 8,
        signed: bool = True,
        narrow: bool = False,
        zero_point: int = 0,
        scale: float | None = None,
        name: str | None = None,
    ) -> str:
        """An activation quantizer: x after rounding to codes, as float."""
        low, high = code_range(bits, signed, narrow)
        if scale is None:
            reach = (high - low) / 2 if low < zero_point else high - zero_point
            scale = self._round(4 * self._rms[x] / reach)
        stem = name or self._fresh(f"{x}_quant")
        number = np.float32(scale)
        if self.dialect == "QONNX":
            made = self._quant(stem, x, np.array(number), zero_point, bits, signed, narrow)
        else:
            dtype = np.int8 if signed else np.uint8
            operands = [
                self.constant(np.array(number), f"{stem}_scale"),
                self.constant(np.array(zero_point, dtype), f"{stem}_zero"),
            ]
            codes = self.node("QuantizeLinear", [x, *operands], f"{stem}_codes")
            if bits < 8 or narrow:
                codes = self._clip_codes(codes, low, high, dtype)
            made = self.node("DequantizeLinear", [codes, *operands], stem)
        self.scales[made] = np.array([number], np.float32)
        self._rms[made] = self._rms[x]
        return made

    def weight(
        self,
        shape: Sequence[int],
        *,
        axis: int | None = 0,
        bits: int = 8,
        signed: bool = True,
        zero_points: bool = False,
    ) -> str:
        """A quantized weight, scaled along `axis` or per tensor (None)."""
        narrow = signed and not zero_points and bits > 1
        low, high = code_range(bits, signed, narrow)
        count = 1 if axis is None else shape[axis]
        # Channels differ by a factor of 3, and the layer keeps the size of its input, roughly.
        fan_in = math.prod(shape) / (shape[0] if axis is None else shape[axis])
        unit = math.sqrt(12 / fan_in) / (high - low)
        scale = np.array([self._round(unit * s) for s in self.rng.uniform(0.5, 1.5, count)])
        codes = self.rng.integers(low, high, shape, endpoint=True)
        zeros = (
            self.rng.integers(low // 2, high // 2 + 1, count) if zero_points else [0] * count
        )
        dtype = np.int8 if signed else np.uint8
        return self._constant_codes(
            np.asarray(codes, dtype),
            scale.astype(np.float32),
            np.asarray(zeros, dtype),
            axis,
            (bits, signed, narrow),
        )

    def bias(self, count: int, x: str, weight: str, *, kind: str = "int32") -> str:
        """A bias at the scale of the products ("int32"), at another ("other") or "float"."""
        scale = (self.scales[x] * self.scales[weight]).astype(np.float32)
        scale = np.broadcast_to(scale, (count,))
        codes = self.rng.integers(-2000, 2001, count)
        if kind == "float":
            return self.constant((codes * scale).astype(np.float32), "bias")
        if kind == "other":
            codes, scale = codes // 4, (scale * 4).astype(np.float32)
        scale = scale[:1] if (scale == scale[0]).all() else scale
        axis = None if scale.size == 1 else 0
        zeros = np.zeros(scale.size, np.int32)
        return self._constant_codes(
            codes.astype(np.int32), scale, zeros, axis, (32, True, False)
        )

    # ---- layers -----------------------------------------------------------------------

    def conv(
        self,
        x: str,
        shape: Sequence[int],
        *,
        bias: str | None = "int32",
        per_channel: bool = True,
        bits: int = 8,
        signed: bool = True,
        zero_points: bool = False,
        name: str | None = None,
        **fields: Any,
    ) -> str:
        """A convolution with new weights [O, C / group, (kh,) kw]."""
        axis = 0 if per_channel else None
        w = self.weight(shape, axis=axis, bits=bits, signed=signed, zero_points=zero_points)
        operands = [x, w]
        if bias is not None:
            operands.append(self.bias(shape[0], x, w, kind=bias))
        made = self.node("Conv", operands, name, **fields)
        self._rms[made] = self._rms[x] * self._rms[w] * math.sqrt(math.prod(shape[1:]))
        return made

    def conv_float(self, x: str, shape: Sequence[int], name: str) -> str:
        """A convolution with weights that nothing quantized."""
        w = self.constant(self.rng.standard_normal(shape).astype(np.float32), "floats")
        return self.node("Conv", [x, w], name)

    def gemm(
        self,
        x: str,
        columns: int,
        rows: int,
        *,
        bias: str | None = "int32",
        per_channel: bool = True,
        turned: bool = True,
        name: str | None = None,
        **fields: Any,
    ) -> str:
        """A dense layer [.., rows] -> [.., columns]."""
        shape = (columns, rows) if turned else (rows, columns)
        axis = (0 if turned else 1) if per_channel else None
        w = self.weight(shape, axis=axis)
        operands = [x, w]
        if bias is not None:
            operands.append(self.bias(columns, x, w, kind=bias))
        made = self.node("Gemm", operands, name, transB=int(turned), **fields)
        self._rms[made] = self._rms[x] * self._rms[w] * math.sqrt(rows)
        return made

    def add(self, x: str, y: str) -> str:
        """The sum of two values."""
        made = self.node("Add", [x, y])
        self._rms[made] = math.hypot(self._rms[x], self._rms[y])
        return made

    def batch_norm(self, x: str, channels: int, *, negative: bool = False) -> str:
        """A BatchNormalization that keeps the size of its input, roughly."""
        size = self._rms[x]
        gamma = self.rng.uniform(0.5, 1.5, channels)
        if negative:
            gamma[0] = -gamma[0]
        arrays = {
            "gamma": gamma,
            "beta": self.rng.normal(0, size / 4, channels) / size,
            "mean": self.rng.normal(0, size / 4, channels),
            "variance": self.rng.uniform(0.5, 1.5, channels) * size**2,
        }
        names = [self.constant(a.astype(np.float32), key) for key, a in arrays.items()]
        made = self.node("BatchNormalization", [x, *names])
        self._rms[made] = 1.0
        return made

    # ---- parts ------------------------------------------------------------------------

    def _fresh(self, stem: str) -> str:
        count = self._counts.get(stem, 0)
        self._counts[stem] = count + 1
        return stem if count == 0 else f"{stem}{count}"

    def _round(self, scale: float) -> float:
        return 2.0 ** round(math.log2(scale)) if self.power_of_two else float(scale)

    def _clip_codes(self, codes: str, low: int, high: int, dtype: type) -> str:
        bounds = [
            self.constant(np.array(bound, np.dtype(dtype)), "bound") for bound in (low, high)
        ]
        return self.node("Clip", [codes, *bounds], f"{codes}_clipped")

    def _quant(
        self,
        name: str,
        x: str,
        scale: Array,
        zero_point: int,
        bits: int,
        signed: bool,
        narrow: bool,
    ) -> str:
        operands = [
            self.constant(scale.astype(np.float32), f"{name}_scale"),
            self.constant(np.array(zero_point, np.float32), f"{name}_zero"),
            self.constant(np.array(bits, np.float32), f"{name}_bits"),
        ]
        fields = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        return self.node("Quant", [x, *operands], name, domain=QONNX, **fields)

    def _constant_codes(
        self,
        codes: Array,
        scale: Array,
        zeros: Array,
        axis: int | None,
        kind: tuple[int, bool, bool],
    ) -> str:
        """A dequantized initializer, as the dialect writes it."""
        bits, signed, narrow = kind
        shape = [1] * codes.ndim
        if axis is not None:
            shape[axis] = -1
        real = (codes.astype(np.int64) - zeros.reshape(shape)) * scale.reshape(shape)
        stem = self._fresh("bias" if bits == 32 else "weight")
        if self.dialect == "QONNX":
            x = self.constant(real.astype(np.float32), f"{stem}_float")
            made = self._quant(stem, x, scale.reshape(shape), 0, bits, signed, narrow)
        else:
            low, high = code_range(bits, signed, narrow)
            stored = self.constant(codes, f"{stem}_codes")
            if self.dialect == "QCDQ" and bits <= 8 and (bits < 8 or narrow):
                stored = self._clip_codes(stored, low, high, codes.dtype.type)
            per_tensor = axis is None
            operands = [
                self.constant(scale.reshape(()) if per_tensor else scale, f"{stem}_scale"),
                self.constant(zeros.reshape(()) if per_tensor else zeros, f"{stem}_zero"),
            ]
            fields = {} if axis is None else {"axis": axis}
            made = self.node("DequantizeLinear", [stored, *operands], stem, **fields)
        self.scales[made] = scale
        self._rms[made] = float(np.sqrt(np.mean(real**2))) + 1e-9
        return made


def code_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The lowest and the highest code."""
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def write(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """The model as a file."""
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def feeds_for(model: onnx.ModelProto, seed: int = 0, *, grid: float = 0.0) -> dict[str, Array]:
    """Normal numbers for every input; multiples of `grid` if it is not 0."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for value in model.graph.input:
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        x = rng.standard_normal(shape)
        found[value.name] = (np.rint(x / grid) * grid if grid else x).astype(np.float32)
    return found


def relu_quant(b: QdqBuilder, x: str, *, bits: int = 8) -> str:
    """ReLU and an unsigned quantizer."""
    return b.quantize(b.node("Relu", [x]), signed=False, bits=bits)


def convnet(b: QdqBuilder) -> None:
    """Convolutions, max pools and dense layers; 4-bit activations in the middle."""
    small = 8 if b.dialect == "QDQ" else 4
    x = b.quantize(b.input("x", ("N", 1, 12, 12)), name="x_quant")
    x = b.conv(x, (8, 1, 3, 3), pads=[1, 1, 1, 1], name="conv1")
    x = b.node("MaxPool", [relu_quant(b, x, bits=small)], kernel_shape=[2, 2], strides=[2, 2])
    x = b.conv(x, (12, 8, 3, 3), bias="float", bits=small, name="conv2")
    x = b.node("MaxPool", [b.node("Relu", [x])], kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Flatten", [b.quantize(x, signed=False)])
    x = relu_quant(b, b.gemm(x, 20, 48, name="fc1"))
    b.output(b.gemm(x, 10, 20, name="fc2"))


def resnet(b: QdqBuilder) -> None:
    """Two residual blocks: one adds codes, one adds an accumulator and codes."""
    x = b.quantize(b.input("image", (1, 3, 8, 8)), zero_point=0)
    x = relu_quant(b, b.conv(x, (8, 3, 3, 3), pads=[1] * 4))
    y = relu_quant(b, b.conv(x, (8, 8, 3, 3), pads=[1] * 4))
    y = b.quantize(b.conv(y, (8, 8, 3, 3), pads=[1] * 4))
    x = relu_quant(b, b.add(y, x))
    y = relu_quant(b, b.conv(x, (16, 8, 3, 3), pads=[1] * 4, strides=[2, 2]))
    y = b.conv(y, (16, 16, 3, 3), pads=[1] * 4)
    shortcut = b.quantize(b.conv(x, (16, 8, 1, 1), strides=[2, 2]))
    x = relu_quant(b, b.add(y, shortcut))
    x = b.quantize(b.node("GlobalAveragePool", [x]), signed=False)
    b.output(b.gemm(b.node("Flatten", [x]), 10, 16))


def dense_block(b: QdqBuilder) -> None:
    """Concatenations of values with different scales, and one without a quantizer before."""
    x = relu_quant(
        b, b.conv(b.quantize(b.input("x", (1, 2, 8, 8))), (6, 2, 3, 3), pads=[1] * 4)
    )
    features = [x]
    for i in range(2):
        y = b.conv(x, (4, 6 + 4 * i, 3, 3), pads=[1] * 4)
        features.append(b.node("Relu", [y]) if i else relu_quant(b, y))
        x = b.quantize(b.node("Concat", features, axis=1), signed=False)
    x = b.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    b.output(b.conv(b.quantize(x, signed=False), (5, 14, 1, 1)))


def depthwise(b: QdqBuilder) -> None:
    """Depthwise-separable pairs with BatchNormalization and ReLU6."""
    x = b.quantize(b.input("x", (1, 4, 9, 9)))
    for stride in (1, 2):
        strides = [stride, stride]
        y = b.conv(x, (4, 1, 3, 3), bias=None, group=4, pads=[1] * 4, strides=strides)
        x = _normed(b, y, 4)
        x = _normed(b, b.conv(x, (4, 4, 1, 1), bias=None), 4)
    b.output(b.conv(x, (3, 4, 1, 1)))


def _normed(b: QdqBuilder, x: str, channels: int) -> str:
    """BatchNormalization, ReLU6 and a quantizer."""
    bounds = [b.constant(np.array(v, np.float32), "bound") for v in (0.0, 6.0)]
    return b.quantize(b.node("Clip", [b.batch_norm(x, channels), *bounds]), signed=False)


def conv1d(b: QdqBuilder) -> None:
    """A signal classifier: one spatial axis, dilation, and a mean over time."""
    x = b.quantize(b.input("iq", ("batch", 2, 32)))
    x = relu_quant(b, b.conv(x, (8, 2, 5), pads=[2, 2]))
    x = relu_quant(b, b.conv(x, (8, 8, 3), dilations=[2], pads=[2, 2]))
    x = b.node("MaxPool", [x], kernel_shape=[2], strides=[2])
    x = b.node("ReduceMean", [x], axes=[2], keepdims=0)
    b.output(b.gemm(b.quantize(x, signed=False), 4, 8))


def two_inputs(b: QdqBuilder) -> None:
    """Two sensors that meet in a Concat and gate each other."""
    a = b.quantize(b.input("a", (1, 6)))
    c = b.quantize(b.input("c", (1, 4)))
    left = b.quantize(b.gemm(a, 8, 6))
    right = relu_quant(b, b.gemm(c, 8, 4))
    gated = b.quantize(b.node("Mul", [left, right]))
    x = b.quantize(b.node("Concat", [gated, left], axis=1))
    b.output(b.gemm(x, 3, 16), b.gemm(gated, 2, 8, per_channel=False))


NETWORKS: Mapping[str, Callable[[QdqBuilder], None]] = {
    "convnet": convnet,
    "resnet": resnet,
    "dense_block": dense_block,
    "depthwise": depthwise,
    "conv1d": conv1d,
    "two_inputs": two_inputs,
}


def network(
    name: str, *, seed: int = 0, dialect: str = "QDQ", power_of_two: bool = False
) -> onnx.ModelProto:
    """One of `NETWORKS` as a model."""
    builder = QdqBuilder(seed, dialect=dialect, power_of_two=power_of_two)
    NETWORKS[name](builder)
    return builder.model()
