"""Turn a waiting real value into integers, or into floats where nothing quantizes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from joulecut.compiler.builder import Attribute, Builder
from joulecut.compiler.codes import Array, Codes
from joulecut.compiler.graph import name_of, shape_of
from joulecut.compiler.lowering.forms import (
    Average,
    Ints,
    Joined,
    Move,
    Pending,
    Sum,
    Term,
    pending,
)
from joulecut.compiler.quant import QType
from joulecut.compiler.refusal import RefusedError


def quantize(
    build: Builder, source: Ints | Pending, codes: Codes, output: str, label: str
) -> Ints:
    """The codes of a real value.

    A clip that waits only narrows the range: clamping commutes with rounding. The moves that
    wait come after: a quantizer is monotone and works element by element, so the maximum of
    the codes is the code of the maximum.

    Args:
        build: the new graph.
        source: the real value.
        codes: of the quantizer, one scale and zero point.
        output: name for the codes; not used if `source` has them already.
        label: name of the quantizer's node.
    """
    if isinstance(source, Ints):
        if _has_codes(source, codes):
            return source
        source = pending(source, output)
    narrow = _narrowed(codes, source)
    stem = build.fresh(f"{source.name}_q") if source.moves else output
    value = _codes_at_source(build, source, narrow, stem, label)
    for move in source.moves:
        is_last = move is source.moves[-1]
        name = output if is_last else build.fresh(f"{_moved_name(move)}_q")
        value = emit_move(build, move, value, codes, name)
    low, high = narrow.low, narrow.high
    for move in source.moves:
        if move.node.op_type == "Pad":
            filler = int(codes.zero_point[0])
            low, high = min(low, filler), max(high, filler)
    return Ints(value, np.float32(codes.scale[0]), int(codes.zero_point[0]), low, high)


def dequantize(build: Builder, source: Ints | Pending, output: str) -> ir.Value:
    """The real value in float32, as the graph computes it where no quantizer follows."""
    if isinstance(source, Ints):
        source = pending(source, output)
    clips = source.low > -np.inf or source.high < np.inf
    rest = int(clips) + len(source.moves)

    def name() -> str:
        nonlocal rest
        rest -= 1
        return output if rest < 0 else build.fresh(f"{output}_real")

    value = _floats_at_source(build, source, name())
    if clips:
        value = _clip(build, value, source.low, source.high, name())
    for move in source.moves:
        value = emit_move(build, move, value, None, name())
    return value


def emit_move(
    build: Builder, move: Move, x: ir.Value, codes: Codes | None, name: str
) -> ir.Value:
    """A moving node on integers (with what they mean) or on floats (None)."""
    node = move.node
    assert x.dtype is not None
    attributes = {key: attr for key, attr in node.attributes.items() if key != "auto_pad"}
    shaping = list(node.inputs[1:])
    if node.op_type == "Pad":
        shaping[1:2] = [None]  # what it fills with is an integer now
    others = [None if value is None else build.carry(value) for value in shaping]
    if node.op_type == "Pad":
        fill = codes.zero_point[0] if codes is not None else move.fill
        others[1] = build.constant(f"{name}_fill", np.array(fill, x.dtype.numpy()))
    output = node.outputs[0]
    made = ir.val(name, x.dtype, output.shape)
    build.append(
        ir.Node("", node.op_type, [x, *others], attributes, outputs=[made], name=node.name)
    )
    made.metadata_props.update(x.metadata_props)
    return made


def emit_dequantize(
    build: Builder, x: ir.Value, scale: Array, axis: int, zero_point: int, output: str
) -> ir.Value:
    """`joulecut.Dequantize`."""
    return build.node(
        "joulecut.Dequantize",
        [x, build.constant(f"{output}_scale", scale.astype(np.float32))],
        {"axis": axis, "zero_point": zero_point},
        name=output,
        output=output,
        shape=x.shape,
        dtype=np.float32,
    )


def average_as_sum(
    build: Builder, average: Average, name: str, shape: tuple[int, ...]
) -> Sum | None:
    """An average with one divisor as an accumulator: a depthwise convolution with ones.

    None where windows at the border have their own divisors.
    """
    window = average.window
    pads = window.get("pads", ())
    assert isinstance(pads, Sequence)
    if (any(pads) and not window.get("count_include_pad", 0)) or window.get("ceil_mode", 0):
        return None
    kernel = window["kernel_shape"]
    assert isinstance(kernel, Sequence)
    source = average.source
    channels = shape_of(source.value)[1]
    taps = [int(size) for size in kernel]
    count = math.prod(taps)
    ones = np.ones((channels, 1, *taps), np.int8)
    scale = np.array([average.scale / np.float32(count)], np.float32)
    attributes: dict[str, Attribute] = {
        key: value for key, value in window.items() if key in ("strides", "pads")
    }
    value = build.node(
        "joulecut.Conv",
        [
            source.value,
            build.constant(f"{name}_ones", ones, QType(2, True, (1.0,), narrow=True)),
        ],
        {
            **attributes,
            "group": channels,
            "x_zero_point": source.zero_point,
            "w_zero_point": [0],
        },
        name=name,
        output=build.fresh(f"{name}_acc"),
        shape=shape,
        dtype=np.int32,
        qtype=QType(32, True, (float(scale[0]),)),
    )
    return Sum((Term(value, scale),))


def _has_codes(ints: Ints, codes: Codes) -> bool:
    return (
        ints.scale == codes.scale[0]
        and ints.zero_point == codes.zero_point[0]
        and codes.low <= ints.low
        and ints.high <= codes.high
        and ints.value.dtype == ir.DataType.from_numpy(codes.dtype)
    )


def _narrowed(codes: Codes, source: Pending) -> Codes:
    """The codes between those of the bounds that wait."""
    scale, zero_point = codes.scale[0], int(codes.zero_point[0])

    def code(bound: float) -> int:
        if not math.isfinite(bound):
            return codes.low if bound < 0 else codes.high
        nearest = int(np.rint(np.float32(bound) / scale)) + zero_point
        return min(max(nearest, codes.low), codes.high)

    return replace(codes, low=code(source.low), high=code(source.high))


def _codes_at_source(
    build: Builder, source: Pending, codes: Codes, output: str, label: str
) -> ir.Value:
    match source.source:
        case Sum((term,)):
            return _requantize(build, source, term, codes, output, label)
        case Sum(terms):
            return _add(build, source, terms, codes, output, label)
        case Average() as average:
            return _average_pool(build, source, average, codes, output, label)
        case Joined(parts, axis):
            return _concat(build, source, Joined(parts, axis), codes, output, label)


def _target(codes: Codes) -> dict[str, Attribute]:
    attributes = dict(codes.attributes)
    del attributes["scale"]
    return attributes


def _multiplier(build: Builder, term: Term, codes: Codes, output: str) -> ir.Value:
    """float32(float32(x_scale * w_scale) / y_scale)."""
    with np.errstate(over="ignore"):
        ratio = (term.scale.astype(np.float32) / codes.scale[0]).astype(np.float32)
    if not np.isfinite(ratio).all():
        reason = f"the scale before it is too large for its own, {codes.scale[0]}"
        raise RefusedError(reason, "calibrate the quantizer again")
    return build.constant(f"{output}_multiplier", ratio)


def _requantize(
    build: Builder, source: Pending, term: Term, codes: Codes, output: str, label: str
) -> ir.Value:
    return build.node(
        "joulecut.Requantize",
        [term.value, _multiplier(build, term, codes, output)],
        {"axis": term.axis, "x_zero_point": term.zero_point, **_target(codes)},
        name=label,
        output=output,
        shape=source.shape,
        dtype=codes.dtype,
        qtype=codes.qtype,
    )


def _add(
    build: Builder,
    source: Pending,
    terms: tuple[Term, ...],
    codes: Codes,
    output: str,
    label: str,
) -> ir.Value:
    axes = {term.axis for term in terms if not term.is_per_tensor}
    if len(axes) > 1:
        reason = f"its addends have scales along different axes, {sorted(axes)}"
        raise RefusedError(reason, "quantize one of them before the Add")
    multipliers = [_multiplier(build, term, codes, output) for term in terms]
    return build.node(
        "joulecut.Add",
        [*(term.value for term in terms), *multipliers],
        {
            "axis": axes.pop() if axes else 1,
            "x_zero_points": [term.zero_point for term in terms],
            **_target(codes),
        },
        name=label,
        output=output,
        shape=source.shape,
        dtype=codes.dtype,
        qtype=codes.qtype,
    )


def _average_pool(
    build: Builder, source: Pending, average: Average, codes: Codes, output: str, label: str
) -> ir.Value:
    return build.node(
        "joulecut.AveragePool",
        [average.source.value],
        {
            **average.window,
            "x_zero_point": average.source.zero_point,
            "x_scale": float(average.scale),
            "y_scale": float(codes.scale[0]),
            **_target(codes),
        },
        name=label,
        output=output,
        shape=source.shape,
        dtype=codes.dtype,
        qtype=codes.qtype,
    )


def _concat(
    build: Builder, source: Pending, joined: Joined, codes: Codes, output: str, label: str
) -> ir.Value:
    parts: list[ir.Value] = []
    for i, part in enumerate(joined.parts):
        name = build.fresh(f"{output}_part{i}")
        parts.append(quantize(build, part, codes, name, f"{label}_part{i}").value)
    return build.node(
        "Concat",
        parts,
        {"axis": joined.axis},
        name=source.name,
        output=output,
        shape=source.shape,
        dtype=codes.dtype,
        qtype=codes.qtype,
    )


def _floats_at_source(build: Builder, source: Pending, output: str) -> ir.Value:
    match source.source:
        case Sum(terms):
            return _float_sum(build, terms, output)
        case Average() as average:
            found = average_as_sum(build, average, source.name, source.shape)
            if found is None:
                reason = "an average with its own divisor at each border must be quantized"
                raise RefusedError(reason, "add a quantizer after it, or pool without padding")
            return _float_sum(build, found.terms, output)
        case Joined(parts, axis):
            reals = [
                dequantize(build, part, build.fresh(f"{output}_part{i}"))
                for i, part in enumerate(parts)
            ]
            return build.node(
                "Concat",
                reals,
                {"axis": axis},
                name=source.name,
                output=output,
                shape=source.shape,
                dtype=np.float32,
            )


def _float_sum(build: Builder, terms: tuple[Term, ...], output: str) -> ir.Value:
    if len(terms) == 1:
        (term,) = terms
        return emit_dequantize(
            build, term.value, term.scale, term.axis, term.zero_point, output
        )
    total: ir.Value | None = None
    for i, term in enumerate(terms):
        name = build.fresh(f"{output}_term{i}")
        real = emit_dequantize(build, term.value, term.scale, term.axis, term.zero_point, name)
        if total is None:
            total = real
            continue
        name = output if i == len(terms) - 1 else build.fresh(f"{output}_sum{i}")
        shape = np.broadcast_shapes(shape_of(total), shape_of(real))
        total = build.node(
            "Add", [total, real], name=name, output=name, shape=shape, dtype=np.float32
        )
    assert total is not None
    return total


def _clip(build: Builder, x: ir.Value, low: float, high: float, output: str) -> ir.Value:
    if low == 0 and high == np.inf:
        inputs: list[ir.Value | None] = [x]
    else:
        bounds = {"low": low, "high": high}
        inputs = [
            x,
            *(
                build.constant(f"{output}_{key}", np.array(bound, np.float32))
                if math.isfinite(bound)
                else None
                for key, bound in bounds.items()
            ),
        ]
    op = "Relu" if len(inputs) == 1 else "Clip"
    return build.node(op, inputs, name=output, output=output, shape=x.shape, dtype=np.float32)


def _moved_name(move: Move) -> str:
    return name_of(move.node.outputs[0])
