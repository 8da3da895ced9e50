"""Filters and neurons that change no output => a smaller graph with the same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.channel_ranges import centred_rows, weights_of, zero_points
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    int_of,
    is_constant,
    name_of,
    op_key,
    shape_of,
)
from joulecut.compiler.live_channels import Live, Mask, live_channels
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.quant import QType, qtype_of, set_qtype

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class PruneFilters(Pass):
    """Remove what no output depends on, whatever the inputs are.

    Conv(Relu(Conv(x, w)), v), v[:, i] == 0     =>  the same without w[i] and v[:, i]
    Conv(c, v), channel c[i] always constant    =>  the same without v[:, i], its sum in the bias

    A channel is constant if interval arithmetic says so (compiler/channel_ranges.py): its weights
    are all zero, or its quantizer always saturates at the same end. Dead channels are followed
    through Requantize, Add, Concat, pools, Reshapes that flatten, and depthwise convolutions.
    Results are equal, integer for integer. Values keep their names, by which users cut, and have
    fewer channels.

    Refuses:
        1. Inputs and outputs of the graph: callers know their shapes.
        2. A constant other than the zero point before a padded window: sums at the border differ.
        3. Part of a group of a convolution: groups have one size.
        4. Channels before a node that mixes them (Transpose, Slice, Mul, float nodes ...), joins
           values of several shapes, or rounds along another axis.
        5. The last channel of a value: no tensor is empty.
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph; the very same one if nothing is dead."""
        live = live_channels(graph)
        if all(mask.all() for mask in live.kept.values()):
            return graph
        return rewrite(graph, _Rule(live))


class _Rule:
    """What replaces a node: itself, with operands and output of the channels that stay."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __call__(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value] | None:
        """As `rewrite` asks."""
        out = self._live.mask(node.outputs[0])
        if out is None and all(self._live.mask(value) is None for value in node.inputs):
            return None
        attributes = dict(node.attributes)
        if weights_of(node) is not None:
            operands = [inputs[0], *self._weighted(node, attributes, build)]
        elif op_key(node) in ("Reshape", "Flatten"):
            shape = build.constant(
                f"{name_of(node.outputs[0])}_shape", np.array(self._shape(node), np.int64)
            )
            operands = [inputs[0], *([shape] if op_key(node) == "Reshape" else [])]
        else:
            operands = [
                _kept(old, [out], build) if old is not None and is_constant(old) else new
                for old, new in zip(node.inputs, inputs, strict=True)
            ]
        return [self._made(node, operands, attributes, build)]

    def _weighted(
        self, node: ir.Node, attributes: dict[str, ir.Attr], build: Builder
    ) -> list[ir.Value | None]:
        """Weights and bias of a Conv or MatMul; changes the attributes that list channels."""
        x, weights, *_ = node.inputs
        assert weights is not None
        inside, out = self._live.mask(x), self._live.mask(node.outputs[0])
        group, is_conv = int_of(node, "group", 1), op_key(node) == "joulecut.Conv"
        points, (_, found) = "w_zero_point" if is_conv else "b_zero_point", zero_points(node)
        if out is not None and len(found) > 1:
            attributes[points] = ir.AttrInt64s(points, found[out].tolist())
        if group > 1 and out is not None:
            stay = int(out.reshape(group, -1).any(axis=1).sum())
            attributes["group"] = ir.AttrInt64("group", stay)
        along = [out, inside if group == 1 else None]
        kept = _kept(weights, along if is_conv else along[::-1], build)
        return [kept, *self._bias(node, out, build)]

    def _bias(self, node: ir.Node, out: Mask | None, build: Builder) -> list[ir.Value]:
        """The bias and what constant channels that go add to the sums; empty if there is neither."""
        old = node.inputs[2] if len(node.inputs) > 2 else None
        extra = self._folded(node)
        if old is not None and not extra.any():
            return [_kept(old, [out], build)]
        if not extra.any():
            return []
        before = constant_of(old)
        total = extra if before is None else before + extra
        assert _INT32.min <= total.min()
        assert total.max() <= _INT32.max
        stay = slice(None) if out is None else out
        acc = qtype_of(node.outputs[0])
        qtype = None if acc is None else replace(acc, axis=0 if len(acc.scale) > 1 else None)
        name = name_of(node.outputs[0]) + "_bias" if old is None else name_of(old)
        made = total[stay].astype(np.int32)
        return [build.constant(name, made, None if qtype is None else _cut(qtype, 0, out))]

    def _folded(self, node: ir.Node) -> npt.NDArray[np.int64]:
        """What the constant channels that go add to each sum, int64 [O]."""
        weights, (x, *_) = weights_of(node), node.inputs
        assert weights is not None
        assert x is not None
        total = np.zeros(len(weights), np.int64)
        kept, ranges = self._live.mask(x), self._live.ranges.get(name_of(x))
        if kept is None or ranges is None or int_of(node, "group", 1) > 1:
            return total
        gone = ~kept & ranges.is_constant
        constants = ranges.low[gone] - zero_points(node)[0]
        if constants.any():
            for rows, centred in centred_rows(node):
                total[rows] = centred[:, gone].sum(axis=2) @ constants
        return total

    def _shape(self, node: ir.Node) -> tuple[int, ...]:
        """Of the node's output, without the channels that go."""
        shape, out = shape_of(node.outputs[0]), self._live.mask(node.outputs[0])
        return shape if out is None else (shape[0], int(out.sum()), *shape[2:])

    def _made(
        self,
        node: ir.Node,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, ir.Attr],
        build: Builder,
    ) -> ir.Value:
        old = node.outputs[0]
        value = ir.val(name_of(old), old.dtype, ir.Shape(self._shape(node)))
        value.metadata_props.update(old.metadata_props)
        qtype = qtype_of(old)
        if qtype is not None:
            set_qtype(value, _cut(qtype, 1, self._live.mask(old)))
        build.append(
            ir.Node(
                node.domain,
                node.op_type,
                inputs,
                list(attributes.values()),
                outputs=[value],
                name=node.name,
            )
        )
        return value


def _kept(old: ir.Value, masks: Sequence[Mask | None], build: Builder) -> ir.Value:
    """A constant without the channels that go along each axis; a single element is for all."""
    array, qtype = constant_of(old), qtype_of(old)
    assert array is not None
    if array.size == 1 or all(mask is None for mask in masks):
        return build.carry(old)
    for axis, mask in enumerate(masks):
        if mask is not None:
            array = np.compress(mask, array, axis=axis)
            qtype = None if qtype is None else _cut(qtype, axis, mask)
    return build.constant(name_of(old), array, qtype)


def _cut(qtype: QType, axis: int, mask: Mask | None) -> QType:
    """The type without the scales of channels that go."""
    if mask is None or qtype.axis != axis or len(qtype.scale) == 1:
        return qtype
    scale = tuple(np.array(qtype.scale)[mask].tolist())
    return replace(qtype, scale=scale, axis=axis if len(scale) > 1 else None)
