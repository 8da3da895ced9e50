"""A node that reads constants only => the constant that it computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    dtype_of,
    element_count,
    name_of,
    op_key,
    shape_of,
)
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.reference import evaluate

MOST_ELEMENTS = 2**28  # broadcasting makes a lot of little

_MOVING = frozenset({"Reshape", "Transpose"})
_FLOAT = frozenset({"Add", "Sub", "Mul", "Div"})


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Let the reference compute what exporters leave of weights that they turn or scale.

    f(constants)  =>  constant,  for Reshape, Transpose, and Add, Sub, Mul, Div of float32

    Belongs before quantizers are looked at: a quantizer of weights must see weights.

    Refuses:
        1. Quantize and Dequantize: they say what the integers of a weight mean.
        2. A result that is not finite, or of another shape than was inferred: whoever checks
           the node that reads it has a better message.
        3. An output of the graph, and more than 2**28 elements.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        return rewrite(graph, _rule)


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    key, output = op_key(node), node.outputs[0]
    if key not in _MOVING | _FLOAT or output.is_graph_output():
        return None
    arrays = [array for array in map(constant_of, inputs) if array is not None]
    if len(arrays) < len(inputs) or element_count(output) > MOST_ELEMENTS:
        return None
    if key in _FLOAT and any(array.dtype != np.float32 for array in arrays):
        return None
    if key == "Reshape" and arrays[0].size != element_count(output):
        return None
    found = evaluate(node, arrays)
    if found.shape != shape_of(output) or found.dtype != dtype_of(output):
        return None
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        return None
    return [build.constant(name_of(output), found)]
