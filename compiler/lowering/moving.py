"""Operators that only move elements, Concat, and average pools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Attribute
from joulecut.compiler.codes import Codes
from joulecut.compiler.graph import (
    constant_of,
    dtype_of,
    int_of,
    ints_of,
    name_of,
    op_key,
    shape_of,
    text_of,
)
from joulecut.compiler.lowering.forms import (
    Average,
    Bare,
    Constant,
    Floats,
    Form,
    Ints,
    Joined,
    Move,
    Pending,
    Weight,
)
from joulecut.compiler.lowering.quantize import emit_move
from joulecut.compiler.lowering.state import Lowering
from joulecut.compiler.refusal import RefusedError


def move(lowering: Lowering, node: ir.Node) -> Form:
    """MaxPool, Reshape, Transpose, Slice, Pad: the same on integers, or later."""
    moved = _checked(lowering, node)
    form = lowering.form(node.inputs[0])
    build, name = lowering.build, name_of(node.outputs[0])
    match form:
        case Ints():
            zero = np.array([form.zero_point])
            dtype = dtype_of(form.value)
            codes = Codes(np.array([form.scale]), zero, form.low, form.high, dtype)
            value = emit_move(build, moved, form.value, codes, build.fresh(f"{name}_q"))
            low, high = form.low, form.high
            if op_key(node) == "Pad":
                low, high = min(low, form.zero_point), max(high, form.zero_point)
            return replace(form, value=value, low=low, high=high)
        case Pending():
            return replace(form, moves=(*form.moves, moved))
        case Floats():
            return Floats(emit_move(build, moved, form.value, None, name))
        case Bare() if op_key(node) != "Pad":
            return Bare(emit_move(build, moved, form.value, None, name))
        case Weight() if op_key(node) == "Transpose" and form.codes.ndim == 2:
            return _turned(lowering, form)
        case _:
            reason = f"it may move activations only, not {type(form).__name__.lower()}s"
            raise RefusedError(reason, "fold it into the initializer")


def concat(lowering: Lowering, node: ir.Node) -> Form:
    """Concat of one type  =>  Concat of codes;  else its parts wait for one quantizer."""
    forms = [lowering.form(value) for value in node.inputs]
    output = node.outputs[0]
    axis = int_of(node, "axis") % len(shape_of(output))
    first = forms[0]
    codes = [form for form in forms if isinstance(form, Ints)]
    if len(codes) == len(forms) and isinstance(first, Ints):
        if all(_same_type(first, other) for other in codes):
            return _concat_codes(lowering, node, codes, axis)
        return Pending(Joined(tuple(codes), axis), name_of(output), shape_of(output))
    waiting = [form for form in forms if isinstance(form, Ints | Pending)]
    if len(waiting) == len(forms):
        return Pending(Joined(tuple(waiting), axis), name_of(output), shape_of(output))
    if any(isinstance(form, Bare) for form in forms):
        raise RefusedError("integers without a scale cannot be joined", "add DequantizeLinear")
    reals = [lowering.floats(value) for value in node.inputs]
    return Floats(lowering.build.copy(node, reals)[0])


def average_pool(lowering: Lowering, node: ir.Node) -> Form:
    """AveragePool  =>  joulecut.AveragePool at its quantizer."""
    source = lowering.ints(node.inputs[0])
    output = node.outputs[0]
    rank = len(shape_of(output)) - 2
    if any(dilation != 1 for dilation in ints_of(node, "dilations", [1])):
        raise RefusedError("dilations must be 1", "pool with a dense window")
    window: dict[str, Attribute] = {
        "kernel_shape": list(ints_of(node, "kernel_shape")),
        "strides": list(ints_of(node, "strides", [1] * rank)),
        "pads": list(ints_of(node, "pads", [0] * (2 * rank))),
        "ceil_mode": int_of(node, "ceil_mode", 0),
        "count_include_pad": int_of(node, "count_include_pad", 0),
    }
    average = Average(source, source.scale, window)
    return Pending(average, name_of(output), shape_of(output))


def _concat_codes(lowering: Lowering, node: ir.Node, codes: list[Ints], axis: int) -> Ints:
    output = node.outputs[0]
    first = codes[0]
    value = lowering.build.node(
        "Concat",
        [part.value for part in codes],
        {"axis": axis},
        name=node.name,
        output=lowering.build.fresh(f"{name_of(output)}_q"),
        shape=output.shape,
        dtype=dtype_of(first.value),
    )
    value.metadata_props.update(first.value.metadata_props)
    low, high = min(part.low for part in codes), max(part.high for part in codes)
    return replace(first, value=value, low=low, high=high)


def _same_type(a: Ints, b: Ints) -> bool:
    return (a.scale, a.zero_point, a.value.dtype) == (b.scale, b.zero_point, b.value.dtype)


def _turned(lowering: Lowering, weight: Weight) -> Weight:
    """A transposed matrix of weights."""
    codes = np.ascontiguousarray(weight.codes.T)
    value = lowering.build.constant(f"{weight.value.name}_turned", codes)
    return replace(weight, value=value, codes=codes, axis=1 - weight.axis)


def _checked(lowering: Lowering, node: ir.Node) -> Move:
    """The node as a Move, if integers can take it."""
    key = op_key(node)
    if any(value.uses() for value in node.outputs[1:]):
        raise RefusedError("its second output must not be used", "use its first output only")
    for i, value in enumerate(node.inputs):
        shapes = i > 0 and not (key == "Pad" and i == 2)  # the filler has a rule of its own
        if shapes and value is not None and constant_of(value) is None:
            fix = "export with fixed sizes"
            raise RefusedError(f"its operand '{value.name}' must be constant", fix)
    if key != "Pad":
        return Move(node)
    if text_of(node, "mode", "constant") != "constant":
        mode = text_of(node, "mode")
        raise RefusedError(f"mode must be constant, not {mode}", "pad with zeros")
    fill = _fill(lowering, node)
    if fill != 0:
        reason = f"it must fill with 0, which every zero point stands for, not {fill}"
        raise RefusedError(reason, "pad with zeros")
    return Move(node, fill)


def _fill(lowering: Lowering, node: ir.Node) -> float:
    """What a Pad pads with; some quantizers give that constant a Dequantize of its own."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return 0.0
    form = lowering.form(value)
    if not isinstance(form, Constant | Weight):
        fix = "pad with zeros"
        raise RefusedError(f"its operand '{value.name}' must be constant", fix)
    return float(form.array.item())
