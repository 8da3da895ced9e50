"""Builds integer Graphs by hand, in the dialect of docs/spec.md, with random weights.

Tests of cuts, codecs, kernels and code generators need networks before, and without, any float
front end. The builder keeps an estimate of how far each value spreads, and picks scales so that
activations neither all saturate nor vanish however deep the network is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from joulecut.compiler.graph import (
    DOMAIN,
    DOMAIN_VERSION,
    Graph,
    dtype_of,
    is_constant,
    name_of,
    shape_of,
)
from joulecut.compiler.quant import QType, qtype_of, set_qtype

OPSET = 21
IR_VERSION = 10
SPREAD = 2.5  # a range holds +-2.5 times the root mean square of what is stored in it


def _float32(value: float) -> float:
    return float(np.float32(value))


class GraphBuilder:
    """Adds one operator at a time; every value gets a name, shape, type and meaning.

    Attributes:
        rng: the source of every random number; the same seed gives the same Graph.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self._name = name
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._nodes: list[ir.Node] = []
        self._constants: list[ir.Value] = []
        self._rms: dict[ir.Value, float] = {}  # estimate, of (integer - zero point)

    # ---- ends -------------------------------------------------------------------------

    def input(self, name: str, shape: Sequence[int]) -> ir.Value:
        """A float32 input of the graph; `feeds` gives it standard normal numbers."""
        value = self._value(name, shape, np.dtype(np.float32), None)
        self._inputs.append(value)
        self._rms[value] = 1.0
        return value

    def output(self, value: ir.Value) -> None:
        """Make the value an output of the graph."""
        self._outputs.append(value)

    def graph(self) -> Graph:
        """The finished Graph."""
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._nodes,
            initializers=self._constants,
            opset_imports={"": OPSET, DOMAIN: DOMAIN_VERSION},
            name=self._name,
        )
        return ir.Model(graph, ir_version=IR_VERSION)

    # ---- between floats and integers --------------------------------------------------

    def qtype(self, bits: int = 8, *, signed: bool = True, relu: bool = False) -> QType:
        """A type of scale 1 with a zero point that is not 0; near the bottom after a ReLU."""
        plain = QType(bits, signed, (1.0,))
        span = plain.high - plain.low
        near = plain.low + (span // 8 if relu else span // 2)
        wobble = int(self.rng.integers(-(span // 16), span // 16 + 1))
        zero_point = int(np.clip(near + wobble, plain.low, plain.high))
        return QType(bits, signed, (1.0,), zero_point)

    def quantize(self, x: ir.Value, qtype: QType | None = None) -> ir.Value:
        """float32 -> int8 or uint8."""
        qtype = qtype or self.qtype(signed=False)
        out, attributes = self._target(qtype, self._rms[x], 1.0, relu=False)
        qtype = _scaled(qtype, out)
        attributes["scale"] = out
        return self._ours("Quantize", [x], attributes, shape_of(x), qtype, self._rms[x] / out)

    def dequantize(self, x: ir.Value) -> ir.Value:
        """int8, uint8 or int32 -> float32."""
        qtype = self.meaning(x)
        scale = self._constant("scale", np.array(qtype.scale, np.float32), None)
        attributes = {"axis": _axis(qtype), "zero_point": qtype.zero_point}
        return self._ours("Dequantize", [x, scale], attributes, shape_of(x), None, 1.0)

    # ---- accumulating -----------------------------------------------------------------

    def conv(
        self,
        x: ir.Value,
        channels: int,
        kernel: Sequence[int],
        *,
        strides: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        group: int = 1,
        weight_bits: int = 8,
        unsigned_weights: bool = False,
        bias: bool = True,
    ) -> ir.Value:
        """Convolution into int32; one weight scale per output channel."""
        ndim = len(kernel)
        strides, dilations = strides or [1] * ndim, dilations or [1] * ndim
        pads = pads or [0] * (2 * ndim)
        batch, in_channels, *spatial = shape_of(x)
        taps = (in_channels // group, *kernel)
        weight, zero_points = self._weight((channels, *taps), 0, weight_bits, unsigned_weights)
        operands = [x, weight]
        rms = self._product_rms(x, weight, zero_points[0], math.prod(taps))
        acc_type = self._acc_type(self.meaning(x), self.meaning(weight), 1)
        if bias:
            operands.append(self._bias(channels, rms, acc_type))
        out = [
            (size + pads[i] + pads[ndim + i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i]
            + 1
            for i, size in enumerate(spatial)
        ]
        attributes = {
            "x_zero_point": self.meaning(x).zero_point,
            "w_zero_point": zero_points,
            "strides": list(strides),
            "pads": list(pads),
            "dilations": list(dilations),
            "group": group,
        }
        return self._ours("Conv", operands, attributes, (batch, channels, *out), acc_type, rms)

    def matmul(self, x: ir.Value, columns: int, *, bias: bool = True) -> ir.Value:
        """Product with a constant matrix into int32; one weight scale per column."""
        *rows, depth = shape_of(x)
        weight, zero_points = self._weight((depth, columns), 1, 8, unsigned=False)
        rms = self._product_rms(x, weight, 0, depth)
        acc_type = self._acc_type(self.meaning(x), self.meaning(weight), len(rows))
        operands = [x, weight, *([self._bias(columns, rms, acc_type)] if bias else [])]
        attributes = {
            "a_zero_point": self.meaning(x).zero_point,
            "b_zero_point": zero_points,
        }
        return self._ours("MatMul", operands, attributes, (*rows, columns), acc_type, rms)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Elementwise product of two values into int32."""
        left, right = self.meaning(a), self.meaning(b)
        shape = np.broadcast_shapes(shape_of(a), shape_of(b))
        qtype = QType(32, True, (_float32(left.scale[0] * right.scale[0]),))
        attributes = {"a_zero_point": left.zero_point, "b_zero_point": right.zero_point}
        rms = self._rms[a] * self._rms[b]
        return self._ours("Mul", [a, b], attributes, shape, qtype, rms)

    # ---- back to 8 bits ---------------------------------------------------------------

    def requantize(
        self,
        x: ir.Value,
        qtype: QType | None = None,
        *,
        relu: bool = False,
        exact: bool = False,
    ) -> ir.Value:
        """int32, int8 or uint8 -> int8 or uint8; with `exact`, to the very scale of `qtype`."""
        qtype, source = qtype or self.qtype(relu=relu), self.meaning(x)
        scale, attributes = self._target(qtype, self._rms[x], _mean(source), relu=relu)
        if not exact:
            qtype = _scaled(qtype, scale)
        rms = self._rms[x] * _mean(source) / qtype.scale[0] * (0.71 if relu else 1.0)
        multiplier = self._multiplier(source, qtype)
        attributes |= {"axis": _axis(source), "x_zero_point": source.zero_point}
        return self._ours("Requantize", [x, multiplier], attributes, shape_of(x), qtype, rms)

    def add(
        self, operands: Sequence[ir.Value], qtype: QType | None = None, *, relu: bool = False
    ) -> ir.Value:
        """Sum of two or more values of any scales, accumulators included."""
        qtype = qtype or self.qtype(relu=relu)
        sources = [self.meaning(value) for value in operands]
        real = math.hypot(
            *(self._rms[v] * _mean(s) for v, s in zip(operands, sources, strict=True))
        )
        scale, attributes = self._target(qtype, real, 1.0, relu=relu)
        qtype = _scaled(qtype, scale)
        multipliers = [self._multiplier(source, qtype) for source in sources]
        attributes |= {"axis": 1, "x_zero_points": [source.zero_point for source in sources]}
        shape = np.broadcast_shapes(*map(shape_of, operands))
        rms = real / scale * (0.71 if relu else 1.0)
        return self._ours("Add", [*operands, *multipliers], attributes, shape, qtype, rms)

    def average_pool(
        self,
        x: ir.Value,
        kernel: Sequence[int],
        *,
        strides: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        count_include_pad: bool = False,
    ) -> ir.Value:
        """Average over windows, requantized."""
        strides, pads = strides or [1] * len(kernel), pads or [0] * (2 * len(kernel))
        source = self.meaning(x)
        real = self._rms[x] * source.scale[0] * 0.8
        scale, attributes = self._target(qtype := self.qtype(), real, 1.0, relu=False)
        qtype = _scaled(qtype, scale)
        attributes |= {
            "kernel_shape": list(kernel),
            "strides": list(strides),
            "pads": list(pads),
            "ceil_mode": 0,
            "count_include_pad": int(count_include_pad),
            "x_zero_point": source.zero_point,
            "x_scale": source.scale[0],
            "y_scale": scale,
        }
        shape = _pooled(shape_of(x), kernel, strides, pads, ceil_mode=False)
        return self._ours("AveragePool", [x], attributes, shape, qtype, real / scale)

    # ---- moving -----------------------------------------------------------------------

    def max_pool(
        self,
        x: ir.Value,
        kernel: Sequence[int],
        strides: Sequence[int],
        *,
        pads: Sequence[int] | None = None,
        ceil_mode: bool = False,
    ) -> ir.Value:
        """Maximum over windows; padding never wins."""
        pads = pads or [0] * (2 * len(kernel))
        attributes = {
            "kernel_shape": list(kernel),
            "strides": list(strides),
            "pads": list(pads),
            "ceil_mode": int(ceil_mode),
        }
        shape = _pooled(shape_of(x), kernel, strides, pads, ceil_mode=ceil_mode)
        return self._move("MaxPool", [x], attributes, shape, 1.4)

    def reshape(self, x: ir.Value, shape: Sequence[int]) -> ir.Value:
        """The same integers in another shape."""
        return self._move("Reshape", [x, self._indices("shape", shape)], {}, shape)

    def transpose(self, x: ir.Value, perm: Sequence[int]) -> ir.Value:
        """Axes in another order."""
        shape = [shape_of(x)[axis] for axis in perm]
        return self._move("Transpose", [x], {"perm": list(perm)}, shape)

    def slice(self, x: ir.Value, axis: int, start: int, end: int, step: int = 1) -> ir.Value:
        """A range of one axis."""
        bounds = {"starts": start, "ends": end, "axes": axis, "steps": step}
        operands = [x, *(self._indices(name, [number]) for name, number in bounds.items())]
        shape = list(shape_of(x))
        shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
        return self._move("Slice", operands, {}, shape)

    def pad(self, x: ir.Value, pads: Sequence[int]) -> ir.Value:
        """Zero point around the value; `pads` in ONNX order, all axes."""
        zero = self._constant("zero", np.array(self.meaning(x).zero_point, dtype_of(x)), None)
        before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
        shape = [b + size + a for b, size, a in zip(before, shape_of(x), after, strict=True)]
        operands = [x, self._indices("pads", pads), zero]
        return self._move("Pad", operands, {"mode": "constant"}, shape)

    def concat(self, operands: Sequence[ir.Value], axis: int) -> ir.Value:
        """Concatenation; operands that mean something else than the first are requantized."""
        qtype = self.meaning(operands[0])
        same = [
            value if self.meaning(value) == qtype else self.requantize(value, qtype, exact=True)
            for value in operands
        ]
        shape = list(shape_of(same[0]))
        shape[axis] = sum(shape_of(value)[axis] for value in same)
        return self._move("Concat", same, {"axis": axis}, shape)

    def identity(self, x: ir.Value) -> ir.Value:
        """The value under another name."""
        return self._move("Identity", [x], {}, shape_of(x))

    def relu(self, x: ir.Value) -> ir.Value:
        """Relu on floats, after a Dequantize."""
        return self._add("Relu", [x], {}, shape_of(x), np.dtype(np.float32), None, 0.71)

    # ---- parts ------------------------------------------------------------------------

    def meaning(self, value: ir.Value) -> QType:
        """The QType of an integer value."""
        qtype = qtype_of(value)
        assert qtype is not None, f"{value.name} must be an integer value"
        return qtype

    def _value(
        self, name: str, shape: Sequence[int], dtype: np.dtype, qtype: QType | None
    ) -> ir.Value:
        kind = ir.TensorType(ir.DataType.from_numpy(dtype))
        value = ir.Value(name=name, shape=ir.Shape(list(shape)), type=kind)
        if qtype is not None:
            set_qtype(value, qtype)
        return value

    def _constant(self, role: str, array: np.ndarray, qtype: QType | None) -> ir.Value:
        name = f"n{len(self._nodes)}.{role}.{len(self._constants)}"
        value = self._value(name, array.shape, array.dtype, qtype)
        value.const_value = ir.tensor(array, name=name)
        self._constants.append(value)
        return value

    def _indices(self, role: str, numbers: Sequence[int]) -> ir.Value:
        return self._constant(role, np.array(numbers, np.int64), None)

    def _weight(
        self, shape: tuple[int, ...], axis: int, bits: int, unsigned: bool
    ) -> tuple[ir.Value, list[int]]:
        """Random weights and their zero points, one per channel of `axis` if unsigned."""
        count = shape[axis]
        plain = QType(bits, not unsigned, (1.0,), narrow=not unsigned)
        array = self.rng.integers(plain.low, plain.high, shape, endpoint=True)
        zero_points = [(plain.high + 1) // 2] * count if unsigned else [0]
        # Keeps the real numbers near 1, so that values made at different depths may be joined.
        gain = 1.4 / math.sqrt(
            math.prod(shape) / count * np.mean((array - zero_points[0]) ** 2.0 + 0.1)
        )
        scales = tuple(_float32(s) for s in gain * self.rng.uniform(0.7, 1.3, count))
        qtype = QType(bits, not unsigned, scales, zero_points[0], not unsigned, axis)
        return self._constant("weight", array.astype(plain.dtype), qtype), zero_points

    def _bias(self, count: int, rms: float, acc_type: QType) -> ir.Value:
        array = np.rint(self.rng.normal(0.0, rms / 4, count)).astype(np.int32)
        return self._constant("bias", array, QType(32, True, acc_type.scale, axis=0))

    def _acc_type(self, x: QType, weight: QType, axis: int) -> QType:
        products = np.float32(x.scale[0]) * np.array(weight.scale, np.float32)
        return QType(32, True, tuple(map(float, products)), axis=axis)

    def _product_rms(self, x: ir.Value, weight: ir.Value, zero_point: int, taps: int) -> float:
        assert weight.const_value is not None
        array = weight.const_value.numpy().astype(np.float64) - zero_point
        return math.sqrt(taps) * self._rms[x] * math.sqrt(float(np.mean(array**2)) + 0.1)

    def _multiplier(self, source: QType, target: QType) -> ir.Value:
        ratio = np.array(source.scale, np.float32) / np.float32(target.scale[0])
        return self._constant("multiplier", ratio, None)

    def _target(
        self, qtype: QType, rms: float, scale: float, *, relu: bool
    ) -> tuple[float, dict[str, object]]:
        """The scale that fills the range of `qtype`, and the attributes that clamp to it."""
        span = qtype.high - qtype.zero_point if relu else (qtype.high - qtype.low) / 2
        attributes: dict[str, object] = {
            "zero_point": qtype.zero_point,
            "low": qtype.zero_point if relu else qtype.low,
            "high": qtype.high,
            "dtype": ir.DataType.from_numpy(qtype.dtype).value,
        }
        return _float32(rms * scale * SPREAD / max(span, 1)), attributes

    def _move(
        self,
        op_type: str,
        operands: Sequence[ir.Value],
        attributes: Mapping[str, object],
        shape: Sequence[int],
        growth: float = 1.0,
    ) -> ir.Value:
        x = operands[0]
        spread = max(self._rms[value] for value in operands if not is_constant(value)) * growth
        return self._add(op_type, operands, attributes, shape, dtype_of(x), qtype_of(x), spread)

    def _ours(
        self,
        op_type: str,
        operands: Sequence[ir.Value],
        attributes: Mapping[str, object],
        shape: Sequence[int],
        qtype: QType | None,
        rms: float,
    ) -> ir.Value:
        dtype = np.dtype(np.float32) if qtype is None else qtype.dtype
        return self._add(op_type, operands, attributes, shape, dtype, qtype, rms, DOMAIN)

    def _add(
        self,
        op_type: str,
        operands: Sequence[ir.Value],
        attributes: Mapping[str, object],
        shape: Sequence[int],
        dtype: np.dtype,
        qtype: QType | None,
        rms: float,
        domain: str = "",
    ) -> ir.Value:
        name = f"n{len(self._nodes)}.{op_type.lower()}"
        value = self._value(name, shape, dtype, qtype)
        fields: dict[str, ir.Attr] = {k: _attr(k, v) for k, v in attributes.items()}
        self._nodes.append(
            ir.node(op_type, operands, fields, domain=domain, outputs=[value], name=name)
        )
        self._rms[value] = rms
        return value


def name_outputs(graph: Graph) -> list[str]:
    """The names of the graph's outputs, in order."""
    return [name_of(value) for value in graph.graph.outputs]


def _attr(name: str, value: object) -> ir.Attr:
    match value:
        case str():
            return ir.AttrString(name, value)
        case float():
            return ir.AttrFloat32(name, value)
        case list():
            return ir.AttrInt64s(name, value)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            assert isinstance(value, int)
            return ir.AttrInt64(name, value)


def _scaled(qtype: QType, scale: float) -> QType:
    return QType(qtype.bits, qtype.signed, (scale,), qtype.zero_point, qtype.narrow)


def _axis(qtype: QType) -> int:
    return 1 if qtype.axis is None else qtype.axis


def _mean(qtype: QType) -> float:
    return float(np.mean(qtype.scale))


def _pooled(
    shape: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    *,
    ceil_mode: bool,
) -> tuple[int, ...]:
    """Shape after pooling; with ceil_mode, windows that start in the far padding are left out."""
    out: list[int] = []
    for i, size in enumerate(shape[2:]):
        room = size + pads[i] + pads[len(kernel) + i] - kernel[i]
        count = (-(-room // strides[i]) if ceil_mode else room // strides[i]) + 1
        if ceil_mode and (count - 1) * strides[i] >= size + pads[i]:
            count -= 1
        out.append(count)
    return (*shape[:2], *out)
