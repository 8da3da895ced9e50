"""Which layer must run before which, as bit sets, and what each set of tensors severs.

An edge is a set of layers that holds, with each layer, everything the layer reads from; bit i
stands for layer i. Python's integers make union, difference and comparison of such sets one
machine operation per 30 layers, so that thousands of cuts take milliseconds each thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from joulecut.compiler.graph import Graph, is_constant
from joulecut.compiler.layers import Layer, layers


@dataclass(frozen=True)
class Precedence:
    """Layers and values of a Graph by number, and who reads whom.

    Layers that no output of the graph depends on are left out.

    Attributes:
        layers: in an order in which they can run.
        values: the graph's inputs, then the output of each layer: value `first + i` is made by
            layer i.
        first: number of inputs of the graph.
        readers: per value, the layers that read it.
        reads: per layer, the numbers of the values that it reads.
        above: per layer, the layer and all that it needs.
    """

    layers: tuple[Layer, ...]
    values: tuple[ir.Value, ...]
    first: int
    readers: tuple[int, ...]
    reads: tuple[tuple[int, ...], ...]
    above: tuple[int, ...]

    @property
    def everything(self) -> int:
        """The set of all layers."""
        return (1 << len(self.layers)) - 1

    @cached_property
    def pulled(self) -> tuple[int, ...]:
        """Per value, the layers that read it and all that these need."""
        return tuple(self.union(mask) for mask in self.readers)

    def union(self, layer_set: int) -> int:
        """The layers of the set and all that they need."""
        total = 0
        for i in bits(layer_set):
            total |= self.above[i]
        return total

    def is_available(self, value: int, edge: int) -> bool:
        """Is the value an input of the graph, or made by the edge?"""
        return value < self.first or bool(edge >> (value - self.first) & 1)

    def crossing(self, edge: int) -> frozenset[int]:
        """The values that the edge has and a layer outside of it reads."""
        return frozenset(
            v
            for v, readers in enumerate(self.readers)
            if readers & ~edge and self.is_available(v, edge)
        )

    def smallest_edge(self, tensors: frozenset[int]) -> int:
        """The smallest edge from which nothing but `tensors` crosses.

        It holds what makes the tensors and, because no other value may cross, every reader of
        every other value that it has. The edges with the same crossing tensors are closed under
        intersection, so the smallest is unique; branches that nothing forces onto the edge
        stay in the cloud. If a tensor has no reader outside of the result, no cut is made of
        exactly these tensors.
        """
        edge = 0
        for v in tensors:
            if v >= self.first:
                edge |= self.above[v - self.first]
        for v in range(self.first):
            if v not in tensors:
                edge |= self.pulled[v]
        done = 0
        while fresh := edge & ~done:
            done |= fresh
            for i in bits(fresh):
                if self.first + i not in tensors:
                    edge |= self.pulled[self.first + i]
        return edge

    def below(self, tensors: Iterable[int]) -> int:
        """The layers that depend on any of the values."""
        reached: set[int] = set(tensors)
        found = 0
        for i, reads in enumerate(self.reads):
            if not reached.isdisjoint(reads):
                reached.add(self.first + i)
                found |= 1 << i
        return found


def bits(layer_set: int) -> Iterator[int]:
    """The numbers of the set bits, lowest first."""
    while layer_set:
        lowest = layer_set & -layer_set
        yield lowest.bit_length() - 1
        layer_set ^= lowest


def precedence(graph: Graph) -> Precedence:
    """Precedence of the layers of an integer Graph."""
    alive = _alive(graph)
    inputs = [value for value in graph.graph.inputs if not is_constant(value)]
    values = (*inputs, *(layer.output for layer in alive))
    number = {value: v for v, value in enumerate(values)}
    readers = [0] * len(values)
    above: list[int] = []
    reads: list[tuple[int, ...]] = []
    for i, layer in enumerate(alive):
        reads.append(tuple(number[value] for value in layer.inputs))
        needed = 1 << i
        for v in reads[i]:
            readers[v] |= 1 << i
            if v >= len(inputs):
                needed |= above[v - len(inputs)]
        above.append(needed)
    return Precedence(
        tuple(alive), values, len(inputs), tuple(readers), tuple(reads), tuple(above)
    )


def _alive(graph: Graph) -> list[Layer]:
    """The layers that an output of the graph depends on, in order."""
    wanted = set(graph.graph.outputs)
    found: list[Layer] = []
    for layer in reversed(layers(graph)):
        if layer.output in wanted:
            wanted.update(layer.inputs)
            found.append(layer)
    return found[::-1]
