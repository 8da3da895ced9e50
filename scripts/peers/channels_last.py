"""A QLinear model with channels first  =>  the same with channels last, for onnxruntime.

Its kernels for com.microsoft operators with channels last are the fastest that it has on x86.
The one conversion stands before the first operator; where the last one has a single pixel, or
nothing reads four dimensions any more, none stands behind it.

    QLinearConv, QLinear(Global)AveragePool   =>  channels_last = 1
    MaxPool                                   =>  NhwcMaxPool
    QLinearAdd, QLinearConcat                 =>  the same, on channels-last operands
    Flatten, Reshape of one pixel             =>  the same
    everything else                           =>  a Transpose on each operand that needs one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import helper

_MICROSOFT = "com.microsoft"
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_WINDOWED = ("QLinearConv", "QLinearAveragePool", "QLinearGlobalAveragePool")
_JOINED_AT = {"QLinearAdd": (0, 3), "QLinearMul": (0, 3)}

Shapes = Mapping[str, tuple[int, ...]]


def channels_last(model: onnx.ModelProto, shapes: Shapes) -> onnx.ModelProto:
    """Rewrite a model; inputs and outputs keep channels first.

    Args:
        model: of standard and com.microsoft operators, as onnxruntime's optimizer writes it.
        shapes: of its values, channels first; where one is missing a Transpose is put.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:]
    del found.graph.value_info[:]
    writer = _Writer(shapes)
    for node in model.graph.node:
        writer.write(node)
    for value in model.graph.output:
        writer.first(value.name)
    found.graph.node.extend(writer.nodes)
    if not any(entry.domain == _MICROSOFT for entry in found.opset_import):
        found.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
    return found


def known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes of all values of a model of standard operators, where they are numbers."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    found: dict[str, tuple[int, ...]] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = tuple(dim.dim_value for dim in dims)
    return found


@dataclass
class _Writer:
    """The new nodes, and under which name a value has its channels last."""

    shapes: Shapes
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    _last: dict[str, str] = field(default_factory=dict[str, str])
    _only_last: set[str] = field(default_factory=set[str])

    def write(self, node: onnx.NodeProto) -> None:
        kind = node.op_type
        if kind in _WINDOWED and self._rank(node.input[0]) == 4:
            self._emit(node, (0,), domain=_MICROSOFT, channels_last=1)
        elif kind == "MaxPool" and self._rank(node.input[0]) == 4 and len(node.output) == 1:
            self._emit(node, (0,), kind="NhwcMaxPool", domain=_MICROSOFT, storage_order=None)
        elif kind in _JOINED_AT and self._are_alike(node, _JOINED_AT[kind]):
            self._emit(node, _JOINED_AT[kind])
        elif kind == "QLinearConcat" and self._joins_channels(node):
            self._emit(node, range(2, len(node.input), 3), axis=3)
        elif kind in ("Flatten", "Reshape") and self._is_one_pixel(node.input[0]):
            copy = _copy(node)
            copy.input[0] = self._last.get(node.input[0], node.input[0])
            self.nodes.append(copy)
        else:
            for name in node.input:
                self.first(name)
            self.nodes.append(_copy(node))

    def first(self, name: str) -> None:
        """Make sure that the value exists with its channels first, under its own name."""
        if name in self._only_last:
            self._transpose(self._last[name], name, _TO_FIRST)
            self._only_last.discard(name)

    def _emit(
        self,
        node: onnx.NodeProto,
        operands: Sequence[int],
        *,
        kind: str | None = None,
        domain: str | None = None,
        **changed: int | None,
    ) -> None:
        """The node on channels-last operands; an attribute that becomes None goes away."""
        copy = _copy(node)
        copy.op_type, copy.domain = (
            kind or node.op_type,
            node.domain if domain is None else domain,
        )
        for index in operands:
            copy.input[index] = self._as_last(node.input[index])
        kept = [attribute for attribute in node.attribute if attribute.name not in changed]
        del copy.attribute[:]
        copy.attribute.extend(kept)
        for name, value in changed.items():
            if value is not None:
                copy.attribute.append(helper.make_attribute(name, value))
        (output,) = node.output
        copy.output[0] = f"{output}_nhwc"
        self._last[output] = copy.output[0]
        self._only_last.add(output)
        self.nodes.append(copy)

    def _as_last(self, name: str) -> str:
        if name not in self._last:
            self._last[name] = f"{name}_nhwc"
            self._transpose(name, self._last[name], _TO_LAST)
        return self._last[name]

    def _transpose(self, old: str, new: str, order: tuple[int, ...]) -> None:
        made: Any = helper.make_node("Transpose", [old], [new], name=f"{new}_by", perm=order)
        self.nodes.append(made)

    def _rank(self, name: str) -> int:
        return len(self.shapes.get(name, ()))

    def _are_alike(self, node: onnx.NodeProto, operands: Sequence[int]) -> bool:
        """Of equal shapes, four dimensions, and one of them with its channels last already?"""
        names = [node.input[index] for index in operands]
        shapes = {self.shapes.get(name, ()) for name in names}
        return (
            len(shapes) == 1
            and self._rank(names[0]) == 4
            and not self._last.keys().isdisjoint(names)
        )

    def _joins_channels(self, node: onnx.NodeProto) -> bool:
        names = node.input[2::3]
        axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
        return axis in (1, -3) and all(name in self._last for name in names)

    def _is_one_pixel(self, name: str) -> bool:
        """Do both orders have the same bytes?"""
        return self._rank(name) == 4 and self.shapes[name][2:] == (1, 1)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
