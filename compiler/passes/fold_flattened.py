"""A product of a transposed plane in one row => the product of the plane, rows of weights moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.graph import Graph, constant_of, ints_of, name_of, op_key, shape_of
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.quant import qtype_of


@dataclass(frozen=True)
class FoldFlattened(Pass):
    """Let weights follow the order of a plane, as TensorFlow's Flatten wants the other one.

    MatMul(Reshape(Transpose(x), [N, K]), W)  =>  MatMul(Reshape(x, [N, K]), rows of W moved)

    The sums are of the same products of integers in another order.

    Refuses:
        1. Weights that are computed: they could not be moved when a part is built.
        2. A Transpose or a Reshape that somebody else reads: it would be computed all the same.
        3. A Transpose that moves the samples, or a Reshape that does not make a row of each.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        return rewrite(graph, _rule)


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    flat, weights = node.inputs[:2] if op_key(node) == "joulecut.MatMul" else (None, None)
    new, codes = inputs[0] if inputs else None, constant_of(weights)
    if flat is None or weights is None or new is None or codes is None or codes.ndim != 2:
        return None
    turned = _only_read(flat, "Reshape")
    x = None if turned is None else _only_read(turned, "Transpose")
    if turned is None or x is None:
        return None
    transpose, reshape = turned.producer(), new.producer()
    assert transpose is not None
    assert reshape is not None
    perm = ints_of(transpose, "perm", range(len(shape_of(x)))[::-1])
    before = reshape.inputs[0]
    source = None if before is None or before.producer() is None else before.producer()
    if source is None or perm[0] != 0 or len(shape_of(flat)) != 2:
        return None
    if shape_of(flat)[0] != shape_of(x)[0]:
        return None
    sizes = [shape_of(x)[axis] for axis in perm[1:]]
    back = [int(axis) for axis in np.argsort([axis - 1 for axis in perm[1:]])]
    moved = codes.reshape(*sizes, -1).transpose(*back, len(sizes)).reshape(codes.shape)
    row = build.node(
        "Reshape",
        [source.inputs[0], reshape.inputs[1]],
        name=reshape.name,
        output=build.fresh(f"{name_of(flat)}_plane"),
        shape=shape_of(flat),
        dtype=codes.dtype if flat.dtype is None else flat.dtype.numpy(),
        qtype=qtype_of(flat),
    )
    matrix = build.constant(name_of(weights), moved, qtype_of(weights))
    return build.copy(node, [row, matrix, *inputs[2:]])


def _only_read(value: ir.Value, key: str) -> ir.Value | None:
    """What a node of this kind reads, if it makes the value for one reader only."""
    producer = value.producer()
    if producer is None or op_key(producer) != key:
        return None
    if len(value.uses()) != 1 or value.is_graph_output():
        return None
    return producer.inputs[0]
