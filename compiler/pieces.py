"""A Graph in pieces that several cuts share, so that no layer and no weight is there twice.

A piece is the layers that are on the edge of the same cuts. An edge holds with each layer all
that the layer needs, so along every path layers are on the edge of fewer and fewer cuts. Hence
no path leaves a piece and comes back, and pieces in order of falling numbers of cuts can run one
after the other. At each cut the edge runs some of the pieces and the cloud the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.cut import Cut
from joulecut.compiler.errors import ConfigError
from joulecut.compiler.graph import Graph, input_specs, name_of, output_specs
from joulecut.compiler.plan import between
from joulecut.compiler.precedence import Precedence, bits, precedence
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.reference import run_reference


@dataclass(frozen=True)
class Piece:
    """Layers that are on the edge of the same cuts, as a Graph of their own.

    Attributes:
        graph: integer Graph; its values keep the names that they have in the whole.
        cuts: numbers of the cuts whose edge runs it.
    """

    graph: Graph
    cuts: frozenset[int]

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it reads of inputs of the whole and of earlier pieces."""
        return input_specs(self.graph)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What later pieces read, or the whole gives."""
        return output_specs(self.graph)


def pieces(graph: Graph, cuts: Sequence[Cut]) -> tuple[Piece, ...]:
    """The pieces of a Graph for some of its cuts, in an order in which they can run.

    Args:
        graph: integer Graph; stays as it is.
        cuts: of this graph, those of compiler/uncut.py among them; nested or not.

    Raises:
        ConfigError: a cut puts a layer on the edge that the graph does not have, or without a
            layer that it needs.
    """
    order = precedence(graph)
    edges = [_edge(order, cut) for cut in cuts]
    layer_sets: dict[frozenset[int], int] = {}
    for i in range(len(order.layers)):
        here = frozenset(number for number, edge in enumerate(edges) if edge >> i & 1)
        layer_sets[here] = layer_sets.get(here, 0) | 1 << i
    ordered = sorted(
        layer_sets.items(), key=lambda each: -len(each[0])
    )  # stable: then by layer
    outputs = set(graph.graph.outputs)
    return tuple(
        Piece(_graph(graph, order, outputs, number, layer_set), among)
        for number, (among, layer_set) in enumerate(ordered)
    )


def run_edge(
    found: Sequence[Piece], cut: int, feeds: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the edge of a cut knows in the end, by the reference; name -> array.

    Args:
        found: all pieces of a Graph.
        cut: number of the cut.
        feeds: for each input of the whole its array.
    """
    known = dict(feeds)
    for piece in found:
        if cut in piece.cuts:
            known |= _run(piece, known)
    return known


def run_cloud(
    found: Sequence[Piece], cut: int, received: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The same of the cloud, which starts with nothing but what crossed."""
    known = dict(received)
    for piece in found:
        if cut not in piece.cuts:
            known |= _run(piece, known)
    return known


def crossing(found: Sequence[Piece], cut: int) -> list[str]:
    """Names of the tensors that pieces in the cloud read and do not make."""
    cloud = [piece for piece in found if cut not in piece.cuts]
    made = {spec.name for piece in cloud for spec in piece.outputs}
    read = dict.fromkeys(spec.name for piece in cloud for spec in piece.inputs)
    return [name for name in read if name not in made]


def _run(piece: Piece, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    made = run_reference(piece.graph, {spec.name: known[spec.name] for spec in piece.inputs})
    return {spec.name: array for spec, array in zip(piece.outputs, made, strict=True)}


def _edge(order: Precedence, cut: Cut) -> int:
    """The layers on the edge of a cut, as a set."""
    number = {layer.name: i for i, layer in enumerate(order.layers)}
    unknown = [name for name in cut.edge if name not in number]
    if unknown:
        raise ConfigError(
            f"cut at {', '.join(map(repr, cut.tensors))} must be of this graph, which has no "
            f"layer '{unknown[0]}'; take it from cuts() of the graph"
        )
    edge = sum(1 << number[name] for name in cut.edge)
    missing = order.union(edge) & ~edge
    if missing:
        name = order.layers[next(bits(missing))].name
        raise ConfigError(
            f"cut at {', '.join(map(repr, cut.tensors))} must have layer '{name}' on its edge, "
            f"which others there need"
        )
    return edge


def _graph(
    graph: Graph, order: Precedence, outputs: set[ir.Value], number: int, layer_set: int
) -> Graph:
    """The layers of a set: what they read from outside, and what is read of them outside."""
    inside = {order.first + i for i in bits(layer_set)}
    read = sorted({v for i in bits(layer_set) for v in order.reads[i]} - inside)
    made = [
        v for v in sorted(inside) if order.readers[v] & ~layer_set or order.values[v] in outputs
    ]
    names = [[name_of(order.values[v]) for v in group] for group in (read, made)]
    return between(graph, f"piece{number}", *names)
