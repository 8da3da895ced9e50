"""Matrix products: int8 times int8 into int32 registers, and their ending.

Lanes are columns of b. A constant b is repacked when it is built so that one load brings one
row of a vector of columns; a computed b is read as it lies, which is contiguous as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from joulecut.compiler.graph import Node, Value, int_of, ints_of, shape_of
from joulecut.targets.cpu.convolution import best_lanes, best_rows
from joulecut.targets.cpu.epilogue import Ending, shifted, widened_product
from joulecut.targets.cpu.operands import constant_input, inputs_of, operand, unsupported
from joulecut.targets.cpu.script import (
    Arg,
    Step,
    Tiling,
    blocks,
    constant,
    lane,
    lines,
    local,
    nest,
    power_of_two,
    start_of,
    step,
)
from joulecut.targets.cpu.weights import fold_zero_points


@dataclass(frozen=True)
class Product:
    """A product of matrices, batches broadcast as numpy does.

    Attributes:
        a: [.., M, K].
        b: [K, N] or [.., K, N]; its source may be a constant.
        a_zero_point: still to be subtracted from a.
        b_zero_point: still to be subtracted from b: int32 [N] or [1]; None for nothing.
        bias: int32 [N] or [1].
        y: [.., M, N].
        ending: its args broadcast against y.
    """

    a: Arg
    b: Arg
    a_zero_point: int
    b_zero_point: Arg | None
    bias: Arg
    y: Arg
    ending: Ending


def lower_matmul(
    node: Node, ending: Ending, y: Value, tiling: Tiling
) -> tuple[list[Step], int]:
    """The steps of a joulecut.MatMul and how many products they sum."""
    a_value, b_value, *_ = inputs_of(node)
    shape = shape_of(a_value)
    if len(shape) == 1 and len(shape_of(b_value)) > 2:
        raise unsupported(
            node, f"'{a_value.name}' must be a matrix, not a vector", "reshape it to [1, K]"
        )
    a = operand("A", a_value, (1, *shape) if len(shape) == 1 else None)
    out = operand("Y", y, (1, *shape_of(y)) if len(shape) == 1 else None)
    b = operand("W", b_value)
    zero_points = np.array(ints_of(node, "b_zero_point"), np.int32)
    bias, a_zero_point = constant_input(node, 2), int_of(node, "a_zero_point")
    if isinstance(b.source, np.ndarray) and b.source.ndim == 2:
        folded = fold_zero_points(node, b.source, zero_points, bias, a_zero_point, 1)
        b, bias, a_zero_point = constant("W", folded.weights), folded.bias, 0
        offsets = folded.offsets
    else:
        offsets = zero_points if np.any(zero_points) else None
    work = Product(
        a,
        b,
        a_zero_point,
        None if offsets is None else constant("Z", offsets),
        constant("B", np.zeros(1, np.int32) if bias is None else bias),
        out,
        ending,
    )
    return [product(work, tiling)], math.prod(out.shape) * a.shape[-1]


def product(work: Product, tiling: Tiling) -> Step:
    """The kernel for the shape."""
    *batch, m, n = work.y.shape
    k = work.a.shape[-1]
    rows = best_rows(m, tiling.rows)
    lanes = best_lanes(n, tiling.lanes * power_of_two(max(1, tiling.rows // rows)))
    outer = [f"i{axis}" for axis in range(len(batch))]
    row, column = f"{start_of('mb', m, rows)} + r", f"{start_of('nb', n, lanes)} + l"
    index = [*outer, row, column]
    a_at = work.a.at([*outer, row, "k"])
    b_arg, b_at = work.b, work.b.at([*outer, "k", column])
    if isinstance(work.b.source, np.ndarray) and work.b.source.ndim == 2:
        b_arg, b_at = _packed(work.b, n, lanes), f"{work.b.name}[nb, k, l]"
    offsets = () if work.b_zero_point is None else (work.b_zero_point,)
    if work.a_zero_point or offsets:
        left = shifted(f'T.cast({a_at}, "int32")', work.a_zero_point)
        right = f'T.cast({b_at}, "int32")'
        for offset in offsets:
            right = f"({right} - {offset.at([column])})"
        summand = f"{left} * {right}"
    else:
        types = (a_at, work.a.dtype), (b_at, b_arg.dtype)
        summand = widened_product(*types, narrow=tiling.narrow_products)
    tile = [f"r in T.unroll({rows})", lane("l", lanes)]
    body = lines(
        local("acc", (rows, lanes), "int32"),
        nest(tile, f"acc[r, l] = {work.bias.at([column])}"),
        nest([f"k in T.serial({k})", *tile], f"acc[r, l] = acc[r, l] + {summand}"),
        nest(tile, f"{work.y.at(index)} = {work.ending.of('acc[r, l]', index)}"),
    )
    around = [f"{name} in T.serial({size})" for name, size in zip(outer, batch, strict=True)]
    around += [f"nb in T.serial({blocks(n, lanes)})", f"mb in T.serial({blocks(m, rows)})"]
    args = [work.a, b_arg, *offsets, work.bias, *work.ending.args, work.y]
    return step("matmul", args, nest(around, body))


def _packed(b: Arg, n: int, lanes: int) -> Arg:
    """[K, N] -> [blocks, K, lanes]."""
    assert isinstance(b.source, np.ndarray)
    starts = [min(block * lanes, n - lanes) for block in range(blocks(n, lanes))]
    return constant(b.name, np.stack([b.source[:, start : start + lanes] for start in starts]))
