"""Pad before a node that slides a window => the window pads by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    op_key,
    shape_of,
)
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.quant import qtype_of


@dataclass(frozen=True)
class FoldPads(Pass):
    """Let Conv, AveragePool and MaxPool pad by themselves.

    Conv(Pad(x, zero point))         =>  Conv(x), pads added
    AveragePool(Pad(x, zero point))  =>  AveragePool(x), pads added, which count
    MaxPool(Pad(x, lowest integer))  =>  MaxPool(x), pads added

    Refuses:
        1. A Pad that somebody else reads: it would have to be computed all the same.
        2. A Pad of samples or channels, or one that crops: windows pad planes, and never crop.
        3. Another constant than padding stands for: it would take part in the result.
        4. A maximum whose window could lie in the padding alone: nothing would be the largest.
        5. A mean whose own padding does not count, or with ceil_mode: one node has one rule.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph."""
        return rewrite(graph, _rule)


def _rule(
    node: ir.Node, inputs: list[ir.Value | None], build: Builder
) -> list[ir.Value] | None:
    key = op_key(node)
    if key not in ("joulecut.Conv", "joulecut.AveragePool", "MaxPool"):
        return None
    x, old = inputs[0], node.inputs[0]
    pad = None if x is None else x.producer()
    if x is None or pad is None or old is None or op_key(pad) != "Pad" or len(old.uses()) != 1:
        return None
    if old.is_graph_output():
        return None
    amounts = _spatial(pad, len(shape_of(x)))
    if amounts is None or not _is_padding(node, pad):
        return None
    own = ints_of(node, "pads", (0,) * len(amounts))
    pads = [a + b for a, b in zip(own, amounts, strict=True)]
    attributes: dict[str, object] = {"pads": pads}
    if key == "MaxPool" and not _touches(pads, ints_of(node, "kernel_shape")):
        return None
    if key == "joulecut.AveragePool":
        if int_of(node, "ceil_mode", 0):
            return None
        if any(own) and not int_of(node, "count_include_pad", 0):
            return None
        attributes["count_include_pad"] = 1
    (made,) = build.copy(node, [pad.inputs[0], *inputs[1:]])
    producer = made.producer()
    assert producer is not None
    for name, value in attributes.items():
        is_one = isinstance(value, int)
        made_of = ir.AttrInt64 if is_one else ir.AttrInt64s
        producer.attributes[name] = made_of(name, value)  # pyright: ignore[reportArgumentType]
    return [made]


def _spatial(pad: ir.Node, rank: int) -> Sequence[int] | None:
    """Elements before and after each spatial axis, in ONNX order; None if it does more."""
    amounts = constant_of(pad.inputs[1])
    if amounts is None:
        return None
    axes = constant_of(pad.inputs[3]) if len(pad.inputs) > 3 else None
    named = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    begins, ends = [0] * rank, [0] * rank
    count = len(amounts) // 2
    for axis, begin, end in zip(named, amounts[:count], amounts[count:], strict=True):
        begins[axis], ends[axis] = int(begin), int(end)
    if any(begins[:2] + ends[:2]) or min(begins + ends) < 0:
        return None
    return [*begins[2:], *ends[2:]]


def _touches(pads: Sequence[int], kernel: Sequence[int]) -> bool:
    """Does every window hold something that is not padding?"""
    return all(pad < taps for pad, taps in zip(pads, [*kernel, *kernel], strict=True))


def _is_padding(node: ir.Node, pad: ir.Node) -> bool:
    """Is the constant what the node's own padding stands for?"""
    fill = constant_of(pad.inputs[2]) if len(pad.inputs) > 2 else None
    constant = 0 if fill is None else fill.item()
    if op_key(node) != "MaxPool":
        return constant == int_of(node, "x_zero_point")
    (x, *_) = pad.inputs
    assert x is not None
    dtype, qtype = dtype_of(x), qtype_of(x)
    if dtype.kind == "f":
        return False
    return constant <= (np.iinfo(dtype).min if qtype is None else qtype.low)
