"""Which values of a float Graph get a quantizer, and which of them share one.

Every value does, but those that the lowering folds into what follows (docs/spec.md): what a
ReLU clips, what a constant scales or shifts, and one operand of a sum, whose accumulator enters
the sum as it is. Each is one rounding less, and none costs time: a kernel sums, scales and clips
in registers. Outputs that a layer makes stay accumulators, exact to the last bit.

Operators that only move elements keep the quantizer of what they move. The operands of a Concat
share one, so that joining them is a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from joulecut.compiler.graph import (
    Graph,
    constant_of,
    dtype_of,
    is_constant,
    name_of,
    nodes,
    op_key,
    values,
)
from joulecut.compiler.support import ACCUMULATING

_CLIPS = frozenset({"Relu", "Clip"})
MOVES = frozenset({"MaxPool", "GlobalMaxPool", "Reshape", "Transpose", "Slice", "Split", "Pad"})
_AFFINE = frozenset({"Add", "Sub", "Mul", "Div", "BatchNormalization"})
_SUMS = frozenset({"Add", "Sub"})


@dataclass(frozen=True)
class Point:
    """Values that share one quantizer.

    Attributes:
        values: names, in graph order.
        sources: those of them that are not another one moved; their numbers decide the range.
    """

    values: tuple[str, ...]
    sources: tuple[str, ...]


def points(graph: Graph) -> list[Point]:
    """Every quantizer that the float Graph is to have, in graph order."""
    bare = _unquantized(graph)
    chosen = [value for value in values(graph) if _is_real(value) and value not in bare]
    leader = {value: value for value in chosen}
    for group in _shared(graph):
        members = [value for value in group if value in leader]
        for value in members[1:]:
            _join(leader, members[0], value)
    groups: dict[ir.Value, list[ir.Value]] = {}
    for value in chosen:
        groups.setdefault(_find(leader, value), []).append(value)
    return [_point(members) for members in groups.values()]


def _point(members: list[ir.Value]) -> Point:
    inside = set(members)
    sources = [value for value in members if not _is_moved_from(value, inside)]
    return Point(tuple(map(name_of, members)), tuple(map(name_of, sources)))


def _is_moved_from(value: ir.Value, inside: set[ir.Value]) -> bool:
    maker = value.producer()
    return (
        maker is not None
        and op_key(maker) in (*MOVES, "Concat")
        and all(x in inside for x in maker.inputs if x is not None and not is_constant(x))
        and not (op_key(maker) == "Concat" and any(map(_is_constant, maker.inputs)))
    )


def _shared(graph: Graph) -> Iterator[list[ir.Value]]:
    for node in nodes(graph):
        if op_key(node) in MOVES and node.inputs[0] is not None:
            yield [node.inputs[0], *node.outputs]
        elif op_key(node) == "Concat":
            yield [*(value for value in node.inputs if value is not None), node.outputs[0]]


def _unquantized(graph: Graph) -> set[ir.Value]:
    """Values that are folded into what reads them; readers are looked at before makers."""
    found: set[ir.Value] = set()
    for node in reversed(list(nodes(graph))):
        for value in node.outputs:
            if _is_real(value) and _is_folded(value, node, found):
                found.add(value)
    return found


def _is_folded(value: ir.Value, maker: ir.Node, bare: set[ir.Value]) -> bool:
    uses = list(value.uses())
    if value.is_graph_output():
        return not uses and op_key(maker) in ACCUMULATING
    readers = {use.node for use in uses}
    if len(readers) != 1 or len(uses) != 1:
        return False
    (reader,) = readers
    key = op_key(reader)
    if key in _CLIPS:
        return not any(map(_is_computed, reader.inputs[1:]))
    if key in MOVES and key != "Split":
        return reader.outputs[0] in bare
    if key not in _AFFINE or not _is_accumulator(value):
        return False
    others = [x for x in reader.inputs if x is not None and x is not value]
    if all(map(_is_constant, others)):
        return True
    # One operand only: a kernel absorbs one accumulator, another one would go through memory.
    return key in _SUMS and not any(other in bare for other in others)


def _is_accumulator(value: ir.Value) -> bool:
    """Does a layer make it, or constants that follow a layer?"""
    maker = value.producer()
    if maker is None:
        return False
    if op_key(maker) in ACCUMULATING:
        return True
    computed = [x for x in maker.inputs if x is not None and not is_constant(x)]
    return op_key(maker) in _AFFINE and len(computed) == 1 and _is_accumulator(computed[0])


def _is_real(value: ir.Value) -> bool:
    return dtype_of(value) == np.float32


def _is_constant(value: ir.Value | None) -> bool:
    return constant_of(value) is not None


def _is_computed(value: ir.Value | None) -> bool:
    return value is not None and not is_constant(value)


def _find(leader: dict[ir.Value, ir.Value], value: ir.Value) -> ir.Value:
    while leader[value] is not value:
        value = leader[value]
    return value


def _join(leader: dict[ir.Value, ir.Value], a: ir.Value, b: ir.Value) -> None:
    leader[_find(leader, b)] = _find(leader, a)
