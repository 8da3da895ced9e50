"""Depthwise convolutions on x86: some rows of x are zipped, and one instruction sums their taps.

With VNNI, bytes of four rows lie side by side for each channel; with AVX2 alone, 16-bit integers
of two. What is zipped serves all columns of taps, and two or more rows of y: a tap that a row of
y does not have has weight 0.

VNNI zips within 128 bits, which takes channels out of order: each of four registers holds every
fourth quad of channels. The packs at the end of a tile interleave them back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.depthwise import Filters, depthwise
from joulecut.targets.cpu.nhwc.vector_ir import name_of
from joulecut.targets.cpu.nhwc.x86_ends import ALIGNED_STACK
from joulecut.targets.cpu.nhwc.x86_zips import Zips, madd_zips, vnni_zips
from joulecut.targets.cpu.script import Array, Step, lines, local

_MOST_ROWS = 4  # of y in a tile
_MOST_PRODUCTS = 160  # of a tile, as a straight line


@dataclass(frozen=True)
class _Rows:
    """Rows of y that are summed together, and the rows of x that they meet.

    Attributes:
        taps: for each row of y, the rows of x.
        groups: rows of x that are zipped.
    """

    taps: tuple[tuple[int, ...], ...]
    groups: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(work: Conv, count: int, together: int) -> _Rows:
        """So many rows of y, and so many of x in a group."""
        down, apart = work.strides[0], work.dilations[0]
        kh = work.weights.shape[2]
        taps = tuple(tuple(r * down + i * apart for i in range(kh)) for r in range(count))
        met = sorted({row for one in taps for row in one})
        starts = range(0, len(met), together)
        return _Rows(taps, tuple(tuple(met[i : i + together]) for i in starts))

    @property
    def uses(self) -> list[tuple[int, int]]:
        """Rows of y, each with the groups that it meets."""
        return [
            (r, g)
            for r, one in enumerate(self.taps)
            for g, group in enumerate(self.groups)
            if set(one) & set(group)
        ]


def vnni_depthwise(work: Conv) -> Step:
    """The kernel for AVX-512 VNNI."""
    wide, narrow = vnni_zips(512), vnni_zips(256)
    channels = len(work.weights)
    # A vector of 256 bits takes two thirds of the cycles of one of 512: a third port is free.
    is_wide = 3 * -(-channels // wide.lanes) <= 2 * -(-channels // narrow.lanes)
    return depthwise(work, _filters(work, wide if is_wide else narrow))


def avx2_depthwise(work: Conv) -> Step:
    """The kernel for AVX2 alone."""
    return depthwise(work, _filters(work, madd_zips()))


def _filters(work: Conv, zips: Zips) -> Filters:
    kw = work.weights.shape[3]
    lanes, width = zips.lanes, zips.lanes * zips.rows
    rows = _best_rows(work, zips)
    uses = rows.uses
    columns = min(work.y.columns, max(1, _MOST_PRODUCTS // (len(uses) * kw * zips.registers)))

    def across(column: int) -> list[int]:
        return [column * work.strides[1] + k * work.dilations[1] for k in range(kw)]

    def zipped(column: int, group: int) -> str:
        return f"zs[T.Ramp({(column * len(rows.groups) + group) * width}, 1, {width})]"

    def sums(column: int, _: int, x: str, w: str, bias: str) -> str:
        before = {k for i in range(column) for k in across(i)}
        text: list[str] = []
        for k in across(column):
            if k in before:
                continue
            for g, group in enumerate(rows.groups):
                padded = [*group, *[group[-1]] * (zips.rows - len(group))]
                places = (f"{x} + {row * work.x.row + k * work.x.pixel}" for row in padded)
                given = ", ".join(f"T.address_of(X[{place}])" for place in places)
                call = f'T.call_extern("{zips.zipped}x{width}", "jc_zip", {given})'
                text.append(f"{zipped(k, g)} = {call}")
        start = f"B[T.Ramp({bias}, 1, {lanes})]"
        text += [
            f"acc[T.Ramp({r * lanes}, 1, {lanes})] = {start}" for r in range(len(rows.taps))
        ]
        for k, spot in enumerate(across(column)):
            for i, (r, g) in enumerate(uses):
                acc = f"acc[T.Ramp({r * lanes}, 1, {lanes})]"
                weights = f"W[T.Ramp({w} + {(k * len(uses) + i) * width}, 1, {width})]"
                given = f"{acc}, {zipped(spot, g)}, {weights}"
                text.append(f'{acc} = T.call_extern("int32x{lanes}", "jc_dot", {given})')
        return lines(*text)

    def pack(weights: Array) -> Array:
        room = np.zeros((kw, len(uses), lanes, zips.rows), zips.weights)
        order = list(zips.order) or slice(None)
        for i, (r, g) in enumerate(uses):
            for n, row in enumerate(rows.groups[g]):
                if row in rows.taps[r]:
                    room[:, i, :, n] = weights[order, rows.taps[r].index(row)].T
        return room

    most = max(across(columns - 1)) + 1
    room = lines(
        f'T.evaluate(T.call_extern("int32", "{name_of(ALIGNED_STACK)}"))',
        local("zs", (most * len(rows.groups) * width,), zips.zipped),
    )
    texts = (ALIGNED_STACK, zips.zip, zips.dot)
    shape = (lanes, len(rows.taps), columns)
    return Filters(*shape, pack, sums, room, texts, zips.ends, zips.order)


def _best_rows(work: Conv, zips: Zips) -> _Rows:
    """The fewest cycles for all rows of y, counted in instructions for a column."""
    most = _MOST_ROWS if work.dilations[0] == 1 else 1
    new = min(work.strides[1], work.weights.shape[3])  # columns of x for each column of y

    def cost(rows: _Rows) -> int:
        each = new * len(rows.groups) * zips.zip_cost
        each += work.weights.shape[3] * len(rows.uses) * zips.dot_cost
        return -(-work.y.rows // len(rows.taps)) * each

    choices = (_Rows.of(work, n, zips.rows) for n in range(1, min(most, work.y.rows) + 1))
    return min(choices, key=cost)
