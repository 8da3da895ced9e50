"""The integer specification in executable form (docs/spec.md): slow, obvious, numpy.

Every fast thing is compared with this file, integer for integer, so nothing here is clever. It
uses no engine, holds no state, and computes each operator in the words of the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from joulecut.compiler import moving
from joulecut.compiler.errors import ConfigError, Finding, UnsupportedError
from joulecut.compiler.feeds import batch_of
from joulecut.compiler.graph import (
    Graph,
    activations,
    constant_of,
    dtype_of,
    float_of,
    input_specs,
    int_of,
    ints_of,
    name_of,
    nodes,
    op_key,
    shape_of,
)
from joulecut.compiler.windows import window_of

Arrays = Sequence[np.ndarray | None]
Operator = Callable[[ir.Node, Arrays], np.ndarray]

_TOGETHER = 32  # samples computed at once: bounds the memory of a convolution's windows
_INT32 = np.iinfo(np.int32)


def run_reference(graph: Graph, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What an integer Graph computes, by definition.

    A Graph is batch 1. Feeds may have N samples in their leading dimension all the same: the
    results are those of the samples one by one, joined along the leading dimension. Where each
    node keeps its samples apart they are computed together, which only saves time.

    Args:
        graph: integer Graph (docs/spec.md).
        feeds: for each input its array, of the spec's type and shape [1, ..] or [N, ..].

    Returns:
        The outputs in the order of the graph's.

    Raises:
        ConfigError: the feeds do not fit the inputs.
        UnsupportedError: a node is not an operator of the specification.
    """
    found = trace(graph, feeds)
    return [found[name_of(value)] for value in graph.graph.outputs]


def trace(graph: Graph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every computed value by name, the inputs included; otherwise as `run_reference`."""
    _refuse_unknown(graph)
    batch = batch_of(input_specs(graph), feeds)
    if batch is None or batch == 1:
        return _trace(graph, feeds)
    step = _TOGETHER if all(map(_keeps_samples_apart, nodes(graph))) else 1
    parts = [
        _trace(graph, {name: feed[i : i + step] for name, feed in feeds.items()})
        for i in range(0, batch, step)
    ]
    return {
        name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]
    }


def evaluate(node: ir.Node, inputs: Arrays) -> np.ndarray:
    """What one node computes from its inputs, in order; None stands for an absent one."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return np.asarray(OPERATORS[op_key(node)](node, inputs))  # numpy makes 0-d scalars


def _trace(graph: Graph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = dict(feeds)
    for node in nodes(graph):
        inputs = [
            None if value is None else found.get(name_of(value), constant_of(value))
            for value in node.inputs
        ]
        (output,) = node.outputs
        result = evaluate(node, inputs)
        assert result.dtype == dtype_of(output), f"{output.name} is {result.dtype}"
        assert result.shape[1:] == shape_of(output)[1:], f"{output.name} is {result.shape}"
        found[name_of(output)] = result
    return found


def _refuse_unknown(graph: Graph) -> None:
    findings = tuple(
        Finding(str(node.name), op_key(node), "not in docs/spec.md", "lower it with `pipeline`")
        for node in nodes(graph)
        if op_key(node) not in OPERATORS
    )
    if findings:
        raise UnsupportedError("graph must be an integer Graph, not this:", findings)


def _keeps_samples_apart(node: ir.Node) -> bool:
    """Does the leading dimension of every computed operand stay what it is, the batch?"""
    (output,) = node.outputs
    rank = len(shape_of(output))
    computed = list(activations(node))
    shapes = [shape_of(value) for value in (*computed, output)]
    if not computed or any(shape[:1] != (1,) for shape in shapes):
        return False
    key = op_key(node)
    if key in moving.RESHAPING:
        return True  # from [1, ..] to [1, ..]
    if any(len(shape) != rank for shape in shapes):
        return False  # broadcasting would align the batch with another dimension
    if key == "joulecut.MatMul":
        return rank > 2 or (rank == 2 and node.inputs[1] not in computed)
    if key == "Concat" and len(computed) < len(node.inputs):
        return False  # a constant is there once, not once per sample
    return 0 not in moving.axes_touched(node)


# Accumulating


def _centred(x: np.ndarray, zero_point: np.ndarray | int) -> np.ndarray:
    """X - zero_point in float64, which is exact: see `_int32`."""
    return x.astype(np.float64) - zero_point


def _int32(total: np.ndarray) -> np.ndarray:
    """A sum of products of integers, computed in float64, as int32.

    Every product is below 2**17 in magnitude and every partial sum below 2**53 for fewer than
    2**36 terms, so float64 holds each exactly whatever the order in which BLAS adds. That the
    total fits in int32 was proved when the graph was lowered.
    """
    assert total.size == 0 or (total.min() >= _INT32.min and total.max() <= _INT32.max)
    return total.astype(np.int32)


def _conv(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x, w, bias = moving.three(inputs)
    group = int_of(node, "group", 1)
    zero_point = np.array(ints_of(node, "w_zero_point")).reshape(-1, *[1] * (w.ndim - 1))
    window = window_of(node, w.shape[2:])
    taps = window.view(_centred(x, int_of(node, "x_zero_point")), fill=0)
    (batch, channels), outs = x.shape[:2], window.output_shape(x.shape[2:])
    taps = taps.reshape(batch, group, channels // group, *outs, *w.shape[2:])
    rows = np.moveaxis(taps, 2, 2 + len(outs)).reshape(batch, group, int(np.prod(outs)), -1)
    columns = _centred(w, zero_point).reshape(group, len(w) // group, -1).swapaxes(1, 2)
    total = (rows @ columns).swapaxes(2, 3).reshape(batch, len(w), *outs)
    if bias is not None:
        total += bias.reshape(-1, *[1] * len(outs))
    return _int32(total)


def _matmul(node: ir.Node, inputs: Arrays) -> np.ndarray:
    a, b, bias = moving.three(inputs)
    left = _centred(a, int_of(node, "a_zero_point"))
    right = _centred(b, np.array(ints_of(node, "b_zero_point")))
    total = left @ right
    return _int32(total if bias is None else total + bias)


def _mul(node: ir.Node, inputs: Arrays) -> np.ndarray:
    a, b = moving.two(inputs)
    left = _centred(a, int_of(node, "a_zero_point"))
    return _int32(left * _centred(b, int_of(node, "b_zero_point")))


# Back to 8 bits


def _scaled(
    x: np.ndarray, zero_point: int, multiplier: np.ndarray, axis: int, rank: int
) -> np.ndarray:
    """float32(x - zero_point) * multiplier, which lies along `axis` of `rank` dimensions."""
    shape = [1] * rank
    if multiplier.size > 1:
        shape[axis] = multiplier.size
    return (x.astype(np.int64) - zero_point).astype(np.float32) * multiplier.reshape(shape)


def _clamped(node: ir.Node, real: np.ndarray) -> np.ndarray:
    """clamp(rhe(real) + zero_point, low, high); float64 only so that nothing overflows."""
    assert real.dtype == np.float32
    shifted = np.rint(real).astype(np.float64) + int_of(node, "zero_point")
    clamped = np.clip(shifted, int_of(node, "low"), int_of(node, "high"))
    return clamped.astype(ir.DataType(int_of(node, "dtype")).numpy())


def _requantize(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x, multiplier = moving.two(inputs)
    zero_point, axis = int_of(node, "x_zero_point"), int_of(node, "axis", 1)
    return _clamped(node, _scaled(x, zero_point, multiplier, axis, x.ndim))


def _add(node: ir.Node, inputs: Arrays) -> np.ndarray:
    arrays = [array for array in inputs if array is not None]
    terms, multipliers = arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]
    rank = max(term.ndim for term in terms)
    zero_points, axis = ints_of(node, "x_zero_points"), int_of(node, "axis", 1)
    total, *others = (
        _scaled(term, zero_point, multiplier, axis, rank)
        for term, zero_point, multiplier in zip(terms, zero_points, multipliers, strict=True)
    )
    for other in others:
        total = total + other  # in the order of the operands: float addition is not associative
    return _clamped(node, total)


def _average_pool(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x = moving.one(inputs)
    window = window_of(node, ints_of(node, "kernel_shape"))
    taps = window.view(_centred(x, int_of(node, "x_zero_point")), fill=0)
    total = _int32(taps.sum(axis=tuple(range(x.ndim, taps.ndim)))).astype(np.float32)
    include_pad = bool(int_of(node, "count_include_pad", 0))
    count = window.counts(x.shape[2:], include_pad=include_pad).astype(np.float32)
    return _clamped(
        node, total * (float_of(node, "x_scale") / (float_of(node, "y_scale") * count))
    )


# Between floats and integers


def _quantize(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x = moving.one(inputs)
    if not np.isfinite(x).all():
        raise ConfigError(
            f"input of Quantize '{node.name}' must be finite, not NaN or infinite; "
            "a float node before it divides by zero or overflows"
        )
    return _clamped(node, x / float_of(node, "scale"))


def _dequantize(node: ir.Node, inputs: Arrays) -> np.ndarray:
    x, scale = moving.two(inputs)
    return _scaled(x, int_of(node, "zero_point"), scale, int_of(node, "axis", 1), x.ndim)


OPERATORS: dict[str, Operator] = {
    "joulecut.Quantize": _quantize,
    "joulecut.Dequantize": _dequantize,
    "joulecut.Conv": _conv,
    "joulecut.MatMul": _matmul,
    "joulecut.Mul": _mul,
    "joulecut.Requantize": _requantize,
    "joulecut.Add": _add,
    "joulecut.AveragePool": _average_pool,
    **moving.OPERATORS,
}
