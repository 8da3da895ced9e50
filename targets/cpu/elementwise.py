"""Layers that compute element by element: scaling, sums and products, and the float nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from joulecut.compiler.graph import Node, Value, float_of, int_of, op_key, shape_of
from joulecut.targets.cpu.epilogue import Ending, float32, integer
from joulecut.targets.cpu.movement import literal
from joulecut.targets.cpu.operands import (
    along,
    constant_input,
    inputs_of,
    integers_of,
    operand,
)
from joulecut.targets.cpu.pointwise import pointwise
from joulecut.targets.cpu.script import Arg, Step, Tiling, constant

Index = Sequence[str]
Args = Sequence[Arg]

_FLOAT: dict[str, Callable[[str, str], str]] = {
    "Add": lambda a, b: f"{a} + {b}",
    "Sub": lambda a, b: f"{a} - {b}",
    "Mul": lambda a, b: f"{a} * {b}",
    "Div": lambda a, b: f"T.Div({a}, {b})",
}
FLOAT_OPS = frozenset({*_FLOAT, "Relu", "Clip"})


def lower_ending(ending: Ending, y: Value, tiling: Tiling) -> list[Step]:
    """A Requantize or an Add that reads all its operands from memory."""

    def expression(seen: Args, index: Index) -> str:
        # `seen` are the ending's args in order: value, multiplier, value, multiplier, ..
        return ending.seen(seen).of("", index)

    return [pointwise("scale", ending.args, operand("Y", y), expression, tiling)]


def lower_mul(node: Node, ending: Ending, y: Value, tiling: Tiling) -> tuple[list[Step], int]:
    """A joulecut.Mul with its ending."""
    a, b = inputs_of(node)
    zero_points = int_of(node, "a_zero_point"), int_of(node, "b_zero_point")

    def expression(seen: Args, index: Index) -> str:
        left = integer(seen[0], index, zero_points[0])
        right = integer(seen[1], index, zero_points[1])
        return ending.seen(seen[2:]).of(f"({left} * {right})", index)

    args = [operand("A", a), operand("B", b), *ending.args]
    step = pointwise("mul", args, operand("Y", y), expression, tiling)
    return [step], math.prod(shape_of(y))


def lower_quantize(node: Node, tiling: Tiling) -> Step:
    """joulecut.Quantize: an IEEE division, which is not a product with 1 / scale."""
    scale, target = float32(float(float_of(node, "scale"))), integers_of(node)

    def expression(seen: Args, index: Index) -> str:
        return target.of(f"T.Div({seen[0].at(index)}, {scale})")

    (x,) = inputs_of(node)
    return pointwise("quantize", [operand("X", x)], _y(node), expression, tiling)


def lower_dequantize(node: Node, tiling: Tiling) -> Step:
    """joulecut.Dequantize."""
    x = operand("X", inputs_of(node)[0])
    zero_point = int_of(node, "zero_point")
    scale = constant_input(node, 1)
    assert scale is not None, f"scale of {node.name} must be there"
    factor = constant("S", scale, along(scale, int_of(node, "axis", 1), len(x.shape)))

    def expression(seen: Args, index: Index) -> str:
        return f'T.cast({integer(seen[0], index, zero_point)}, "float32") * {seen[1].at(index)}'

    return pointwise("dequantize", [x, factor], _y(node), expression, tiling)


def lower_float(node: Node, tiling: Tiling) -> list[Step]:
    """The elementwise operators of ONNX."""
    kind, values = op_key(node), inputs_of(node)
    if kind in _FLOAT:
        args = [operand("A", values[0]), operand("B", values[1])]
        combine = _FLOAT[kind]

        def expression(seen: Args, index: Index) -> str:
            return combine(seen[0].at(index), seen[1].at(index))

        return [pointwise(kind.lower(), args, _y(node), expression, tiling)]
    low, high = _bounds(node)
    dtype = operand("X", values[0]).dtype

    def clipped(seen: Args, index: Index) -> str:
        x = seen[0].at(index)
        if low is not None:
            x = f"T.max({x}, {literal(low, dtype)})"
        return x if high is None else f"T.min({x}, {literal(high, dtype)})"

    return [pointwise(kind.lower(), [operand("X", values[0])], _y(node), clipped, tiling)]


def _bounds(node: Node) -> tuple[float | None, float | None]:
    if op_key(node) == "Relu":
        return 0.0, None
    low, high = constant_input(node, 1), constant_input(node, 2)
    return None if low is None else low.item(), None if high is None else high.item()


def _y(node: Node) -> Arg:
    return operand("Y", node.outputs[0])
