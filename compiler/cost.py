"""What a Graph computes, fetches and moves, counted once for every report and every search.

Costs add: that of a part is the sum over its layers, and no report has a formula of its own. The
counts carry no units of a device; targets/price.py turns them into energy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import onnx_ir as ir

from joulecut.compiler.graph import (
    Graph,
    constant_of,
    dtype_of,
    element_count,
    ints_of,
    is_constant,
    op_key,
    shape_of,
)
from joulecut.compiler.layers import Layer, layers


@dataclass(frozen=True)
class Cost:
    """Counts for one inference of batch 1.

    Attributes:
        macs: 8-bit products, each added to an int32. Padding counts, as a kernel computes it;
            a product of two activations (Mul) counts as one.
        additions: int32 additions that no product needs: biases and the sums of averages.
        float_products: float32 multiplications and divisions: requantizing, joins, float nodes.
        float_additions: float32 additions and subtractions: joins, float nodes.
        parameters: weights and biases that are fetched.
        weight_bytes: these as they are stored, an int4 in a byte.
        nonzero_macs: of `macs` those whose weight is not 0; all where no operand is a constant.
        nonzero_parameters: of `parameters` those that are not 0.
        nonzero_bytes: of `weight_bytes` those of parameters that are not 0.
        constant_bytes: every other constant: scales, shapes, operands of float nodes.
        activation_bytes_in: what layers read from memory.
        activation_bytes_out: what layers write to memory.
    """

    macs: int = 0
    additions: int = 0
    float_products: int = 0
    float_additions: int = 0
    parameters: int = 0
    weight_bytes: int = 0
    nonzero_macs: int = 0
    nonzero_parameters: int = 0
    nonzero_bytes: int = 0
    constant_bytes: int = 0
    activation_bytes_in: int = 0
    activation_bytes_out: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def cost(graph: Graph) -> Cost:
    """The sum over the layers of an integer Graph."""
    return sum(map(cost_of_layer, layers(graph)), Cost())


def cost_of_layer(layer: Layer) -> Cost:
    """The sum over the nodes, and what enters and leaves the layer."""
    moved = Cost(
        activation_bytes_in=sum(_bytes(value) for value in layer.inputs),
        activation_bytes_out=_bytes(layer.output),
    )
    return sum(map(_cost_of_node, layer.nodes), moved)


def _bytes(value: ir.Value) -> int:
    return element_count(value) * dtype_of(value).itemsize


def _cost_of_node(node: ir.Node) -> Cost:
    return _arithmetic(node) + _constants(node)


def _arithmetic(node: ir.Node) -> Cost:
    """Operations of one node; moving ones have none, nor do comparisons (MaxPool, Relu)."""
    count = element_count(node.outputs[0])
    match op_key(node):
        case "joulecut.Conv":
            return _accumulating(node, terms=math.prod(shape_of(_operand(node, 1))[1:]))
        case "joulecut.MatMul":
            return _accumulating(node, terms=shape_of(_operand(node, 0))[-1])
        case "joulecut.Mul":
            return Cost(macs=count, nonzero_macs=count)
        case "joulecut.AveragePool":
            taps = math.prod(ints_of(node, "kernel_shape"))
            return Cost(additions=count * (taps - 1), float_products=count)
        case "joulecut.Add":
            terms = len(node.inputs) // 2
            return Cost(float_products=count * terms, float_additions=count * (terms - 1))
        case (
            "joulecut.Requantize" | "joulecut.Quantize" | "joulecut.Dequantize" | "Mul" | "Div"
        ):
            return Cost(float_products=count)
        case "Add" | "Sub":
            return Cost(float_additions=count)
        case _:
            return Cost()


def _accumulating(node: ir.Node, terms: int) -> Cost:
    count = element_count(node.outputs[0])
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    weights = _operand(node, 1)
    macs = nonzero = count * terms
    if is_constant(weights) and macs:
        # Every weight is used equally often.
        nonzero = macs // element_count(weights) * _nonzero(node, weights)
    return Cost(macs=macs, nonzero_macs=nonzero, additions=count if has_bias else 0)


def _nonzero(node: ir.Node, value: ir.Value) -> int:
    """How many elements of a constant operand of a Conv or MatMul do not stand for 0."""
    array = constant_of(value)
    assert array is not None
    if value is not node.inputs[1]:
        return int(np.count_nonzero(array))
    is_conv = op_key(node) == "joulecut.Conv"
    points = np.array(ints_of(node, "w_zero_point" if is_conv else "b_zero_point"))
    along = points.reshape(-1, *[1] * (array.ndim - 1)) if is_conv else points
    return int(np.count_nonzero(array != along.astype(array.dtype)))


def _operand(node: ir.Node, position: int) -> ir.Value:
    value = node.inputs[position]
    assert value is not None, f"{op_key(node)} '{node.name}' must have operand {position}"
    return value


def _constants(node: ir.Node) -> Cost:
    """What a node fetches: weights and biases are parameters, the rest is not."""
    constants = [value for value in node.inputs if value is not None and is_constant(value)]
    nbytes = sum(map(_bytes, constants))
    if op_key(node) in ("joulecut.Conv", "joulecut.MatMul"):
        kept = [_nonzero(node, value) for value in constants]
        sizes = [dtype_of(value).itemsize for value in constants]
        return Cost(
            parameters=sum(map(element_count, constants)),
            weight_bytes=nbytes,
            nonzero_parameters=sum(kept),
            nonzero_bytes=sum(n * size for n, size in zip(kept, sizes, strict=True)),
        )
    return Cost(constant_bytes=nbytes)
