"""ONNX's own operators of the integer dialect: those that move, and elementwise floats.

They mean what ONNX says, on integers as on floats; the reference interpreter adds these to the
operators of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from joulecut.compiler.graph import constant_of, int_of, ints_of, op_key, shape_of, text_of
from joulecut.compiler.windows import window_of

Arrays = Sequence[np.ndarray | None]

RESHAPING = frozenset({"Reshape", "Flatten"})


def one(inputs: Arrays) -> np.ndarray:
    """The first input, which must be there."""
    found = inputs[0]
    assert found is not None
    return found


def two(inputs: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The first two inputs, which must be there."""
    return one(inputs), one(inputs[1:])


def three(inputs: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Two inputs and a third that may be absent."""
    return (*two(inputs), inputs[2] if len(inputs) > 2 else None)


def axes_touched(node: ir.Node) -> set[int]:
    """The axes along which the node moves elements, for those operators that name axes."""
    shape = shape_of(node.outputs[0])
    rank = len(shape)
    match op_key(node):
        case "Concat":
            return {int_of(node, "axis") % rank}
        case "Transpose":
            order = ints_of(node, "perm", range(rank)[::-1])
            return {axis for axis, source in enumerate(order) if axis != source}
        case "Slice":
            return set(_axes(node, [constant_of(value) for value in node.inputs], 3, rank))
        case "Pad":
            inputs = [constant_of(value) for value in node.inputs]
            pads = _pads(node, inputs, rank)
            return {axis for axis, (before, after) in enumerate(pads) if before or after}
        case _:
            return set()


def _max_pool(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x = one(inputs)
    window = window_of(node, ints_of(node, "kernel_shape"))
    least = -np.inf if x.dtype.kind == "f" else int(np.iinfo(x.dtype).min)
    taps = window.view(x, fill=least)
    return taps.max(axis=tuple(range(x.ndim, taps.ndim)))


def _reshape(node: ir.Node, inputs: Arrays) -> np.ndarray:
    """The shape is the output's; its leading dimension is what the samples make of it."""
    shape = shape_of(node.outputs[0])
    return one(inputs).reshape((-1, *shape[1:]) if shape else ())


def _transpose(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x = one(inputs)
    return x.transpose(ints_of(node, "perm", range(x.ndim)[::-1]))


def _axes(node: ir.Node, inputs: Arrays, position: int, rank: int) -> list[int]:
    """The optional input that lists axes; by default the first ones, as ONNX says."""
    axes = inputs[position] if len(inputs) > position else None
    if axes is not None:
        return [int(axis) % rank for axis in axes]
    starts = inputs[1]
    assert starts is not None, f"{op_key(node)} '{node.name}' must have constant operands"
    return list(range(rank if op_key(node) == "Pad" else len(starts)))


def _slice(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x, starts = two(inputs)
    ends = one(inputs[2:])
    steps = inputs[4] if len(inputs) > 4 and inputs[4] is not None else np.ones_like(starts)
    kept = [slice(None)] * x.ndim
    for i, axis in enumerate(_axes(node, inputs, 3, x.ndim)):
        step, end = int(steps[i]), int(ends[i])
        # ONNX counts an end before the first element as "all of it" when walking backwards.
        whole = step < 0 and end < -x.shape[axis]
        kept[axis] = slice(int(starts[i]), None if whole else end, step)
    return x[tuple(kept)]


def _pads(node: ir.Node, inputs: Arrays, rank: int) -> list[tuple[int, int]]:
    """Elements to add before and after each axis; negative ones are to be removed."""
    amounts = one(inputs[1:])
    axes = _axes(node, inputs, 3, rank)
    pads = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pads[axis] = (int(amounts[i]), int(amounts[i + len(axes)]))
    return pads


def _pad(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x = one(inputs)
    assert text_of(node, "mode", "constant") == "constant", f"Pad '{node.name}' is not constant"
    value = inputs[2] if len(inputs) > 2 else None
    pads = _pads(node, inputs, x.ndim)
    grown = np.pad(
        x,
        [(max(0, before), max(0, after)) for before, after in pads],
        constant_values=0 if value is None else value.item(),
    )
    kept = (
        slice(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(pads, grown.shape, strict=True)
    )
    return grown[tuple(kept)]


def _concat(node: ir.Node, inputs: Arrays) -> np.ndarray:
    arrays = [array for array in inputs if array is not None]
    assert len({array.dtype for array in arrays}) == 1, f"Concat '{node.name}' mixes types"
    return np.concatenate(arrays, axis=int_of(node, "axis"))


def _identity(_: ir.Node, inputs: Arrays) -> np.ndarray:
    return one(inputs)


def _relu(_: ir.Node, inputs: Arrays) -> np.ndarray:
    x = one(inputs)
    return np.maximum(x, x.dtype.type(0))


def _clip(_: ir.Node, inputs: Arrays) -> np.ndarray:
    x, low, high = (*inputs, None, None)[:3]
    assert x is not None
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _elementwise(function: np.ufunc) -> Callable[[ir.Node, Arrays], np.ndarray]:
    def apply(_: ir.Node, inputs: Arrays) -> np.ndarray:
        a, b = two(inputs)
        assert a.dtype == b.dtype == np.float32
        return np.asarray(function(a, b))

    return apply


OPERATORS: dict[str, Callable[[ir.Node, Arrays], np.ndarray]] = {
    "MaxPool": _max_pool,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
    "Concat": _concat,
    "Identity": _identity,
    "Relu": _relu,
    "Clip": _clip,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(np.divide),
}
