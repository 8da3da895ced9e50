"""Where a Graph can be severed: every set of tensors that separates an edge from a cloud.

A cut puts some layers on the edge, with all that they need, and the others in the cloud; its
tensors are what the edge has and the cloud reads. Accumulators inside a layer are not
boundaries. An input of the graph that the cloud reads crosses like any other tensor. An output
of the graph that the edge makes stays there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from joulecut.compiler.cost import cost_of_layer
from joulecut.compiler.errors import CutError
from joulecut.compiler.graph import Graph, sizes, spec_of
from joulecut.compiler.precedence import Precedence, bits, precedence
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.severing import legal_edge, numbers_of, quoted, severed_edge

DEFAULT_LIMIT = 4096
STATES_PER_CUT = 4  # edges that the search may look at for each cut that it may return


@dataclass(frozen=True)
class Cut:
    """A set of tensors at which a Graph can be severed; `cuts` and `cut_at` make legal ones.

    Attributes:
        specs: the tensors that cross, in the order in which the graph makes them.
        edge: names of the layers before the cut, in order: the fewest that can send these
            tensors without having to send another.
        edge_macs: multiply-accumulates before the cut.
        cloud_macs: multiply-accumulates after the cut.
        cloud_layers: number of layers after the cut.
    """

    specs: tuple[TensorSpec, ...]
    edge: tuple[str, ...] = field(repr=False)
    edge_macs: int
    cloud_macs: int
    cloud_layers: int

    @property
    def edge_layers(self) -> int:
        """Number of layers before the cut."""
        return len(self.edge)

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors that cross."""
        return tuple(spec.name for spec in self.specs)

    @property
    def nbytes(self) -> int:
        """Bytes that cross, uncompressed."""
        return sizes(self.specs)


class Cuts(list[Cut]):
    """Cuts, cheapest edge first.

    Attributes:
        complete: False if the limit ended the search, so that the graph may have more cuts. No
            cut at a single tensor is left out for another, nor a cheaper edge for a dearer.
    """

    def __init__(self, found: Sequence[Cut], *, complete: bool) -> None:
        super().__init__(found)
        self.complete = complete


def cuts(graph: Graph, *, limit: int = DEFAULT_LIMIT) -> Cuts:
    """Every legal cut of an integer Graph, each set of tensors once, cheapest edge first.

    A graph of parallel branches has a number of cuts that is exponential in the number of
    branches; `limit` bounds both the result and the search, and `complete` says whether it did.

    Args:
        graph: an integer Graph.
        limit: the most cuts to return, at least 1.
    """
    if limit < 1:
        raise CutError(f"limit must be at least 1, not {limit}")
    order = precedence(graph)
    macs = [cost_of_layer(layer).macs for layer in order.layers]
    single = (frozenset({v}) for v in range(len(order.values)))
    found = {tensors: edge for tensors in single if (edge := legal_edge(order, tensors))}
    complete = True
    for states, edge in enumerate(_edges(order, macs)):
        if len(found) > limit or states > limit * STATES_PER_CUT:
            complete = False
            break
        tensors = order.crossing(edge)
        if tensors and tensors not in found and order.smallest_edge(tensors) == edge:
            found[tensors] = edge
    complete = complete and len(found) <= limit
    made = [_make(order, macs, *item) for item in list(found.items())[:limit]]
    made.sort(key=lambda cut: (cut.edge_macs, cut.edge_layers, cut.nbytes, cut.tensors))
    return Cuts(made, complete=complete)


def cut_at(graph: Graph, tensors: Sequence[str]) -> Cut:
    """The cut at exactly these tensors.

    Args:
        graph: an integer Graph.
        tensors: names of graph inputs or of what layers make, in any order.

    Raises:
        CutError: if no cut is made of these tensors; says which path avoids them and what to
            add, or which of them is not needed.
    """
    order = precedence(graph)
    named = numbers_of(graph, order, tensors)
    edge = severed_edge(order, named)
    return _make(order, [cost_of_layer(layer).macs for layer in order.layers], named, edge)


def edge_of(graph: Graph, cut: Cut) -> frozenset[str]:
    """Names of the layers that a cut puts on the edge.

    Raises:
        CutError: if it is a cut of another graph.
    """
    order = precedence(graph)
    named = numbers_of(graph, order, cut.tensors)
    names = _layer_names(order, severed_edge(order, named))
    if (_specs(order, named), names) != (cut.specs, cut.edge):
        raise CutError(
            f"cut at {quoted(order, named)} must be one of this graph, not of another; "
            f"take it from cuts() or cut_at() of '{graph.graph.name}'"
        )
    return frozenset(names)


def _edges(order: Precedence, macs: Sequence[int]) -> Iterator[int]:
    """Every edge but the empty and the full one, cheapest first, each once.

    An edge costs at least as much as each edge that it contains, so a heap that always grows
    the cheapest by one layer meets them in order of cost.
    """
    seen: set[int] = {0}
    heap = [(0, 0)]
    while heap:
        cost, edge = heapq.heappop(heap)
        if edge not in (0, order.everything):
            yield edge
        for i in bits(order.everything & ~edge):
            if order.above[i] & ~edge == 1 << i and (grown := edge | 1 << i) not in seen:
                seen.add(grown)
                heapq.heappush(heap, (cost + macs[i], grown))


def _make(order: Precedence, macs: Sequence[int], tensors: frozenset[int], edge: int) -> Cut:
    edge_macs = sum(macs[i] for i in bits(edge))
    return Cut(
        _specs(order, tensors),
        _layer_names(order, edge),
        edge_macs,
        sum(macs) - edge_macs,
        len(macs) - edge.bit_count(),
    )


def _specs(order: Precedence, tensors: frozenset[int]) -> tuple[TensorSpec, ...]:
    return tuple(spec_of(order.values[v]) for v in sorted(tensors))


def _layer_names(order: Precedence, edge: int) -> tuple[str, ...]:
    return tuple(order.layers[i].name for i in bits(edge))
