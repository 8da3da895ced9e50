"""Values of a Graph as the arguments of a kernel, and what a kernel refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from joulecut.compiler.errors import Finding, UnsupportedError
from joulecut.compiler.graph import (
    Node,
    Value,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    name_of,
    op_key,
    shape_of,
)
from joulecut.targets.cpu.epilogue import LARGEST_MULTIPLIER, Ending, Integers, Term
from joulecut.targets.cpu.script import Arg, Array, constant


def operand(name: str, value: Value, shape: tuple[int, ...] | None = None) -> Arg:
    """The value as an argument called `name`, seen as `shape` if that is given."""
    array = constant_of(value)
    if array is not None:
        return constant(name, array, shape)
    return Arg(name, name_of(value), shape or shape_of(value) or (1,), dtype_of(value).name)


def inputs_of(node: Node) -> list[Value]:
    """The inputs that are there."""
    return [value for value in node.inputs if value is not None]


def constant_input(node: Node, position: int) -> Array | None:
    """A constant input, or None if it is absent."""
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return None
    array = constant_of(value)
    if array is None:
        raise unsupported(node, f"input {position} must be a constant", "fold it")
    return array


def integers_of(node: Node) -> Integers:
    """What the node stores: its attributes zero_point, low, high and the type of its output."""
    return Integers(
        int_of(node, "zero_point"),
        int_of(node, "low"),
        int_of(node, "high"),
        dtype_of(node.outputs[0]).name,
    )


def ending_of(node: Node, accumulator: Value | None) -> Ending:
    """The ending that a Requantize or an Add is.

    Args:
        node: joulecut.Requantize or joulecut.Add.
        accumulator: the operand that the kernel computes itself; None if it reads all.
    """
    values = inputs_of(node)
    if op_key(node) == "joulecut.Requantize":
        zero_points = [int_of(node, "x_zero_point")]
        rank = len(shape_of(values[0]))
    else:
        zero_points = list(ints_of(node, "x_zero_points"))
        rank = len(shape_of(node.outputs[0]))
    count = len(zero_points)
    axis = int_of(node, "axis", 1)
    terms = [
        Term(
            None if value is accumulator else operand(f"R{i}", value),
            zero_point,
            _multiplier(node, f"M{i}", factor, axis, rank),
        )
        for i, (value, zero_point, factor) in enumerate(
            zip(values[:count], zero_points, values[count:], strict=True)
        )
    ]
    return Ending(tuple(terms), integers_of(node))


def along(array: Array, axis: int, rank: int) -> tuple[int, ...]:
    """The shape that lays [C] along an axis, or [1] along none."""
    if array.size == 1:
        return (1,)
    shape = [1] * rank
    shape[axis] = array.size
    return tuple(shape)


def _multiplier(node: Node, name: str, value: Value, axis: int, rank: int) -> Arg:
    array = constant_of(value)
    if array is None:
        raise unsupported(node, f"multiplier '{value.name}' must be a constant", "fold it")
    if not bool(np.all(np.abs(array) < LARGEST_MULTIPLIER)):
        raise unsupported(
            node,
            f"multiplier '{value.name}' must be below {LARGEST_MULTIPLIER:g}, "
            f"not {np.max(np.abs(array)):g}",
            "calibrate the scales again",
        )
    return constant(name, array.astype(np.float32, copy=False), along(array, axis, rank))


def require_batch_1(node: Node, values: Sequence[Value]) -> None:
    """Kernels over planes take one sample at a time."""
    for value in values:
        if shape_of(value)[0] != 1:
            raise unsupported(
                node,
                f"batch of '{value.name}' must be 1, not {shape_of(value)[0]}",
                "export the model with batch 1",
            )


def unsupported(node: Node, reason: str, fix: str) -> UnsupportedError:
    """The error that names the node."""
    finding = Finding(str(node.name), op_key(node), reason, fix)
    return UnsupportedError(
        "graph must hold what the cpu targets can compile, not this:", (finding,)
    )
