"""Whether a set of tensors severs a Graph; if not, why not and what would.

A refusal is where people meet cuts first: they name one tensor of a residual block. So it shows
a path that the cut misses and names the tensors that would complete it.
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Sequence

from joulecut.compiler.errors import CutError
from joulecut.compiler.graph import Graph, is_constant, name_of, nodes, sizes, spec_of
from joulecut.compiler.layers import layers
from joulecut.compiler.precedence import Precedence, bits


def numbers_of(graph: Graph, order: Precedence, tensors: Sequence[str]) -> frozenset[int]:
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


def severed_edge(order: Precedence, named: frozenset[int]) -> int:
    """The smallest edge of a cut at these tensors.

    Raises:
        CutError: if there is no such cut.
    """
    edge = order.smallest_edge(named)
    unread = [v for v in sorted(named) if not order.readers[v] & ~edge]
    if edge == 0:
        raise CutError(
            f"cut at {quoted(order, named)} must leave at least one layer on the edge, not "
            f"none; cut at what a layer makes, or run the whole graph in the cloud"
        )
    if len(unread) == len(named):
        raise CutError(_not_severed(order, named))
    if unread:
        raise CutError(
            f"cut at {quoted(order, named)} must name only what the cloud reads, not "
            f"{quoted(order, unread)}, which the cloud does not need; leave it out"
        )
    return edge


def legal_edge(order: Precedence, tensors: frozenset[int]) -> int:
    """The smallest edge of a cut at these tensors, or 0 if there is no such cut."""
    edge = order.smallest_edge(tensors)
    return edge if all(order.readers[v] & ~edge for v in tensors) else 0


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
            f"cut at {quoted(order, named)} must leave at least one layer for the cloud, not "
            f"none; cut before the last layer"
        )
    path = _drawn(order, _way_around(order, named, after & ~before))
    return (
        f"cut at {quoted(order, named)} must separate inputs from outputs, but {path} avoids "
        f"it; {_mended(order, named, (before, order.everything & ~after))}"
    )


def _mended(order: Precedence, named: frozenset[int], edges: Sequence[int]) -> str:
    """The nearest legal cut, in words: the edge that sends the fewest bytes more."""
    found = [order.crossing(edge) for edge in edges]
    legal = [tensors for tensors in found if tensors and legal_edge(order, tensors)]
    if not legal:
        return "no cut of this graph is near"

    def added_bytes(tensors: frozenset[int]) -> int:
        return sizes(spec_of(order.values[v]) for v in tensors - named)

    nearest = min(legal, key=added_bytes)
    if named < nearest:
        return f"add {quoted(order, nearest - named)}"
    return f"cut at {quoted(order, nearest)}"


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


def quoted(order: Precedence, values: frozenset[int] | list[int]) -> str:
    """Names of values, for errors."""
    return ", ".join(f"'{name_of(order.values[v])}'" for v in sorted(values))
