"""One Layer of an integer Graph => the kernels that compute it.

Most layers are one kernel; a padded input, or an accumulator of another shape than what it is
added to, takes one more. A layer that only renames bytes takes none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from joulecut.compiler.graph import (
    Node,
    Value,
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    op_key,
    shape_of,
)
from joulecut.compiler.layers import ABSORBING, ACCUMULATING, Layer
from joulecut.compiler.reference import evaluate
from joulecut.targets.cpu.elementwise import (
    FLOAT_OPS,
    lower_dequantize,
    lower_ending,
    lower_float,
    lower_mul,
    lower_quantize,
)
from joulecut.targets.cpu.epilogue import Ending
from joulecut.targets.cpu.movement import bordered, joined, literal, strided, transposed
from joulecut.targets.cpu.nhwc.plane import BorderFill, Plane
from joulecut.targets.cpu.operands import (
    constant_input,
    ending_of,
    inputs_of,
    operand,
    unsupported,
)
from joulecut.targets.cpu.planes import lower_average_pool, lower_conv, lower_max_pool
from joulecut.targets.cpu.products import lower_matmul
from joulecut.targets.cpu.script import Step, Tiling

RENAMING = frozenset({"Reshape", "Flatten", "Identity"})


@dataclass(frozen=True)
class Lowered:
    """Layers that run as one, as kernels.

    Attributes:
        layers: what is computed; only the output of the last is ever stored.
        steps: in order.
        macs: products that the layers sum.
        alias: the value whose bytes are the output, if there are no steps.
        shown: the plane that holds the output; None if it lies dense under its own name.
        kernel: which kernel it is and, if it is a portable one, why.
    """

    layers: tuple[Layer, ...]
    steps: tuple[Step | BorderFill, ...]
    macs: int = 0
    alias: Value | None = None
    shown: Plane | None = None
    kernel: str = ""

    @property
    def output(self) -> Value:
        """What the layers make."""
        return self.layers[-1].output

    @property
    def name(self) -> str:
        """The name of what the layers make."""
        return self.layers[-1].name

    @property
    def kind(self) -> str:
        """The operators, for people."""
        return "+".join(layer.kind for layer in self.layers)

    @property
    def is_integer(self) -> bool:
        """Do the layers compute on integers, or at least end or start there?"""
        return all(map(_is_integer, self.layers))


def _is_integer(layer: Layer) -> bool:
    return any(node.domain == "joulecut" for node in layer.nodes) or all(
        dtype_of(value).kind != "f" for value in (*layer.inputs, layer.output)
    )


def lower(layer: Layer, tiling: Tiling, reason: str = "") -> Lowered:
    """The portable kernels of a layer.

    Args:
        layer: whose inputs and output are dense.
        tiling: how vectors are filled.
        reason: why it is these kernels that run.

    Raises:
        UnsupportedError: the layer holds what the kernels cannot do, by name.
    """
    first, y = layer.nodes[0], layer.output
    if op_key(first) in RENAMING:
        (source, *_) = inputs_of(first)
        return Lowered((layer,), (), alias=source)
    said = f"portable: {reason}" if reason else "portable"
    if op_key(first) not in ACCUMULATING:
        steps = _moved(first, layer.name, tiling)
        return Lowered((layer,), tuple(steps), kernel=said)
    absorber = layer.nodes[1] if len(layer.nodes) > 1 else None
    accumulator = first.outputs[0]
    if absorber is None:
        steps, macs = _accumulated(first, Ending(), y, layer.name, tiling)
    elif shape_of(accumulator) == shape_of(y):
        ending = ending_of(absorber, accumulator)
        steps, macs = _accumulated(first, ending, y, layer.name, tiling)
    else:  # the accumulator is broadcast: it is computed once and read many times
        steps, macs = _accumulated(first, Ending(), accumulator, layer.name, tiling)
        steps += lower_ending(ending_of(absorber, None), y, tiling)
    return Lowered((layer,), tuple(steps), macs, kernel=said)


def _accumulated(
    node: Node, ending: Ending, y: Value, scratch: str, tiling: Tiling
) -> tuple[list[Step], int]:
    match op_key(node):
        case "joulecut.Conv":
            return lower_conv(node, ending, y, tiling, scratch)
        case "joulecut.MatMul":
            return lower_matmul(node, ending, y, tiling)
        case _:
            return lower_mul(node, ending, y, tiling)


def _moved(node: Node, scratch: str, tiling: Tiling) -> list[Step]:
    key = op_key(node)
    if key in ABSORBING:
        return lower_ending(ending_of(node, None), node.outputs[0], tiling)
    if key == "MaxPool":
        return lower_max_pool(node, tiling, scratch)
    if key == "joulecut.AveragePool":
        return lower_average_pool(node, tiling, scratch)
    if key in FLOAT_OPS:
        return lower_float(node, tiling)
    if key not in _SIMPLE:
        raise unsupported(node, "not in docs/spec.md", "lower the model with `pipeline`")
    return [_SIMPLE[key](node, tiling)]


def _pad(node: Node, tiling: Tiling) -> Step:
    x, y = operand("X", inputs_of(node)[0]), operand("Y", node.outputs[0])
    amounts, fill = constant_input(node, 1), constant_input(node, 2)
    axes = constant_input(node, 3)
    assert amounts is not None, f"pads of {node.name} must be there"
    rank = len(x.shape)
    named = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    before = [0] * rank
    for axis, amount in zip(named, amounts, strict=False):  # the second half is the ends
        before[axis] = int(amount)
    value = 0 if fill is None else fill.item()
    return bordered(x, y, before, literal(value, x.dtype), tiling)


def _slice(node: Node, tiling: Tiling) -> Step:
    """Where the elements come from is asked of the reference, an axis at a time."""
    x, y = operand("X", inputs_of(node)[0]), operand("Y", node.outputs[0])
    operands = [None if value is None else constant_of(value) for value in node.inputs]
    starts: list[int] = []
    steps: list[int] = []
    for axis, size in enumerate(y.shape):
        spots = evaluate(node, [np.indices(x.shape, np.int32)[axis], *operands[1:]])
        line = np.moveaxis(spots, axis, 0).reshape(size, -1)[:2, 0]
        starts.append(int(line[0]))
        steps.append(int(line[1] - line[0]) if size > 1 else 1)
    return strided(x, y, starts, steps, tiling)


def _transpose(node: Node, tiling: Tiling) -> Step:
    x, y = operand("X", inputs_of(node)[0]), operand("Y", node.outputs[0])
    order = ints_of(node, "perm", range(len(x.shape))[::-1])
    return transposed(x, y, order, tiling)


def _concat(node: Node, tiling: Tiling) -> Step:
    xs = [operand(f"X{i}", value) for i, value in enumerate(inputs_of(node))]
    y = operand("Y", node.outputs[0])
    return joined(xs, y, int_of(node, "axis") % len(y.shape), tiling)


_SIMPLE: dict[str, Callable[[Node, Tiling], Step]] = {
    "joulecut.Quantize": lower_quantize,
    "joulecut.Dequantize": lower_dequantize,
    "Pad": _pad,
    "Slice": _slice,
    "Transpose": _transpose,
    "Concat": _concat,
}
