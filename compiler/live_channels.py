"""Which channels of a Graph its outputs depend on: the fewest that a Graph can do with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.channel_ranges import (
    Ranges,
    centred_rows,
    channel_ranges,
    channels_of,
    flattened,
    is_channelwise,
    is_padded,
    joins_channels,
    weights_of,
    zero_points,
)
from joulecut.compiler.graph import Graph, int_of, name_of, nodes, values

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Live:
    """What to keep.

    Attributes:
        kept: by name of a value [1, C, ...], its channels to keep, bool [C], at least one.
        ranges: of the channels, where they are known.
    """

    kept: Mapping[str, Mask]
    ranges: Mapping[str, Ranges]

    def mask(self, value: ir.Value | None) -> Mask | None:
        """The channels of a value to keep, or None if it loses none."""
        found = None if value is None else self.kept.get(name_of(value))
        return None if found is None or found.all() else found


def live_channels(graph: Graph) -> Live:
    """The least channels that the outputs need, such that every node still fits its operands.

    A convolution or a dense layer needs a channel if a weight of a kept output reads it, unless
    the channel is constant and can be added to the bias. What a node cannot do without, or what is
    not understood, is kept. Each set only grows until all agree; sets that stay empty then get
    their first channel, because a tensor has one at least.
    """
    search = _Search(graph)
    search.settle()
    while search.fill_empty():
        search.settle()
    return Live(search.kept, search.ranges)


def is_foldable(node: ir.Node, x: Ranges) -> Mask:
    """Which input channels of a Conv or MatMul add a constant to every sum, bool [C].

    Where a window is padded only those that add 0: the sums of others differ at the border.
    """
    zero_point, _ = zero_points(node)
    if is_padded(node) or int_of(node, "group", 1) > 1:
        return x.is_constant & (x.low == zero_point)
    return x.is_constant


class _Search:
    """Sets of channels that grow until every node agrees with them."""

    def __init__(self, graph: Graph) -> None:
        self.ranges = channel_ranges(graph)
        self.kept: dict[str, Mask] = {}
        for value in values(graph):
            channels = channels_of(value)
            if channels:
                self.kept[name_of(value)] = np.zeros(channels, np.bool_)
        for value in (*graph.graph.inputs, *graph.graph.outputs):
            self._keep(value, np.True_)
        self._nodes = list(nodes(graph))
        self._reads = {node: self._read(node) for node in self._nodes}

    def settle(self) -> None:
        """Grow until nothing does."""
        before = -1
        while before != (before := sum(int(mask.sum()) for mask in self.kept.values())):
            for node in (*reversed(self._nodes), *self._nodes):
                self._agree(node)

    def fill_empty(self) -> bool:
        """Give the first channel to every set without one; False if there is none."""
        empty = [mask for mask in self.kept.values() if not mask.any()]
        for mask in empty:
            mask[0] = True
        return bool(empty)

    def _read(self, node: ir.Node) -> Mask | None:
        """[O, I]: which outputs of a dense node read which inputs; None for every other node."""
        weights = weights_of(node)
        if weights is None or int_of(node, "group", 1) > 1:
            return None
        reads = np.zeros(weights.shape[:2], np.bool_)
        for rows, centred in centred_rows(node):
            reads[rows] = centred.any(axis=2)
        x = self.ranges.get(name_of(_first(node)))
        if x is not None:
            reads[:, is_foldable(node, x)] = False
        return reads

    def _keep(self, value: ir.Value | None, mask: Mask | np.bool_) -> None:
        if value is not None and name_of(value) in self.kept:
            self.kept[name_of(value)] |= mask

    def _of(self, value: ir.Value) -> Mask:
        return self.kept[name_of(value)]

    def _agree(self, node: ir.Node) -> None:
        """Grow the sets of a node's operands and of its output to what the node needs."""
        out, reads, factor = node.outputs[0], self._reads[node], flattened(node)
        if reads is not None:
            self._keep(node.inputs[0], reads[self._of(out)].any(axis=0))
        elif weights_of(node) is not None:
            self._agree_groups(node)
        elif factor is not None:
            x = self._of(_first(node))
            x |= self._of(out).reshape(-1, factor).any(axis=1)
            self._keep(out, np.repeat(x, factor))
        elif joins_channels(node):
            sizes = [len(self._of(value)) for value in node.inputs if value is not None]
            for value, (start, end) in zip(
                node.inputs, pairwise(accumulate(sizes, initial=0)), strict=True
            ):
                assert value is not None
                self._keep(value, self._of(out)[start:end])
                self._of(out)[start:end] |= self._of(value)
        else:
            self._agree_elementwise(node)

    def _agree_groups(self, node: ir.Node) -> None:
        """A group of a convolution stays or goes as a whole."""
        x, out, group = self._of(_first(node)), self._of(node.outputs[0]), int_of(node, "group")
        stays = out.reshape(group, -1).any(axis=1) | x.reshape(group, -1).any(axis=1)
        x |= np.repeat(stays, len(x) // group)
        out |= np.repeat(stays, len(out) // group)

    def _agree_elementwise(self, node: ir.Node) -> None:
        """Channel for channel, or everything where a node is not understood."""
        both = [value for value in (*node.inputs, *node.outputs) if value is not None]
        masks = [self.kept[name_of(v)] for v in both if name_of(v) in self.kept]
        whole = (
            np.logical_or.reduce(masks) if is_channelwise(node) and len(masks) > 1 else np.True_
        )
        for value in both:
            self._keep(value, whole)


def _first(node: ir.Node) -> ir.Value:
    (value, *_) = node.inputs
    assert value is not None
    return value
