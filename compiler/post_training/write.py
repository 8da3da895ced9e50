"""Put quantizers into a float Graph: standard ONNX, QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir

from joulecut.compiler.builder import Attribute, Builder, rewrite
from joulecut.compiler.codes import Array, Codes
from joulecut.compiler.graph import DOMAIN, Graph, is_constant, name_of, nodes, op_key
from joulecut.compiler.post_training.points import MOVES
from joulecut.compiler.post_training.weights import bias_codes, layer_of, weight_codes
from joulecut.compiler.support import ACCUMULATING


def with_quantizers(
    graph: Graph, codes: Mapping[str, Codes], biases: Mapping[str, Array]
) -> onnx.ModelProto:
    """The Graph with a quantizer after each value that has codes, and integer weights.

    Weights become int8, symmetric, one scale a channel; biases int32 at the scale of the
    accumulator.

    Args:
        graph: float; stays as it is.
        codes: of each activation that is quantized, by name.
        biases: by name of a layer's output, what to use instead of its bias.
    """
    return _standard(rewrite(graph, _Writer(codes, biases).rule))


def with_twins(
    graph: Graph, codes: Mapping[str, Codes]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The float Graph, and for each layer what quantizing it alone changes in its output.

    A twin computes the layer with integer weights on the quantized input; what comes before is
    float.

    Returns:
        A model, and its outputs: of each layer that takes a bias, by the name of what it makes,
        the name of "float minus quantized".
    """
    writer, build = _Writer(codes, {}), Builder(graph)
    inputs = [value for value in graph.graph.inputs if not is_constant(value)]
    known = {value: build.input(value) for value in inputs}
    made_inputs = list(known.values())
    changes: dict[str, ir.Value] = {}
    for node in nodes(graph):
        read = [
            None if value is None else known.get(value) or build.carry(value)
            for value in node.inputs
        ]
        made = build.copy(node, read)
        known.update(zip(node.outputs, made, strict=True))
        layer = layer_of(node) if op_key(node) in ACCUMULATING else None
        if layer is not None and layer.takes_bias:
            changes[name_of(made[0])] = _change(writer, build, node, read, made[0])
    model = _standard(build.finish(made_inputs, list(changes.values())))
    return model, {name: name_of(value) for name, value in changes.items()}


def codes_name(value: str) -> str:
    """The name of the integers of a float value."""
    return f"{value}_q"


@dataclass
class _Writer:
    """The rule of this rewrite, and the quantized values that were asked for so far."""

    codes: Mapping[str, Codes]
    biases: Mapping[str, Array]
    made: dict[str, ir.Value] = field(default_factory=dict[str, ir.Value])

    def rule(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value]:
        read = [
            new
            if old is None or old.producer() is not None
            else self.quantized(build, old, new)
            for old, new in zip(node.inputs, inputs, strict=True)
        ]
        if op_key(node) in ACCUMULATING:
            read = self.with_integers(build, node, read)
        outputs = build.copy(node, read)
        return [
            self._output(build, node, old, new)
            for old, new in zip(node.outputs, outputs, strict=True)
        ]

    def quantized(self, build: Builder, old: ir.Value, new: ir.Value | None) -> ir.Value | None:
        """The float value through its quantizer, if it has one; made once."""
        name = name_of(old)
        if new is None or name not in self.codes:
            return new
        if name not in self.made:
            self.made[name] = _pair(build, new, self.codes[name], name, codes_name(name))
        return self.made[name]

    def with_integers(
        self, build: Builder, node: ir.Node, read: list[ir.Value | None]
    ) -> list[ir.Value | None]:
        """The operands of a layer with its constants quantized."""
        layer, x = layer_of(node), node.inputs[0]
        weight = node.inputs[1]
        if layer is None or x is None or weight is None or name_of(x) not in self.codes:
            return read
        x_scale, stem = self.codes[name_of(x)].scale, name_of(node.outputs[0])
        bias = self.biases.get(stem, layer.bias)
        codes = weight_codes(layer, float(x_scale[0]), bias)
        stored = _constant(build, codes.encode(layer.weight), codes, name_of(weight))
        if bias is None:
            return [read[0], stored, *read[2:]]
        integers, whole = bias_codes(bias, x_scale, codes)
        return [read[0], stored, _constant(build, integers, whole, f"{stem}_bias")]

    def _output(self, build: Builder, node: ir.Node, old: ir.Value, new: ir.Value) -> ir.Value:
        name = name_of(old)
        codes = self.codes.get(name)
        if codes is None:
            return new
        # What a move makes are codes already; the lowering calls them `codes_name` itself.
        integers = f"{name}_codes" if op_key(node) in MOVES else codes_name(name)
        if not old.is_graph_output():
            return _pair(build, new, codes, name, integers)
        new.name = build.fresh(f"{name}_float")
        return _pair(build, new, codes, name, integers, real=name)


def _change(
    writer: _Writer, build: Builder, node: ir.Node, read: list[ir.Value | None], real: ir.Value
) -> ir.Value:
    """What a layer makes, less what its twin makes."""
    x, name = node.inputs[0], name_of(real)
    assert x is not None
    rounded = writer.with_integers(
        build, node, [writer.quantized(build, x, read[0]), *read[1:]]
    )
    (twin,) = build.copy(node, rounded)
    maker = twin.producer()
    assert maker is not None
    twin.name = maker.name = build.fresh(f"{name}_twin")
    return build.node(
        "Sub",
        [real, twin],
        name=f"{name}_change",
        output=build.fresh(f"{name}_change"),
        shape=real.shape,
        dtype=np.float32,
    )


def _pair(
    build: Builder, x: ir.Value, codes: Codes, name: str, integers: str, real: str | None = None
) -> ir.Value:
    """QuantizeLinear and DequantizeLinear of an activation."""
    parameters = _parameters(build, codes, name)
    integers = build.fresh(integers)
    stored = build.node(
        "QuantizeLinear",
        [x, *parameters],
        name=integers,
        output=integers,
        shape=x.shape,
        dtype=codes.dtype,
    )
    return _dequantized(build, stored, parameters, {}, real or build.fresh(f"{name}_dq"))


def _dequantized(
    build: Builder,
    stored: ir.Value,
    parameters: list[ir.Value],
    attributes: Mapping[str, Attribute],
    output: str,
) -> ir.Value:
    """DequantizeLinear, named like what it makes."""
    return build.node(
        "DequantizeLinear",
        [stored, *parameters],
        attributes,
        name=output,
        output=output,
        shape=stored.shape,
        dtype=np.float32,
    )


def _constant(build: Builder, array: Array, codes: Codes, name: str) -> ir.Value:
    """DequantizeLinear of integers that are stored."""
    stored = build.constant(codes_name(name), array)
    parameters = _parameters(build, codes, name)
    attributes: Mapping[str, Attribute] = {"axis": codes.axis} if codes.scale.size > 1 else {}
    return _dequantized(build, stored, parameters, attributes, build.fresh(f"{name}_dq"))


def _parameters(build: Builder, codes: Codes, name: str) -> list[ir.Value]:
    scale, zero = codes.scale, np.broadcast_to(codes.zero_point, codes.scale.shape)
    shape = () if scale.size == 1 else (-1,)
    return [
        build.constant(f"{name}_scale", scale.reshape(shape)),
        build.constant(f"{name}_zero_point", zero.reshape(shape).astype(codes.dtype)),
    ]


def _standard(graph: Graph) -> onnx.ModelProto:
    """The message of a Graph that has none of our own operators; each node has its own name."""
    del graph.graph.opset_imports[DOMAIN]
    taken: set[str | None] = set()
    for node in nodes(graph):
        stem, count = node.name, 0
        while node.name in taken:
            count += 1
            node.name = f"{stem}_{count}"
        taken.add(node.name)
    return ir.to_proto(graph)
