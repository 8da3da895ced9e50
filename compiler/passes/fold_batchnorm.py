"""Fold BatchNormalization into the layer before it, or spell it as a product and a sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.codes import Array
from joulecut.compiler.graph import (
    Graph,
    attribute,
    constant_of,
    int_of,
    ints_of,
    name_of,
    op_key,
    shape_of,
)
from joulecut.compiler.passes.infra import Pass, still_there
from joulecut.compiler.quant import qtype_of


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Fold the affine map a * y + b, a = gamma / sqrt(var + epsilon), b = beta - a * mean.

    Conv(x, Dequantize(w, s), c) -> BatchNorm  =>  Conv(x, Dequantize(sign(a) w, |a| s), a c + b)
    BatchNorm(y)                               =>  Add(Mul(y, a), b)

    The integers of the weights stay (their sign turns where a < 0), only scales change, so
    nothing is rounded twice; the lowering rounds the new bias to int32.

    The first form is refused, and the second used, if:
        1. the Conv has another reader: it needs the value before the BatchNorm;
        2. the weights are not a dequantized initializer [O, ..], scaled per tensor or along O;
        3. a is 0 somewhere: a scale must be positive;
        4. a is negative and a code has no negative in its type (-128 of int8, any of uint8),
           or a zero point is not 0;
        5. the bias of the Conv is not constant.
    BatchNorm with statistics that are computed is left for the lowering, which lists it.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        return rewrite(graph, _rule)

    def ensures(self, graph: Graph) -> str | None:
        """No BatchNormalization with constant statistics is left."""
        found = still_there(graph, "BatchNormalization")
        computed = any(_affine(node) is None for node in graph.graph if _is_batch_norm(node))
        return None if computed else found


@dataclass(frozen=True)
class _Affine:
    """a * y + b per channel, in float64 [C]."""

    a: Array
    b: Array


def _is_batch_norm(node: ir.Node) -> bool:
    return op_key(node) == "BatchNormalization"


def _affine(node: ir.Node) -> _Affine | None:
    arrays = [constant_of(value) for value in node.inputs[1:5]]
    statistics = [array.astype(np.float64) for array in arrays if array is not None]
    if len(statistics) < 4 or int_of(node, "training_mode", 0):
        return None
    gamma, beta, mean, variance = statistics
    epsilon = attribute(node, "epsilon", 1e-5)
    assert isinstance(epsilon, float)
    a = gamma / np.sqrt(variance + epsilon)
    return _Affine(a, beta - a * mean)


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    if not _is_batch_norm(node):
        return None
    affine = _affine(node)
    if affine is None:
        return None
    folded = _folded(node, affine, inputs, build)
    return [folded if folded is not None else _spelled(node, affine, inputs, build)]


def _spelled(
    node: ir.Node, affine: _Affine, inputs: list[ir.Value | None], build: Builder
) -> ir.Value:
    """Add(Mul(y, a), b)."""
    output = node.outputs[0]
    name = name_of(output)
    shape = (-1, *[1] * (len(shape_of(output)) - 2))
    a = build.constant(f"{name}_factor", affine.a.astype(np.float32).reshape(shape))
    b = build.constant(f"{name}_addend", affine.b.astype(np.float32).reshape(shape))
    product = build.node(
        "Mul",
        [inputs[0], a],
        name=f"{node.name}_mul",
        output=build.fresh(f"{name}_scaled"),
        shape=output.shape,
        dtype=np.float32,
    )
    return build.node(
        "Add", [product, b], name=node.name, output=name, shape=output.shape, dtype=np.float32
    )


def _folded(
    node: ir.Node, affine: _Affine, inputs: list[ir.Value | None], build: Builder
) -> ir.Value | None:
    """The Conv with a and b in it, or None if it is refused."""
    old = node.inputs[0]
    assert old is not None
    if len(old.uses()) != 1 or old.is_graph_output():
        return None  # 1: the value before the BatchNorm has another reader
    y = inputs[0]
    conv = None if y is None else y.producer()
    if conv is None or op_key(conv) != "Conv":
        return None
    weight = _folded_weight(conv, affine.a, build)
    bias = _bias(conv)
    if weight is None or bias is None:
        return None
    total = (affine.a * bias + affine.b).astype(np.float32)
    made = build.copy(conv, [conv.inputs[0], weight, build.constant(f"{old.name}_bias", total)])
    made[0].name = name_of(node.outputs[0])
    return made[0]


def _bias(conv: ir.Node) -> Array | None:
    """The bias in float64, zeros if there is none, None if it is computed."""
    bias = conv.inputs[2] if len(conv.inputs) > 2 else None
    if bias is None:
        return np.zeros(1)
    constant = constant_of(bias)
    if constant is not None:
        return constant.astype(np.float64)
    maker = bias.producer()
    if maker is None or op_key(maker) != "joulecut.Dequantize":
        return None
    codes, scale = constant_of(maker.inputs[0]), constant_of(maker.inputs[1])
    if codes is None or scale is None:
        return None
    zero_point = np.array(ints_of(maker, "zero_point"))
    return (codes.astype(np.int64) - zero_point) * scale.astype(np.float64)


def _folded_weight(conv: ir.Node, a: Array, build: Builder) -> ir.Value | None:
    """Dequantize(sign(a) w, |a| s), or None if it is refused."""
    weight = conv.inputs[1]
    maker = None if weight is None else weight.producer()
    if weight is None or maker is None or op_key(maker) != "joulecut.Dequantize":
        return None  # 2
    codes, scale = constant_of(maker.inputs[0]), constant_of(maker.inputs[1])
    per_tensor = scale is not None and scale.size == 1
    if codes is None or scale is None or not (per_tensor or int_of(maker, "axis", 1) == 0):
        return None  # 2
    turned = (a < 0).reshape(-1, *[1] * (codes.ndim - 1))
    scales = np.abs(a).astype(np.float32) * scale
    zero_points = ints_of(maker, "zero_point")
    if not (np.isfinite(scales) & (scales > 0)).all():
        return None  # 3
    stored = maker.inputs[0]
    assert stored is not None
    qtype = qtype_of(stored)
    flipped = np.where(turned, -codes.astype(np.int64), codes)
    high = 127 if qtype is None else qtype.high
    if turned.any() and (any(zero_points) or codes.dtype != np.int8 or flipped.max() > high):
        return None  # 4
    if qtype is not None:
        axis = 0 if scales.size > 1 else None
        qtype = replace(qtype, scale=tuple(map(float, scales)), axis=axis)
    name = name_of(weight)
    return build.node(
        "joulecut.Dequantize",
        [
            build.constant(f"{stored.name}_folded", flipped.astype(codes.dtype), qtype),
            build.constant(f"{name}_scale_folded", scales),
        ],
        {"axis": 0, "zero_point": zero_points if len(zero_points) != 1 else int(*zero_points)},
        name=f"{maker.name}_folded",
        output=build.fresh(f"{name}_folded"),
        shape=weight.shape,
        dtype=np.float32,
    )
