"""Real numbers of a dense tensor [N, C, H, W] into a plane of integers, in one pass."""

from __future__ import annotations

from joulecut.targets.cpu.epilogue import Integers, float32
from joulecut.targets.cpu.nhwc import vector_ir
from joulecut.targets.cpu.nhwc.ending import stored
from joulecut.targets.cpu.nhwc.lanes import run, splat
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.script import (
    Arg,
    Step,
    blocks,
    lines,
    local,
    nest,
    parallel_step,
    power_of_two,
    start_of,
)

_LANES = 16
_FEW_CHANNELS = 4


def quantized(source: Arg, y: Plane, scale: float, target: Integers) -> Step:
    """A joulecut.Quantize: an IEEE division, rounded, clamped and stored channels last.

    Args:
        source: float32, dense.
        y: what is stored.
        scale: of the quantizer.
        target: the integers as they are stored.
    """
    channels, columns, image = y.channels, y.columns, y.rows * y.columns
    lanes = min(_LANES, power_of_two(columns))
    w = start_of("wb", columns, lanes)
    row = f"n * {channels * image} + h * {columns} + {w}"

    def integers(channel: str) -> str:
        reals = run("D", f"{row} + ({channel}) * {image}", lanes)
        return stored(f"T.Div({reals}, {splat(float32(scale), lanes)})", target, lanes)

    spot = f"n * {y.sample} + h * {y.row} + ({w}) * {y.pixel}"
    text = ""
    if channels <= _FEW_CHANNELS and y.is_whole and lanes > 1:
        text = vector_ir.interleave(channels, lanes, f"i{8 * y.itemsize}")
        vectors = ", ".join(integers(str(c)) for c in range(channels))
        name = vector_ir.name_of(text)
        body = (
            f'T.evaluate(T.call_extern("int32", "{name}", T.address_of(Y[{spot}]), {vectors}))'
        )
    else:
        body = nest(
            [f"c in T.serial({channels})"],
            lines(
                local("q", (lanes,), y.dtype),
                f"{run('q', '0', lanes)} = {integers('c')}",
                nest([f"l in T.unroll({lanes})"], f"Y[{spot} + l * {y.pixel} + c] = q[l]"),
            ),
        )
    place = "(tasks_begin + task)"
    header = [
        "task in T.serial(tasks_end - tasks_begin)",
        f"n in T.serial({place} // {y.rows}, {place} // {y.rows} + 1)",
        f"h in T.serial({place} % {y.rows}, {place} % {y.rows} + 1)",
        f"wb in T.serial({blocks(columns, lanes)})",
    ]
    args = [
        Arg("D", source.source, (y.batch * channels * image,), "float32", source.offset),
        Arg("Y", y.name, (y.size,), y.dtype, y.origin),
    ]
    return parallel_step("quantize", args, nest(header, body), y.batch * y.rows, text)
