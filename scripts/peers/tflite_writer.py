"""An integer Graph => the same integer network as a .tflite file, for LiteRT to run.

What is rewritten on the way: channels come last (1-D data lie as one row), uint8 codes become
int8 with a zero point 128 lower, a window's paddings become SAME, VALID or a PAD in front, and
a dense layer after a flattening gets its rows in the order in which LiteRT flattens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
from peers.tflite_draft import (
    CannotSayError,
    Draft,
    axis_in_memory,
    in_memory,
    is_clamped,
    is_order_kept,
    meaning_of,
    require_factor,
    zero_point_of,
)
from peers.tflite_products import (
    convolution,
    dense,
    in_two_axes,
    pad_operator,
    padded,
    product,
)

from joulecut.compiler.errors import Finding, UnsupportedError
from joulecut.compiler.graph import (
    Graph,
    constant_of,
    int_of,
    ints_of,
    op_key,
    shape_of,
)
from joulecut.compiler.layers import layers
from joulecut.compiler.load import load
from joulecut.compiler.pipeline import pipeline
from joulecut.compiler.windows import Window, window_of


def tflite_of(model: str | Path, *, real: bool = False) -> bytes:
    """A quantized ONNX file with integer inputs and outputs => a .tflite file.

    Args:
        model: where it lies.
        real: write the network of real numbers that it approximates, in float32.

    Raises:
        UnsupportedError: LiteRT has no int8 form of a layer; names the first.
    """
    return write_tflite(pipeline(load(model)), real=real)


def write_tflite(graph: Graph, *, real: bool = False) -> bytes:
    """An integer Graph => a .tflite file; see tflite_of."""
    draft = Draft(real=real)
    inputs = [value for value in graph.graph.inputs if constant_of(value) is None]
    where, kind = "the inputs", "Graph"
    try:
        fed = [draft.tensor(value) for value in inputs]
        for layer in layers(graph):
            where, kind = layer.name, layer.kind
            if layer.nodes[-1] in draft.done:
                continue
            key = "+".join(op_key(node).removeprefix("joulecut.") for node in layer.nodes)
            _LAYERS.get(key, _refuse)(draft, layer.nodes[0], layer.nodes[-1])
        return draft.file.build(fed, [draft.tensor(value) for value in graph.graph.outputs])
    except CannotSayError as reason:
        finding = Finding(where, kind, str(reason), "leave LiteRT out for this network")
        raise UnsupportedError("LiteRT must take every layer:", (finding,)) from reason


def _refuse(_: Draft, first: ir.Node, last: ir.Node) -> None:
    kinds = first.op_type, last.op_type
    raise CannotSayError(_REASONS.get(kinds, "LiteRT has no int8 operator for it"))


# ---- elementwise -----------------------------------------------------------------------


def _requantize(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    x, factor = node.inputs
    assert x is not None
    y, constant = node.outputs[0], constant_of(factor)
    assert constant is not None
    require_factor(constant, meaning_of(x).scale, meaning_of(y).scale)
    if is_clamped(node):
        raise CannotSayError("it clamps, and QUANTIZE does not")
    if draft.real:
        draft.rename(x, y)
        return
    draft.file.operator("QUANTIZE", [draft.tensor(x)], draft.tensor(y))


def _add(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    half, y = len(node.inputs) // 2, node.outputs[0]
    if half != 2:
        raise CannotSayError(f"it must have two operands, not {half}")
    tensors: list[int] = []
    for operand, factor in zip(node.inputs[:half], node.inputs[half:], strict=True):
        constant = constant_of(factor)
        assert operand is not None
        assert constant is not None
        if constant_of(operand) is not None:
            raise CannotSayError("both operands must be computed")
        require_factor(constant, meaning_of(operand).scale, meaning_of(y).scale)
        tensors.append(draft.tensor(operand))
    options = {"fusedActivationFunction": draft.clamp(node)}
    draft.file.operator("ADD", tensors, draft.tensor(y), options)


# ---- pooling ---------------------------------------------------------------------------


def _average_pool(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    x, y = _operand(node), node.outputs[0]
    if is_clamped(node):
        raise CannotSayError("it clamps, and LiteRT's averages of int8 do not")
    if ints_of(node, "kernel_shape") == shape_of(x)[2:] and not any(ints_of(node, "pads", ())):
        _mean(draft, x, y)
        return
    window = in_two_axes(window_of(node, ints_of(node, "kernel_shape")))
    is_padding_counted = bool(int_of(node, "count_include_pad", 0))
    fill = zero_point_of(x) if is_padding_counted else None
    source, padding = padded(draft, x, window, same=not is_padding_counted, fill=fill)
    options = _pool_options(window, padding)
    is_same_code = meaning_of(x).scale == meaning_of(y).scale and zero_point_of(
        x
    ) == zero_point_of(y)
    if is_same_code or draft.real:
        draft.file.operator("AVERAGE_POOL_2D", [source], draft.tensor(y), options)
        return
    # LiteRT averages in the codes of x only: a second rounding follows.
    pooled = draft.like(x, in_memory(shape_of(y)))
    draft.file.operator("AVERAGE_POOL_2D", [source], pooled, options)
    draft.file.operator("QUANTIZE", [pooled], draft.tensor(y))


def _mean(draft: Draft, x: ir.Value, y: ir.Value) -> None:
    """The average of a whole map; the flattening after it, if any, costs nothing."""
    readers = [use.node for use in y.uses()]
    flattening = len(readers) == 1 and readers[0].op_type == "Reshape"
    if flattening and not y.is_graph_output() and len(shape_of(readers[0].outputs[0])) == 2:
        draft.done.add(readers[0])
        output = draft.tensor(readers[0].outputs[0])
    else:
        flattening, output = False, draft.tensor(y)
    axes = draft.file.ints([1, 2])
    options = {"keepDims": not flattening}
    draft.file.operator("MEAN", [draft.tensor(x), axes], output, options)


def _max_pool(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    window = in_two_axes(window_of(node, ints_of(node, "kernel_shape")))
    if set(window.dilations) != {1}:
        raise CannotSayError("its window must not be dilated")
    source, padding = padded(draft, _operand(node), window, same=True, fill=-128)
    output = draft.tensor(node.outputs[0])
    draft.file.operator("MAX_POOL_2D", [source], output, _pool_options(window, padding))


def _pool_options(window: Window, padding: int) -> dict[str, object]:
    return {
        "padding": padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "filterHeight": window.kernel[0],
        "filterWidth": window.kernel[1],
    }


# ---- moving ----------------------------------------------------------------------------


def _concat(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    y = node.outputs[0]
    inputs = [draft.tensor(value) for value in node.inputs if value is not None]
    options = {"axis": axis_in_memory(int_of(node, "axis"), len(shape_of(y)))}
    draft.file.operator("CONCATENATION", inputs, draft.tensor(y), options)


def _reshape(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    x, y = _operand(node), node.outputs[0]
    source, shape = draft.tensor(x), shape_of(y)
    if not is_order_kept(shape_of(x)):
        if len(shape) == 2 and not y.is_graph_output() and _is_for_dense(y):
            draft.flattened[y] = shape_of(x)[1:]
        else:
            source = _permute(draft, source, x, _channels_first(len(shape_of(x))))
    if is_order_kept(shape):
        _into_shape(draft, source, draft.tensor(y))
        return
    first = (shape[0], shape[1], *in_memory(shape)[1:-1])
    middle = _into_shape(draft, source, draft.like(y, first))
    _permute(draft, middle, y, (0, 2, 3, 1), draft.tensor(y))


def _transpose(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    x, y = _operand(node), node.outputs[0]
    rank = len(shape_of(x))
    if rank == 3:
        raise CannotSayError("it must have 2 or 4 axes, not 3")
    moved = ints_of(node, "perm", range(rank)[::-1])
    order = [0] * rank
    for axis in range(rank):
        order[axis_in_memory(axis, rank)] = axis_in_memory(moved[axis], rank)
    _permute(draft, draft.tensor(x), y, order, draft.tensor(y))


def _pad(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    x, y = _operand(node), node.outputs[0]
    pads, rank = constant_of(node.inputs[1]), len(shape_of(x))
    if pads is None or len(node.inputs) > 3 or (pads < 0).any():
        raise CannotSayError("its pads must be constant, for every axis, and not negative")
    widths = [(0, 0)] * len(in_memory(shape_of(x)))
    for axis in range(rank):
        widths[axis_in_memory(axis, rank)] = (int(pads[axis]), int(pads[axis + rank]))
    pad_operator(draft, x, draft.tensor(y), widths, zero_point_of(x))


def _identity(draft: Draft, _: ir.Node, node: ir.Node) -> None:
    draft.rename(_operand(node), node.outputs[0])


def _operand(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def _is_for_dense(value: ir.Value) -> bool:
    return all(op_key(use.node) == "joulecut.MatMul" and use.idx == 0 for use in value.uses())


def _channels_first(rank: int) -> tuple[int, ...]:
    return (0, 3, 1, 2) if rank in (3, 4) else tuple(range(rank))


def _into_shape(draft: Draft, source: int, output: int) -> int:
    shape = draft.file.shapes[output]
    inputs = [source, draft.file.ints(shape)]
    options = {"newShape": np.array(shape, np.int32)}
    return draft.file.operator("RESHAPE", inputs, output, options)


def _permute(
    draft: Draft,
    source: int,
    like: ir.Value,
    order: tuple[int, ...] | list[int],
    output: int | None = None,
) -> int:
    if output is None:
        output = draft.like(like, [draft.file.shapes[source][axis] for axis in order])
    inputs = [source, draft.file.ints(order)]
    return draft.file.operator("TRANSPOSE", inputs, output)


_LAYERS = {
    "Conv+Requantize": convolution,
    "MatMul+Requantize": dense,
    "Mul+Requantize": product,
    "Requantize": _requantize,
    "Add": _add,
    "AveragePool": _average_pool,
    "MaxPool": _max_pool,
    "Concat": _concat,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Pad": _pad,
    "Identity": _identity,
}
_REASONS = {
    ("Conv", "Add"): "it adds sums that were never rounded to 8 bits",
    ("MatMul", "Add"): "it adds sums that were never rounded to 8 bits",
    (
        "Dequantize",
        "Dequantize",
    ): "outputs must be integers; take the last DequantizeLinear out",
}
