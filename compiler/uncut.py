"""The two ways not to cut, as Cuts: everything in the cloud, and everything on the edge.

`cuts` and `partition` know neither, because one side would be empty. Whoever chooses for each
inference needs both: the raw inputs are cheapest to send where bits cost nothing, and the
outputs where they cost most.
"""

from __future__ import annotations

from joulecut.compiler.cost import cost_of_layer
from joulecut.compiler.cut import Cut
from joulecut.compiler.graph import Graph, spec_of
from joulecut.compiler.precedence import precedence


def all_in_cloud(graph: Graph) -> Cut:
    """The edge computes nothing and sends every input that a layer reads."""
    order = precedence(graph)
    read = [v for v in range(order.first) if order.readers[v]]
    macs = sum(cost_of_layer(layer).macs for layer in order.layers)
    specs = tuple(spec_of(order.values[v]) for v in read)
    return Cut(specs, (), 0, macs, len(order.layers))


def all_on_edge(graph: Graph) -> Cut:
    """The edge computes everything and sends every output that a layer makes."""
    order = precedence(graph)
    outputs = set(graph.graph.outputs)
    made = [value for value in order.values[order.first :] if value in outputs]
    macs = sum(cost_of_layer(layer).macs for layer in order.layers)
    names = tuple(layer.name for layer in order.layers)
    return Cut(tuple(map(spec_of, made)), names, macs, 0, 0)
