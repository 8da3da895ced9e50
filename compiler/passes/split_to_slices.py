"""Spell Split as Slices, one per output."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.graph import Graph, dtype_of, int_of, name_of, op_key, shape_of
from joulecut.compiler.passes.infra import Pass, still_there


@dataclass(frozen=True)
class SplitToSlices(Pass):
    """Split(x, sizes)  =>  Slice(x, 0, a), Slice(x, a, b), ...

    Refuses nothing: the sizes are those of the outputs, which are known.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        return rewrite(graph, _rule)

    def ensures(self, graph: Graph) -> str | None:
        """No Split is left."""
        return still_there(graph, "Split")


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    if op_key(node) != "Split":
        return None
    x = inputs[0]
    assert x is not None
    axis = int_of(node, "axis", 0) % len(shape_of(x))
    ends = list(accumulate(shape_of(output)[axis] for output in node.outputs))
    starts = [0, *ends[:-1]]
    return [
        _slice(build, x, output, axis, start, end)
        for output, start, end in zip(node.outputs, starts, ends, strict=True)
    ]


def _slice(
    build: Builder, x: ir.Value, output: ir.Value, axis: int, start: int, end: int
) -> ir.Value:
    name = name_of(output)
    numbers = {"starts": start, "ends": end, "axes": axis}
    bounds = [
        build.constant(f"{name}_{key}", np.array([number], np.int64))
        for key, number in numbers.items()
    ]
    return build.node(
        "Slice",
        [x, *bounds],
        name=name,
        output=name,
        shape=output.shape,
        dtype=dtype_of(output),
    )
