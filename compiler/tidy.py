"""Leave one spelling for what ONNX spells in several ways, before quantizers are looked at.

Identity, Dropout  =>  nothing;  Constant nodes were lifted already
Reshape, Flatten, Squeeze, Unsqueeze (shape computed or constant)  =>  Reshape(constant shape)
auto_pad  =>  pads;  nodes without a name  =>  nodes named after their output
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.graph import Graph, ints_of, name_of, op_key, shape_of, text_of

_RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool"})


def tidy(graph: Graph) -> Graph:
    """The graph with one spelling for each thing; names of values stay."""
    return rewrite(graph, _rule)


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    key = op_key(node)
    first = inputs[0] if inputs else None
    if key in ("Identity", "Dropout") and first is not None:
        return [first]
    if key in _RESHAPES and first is not None:
        return [_reshape(node, first, build)]
    if key in _WINDOWED and text_of(node, "auto_pad", "NOTSET") != "NOTSET":
        return [_pads_resolved(node, inputs, build)]
    return None


def _reshape(node: ir.Node, x: ir.Value, build: Builder) -> ir.Value:
    """The shape is known; how it was worked out no longer matters and becomes dead."""
    output = node.outputs[0]
    assert output.dtype is not None
    shape = build.constant(f"{name_of(output)}_shape", np.array(shape_of(output), np.int64))
    return build.node(
        "Reshape",
        [x, shape],
        name=node.name or name_of(output),
        output=name_of(output),
        shape=output.shape,
        dtype=output.dtype.numpy(),
    )


def _pads_resolved(node: ir.Node, inputs: list[ir.Value | None], build: Builder) -> ir.Value:
    made = build.copy(node, inputs)[0]
    producer = made.producer()
    assert producer is not None
    pads = resolved_pads(node)
    del producer.attributes["auto_pad"]
    producer.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return made


def resolved_pads(node: ir.Node) -> list[int]:
    """The pads that SAME_UPPER, SAME_LOWER or VALID stand for, in ONNX order."""
    x = node.inputs[0]
    assert x is not None
    sizes = shape_of(x)[2:]
    mode = text_of(node, "auto_pad")
    if mode == "VALID":
        return [0] * (2 * len(sizes))
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise UntrustedInputError(
            f"auto_pad of {op_key(node)} '{node.name}' must be NOTSET, VALID, SAME_UPPER or "
            f"SAME_LOWER, not {mode!r}"
        )
    kernel = _kernel(node)
    ones = [1] * len(sizes)
    strides, dilations = ints_of(node, "strides", ones), ints_of(node, "dilations", ones)
    begins: list[int] = []
    ends: list[int] = []
    for size, taps, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1
        total = max(0, reach - size)
        small, large = total // 2, total - total // 2
        begins.append(small if mode == "SAME_UPPER" else large)
        ends.append(large if mode == "SAME_UPPER" else small)
    return [*begins, *ends]


def _kernel(node: ir.Node) -> tuple[int, ...]:
    weight = node.inputs[1] if op_key(node) == "Conv" else None
    default = None if weight is None else shape_of(weight)[2:]
    return ints_of(node, "kernel_shape", default)
