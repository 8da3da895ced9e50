"""Where a Graph can be severed: every set of tensors that separates an edge from a cloud.

A cut puts some layers on the edge, with all that they need, and the others in the cloud; its
tensors are what the edge has and the cloud reads. Accumulators inside a layer are not
boundaries. An input of the graph that the cloud reads crosses like any other tensor. An output
of the graph that the edge makes stays there.
"""

from __future__ import annotations

import difflib
import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from joulecut.compiler.cost import cost_of_layer
from joulecut.compiler.errors import CutError
from joulecut.compiler.graph import (
    Graph,
    is_constant,
    name_of,
    nodes,
    sizes,
    spec_of,
)
from joulecut.compiler.layers import layers
from joulecut.compiler.precedence import Precedence, bits, precedence
from joulecut.compiler.quant import TensorSpec

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
        complete: False if the graph has more cuts than the limit let through. Those at a single
            tensor come before all others, then those with the cheapest edges.
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
    found = {tensors: edge for tensors in single if (edge := _legal_edge(order, tensors))}
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
    named = _numbers(graph, order, tensors)
    edge = _severed(order, named)
    return _make(order, [cost_of_layer(layer).macs for layer in order.layers], named, edge)


def edge_of(graph: Graph, cut: Cut) -> frozenset[str]:
    """Names of the layers that a cut puts on the edge.

    Raises:
        CutError: if it is a cut of another graph.
    """
    order = precedence(graph)
    named = _numbers(graph, order, cut.tensors)
    names = _layer_names(order, _severed(order, named))
    if (_specs(order, named), names) != (cut.specs, cut.edge):
        raise CutError(
            f"cut at {_quoted(order, named)} must be one of this graph, not of another; "
            f"take it from cuts() or cut_at() of '{graph.graph.name}'"
        )
    return frozenset(names)


def _severed(order: Precedence, named: frozenset[int]) -> int:
    """The smallest edge of a cut at these tensors.

    Raises:
        CutError: if there is no such cut.
    """
    edge = order.smallest_edge(named)
    unread = [v for v in sorted(named) if not order.readers[v] & ~edge]
    if edge == 0:
        raise CutError(
            f"cut at {_quoted(order, named)} must leave at least one layer on the edge, not "
            f"none; cut at what a layer makes, or run the whole graph in the cloud"
        )
    if len(unread) == len(named):
        raise CutError(_not_severed(order, named))
    if unread:
        raise CutError(
            f"cut at {_quoted(order, named)} must name only what the cloud reads, not "
            f"{_quoted(order, unread)}, which the cloud does not need; leave it out"
        )
    return edge


def _legal_edge(order: Precedence, tensors: frozenset[int]) -> int:
    """The smallest edge of a cut at these tensors, or 0 if there is no such cut."""
    edge = order.smallest_edge(tensors)
    return edge if all(order.readers[v] & ~edge for v in tensors) else 0


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


def _numbers(graph: Graph, order: Precedence, tensors: Sequence[str]) -> frozenset[int]:
    """Numbers of the named values.

    Raises:
        CutError: if a name is missing, twice, unknown, or not a boundary of layers.
    """
    if not tensors:
        raise CutError("cut must name at least one tensor, not none")
    number = {name_of(value): v for v, value in enumerate(order.values)}
    for name in tensors:
        if name not in number:
            raise CutError(_not_a_boundary(graph, list(number), name))
    twice = sorted({name for name in tensors if tensors.count(name) > 1})
    if twice:
        raise CutError(f"cut must name each tensor once, not '{twice[0]}' twice")
    return frozenset(number[name] for name in tensors)


def _not_a_boundary(graph: Graph, known: list[str], name: str) -> str:
    """Why the name cannot be cut at."""
    for layer in layers(graph):
        if any(name_of(node.outputs[0]) == name for node in layer.nodes[:-1]):
            return (
                f"cut tensor must be what a layer makes, not '{name}', an accumulator inside "
                f"of layer '{layer.name}' ({layer.kind}); use '{layer.name}'"
            )
        if layer.name == name:
            return f"cut tensor must lead to an output of the graph, not '{name}'"
    constants = {
        name_of(v) for node in nodes(graph) for v in node.inputs if v and is_constant(v)
    }
    if name in constants:
        return f"cut tensor must be a computed value, not the constant '{name}'"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"cut tensor must be a value of the graph, not '{name}'{hint}"


def _not_severed(order: Precedence, named: frozenset[int]) -> str:
    """Why a cut at these tensors leaves the cloud nothing to do, and what would mend it."""
    after = order.below(named)
    before = 0
    for v in named:
        before |= order.above[v - order.first] if v >= order.first else 0
    if not after & ~before:
        return (
            f"cut at {_quoted(order, named)} must leave at least one layer for the cloud, not "
            f"none; cut before the last layer"
        )
    path = _drawn(order, _way_around(order, named, after & ~before))
    return (
        f"cut at {_quoted(order, named)} must separate inputs from outputs, but {path} avoids "
        f"it; {_mended(order, named, (before, order.everything & ~after))}"
    )


def _mended(order: Precedence, named: frozenset[int], edges: Sequence[int]) -> str:
    """The nearest legal cut, in words: the edge that sends the fewest bytes more."""
    found = [order.crossing(edge) for edge in edges]
    legal = [tensors for tensors in found if tensors and _legal_edge(order, tensors)]
    if not legal:
        return "no cut of this graph is near"

    def added_bytes(tensors: frozenset[int]) -> int:
        return sizes(spec_of(order.values[v]) for v in tensors - named)

    nearest = min(legal, key=added_bytes)
    if named < nearest:
        return f"add {_quoted(order, nearest - named)}"
    return f"cut at {_quoted(order, nearest)}"


def _way_around(order: Precedence, named: frozenset[int], targets: int) -> list[int]:
    """A path into a layer behind the cut that does not go through the cut.

    It starts at an input of the graph, or if all these are shut off, at one of the tensors and
    avoids the others.
    """
    for sources in (frozenset(range(order.first)) - named, named):
        came_from: dict[int, int | None] = dict.fromkeys(sources)
        queue = deque(sorted(sources))
        while queue:
            v = queue.popleft()
            for i in bits(order.readers[v]):
                made = order.first + i
                behind = targets >> i & 1
                if made in came_from or made in named or (behind and v in named):
                    continue
                came_from[made] = v
                if behind:
                    return _trace(came_from, made)
                queue.append(made)
    raise AssertionError("a cut that every path goes through is legal")


def _trace(came_from: dict[int, int | None], last: int) -> list[int]:
    path = [last]
    while (before := came_from[path[-1]]) is not None:
        path.append(before)
    return path[::-1]


def _drawn(order: Precedence, path: list[int]) -> str:
    names = [f"'{name_of(order.values[v])}'" for v in path]
    if len(names) > 6:
        names[3:-2] = ["..."]
    return " -> ".join(names)


def _quoted(order: Precedence, values: frozenset[int] | list[int]) -> str:
    return ", ".join(f"'{name_of(order.values[v])}'" for v in sorted(values))
