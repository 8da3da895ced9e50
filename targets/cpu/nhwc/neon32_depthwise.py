"""Depthwise convolutions in armv7 NEON: 16 or 8 channels of up to two pixels at a time.

`vmull.s8` and `vmlal.s8` add the products of some taps in 16 bits, as many as the weights allow:
255 * 128 fits, so the magnitudes of their weights must sum to 255 or less in every channel. Then
`vaddw.s16` adds them to the int32 sums. As in `arm32`, loads for the next tap stand between the
products of this one, so that the Cortex-A9 waits little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from joulecut.targets.cpu.nhwc.arm32 import FREE, Program
from joulecut.targets.cpu.nhwc.arm32_ends import ENDS
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.depthwise import Filters, depthwise
from joulecut.targets.cpu.nhwc.vector_ir import name_of
from joulecut.targets.cpu.script import Array, Step, local

_BOUND = 255  # of the magnitudes of the weights that are added in 16 bits
_PIXELS = 2  # of a row, whose sums fit in the registers
_FEW = 64  # channels, of which a last vector that is not full costs more than short vectors


def neon32_depthwise(work: Conv) -> Step:
    """The kernel."""
    channels = len(work.weights)
    lanes = 8 if 0 < channels % 16 <= 8 and channels <= _FEW else 16
    runs = _runs(work.weights[:, 0].reshape(channels, -1))
    statements = {n: _statement(work, lanes, runs, n) for n in range(1, _PIXELS + 1)}

    def sums(column: int, columns: int, x: str, w: str, bias: str) -> str:
        if column:
            return f"acc[T.Ramp(0, 1, {lanes})] = later[T.Ramp(0, 1, {lanes})]"
        at = [f"X[{x}]", f"W[{w}]", f"B[{bias}]", "acc[0]", *["later[0]"] * (columns - 1)]
        given = ", ".join(f"T.address_of({one})" for one in at)
        return f'T.evaluate(T.call_extern("int32", "{name_of(statements[columns])}", {given}))'

    filters = Filters(
        lanes=lanes,
        rows=1,
        columns=_PIXELS,
        pack=lambda weights: weights.reshape(lanes, -1).T,
        sums=sums,
        locals=local("later", (lanes,), "int32"),
        functions=list(statements.values()),
        ends=replace(ENDS, begin=None),
    )
    return depthwise(work, filters)


def _runs(weights: Array) -> list[range]:
    """Taps that are added in 16 bits: as many in a row as fit for every channel, [C, taps]."""
    magnitudes = np.abs(weights.astype(np.int64))
    runs: list[range] = []
    start, total = 0, np.zeros(len(weights), np.int64)
    for tap in range(weights.shape[1]):
        total = total + magnitudes[:, tap]
        if tap > start and total.max() > _BOUND:
            runs.append(range(start, tap))
            start, total = tap, magnitudes[:, tap]
    return [*runs, range(start, weights.shape[1])]


def _statement(work: Conv, lanes: int, runs: Sequence[range], pixels: int) -> str:
    """The sums of neighbouring pixels of a row: x, weights, bias and where each pixel's sums go.

    Q registers: 0 and 1 weights of this tap and the next, 2 and 3 a pixel each, 4 to 7 sums of
    16 bits, 8 to 15 sums. One pointer visits the pixels of x in the order of the loads.
    """
    halves = range(lanes // 8)
    sums = [
        range(8 + 2 * len(halves) * p, 8 + 2 * len(halves) * (p + 1)) for p in range(pixels)
    ]
    _, _, kh, kw = work.weights.shape
    down, across = work.dilations[0] * work.x.row, work.dilations[1] * work.x.pixel
    taps = [i * down + j * across for i in range(kh) for j in range(kw)]
    beside = work.strides[1] * work.x.pixel
    text: list[str | tuple[int, int]] = []  # a tuple: load this register from there

    def weights(tap: int) -> None:
        if tap < len(taps):
            text.append(f"vld1.8 {{{_registers(tap % 2, lanes)}}}, [%w]!")

    def load(q: int, tap: int, pixel: int) -> None:
        if tap < len(taps):
            text.append((q, taps[tap] + pixel * beside))

    def multiply(name: str, pixel: int, q: int, tap: int) -> None:
        text.extend(
            f"{name}.s8 q{FREE + pixel * len(halves) + h}, d{2 * q + h}, d{2 * (tap % 2) + h}"
            for h in halves
        )

    for i, q in enumerate(sums[-1][::2]):
        text.append(
            f"vld1.32 {{{_registers(q, 32)}}}, [%b]{'' if i + 1 == len(halves) else '!'}"
        )
    now, other = 2, 3
    weights(0)
    for p in range(pixels):
        load((now, other)[p], 0, p)
    for run in runs:
        for tap in run:
            name = "vmull" if tap == run[0] else "vmlal"
            weights(tap + 1)
            if pixels == 1:
                load(other, tap + 1, 0)
                multiply(name, 0, now, tap)
                now, other = other, now
                continue
            multiply(name, 0, now, tap)
            is_seen = tap + 1 < len(taps) and taps[tap + 1] == taps[tap] + beside
            load(now, tap + 1, 1 if is_seen else 0)
            multiply(name, 1, other, tap)
            if is_seen:
                now, other = other, now
            else:
                load(other, tap + 1, 1)
        for p in range(pixels):
            for k, q in enumerate(sums[p]):
                bias = sums[-1][k] if run is runs[0] else q
                text.append(f"vaddw.s16 q{q}, q{bias}, d{2 * (FREE + len(halves) * p) + k}")
    program = Program()
    places = [one[1] for one in text if isinstance(one, tuple)]
    after = iter([*places[1:], places[-1]])
    for one in text:
        if isinstance(one, tuple):
            q, place = one
            move = next(after) - place
            update = f", {program.constant(move)}" if move else ""
            program.add(f"vld1.8 {{{_registers(q, lanes)}}}, [%x]{update}")
        else:
            program.add(one)
    return program.function(["x", "w", "b"], sums)


def _registers(q: int, nbytes: int) -> str:
    """D registers of so many bytes from a Q register on."""
    return ", ".join(f"d{2 * q + i}" for i in range(nbytes // 8))
