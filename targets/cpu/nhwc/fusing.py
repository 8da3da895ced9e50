"""Layers that run as one kernel: a convolution and what follows it, element by element.

A convolution takes along the scalings, sums and maxima behind it as long as nobody else reads
what is between. A maximum may be taken before scaling: scaling by a positive number keeps order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from joulecut.compiler.graph import (
    Graph,
    Node,
    Value,
    constant_of,
    int_of,
    ints_of,
    op_key,
    shape_of,
)
from joulecut.compiler.layers import Layer
from joulecut.compiler.windows import window_of

_SUMS = frozenset({"joulecut.Conv", "joulecut.MatMul"})


@dataclass(frozen=True)
class Group:
    """Layers of which only the last one's output is ever stored."""

    layers: tuple[Layer, ...]

    @property
    def output(self) -> Value:
        """The value that the group makes."""
        return self.layers[-1].output

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in order."""
        return tuple(node for layer in self.layers for node in layer.nodes)

    @property
    def name(self) -> str:
        """The name of what the group makes."""
        return self.layers[-1].name

    @property
    def kind(self) -> str:
        """Its operators, for people."""
        return "+".join(layer.kind for layer in self.layers)


def fused(
    graph: Graph, layers: Sequence[Layer], is_tiled: Callable[[Layer], bool]
) -> list[Group]:
    """The layers in groups, each after those that it reads from.

    Args:
        graph: whose outputs must be stored.
        layers: of the graph, in order.
        is_tiled: may the layer begin a group of several?
    """
    outputs = set(graph.graph.outputs)
    home: dict[Layer, list[Layer]] = {}
    by_node = {node: layer for layer in layers for node in layer.nodes}
    groups: list[list[Layer]] = []
    for layer in layers:
        before = _predecessor(layer, by_node, outputs)
        group = home.get(before) if before is not None else None
        if group is None or group[-1] is not before or not _joins(group, layer, is_tiled):
            group = list[Layer]()
            groups.append(group)
        group.append(layer)
        home[layer] = group
    # A group runs where its last layer stands: all that it reads is there by then.
    place = {layer: i for i, layer in enumerate(layers)}
    return [Group(tuple(group)) for group in sorted(groups, key=lambda g: place[g[-1]])]


def _predecessor(layer: Layer, by_node: dict[Node, Layer], outputs: set[Value]) -> Layer | None:
    """The latest layer whose output only this one reads."""
    found: Layer | None = None
    for value in layer.inputs:
        producer = value.producer()
        if producer is None or value in outputs or len(value.uses()) != 1:
            continue
        before = by_node[producer]
        if op_key(before.nodes[0]) in _SUMS or found is None:
            found = before
    return found


def _joins(group: list[Layer], layer: Layer, is_tiled: Callable[[Layer], bool]) -> bool:
    first = group[0]
    if op_key(first.nodes[0]) not in _SUMS or not is_tiled(first) or len(first.nodes) < 2:
        return False
    if len(layer.nodes) != 1:
        return False
    node, made = layer.nodes[0], group[-1].output
    key = op_key(node)
    if key == "joulecut.Requantize":
        return _scales_channels(node)
    if key == "joulecut.Add":
        return _scales_channels(node) and all(
            value is not None
            and constant_of(value) is None
            and shape_of(value) == shape_of(made)
            for value in node.inputs[: len(node.inputs) // 2]
        )
    return key == "MaxPool" and _pools(node, made) and all(map(_keeps_order, group))


def _scales_channels(node: Node) -> bool:
    """Are multipliers one number, or one for each channel of axis 1?"""
    rank = len(shape_of(node.outputs[0]))
    arrays = [constant_of(value) for value in node.inputs]
    sizes = [a.size for a in arrays if a is not None and a.dtype == np.float32]
    return all(size == 1 for size in sizes) or int_of(node, "axis", 1) % rank == 1


def _pools(node: Node, x: Value) -> bool:
    """Do windows neither overlap nor leave the plane?"""
    kernel = ints_of(node, "kernel_shape")
    window = window_of(node, kernel)
    if tuple(window.strides) != tuple(kernel) or any(window.begins):
        return False
    if any(d != 1 for d in window.dilations):
        return False
    sizes = zip(shape_of(node.outputs[0])[2:], kernel, shape_of(x)[2:], strict=True)
    return all(count * taps <= size for count, taps, size in sizes)


def _keeps_order(layer: Layer) -> bool:
    """Is what follows the sums a scaling by positive numbers?"""
    for node in layer.nodes:
        if op_key(node) in _SUMS:
            continue
        if op_key(node) != "joulecut.Requantize":
            return False
        multiplier = constant_of(node.inputs[1])
        if multiplier is None or not bool(np.all(multiplier > 0)):
            return False
    return True
