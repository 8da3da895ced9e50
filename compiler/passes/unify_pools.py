"""Spell the poolings over whole images as poolings with a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    int_of,
    ints_of,
    name_of,
    op_key,
    shape_of,
)
from joulecut.compiler.passes.infra import Pass, still_there


@dataclass(frozen=True)
class UnifyPools(Pass):
    """Write whole-image poolings with a window.

    GlobalAveragePool(x), ReduceMean(x, spatial axes)  =>  AveragePool(x, kernel = image)
    GlobalMaxPool(x)                                   =>  MaxPool(x, kernel = image)
    with a Reshape after it where ReduceMean drops the axes.

    Refuses:
        1. ReduceMean over other axes than all the spatial ones: no window covers them. It is
           left for the lowering, which lists it.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        return rewrite(graph, _rule)

    def ensures(self, graph: Graph) -> str | None:
        """No global pooling is left."""
        return still_there(graph, "GlobalAveragePool", "GlobalMaxPool")


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    key = op_key(node)
    if key not in ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean"):
        return None
    x, output = inputs[0], node.outputs[0]
    assert x is not None
    shape = shape_of(x)
    if key == "ReduceMean" and _axes(node, len(shape)) != list(range(2, len(shape))):
        return None
    keeps = key != "ReduceMean" or bool(int_of(node, "keepdims", 1))
    name = name_of(output) if keeps else build.fresh(f"{name_of(output)}_pooled")
    pooled = build.node(
        "MaxPool" if key == "GlobalMaxPool" else "AveragePool",
        [x],
        {"kernel_shape": list(shape[2:])},
        name=node.name,
        output=name,
        shape=(*shape[:2], *[1] * (len(shape) - 2)),
        dtype=np.float32,
    )
    if keeps:
        return [pooled]
    target = build.constant(f"{name_of(output)}_shape", np.array(shape_of(output), np.int64))
    return [
        build.node(
            "Reshape",
            [pooled, target],
            name=f"{node.name}_reshape",
            output=name_of(output),
            shape=output.shape,
            dtype=np.float32,
        )
    ]


def _axes(node: ir.Node, rank: int) -> list[int] | None:
    """The axes of a ReduceMean, from the attribute (opset < 18) or the input."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    constant = constant_of(given)
    if given is not None and constant is None:
        return None
    axes = ints_of(node, "axes", range(rank)) if constant is None else constant.reshape(-1)
    return sorted(int(axis) % rank for axis in axes)
