"""Sums and scalings of planes, element by element."""

from __future__ import annotations

from collections.abc import Sequence

from joulecut.targets.cpu.epilogue import float32
from joulecut.targets.cpu.nhwc.ending import Ending, Spelling, Term, ended
from joulecut.targets.cpu.nhwc.lanes import cast, run, splat
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.script import (
    Arg,
    Step,
    blocks,
    constant,
    nest,
    parallel_step,
    power_of_two,
    start_of,
)

_LANES = 16


def joined(endings: Sequence[Ending], operands: Sequence[Plane], y: Plane) -> Step:
    """Endings that read all their operands from planes of y's shape.

    A row is one run of elements where every pixel is whole and no multiplier differs by channel.
    """
    planes = (*operands, y)
    terms = [term for ending in endings for term in ending.terms]
    is_run = all(p.is_whole for p in planes) and all(t.multiplier.size == 1 for t in terms)
    count = y.columns * y.channels if is_run else y.channels
    lanes = min(_LANES, power_of_two(count))
    start = start_of("b", count, lanes)
    args = [
        Arg(f"R{i}", plane.name, (plane.size,), plane.dtype, plane.origin)
        for i, plane in enumerate(operands)
    ]
    scales: dict[int, str] = {}
    for i, term in enumerate(terms):
        if term.multiplier.size > 1:
            scales[id(term)] = f"M{i}"
            args.append(constant(f"M{i}", term.multiplier))

    def spot(plane: Plane) -> str:
        return f"n * {plane.sample} + h * {plane.row} + w * {plane.pixel} + {start}"

    def load(i: int) -> str:
        return cast(run(f"R{i}", spot(operands[i]), lanes), "int32", lanes)

    def scale_of(term: Term) -> str:
        name = scales.get(id(term))
        if name is None:
            return splat(float32(float(term.multiplier.flat[0])), lanes)
        return run(name, start, lanes)

    assert len(endings) == 1, "a chain ends a convolution, not a sum"
    value = ended(endings, "", lanes, load, scale_of, Spelling(str))
    row = "(tasks_begin + task)"
    header = [
        "task in T.serial(tasks_end - tasks_begin)",
        f"n in T.serial({row} // {y.rows}, {row} // {y.rows} + 1)",
        f"h in T.serial({row} % {y.rows}, {row} % {y.rows} + 1)",
        f"w in T.serial({1 if is_run else y.columns})",
        f"b in T.serial({blocks(count, lanes)})",
    ]
    body = nest(header, f"{run('Y', spot(y), lanes)} = {value}")
    args.append(Arg("Y", y.name, (y.size,), y.dtype, y.origin))
    return parallel_step("join", args, body, y.batch * y.rows)
