"""Layers: the nodes of an integer Graph grouped as they run, one kernel each.

An int32 accumulator that only one Requantize or Add reads never needs to exist in memory:
it belongs to the layer of its reader. Every other node is a layer of its own. Layers are what
a cut separates, what a kernel computes, and what a profile and a verification name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.graph import Graph, activations, dtype_of, name_of, nodes, op_key

ACCUMULATING = frozenset({"joulecut.Conv", "joulecut.MatMul", "joulecut.Mul"})
ABSORBING = frozenset({"joulecut.Requantize", "joulecut.Add"})


@dataclass(frozen=True)
class Layer:
    """One kernel: the nodes in order; only the output of the last leaves it.

    Attributes:
        nodes: one node, or an accumulating node followed by the node that absorbs it.
    """

    nodes: tuple[ir.Node, ...]

    @property
    def output(self) -> ir.Value:
        """The value that the layer makes."""
        return self.nodes[-1].outputs[0]

    @property
    def name(self) -> str:
        """The name of the layer is the name of what it makes."""
        return name_of(self.output)

    @property
    def inputs(self) -> tuple[ir.Value, ...]:
        """The computed values that the layer reads, each once, in order of first use."""
        inside = {output for node in self.nodes for output in node.outputs}
        read = (value for node in self.nodes for value in activations(node))
        return tuple(dict.fromkeys(value for value in read if value not in inside))

    @property
    def kind(self) -> str:
        """The operators of the layer, for people: `Conv+Requantize`."""
        return "+".join(node.op_type for node in self.nodes)


def layers(graph: Graph) -> list[Layer]:
    """The layers of an integer Graph, each after those that it reads from."""
    absorbed = _absorbed(graph)
    return [
        Layer((*([absorbed[node]] if node in absorbed else []), node))
        for node in nodes(graph)
        if node not in absorbed.values()
    ]


def _absorbed(graph: Graph) -> dict[ir.Node, ir.Node]:
    """Reader -> the accumulating node that it absorbs; a reader absorbs one at most."""
    outputs = set(graph.graph.outputs)
    found: dict[ir.Node, ir.Node] = {}
    for node in nodes(graph):
        value = node.outputs[0]
        if op_key(node) not in ACCUMULATING or value in outputs:
            continue
        readers = [use.node for use in value.uses()]
        if len(readers) != 1 or dtype_of(value) != np.int32:
            continue
        reader = readers[0]
        if op_key(reader) in ABSORBING and reader not in found:
            found[reader] = node
    return found
