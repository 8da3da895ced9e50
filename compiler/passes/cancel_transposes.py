"""Transposes and Reshapes that undo or follow each other => at most one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Builder, rewrite
from joulecut.compiler.graph import (
    Graph,
    dtype_of,
    int_of,
    ints_of,
    is_constant,
    name_of,
    op_key,
    shape_of,
    values,
)
from joulecut.compiler.passes.infra import Pass
from joulecut.compiler.quant import qtype_of, set_qtype

_ELEMENTWISE = frozenset({"joulecut.Requantize", "joulecut.Add"})


@dataclass(frozen=True)
class CancelTransposes(Pass):
    """Keep one Transpose where several stand, and none where they undo each other.

    Transpose(Transpose(x))                 =>  x, or one Transpose
    Transpose(x), only axes of size 1 move  =>  Reshape(x)
    Reshape(Reshape(x))                     =>  x, or one Reshape
    Transpose(Requantize(Transpose(x)))     =>  Requantize(x), its axis moved, or one Transpose
    Add(Transpose(x), Transpose(y))         =>  Transpose(Add(x, y)), its axis moved

    Refuses:
        1. A Transpose alone, behind an input as well as before an output: callers know shapes.
        2. To pass through what somebody else reads: it would have to be computed twice.
        3. An Add of several shapes or orders of axes: no single Transpose stands behind it.
        4. Requantize(Requantize(x)) => Requantize(x): it rounds twice, and once is another
           number (docs/spec.md).
    """

    def rewrite(self, graph: Graph) -> Graph:
        """The new graph; each round takes away a node that moves, so that rounds end."""
        while True:
            rule = _Rule(_reads(graph))
            found = rewrite(graph, rule)
            if not rule.fired:
                return graph
            graph = found


@dataclass(frozen=True)
class _Turned:
    """A value that is the transposed one of another."""

    source: ir.Value
    perm: tuple[int, ...]


def _reads(graph: Graph) -> dict[str, int]:
    """How many read each value; an output is read once more."""
    found = {name_of(value): len(value.uses()) for value in values(graph)}
    for value in graph.graph.outputs:
        found[name_of(value)] = found.get(name_of(value), 0) + 1
    return found


class _Rule:
    """What replaces a node; remembers whether it replaced any."""

    def __init__(self, reads: Mapping[str, int]) -> None:
        self._reads = reads
        self.fired = False

    def __call__(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> list[ir.Value] | None:
        """As `rewrite` asks."""
        key, x = op_key(node), inputs[0] if inputs else None
        if x is None or is_constant(x):
            return None
        made = None
        if key == "Transpose":
            made = self._transpose(node, x, build)
        elif key == "Reshape":
            made = _reshape(node, x, build)
        elif key == "joulecut.Add":
            made = self._add(node, inputs, build)
        self.fired = self.fired or made is not None
        return None if made is None else [made]

    def _transpose(self, node: ir.Node, x: ir.Value, build: Builder) -> ir.Value | None:
        rank = len(shape_of(x))
        perm = ints_of(node, "perm", range(rank)[::-1])
        turned = self._turned(x, build, _inverse(perm), name_of(node.outputs[0]))
        if turned is None:
            sizes = shape_of(x)
            if perm == tuple(range(rank)):
                return x
            kept = [axis for axis in perm if sizes[axis] != 1]
            return _shaped(node, x, build) if kept == sorted(kept) else None
        whole = tuple(turned.perm[axis] for axis in perm)
        if whole == tuple(range(rank)):
            return turned.source
        return _transposed(node, turned.source, whole, build)

    def _turned(
        self, x: ir.Value, build: Builder, undo: Sequence[int], name: str
    ) -> _Turned | None:
        """X as a Transpose of something that is made without it.

        `name` is for that something where `undo` is the Transpose, which then has no use.
        """
        producer = x.producer()
        if producer is None:
            return None
        if op_key(producer) == "Transpose":
            (source, *_) = producer.inputs
            assert source is not None
            perm = ints_of(producer, "perm", range(len(shape_of(x)))[::-1])
            return _Turned(source, perm)
        if op_key(producer) != "joulecut.Requantize" or self._reads.get(name_of(x), 2) > 1:
            return None
        (before, *_) = producer.inputs
        if before is None or self._reads.get(name_of(before), 2) > 1:
            return None
        inner = self._turned(before, build, undo, "")
        if inner is None:
            return None
        is_undone = bool(name) and inner.perm == tuple(undo)
        output = name if is_undone else build.fresh(f"{name_of(x)}_turned")
        made = _elementwise(
            producer, [inner.source, *producer.inputs[1:]], inner.perm, output, build
        )
        return _Turned(made, inner.perm)

    def _add(
        self, node: ir.Node, inputs: list[ir.Value | None], build: Builder
    ) -> ir.Value | None:
        count = len(inputs) // 2
        terms = [value for value in inputs[:count] if value is not None]
        names = {name_of(value) for value in terms}
        if len(names) < count or count < 2 or any(self._reads.get(n, 2) > 1 for n in names):
            return None
        if len({shape_of(value) for value in terms}) > 1 or any(map(is_constant, terms)):
            return None
        perms = {_perm_behind(value) for value in terms}
        if len(perms) > 1 or None in perms:
            return None
        found = [self._turned(value, build, (), "") for value in terms]
        turned = [each for each in found if each is not None]
        if len(turned) < count:
            return None
        perm = turned[0].perm
        sources = [each.source for each in turned]
        output = build.fresh(f"{name_of(node.outputs[0])}_turned")
        made = _elementwise(node, [*sources, *inputs[count:]], perm, output, build)
        return _transposed(node, made, perm, build)


def _perm_behind(value: ir.Value) -> tuple[int, ...] | None:
    """The order of axes of the Transpose behind a chain of Requantize; None without one."""
    rank, producer = len(shape_of(value)), value.producer()
    while producer is not None and op_key(producer) == "joulecut.Requantize":
        before = producer.inputs[0]
        producer = None if before is None else before.producer()
    if producer is None or op_key(producer) != "Transpose":
        return None
    return ints_of(producer, "perm", range(rank)[::-1])


def _elementwise(
    node: ir.Node,
    inputs: Sequence[ir.Value | None],
    perm: Sequence[int],
    output: str,
    build: Builder,
) -> ir.Value:
    """The node before the Transpose instead of behind it."""
    assert op_key(node) in _ELEMENTWISE
    old, source = node.outputs[0], inputs[0]
    assert source is not None
    rank = len(shape_of(old))
    attributes = dict(node.attributes)
    attributes["axis"] = ir.AttrInt64("axis", perm[int_of(node, "axis", 1) % rank])
    value = ir.val(output, old.dtype, source.shape)
    qtype = qtype_of(old)
    if qtype is not None:
        set_qtype(value, qtype if qtype.axis is None else replace(qtype, axis=perm[qtype.axis]))
    build.append(
        ir.Node(
            node.domain,
            node.op_type,
            inputs,
            list(attributes.values()),
            outputs=[value],
            name=output,
        )
    )
    return value


def _transposed(node: ir.Node, x: ir.Value, perm: Sequence[int], build: Builder) -> ir.Value:
    """The node's output as a Transpose of x."""
    old = node.outputs[0]
    return _moved(old, "Transpose", [x], {"perm": list(perm)}, build)


def _reshape(node: ir.Node, x: ir.Value, build: Builder) -> ir.Value | None:
    producer = x.producer()
    source = x
    while producer is not None and op_key(producer) == "Reshape":
        assert producer.inputs[0] is not None
        source = producer.inputs[0]
        producer = source.producer()
    if shape_of(source) == shape_of(node.outputs[0]):
        return source
    return None if source is x else _shaped(node, source, build)


def _shaped(node: ir.Node, x: ir.Value, build: Builder) -> ir.Value:
    """The node's output as a Reshape of x."""
    old = node.outputs[0]
    shape = build.constant(f"{name_of(old)}_shape", np.array(shape_of(old), np.int64))
    return _moved(old, "Reshape", [x, shape], {}, build)


def _moved(
    old: ir.Value,
    op: str,
    inputs: Sequence[ir.Value],
    attributes: Mapping[str, Sequence[int]],
    build: Builder,
) -> ir.Value:
    made = build.node(
        op,
        inputs,
        attributes,
        name=name_of(old),
        output=name_of(old),
        shape=shape_of(old),
        dtype=dtype_of(old),
    )
    made.metadata_props.update(old.metadata_props)
    return made


def _inverse(perm: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argsort(perm))
