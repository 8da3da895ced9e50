"""Convolutions, dense layers and products of an integer Graph as LiteRT's operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from peers.tflite_draft import (
    Array,
    CannotSayError,
    Draft,
    meaning_of,
    require_factor,
    shift_of,
    zero_point_of,
)

from joulecut.compiler.graph import (
    activations,
    constant_of,
    int_of,
    ints_of,
    shape_of,
)
from joulecut.compiler.quant import qtype_of
from joulecut.compiler.windows import Window, window_of

SAME, VALID = 0, 1  # schema.fbs, Padding


def convolution(draft: Draft, node: ir.Node, reader: ir.Node) -> None:
    """Conv + Requantize => CONV_2D or DEPTHWISE_CONV_2D."""
    x, y = _first(node), reader.outputs[0]
    weight = _weight(node, "w_zero_point")
    window = in_two_axes(window_of(node, weight.shape[2:]))
    weight = weight.reshape(*weight.shape[:2], *window.kernel)
    group = int_of(node, "group", 1)
    is_depthwise = group == shape_of(x)[1] > 1
    source, padding = padded(draft, x, window, same=True, fill=zero_point_of(x))
    options: dict[str, object] = {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "dilationHFactor": window.dilations[0],
        "dilationWFactor": window.dilations[1],
        "fusedActivationFunction": draft.clamp(reader),
    }
    if is_depthwise:
        options["depthMultiplier"] = weight.shape[0] // group
        turned, axis, code = weight.transpose(1, 2, 3, 0), 3, "DEPTHWISE_CONV_2D"
    else:
        turned, axis, code = weight.transpose(0, 2, 3, 1), 0, "CONV_2D"
    constants = _constants(draft, node, reader, turned, axis)
    draft.file.operator(code, [source, *constants], draft.tensor(y), options)


def dense(draft: Draft, node: ir.Node, reader: ir.Node) -> None:
    """MatMul + Requantize => FULLY_CONNECTED, its rows in the order of what it reads."""
    x = _first(node)
    weight = _weight(node, "b_zero_point")
    if weight.ndim != 2 or len(shape_of(x)) != 2:
        raise CannotSayError("both operands must have 2 axes")
    if x in draft.flattened:
        rows = weight.reshape(*draft.flattened[x], -1)
        weight = np.moveaxis(rows, 0, -2).reshape(weight.shape)
    constants = _constants(draft, node, reader, weight.T, 0)
    options = {"fusedActivationFunction": draft.clamp(reader)}
    inputs = [draft.tensor(x), *constants]
    draft.file.operator("FULLY_CONNECTED", inputs, draft.tensor(reader.outputs[0]), options)


def product(draft: Draft, node: ir.Node, reader: ir.Node) -> None:
    """Mul + Requantize => MUL."""
    inputs = [draft.tensor(value) for value in activations(node)]
    if len(inputs) != 2:
        raise CannotSayError("both operands must be computed")
    _accumulator_scale(node, reader)
    options = {"fusedActivationFunction": draft.clamp(reader)}
    draft.file.operator("MUL", inputs, draft.tensor(reader.outputs[0]), options)


def in_two_axes(window: Window) -> Window:
    """A window over one axis as one over a row."""
    if len(window.kernel) > 2:
        raise CannotSayError(f"windows must have 1 or 2 axes, not {len(window.kernel)}")
    if len(window.kernel) == 2:
        return window
    ones = {name: (1, *getattr(window, name)) for name in ("kernel", "strides", "dilations")}
    zeros = {name: (0, *getattr(window, name)) for name in ("begins", "ends")}
    return replace(window, **ones, **zeros)


def padded(
    draft: Draft, x: ir.Value, window: Window, *, same: bool, fill: int | None
) -> tuple[int, int]:
    """The tensor and the padding scheme with which LiteRT's windows lie where ours do.

    Args:
        draft: receives a PAD if neither scheme will do.
        x: what the windows slide over.
        window: over rows and columns.
        same: what SAME puts into the padding is what the operator means.
        fill: the code that PAD puts there; None if no code will do.
    """
    tensor = draft.tensor(x)
    batch, *spatial, channels = draft.file.shapes[tensor]
    outs = window.output_shape(spatial)
    axes = list(zip(spatial, outs, window.strides, window.extents, window.begins, strict=True))
    # Padding that the last window does not reach is none.
    total = [
        max(0, (out - 1) * stride + extent - size) for size, out, stride, extent, _ in axes
    ]
    widths = [(b, max(0, t - b)) for t, (*_, b) in zip(total, axes, strict=True)]
    if not any(map(any, widths)):
        return tensor, VALID
    halves = [out == -(-size // stride) for size, out, stride, *_ in axes]
    halves += [begin == t // 2 for t, (*_, begin) in zip(total, axes, strict=True)]
    if same and all(halves):
        return tensor, SAME
    if fill is None:
        raise CannotSayError(f"its padding {widths} is not that of SAME")
    shape = [size + sum(width) for size, width in zip(spatial, widths, strict=True)]
    output = draft.like(x, (batch, *shape, channels))
    return pad_operator(draft, x, output, [(0, 0), *widths, (0, 0)], fill), VALID


def pad_operator(
    draft: Draft, x: ir.Value, output: int, widths: Sequence[tuple[int, int]], fill: int
) -> int:
    """PAD where the fill is the zero point, PADV2 elsewhere; returns the output."""
    inputs = [draft.tensor(x), draft.file.ints(widths)]
    if fill == zero_point_of(x):
        return draft.file.operator("PAD", inputs, output)
    return draft.file.operator("PADV2", [*inputs, draft.fill(x, fill)], output)


def _first(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None or constant_of(value) is not None:
        raise CannotSayError("its first operand must be computed")
    return value


def _weight(node: ir.Node, zero_point: str) -> Array:
    """The constant second operand as int8; LiteRT wants zero points of 0."""
    weight = constant_of(node.inputs[1])
    if weight is None:
        raise CannotSayError("its second operand must be constant")
    shift = shift_of(weight.dtype)
    zeros = np.array(ints_of(node, zero_point, (0,))) - shift
    if zeros.any():
        raise CannotSayError("zero points of its weight must be 0 (128 for uint8)")
    return (weight.astype(np.int16) - shift).astype(np.int8)


def _constants(
    draft: Draft, node: ir.Node, reader: ir.Node, weight: Array, axis: int
) -> tuple[int, int]:
    """The tensors of the weight and of the bias, with a scale per channel."""
    channels = weight.shape[axis]
    scale = np.broadcast_to(_accumulator_scale(node, reader), (channels,))
    factors = scale.astype(np.float64) / meaning_of(_first(node)).scale[0]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    codes = np.zeros(channels, np.int32) if bias is None else constant_of(bias)
    if codes is None:
        raise CannotSayError("its bias must be constant")
    tensor = draft.file.tensor
    if draft.real:
        along = factors.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
        numbers = (weight * along).astype(np.float32), (codes * scale).astype(np.float32)
        return (
            tensor(weight.shape, "float32", data=numbers[0]),
            tensor((channels,), "float32", data=numbers[1]),
        )
    return (
        tensor(weight.shape, "int8", scale=factors, axis=axis, data=weight),
        tensor((channels,), "int32", scale=scale, data=codes),
    )


def _accumulator_scale(node: ir.Node, reader: ir.Node) -> Array:
    """Scales of the sums, one or one per channel; the reader must divide by that of y alone."""
    meaning = qtype_of(node.outputs[0])
    factor = constant_of(reader.inputs[1])
    if meaning is None or factor is None:
        raise CannotSayError("the scale of its sums must be known")
    require_factor(factor, meaning.scale, meaning_of(reader.outputs[0]).scale)
    return np.array(meaning.scale, np.float32)
