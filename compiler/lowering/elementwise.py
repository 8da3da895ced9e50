"""Add, Sub, Mul, Div, Relu and Clip: folded into what waits, computed on integers, or float.

IEEE arithmetic defines these exactly, so where no integer form exists they stay in float
(docs/spec.md, Float nodes); nothing here is refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.codes import Array
from joulecut.compiler.graph import constant_of, name_of, op_key, shape_of
from joulecut.compiler.lowering.accumulate import accumulated, bias_codes
from joulecut.compiler.lowering.forms import (
    Average,
    Constant,
    Floats,
    Form,
    Ints,
    Pending,
    Sum,
    Term,
    Weight,
)
from joulecut.compiler.lowering.state import Lowering
from joulecut.compiler.quant import QType


def add(lowering: Lowering, node: ir.Node) -> Form:
    """Add(a, b)  =>  one sum of the terms of both."""
    return _sum(lowering, node, 1)


def subtract(lowering: Lowering, node: ir.Node) -> Form:
    """Sub(a, b)  =>  one sum; the scales of b change sign."""
    return _sum(lowering, node, -1)


def multiply(lowering: Lowering, node: ir.Node) -> Form:
    """Mul(a, constant)  =>  other scales;  Mul(a, b)  =>  joulecut.Mul."""
    left, right = node.inputs
    if _number(lowering, left) is not None:
        left, right = right, left
    factor = _number(lowering, right)
    if factor is not None:
        return _scaled(lowering, node, left, factor) or as_float(lowering, node)
    operands = [lowering.form(left), lowering.form(right)]
    if not all(isinstance(form, Ints) for form in operands):
        return as_float(lowering, node)
    a, b = lowering.ints(left), lowering.ints(right)
    scale = np.array([a.scale * b.scale], np.float32)
    output = node.outputs[0]
    stem = name_of(output)
    value = lowering.build.node(
        "joulecut.Mul",
        [a.value, b.value],
        {"a_zero_point": a.zero_point, "b_zero_point": b.zero_point},
        name=node.name,
        output=lowering.build.fresh(f"{stem}_acc"),
        shape=output.shape,
        dtype=np.int32,
        qtype=QType(32, True, (float(scale[0]),)),
    )
    return Pending(Sum((Term(value, scale),)), stem, shape_of(output))


def divide(lowering: Lowering, node: ir.Node) -> Form:
    """Div(a, constant)  =>  other scales."""
    divisor = _number(lowering, node.inputs[1])
    if divisor is None or not divisor.all():
        return as_float(lowering, node)
    factor = 1.0 / divisor.astype(np.float64)
    return _scaled(lowering, node, node.inputs[0], factor) or as_float(lowering, node)


def clip(lowering: Lowering, node: ir.Node) -> Form:
    """Relu, Clip  =>  bounds that narrow the range of the next quantizer."""
    low, high = 0.0, np.inf
    if op_key(node) == "Clip":
        bounds = [constant_of(value) for value in (*node.inputs[1:], None, None)[:2]]
        if any(
            bound is None and value
            for bound, value in zip(bounds, node.inputs[1:], strict=False)
        ):
            return as_float(lowering, node)
        low = -np.inf if bounds[0] is None else float(bounds[0].item())
        high = np.inf if bounds[1] is None else float(bounds[1].item())
    source = lowering.pending(node.inputs[0])
    if source is None or low > high:
        return as_float(lowering, node)
    fills = [move.fill for move in source.moves if move.node.op_type == "Pad"]
    if any(not low <= fill <= high for fill in fills):
        return as_float(lowering, node)  # the padding would have to be clipped as well
    return replace(
        source,
        low=min(max(source.low, low), high),
        high=min(max(source.high, low), high),
    )


def as_float(lowering: Lowering, node: ir.Node) -> Form:
    """The node as it is, on floats."""
    build = lowering.build
    inputs = [None if value is None else lowering.floats(value) for value in node.inputs]
    return Floats(build.copy(node, inputs)[0])


def _number(lowering: Lowering, old: ir.Value | None) -> Array | None:
    """The numbers of a constant operand, dequantized where that is how it is stored."""
    form = lowering.form(old)
    return form.array if isinstance(form, Constant | Weight) else None


def _sum(lowering: Lowering, node: ir.Node, sign: int) -> Form:
    left, right = node.inputs
    a, b = _number(lowering, left), _number(lowering, right)
    if a is not None and b is not None:
        return as_float(lowering, node)
    if b is not None:
        return _with_constant(lowering, node, left, 1, right, sign * b)
    if a is not None:
        return _with_constant(lowering, node, right, sign, left, a)
    both = lowering.plain_sum(left), lowering.plain_sum(right)
    if both[0] is None or both[1] is None:
        return as_float(lowering, node)
    output = node.outputs[0]
    terms = (*_terms(both[0], 1), *_terms(both[1], sign))
    return (
        _sum_of(lowering, node, terms) if _aligned(both, output) else as_float(lowering, node)
    )


def _sum_of(lowering: Lowering, node: ir.Node, terms: tuple[Term, ...]) -> Form:
    """The sum as a form; float where scales lie along different axes."""
    if len({term.axis for term in terms if not term.is_per_tensor}) > 1:
        return as_float(lowering, node)
    output = node.outputs[0]
    return Pending(Sum(terms), name_of(output), shape_of(output))


def _aligned(operands: tuple[Pending | None, ...], output: ir.Value) -> bool:
    """Do axes of the operands count as those of the output, as far as their scales need it?"""
    rank = len(shape_of(output))
    return all(
        len(operand.shape) == rank or all(term.is_per_tensor for term in _terms(operand, 1))
        for operand in operands
        if operand is not None
    )


def _terms(found: Pending, sign: int) -> tuple[Term, ...]:
    assert isinstance(found.source, Sum)
    if sign == 1:
        return found.source.terms
    return tuple(replace(term, scale=-term.scale, made=None) for term in found.source.terms)


def _with_constant(
    lowering: Lowering,
    node: ir.Node,
    old: ir.Value | None,
    sign: int,
    constant: ir.Value | None,
    numbers: Array,
) -> Form:
    """Sign * x + numbers: into the bias of x if it is an accumulator, else one more term."""
    found = lowering.plain_sum(old)
    output = node.outputs[0]
    if found is None or not _aligned((found,), output) or not np.isfinite(numbers).all():
        return as_float(lowering, node)
    terms = _terms(found, sign)
    if not numbers.any() and found.shape == shape_of(output):
        return Pending(Sum(terms), name_of(output), found.shape)
    if sign == 1 and found.shape == shape_of(output):
        joined = _in_bias(lowering, terms, numbers, output)
        if joined is not None:
            return joined
    assert constant is not None
    exponent = int(np.ceil(np.log2(np.abs(numbers).max()))) - 30 if numbers.any() else 0
    scale = np.array([np.ldexp(1.0, exponent)], np.float32)  # 31 bits: finer than float32
    codes = np.rint(numbers / scale.astype(np.float64)).astype(np.int32)
    meaning = QType(32, True, (float(scale[0]),))
    value = lowering.build.constant(f"{constant.name}_codes", codes, meaning)
    return _sum_of(lowering, node, (*terms, Term(value, scale)))


def _in_bias(
    lowering: Lowering, terms: tuple[Term, ...], numbers: Array, output: ir.Value
) -> Form | None:
    """The accumulator once more with a larger bias; None if the numbers are no bias."""
    if len(terms) != 1 or terms[0].made is None:
        return None
    (term,) = terms
    made = term.made
    shape = shape_of(output)
    expanded = numbers.reshape((1,) * (len(shape) - numbers.ndim) + numbers.shape)
    if any(size > 1 for axis, size in enumerate(expanded.shape) if axis != term.axis):
        return None
    assert made is not None
    addend = bias_codes(expanded.reshape(-1), term.scale)
    before = np.zeros(1, np.int64) if made.bias is None else made.bias
    bias = np.broadcast_to(before + addend, (shape[term.axis],))
    return accumulated(lowering, replace(made, bias=bias), term.scale, term.axis, output)


def _scaled(
    lowering: Lowering, node: ir.Node, old: ir.Value | None, factor: Array
) -> Form | None:
    """The operand times a constant per tensor or channel; None if that is not its scale."""
    found = lowering.pending(old)
    if found is None or not np.isfinite(factor).all() or not factor.all():
        return None
    output = node.outputs[0]
    if found.shape != shape_of(output) and not found.moves:
        return None
    if factor.size == 1:
        return _scaled_by_one(found, float(factor.reshape(-1)[0]), output)
    expanded = factor.reshape((1,) * (len(found.shape) - factor.ndim) + factor.shape)
    long = [axis for axis, size in enumerate(expanded.shape) if size > 1]
    if len(long) != 1 or not found.is_plain or not isinstance(found.source, Sum):
        return None
    terms: list[Term] = []
    for term in found.source.terms:
        operand = shape_of(term.value)
        same = len(operand) == len(found.shape) and operand[long[0]] == factor.size
        if not same or not (term.is_per_tensor or term.axis == long[0]):
            return None
        scale = _product(term.scale, factor.reshape(-1))
        terms.append(replace(term, scale=scale, axis=long[0], made=None))
    return replace(found, source=Sum(tuple(terms)), name=name_of(output))


def _scaled_by_one(found: Pending, factor: float, output: ir.Value) -> Form | None:
    if factor < 0 and found.moves:
        return None  # a maximum would become a minimum
    if shape_of(output) != _shape_after(found):
        return None
    low, high = sorted((found.low * factor, found.high * factor))
    match found.source:
        case Sum(terms):
            number = np.array([factor])
            source = Sum(
                tuple(
                    replace(term, scale=_product(term.scale, number), made=None)
                    for term in terms
                )
            )
        case Average() as average if factor > 0:
            source = replace(average, scale=np.float32(float(average.scale) * factor))
        case _:
            return None
    moves = tuple(replace(move, fill=move.fill * factor) for move in found.moves)
    return replace(found, source=source, low=low, high=high, moves=moves)


def _shape_after(found: Pending) -> tuple[int, ...]:
    return shape_of(found.moves[-1].node.outputs[0]) if found.moves else found.shape


def _product(scale: Array, factor: Array) -> Array:
    """Rounded to float32 once."""
    return (scale.astype(np.float64) * factor.astype(np.float64)).astype(np.float32)
