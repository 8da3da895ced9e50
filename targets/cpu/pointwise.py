"""Elementwise kernels: each element of the result needs one element of each operand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from joulecut.targets.cpu.script import Arg, Step, Tiling, step, vector_nest


def pointwise(
    op: str,
    args: Sequence[Arg],
    y: Arg,
    expression: Callable[[Sequence[Arg], Sequence[str]], str],
    tiling: Tiling,
) -> Step:
    """A kernel that stores an expression at every index of y.

    Args:
        op: what it does, one word.
        args: operands, whose shapes broadcast against y's.
        y: what is written.
        expression: from the operands, as the kernel sees them, and an index of y to the value.
        tiling: of the target.
    """
    *seen, out = collapsed([*args, y])
    lanes = tiling.float_lanes if y.dtype == "float32" else 2 * tiling.lanes
    body = vector_nest(
        out.shape, lanes, lambda index: f"{out.at(index)} = {expression(seen, index)}"
    )
    return step(op, [*seen, out], body)


def collapsed(args: Sequence[Arg]) -> list[Arg]:
    """The same buffers seen with as few axes as their broadcasting allows; y is the last.

    Neighbouring axes become one where each operand has both in full or neither.
    """
    shape = args[-1].shape
    full = [
        [own == size for own, size in zip(_aligned(arg.shape, len(shape)), shape, strict=True)]
        for arg in args
    ]
    runs: list[list[int]] = []
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if runs and all(has[runs[-1][-1]] == has[axis] for has in full):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    sizes = [math.prod(shape[axis] for axis in run) for run in runs]
    views: list[Arg] = []
    for arg, has in zip(args, full, strict=True):
        view = [size if has[run[0]] else 1 for size, run in zip(sizes, runs, strict=True)]
        views.append(replace(arg, shape=tuple(view) or (1,)))
    return views


def _aligned(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape
