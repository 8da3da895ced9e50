"""An integer graph  =>  the same in onnxruntime's operators, integer for integer.

    Conv, MatMul -> Requantize   =>  QLinearConv, QLinearMatMul -> Clip
    Requantize of 8 bits         =>  QLinearConv with a filter of 1 for each channel -> Clip
    AveragePool                  =>  QLinearConv with filters of ones -> Clip
    Add                          =>  DequantizeLinear of both -> Add -> QuantizeLinear -> Clip
    what moves integers          =>  itself

onnxruntime multiplies sums by x_scale * w_scale / y_scale, in that order, in float32. A multiplier
can be split into three such scales only if it was made of them, so `draw_scales` makes it so.
Averages and sums do without: scales of 1 are exact. (QLinearAveragePool and QLinearAdd round
elsewhere than docs/spec.md, which says how often that differs.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx import NodeProto, TensorProto, helper, numpy_helper

from joulecut.compiler import onnxrt
from joulecut.compiler.graph import (
    DOMAIN,
    Graph,
    constant_of,
    dtype_of,
    float_of,
    int_of,
    ints_of,
    name_of,
    nodes,
    op_key,
    shape_of,
)

PRODUCTS = ("joulecut.Conv", "joulecut.MatMul")
ONE = np.float32(1)


@dataclass(frozen=True)
class Scales:
    """Of the activation, of the weights [C], and of the result, all float32."""

    x: np.float32
    w: np.ndarray
    y: np.float32

    @property
    def multiplier(self) -> np.ndarray:
        """What onnxruntime makes of them."""
        return (self.x * self.w) / self.y


def draw_scales(graph: Graph, rng: np.random.Generator) -> dict[str, Scales]:
    """Scales for all requantized sums, by the names of the sums; the graph's multipliers become theirs."""
    products = {name_of(n.outputs[0]) for n in nodes(graph) if op_key(n) in PRODUCTS}
    found: dict[str, Scales] = {}
    for node in nodes(graph):
        x, *others = node.inputs
        if op_key(node) != "joulecut.Requantize" or x is None or name_of(x) not in products:
            continue
        (multiplier,) = others
        about = constant_of(multiplier)
        assert multiplier is not None
        assert about is not None
        ends = rng.uniform(1e-3, 0.2, 2).astype(np.float32)
        scales = Scales(ends[0], about * ends[1] / ends[0], ends[1])
        multiplier.const_value = ir.tensor(scales.multiplier, name=multiplier.name)
        found[name_of(x)] = scales
    return found


def run_qlinear(
    graph: Graph, scales: Mapping[str, Scales], feeds: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All values of 8 bits that onnxruntime computes in the words above, by name."""
    twin = _Twin(graph, scales)
    model = twin.model()
    found = onnxrt.run(model.SerializeToString(), dict(feeds))
    return dict(zip(twin.made, found, strict=True))


class _Twin:
    """A model while it is made."""

    def __init__(self, graph: Graph, scales: Mapping[str, Scales]) -> None:
        self.graph, self.scales = graph, scales
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.made: dict[str, np.dtype[Any]] = {}
        self.products: dict[str, ir.Node] = {}

    def model(self) -> Any:
        for node in nodes(self.graph):
            self._take(node)
        ends = [
            helper.make_tensor_value_info(
                name_of(value), _type(dtype_of(value)), shape_of(value)
            )
            for value in self.graph.graph.inputs
        ]
        outputs = [
            helper.make_tensor_value_info(name, _type(dtype), None)
            for name, dtype in self.made.items()
        ]
        graph = helper.make_graph(self.nodes, "twin", ends, outputs, self.constants)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
        )

    def _take(self, node: ir.Node) -> None:
        (output,) = node.outputs
        if op_key(node) in PRODUCTS:
            self.products[name_of(output)] = node
            return
        takers = {
            "joulecut.Requantize": self._requantize,
            "joulecut.Add": self._add,
            "joulecut.AveragePool": self._average,
        }
        if node.domain == DOMAIN:
            takers[op_key(node)](node)
        else:
            self._moved(node)
        self.made[name_of(output)] = dtype_of(output)

    def _moved(self, node: ir.Node) -> None:
        for value in node.inputs:
            array = constant_of(value)
            if value is not None and array is not None:
                self.constants.append(numpy_helper.from_array(array, name_of(value)))
        self.nodes.append(ir.to_proto(node))

    def _requantize(self, node: ir.Node) -> None:
        x, multiplier = node.inputs
        assert x is not None
        source = self.products.get(name_of(x))
        if source is None:
            factors = constant_of(multiplier)
            assert factors is not None
            self._ones(node, x, (1,) * (len(shape_of(x)) - 2), factors, {})
            return
        scales = self.scales[name_of(x)]
        a, w, *bias = (value for value in source.inputs if value is not None)
        arrays = [constant_of(value) for value in (w, *bias)]
        is_conv = op_key(source) == "joulecut.Conv"
        attributes = {
            name: ints_of(source, name)
            for name in ("strides", "pads", "dilations")
            if name in source.attributes
        }
        group = {"group": int_of(source, "group", 1)} if is_conv else {}
        self._qlinear(
            node,
            "QLinearConv" if is_conv else "QLinearMatMul",
            a,
            int_of(source, "x_zero_point" if is_conv else "a_zero_point"),
            scales,
            [array for array in arrays if array is not None],
            {**attributes, **group},
        )

    def _average(self, node: ir.Node) -> None:
        (x,) = node.inputs
        assert x is not None
        kernel = ints_of(node, "kernel_shape")
        count = np.float32(np.prod(kernel))
        factor = float_of(node, "x_scale") / (float_of(node, "y_scale") * count)
        window = {name: ints_of(node, name) for name in ("strides", "pads")}
        self._ones(node, x, kernel, np.array([factor], np.float32), window)

    def _ones(
        self,
        node: ir.Node,
        x: ir.Value,
        kernel: tuple[int, ...],
        factors: np.ndarray,
        window: dict[str, tuple[int, ...]],
    ) -> None:
        """Sums of windows by channel."""
        channels = shape_of(x)[1]
        weights = np.ones((channels, 1, *kernel), np.int8)
        scales = Scales(ONE, np.broadcast_to(factors, channels), ONE)
        attributes = {**window, "group": channels}
        zero_point = int_of(node, "x_zero_point")
        self._qlinear(node, "QLinearConv", x, zero_point, scales, [weights], attributes)

    def _qlinear(
        self,
        node: ir.Node,
        op_type: str,
        x: ir.Value,
        x_zero_point: int,
        scales: Scales,
        weights: list[np.ndarray],
        attributes: Mapping[str, int | tuple[int, ...]],
    ) -> None:
        kind, (w, *bias) = dtype_of(node.outputs[0]).type, weights
        operands = [scales.x, dtype_of(x).type(x_zero_point), w, scales.w]
        operands += [np.zeros(len(scales.w), np.int8), scales.y]
        operands += [kind(int_of(node, "zero_point")), *bias]
        names = [name_of(x), *map(self._constant, operands)]
        self._clipped(node, op_type, names, attributes)

    def _add(self, node: ir.Node) -> None:
        zero_points = ints_of(node, "x_zero_points")
        reals: list[str] = []
        for value, factor, zero_point in zip(
            node.inputs[:2], node.inputs[2:], zero_points, strict=True
        ):
            factors = constant_of(factor)
            assert value is not None
            assert factors is not None
            scale = factors if factors.size > 1 else factors.reshape(())
            zeros = np.full(scale.shape, zero_point, dtype_of(value))
            names = [name_of(value), self._constant(scale), self._constant(zeros)]
            reals.append(self._node("DequantizeLinear", names, {}))
        total = self._node("Add", reals, {})
        zero_point = dtype_of(node.outputs[0]).type(int_of(node, "zero_point"))
        names = [total, self._constant(ONE), self._constant(zero_point)]
        self._clipped(node, "QuantizeLinear", names, {})

    def _clipped(
        self,
        node: ir.Node,
        op_type: str,
        names: list[str],
        attributes: Mapping[str, int | tuple[int, ...]],
    ) -> None:
        """A node and a Clip, which makes the output."""
        (output,) = node.outputs
        kind = dtype_of(output).type
        made = self._node(op_type, names, attributes)
        ends = [self._constant(kind(int_of(node, end))) for end in ("low", "high")]
        self.nodes.append(helper.make_node("Clip", [made, *ends], [name_of(output)]))

    def _node(
        self, op_type: str, names: list[str], attributes: Mapping[str, int | tuple[int, ...]]
    ) -> str:
        name = f"t{len(self.nodes)}"
        node = helper.make_node(op_type, names, [name])
        node.attribute.extend(helper.make_attribute(key, at) for key, at in attributes.items())
        self.nodes.append(node)
        return name

    def _constant(self, array: np.ndarray | np.generic) -> str:
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name


def _type(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
