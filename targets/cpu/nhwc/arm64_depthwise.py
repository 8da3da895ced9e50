"""Depthwise convolutions on AArch64, with and without dot products.

With dot products, four rows of x become vectors of four channels times four rows, and one
instruction meets four taps below each other. These vectors serve all columns of taps, and as
many rows of y as see no other row of x: two where a filter has three rows.

Without, eight channels are multiplied at once and some taps are added in 16 bits, as many as the
weights allow: 255 * 128 fits, so the magnitudes of their weights must sum to 255 or less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from joulecut.targets.cpu.nhwc.arm32_ends import begin
from joulecut.targets.cpu.nhwc.arm64_ends import ENDS
from joulecut.targets.cpu.nhwc.conv import Conv
from joulecut.targets.cpu.nhwc.depthwise import Filters, depthwise
from joulecut.targets.cpu.nhwc.vector_ir import function, mask
from joulecut.targets.cpu.script import Array, Step, lines, local

_QUAD = 4  # rows that a dot product sums
_ZIPPED = 32  # bytes of eight channels times four rows
_SDOT = "llvm.aarch64.neon.sdot.v4i32.v16i8"
_BOUND = 255  # of the magnitudes of the weights that are added in 16 bits
_ENDS = replace(ENDS, begin=begin)  # columns end one after the other


def sdot_depthwise(work: Conv) -> Step:
    """The kernel with dot products."""
    way = _Quads(work)
    vectors = local("zs", (len(way.seen) * len(way.quads) * _ZIPPED,), "int8")
    size, functions = (way.lanes, way.rows, way.columns), (_zip(), _dot())
    return depthwise(work, Filters(*size, way.pack, way.sums, vectors, functions, _ENDS))


def smull_depthwise(work: Conv) -> Step:
    """The kernel without dot products."""
    way = _Taps(work)
    counts = dict.fromkeys(len(group) for group in way.groups)
    functions = [_add_products(way.lanes, count) for count in counts]
    size = (way.lanes, 1, way.columns)
    return depthwise(work, Filters(*size, way.pack, way.sums, "", functions, _ENDS))


@dataclass(frozen=True)
class _Quads:
    """Vectors of four channels times four rows of x."""

    work: Conv

    lanes = 8

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of taps."""
        _, _, kh, kw = self.work.weights.shape
        return kh, kw

    @property
    def rows(self) -> int:
        """Rows of y that see the same four rows of x, or 1."""
        (kh, _), work = self.kernel, self.work
        if kh > _QUAD or work.dilations[0] > 1:
            return 1
        return min(work.y.rows, (_QUAD - kh) // work.strides[0] + 1)

    @property
    def columns(self) -> int:
        """So many that filters stay in registers, if there is room for them."""
        most = 14 if self.kernel[0] <= _QUAD and self.kernel[1] <= _QUAD else 2
        return _even(self.work.y.columns, most)

    @cached_property
    def quads(self) -> list[list[int]]:
        """Rows of x in each vector; rows without a tap are those of another."""
        (kh, _), work = self.kernel, self.work
        if self.rows > 1:
            last = (self.rows - 1) * work.strides[0] + kh - 1
            return [[min(row, last) for row in range(_QUAD)]]
        taps = (range(first, first + _QUAD) for first in range(0, kh, _QUAD))
        return [[min(tap, kh - 1) * work.dilations[0] for tap in quad] for quad in taps]

    @cached_property
    def seen(self) -> list[int]:
        """Columns of x in the order in which the columns of a tile need them."""
        found = (at for column in range(self.columns) for at in self._taps(column))
        return list(dict.fromkeys(found))

    def pack(self, weights: Array) -> Array:
        """[rows, kw, quads, lanes, 4]."""
        kh, kw = self.kernel
        room = np.zeros((self.rows, kw, len(self.quads), self.lanes, _QUAD), np.int8)
        for row in range(self.rows):
            for tap in range(kh):
                quad, spot = divmod(row * self.work.strides[0] + tap, _QUAD)
                room[row, :, quad, :, spot] = weights[:, tap].T
        return room

    def sums(self, column: int, _: int, x: str, w: str, bias: str) -> str:
        """Zip what no column needed before, then multiply."""
        before = {at for one in range(column) for at in self._taps(one)}
        text = [self._zipped(at, x) for at in self._taps(column) if at not in before]
        for row in range(self.rows):
            value = f"B[T.Ramp({bias}, 1, {self.lanes})]"
            for k, at in enumerate(self._taps(column)):
                for quad in range(len(self.quads)):
                    place = ((row * self.kernel[1] + k) * len(self.quads) + quad) * _ZIPPED
                    weights = f"W[T.Ramp({w} + {place}, 1, {_ZIPPED})]"
                    given = f"{value}, {self._vector(at, quad)}, {weights}"
                    value = f'T.call_extern("int32x{self.lanes}", "jc_dot", {given})'
            text.append(f"acc[T.Ramp({row * self.lanes}, 1, {self.lanes})] = {value}")
        return lines(*text)

    def _taps(self, column: int) -> list[int]:
        """Columns of x that a column of y sees."""
        first, step = column * self.work.strides[1], self.work.dilations[1]
        return [first + k * step for k in range(self.kernel[1])]

    def _vector(self, at: int, quad: int) -> str:
        place = (self.seen.index(at) * len(self.quads) + quad) * _ZIPPED
        return f"zs[T.Ramp({place}, 1, {_ZIPPED})]"

    def _zipped(self, at: int, x: str) -> str:
        plane, text = self.work.x, list[str]()
        for i, quad in enumerate(self.quads):
            spots = [row * plane.row + at * plane.pixel for row in quad]
            given = ", ".join(f"T.address_of(X[{x} + {spot}])" for spot in spots)
            vector = self._vector(at, i)
            text.append(f'{vector} = T.call_extern("int8x{_ZIPPED}", "jc_zip", {given})')
        return lines(*text)


@dataclass(frozen=True)
class _Taps:
    """Taps one by one, added in 16 bits as far as they fit."""

    work: Conv

    @property
    def lanes(self) -> int:
        """Two vectors of products where that leaves few channels over."""
        channels = len(self.work.weights)
        return 16 if channels % 16 == 0 or channels > 64 else 8

    @property
    def columns(self) -> int:
        """So many that filters stay in registers."""
        return _even(self.work.y.columns, 5 if self.work.y.columns == 5 else 4)

    @cached_property
    def groups(self) -> list[list[int]]:
        """Taps that are added in 16 bits."""
        weights = self.work.weights
        magnitudes = np.abs(weights.astype(np.int64)).reshape(len(weights), -1).T
        found, load = list[list[int]](), np.zeros(len(weights), np.int64)
        for tap, more in enumerate(magnitudes):
            if not found or (load + more).max() > _BOUND:
                found.append([])
                load = np.zeros(len(weights), np.int64)
            found[-1].append(tap)
            load = load + more
        return found

    def pack(self, weights: Array) -> Array:
        """[taps, lanes]."""
        return np.ascontiguousarray(weights.reshape(self.lanes, -1).T)

    def sums(self, column: int, _: int, x: str, w: str, bias: str) -> str:
        """One group after the other."""
        work, lanes = self.work, self.lanes
        value = f"B[T.Ramp({bias}, 1, {lanes})]"
        for group in self.groups:
            given = [value]
            for tap in group:
                down, across = divmod(tap, work.weights.shape[3])
                at = down * work.dilations[0] * work.x.row
                at += (column * work.strides[1] + across * work.dilations[1]) * work.x.pixel
                given.append(f"X[T.Ramp({x} + {at}, 1, {lanes})]")
                given.append(f"W[T.Ramp({w} + {tap * lanes}, 1, {lanes})]")
            name = f"jc_taps_{lanes}_{len(group)}"
            value = f'T.call_extern("int32x{lanes}", "{name}", {", ".join(given)})'
        return f"acc[T.Ramp(0, 1, {lanes})] = {value}"


def _even(total: int, most: int) -> int:
    """Tiles of this size cover a row and leave little."""
    return -(-total // -(-total // most))


def _zip() -> str:
    """`jc_zip(a, b, c, d)`: of eight channels, what four rows hold, side by side."""
    pairs = mask([i // 2 + i % 2 * 8 for i in range(16)])
    loads = [f"%v{row} = load <8 x i8>, ptr %{row}, align 1" for row in "abcd"]
    return function(
        "<32 x i8>",
        "jc_zip",
        "ptr %a, ptr %b, ptr %c, ptr %d",
        *loads,
        f"%ab = shufflevector <8 x i8> %va, <8 x i8> %vb, {pairs}",
        f"%cd = shufflevector <8 x i8> %vc, <8 x i8> %vd, {pairs}",
        "%x = bitcast <16 x i8> %ab to <8 x i16>",
        "%y = bitcast <16 x i8> %cd to <8 x i16>",
        f"%xy = shufflevector <8 x i16> %x, <8 x i16> %y, {pairs}",
        "%r = bitcast <16 x i16> %xy to <32 x i8>",
        "ret <32 x i8> %r",
    )


def _dot() -> str:
    """`jc_dot(a, x, w)`: of eight channels, the sums of four products."""
    body: list[str] = []
    for i in range(2):
        sums, bytes_ = (mask(range(size * i, size * i + size)) for size in (4, 16))
        given = f"(<4 x i32> %a{i}, <16 x i8> %x{i}, <16 x i8> %w{i})"
        body += [
            f"%a{i} = shufflevector <8 x i32> %a, <8 x i32> poison, {sums}",
            f"%x{i} = shufflevector <32 x i8> %x, <32 x i8> poison, {bytes_}",
            f"%w{i} = shufflevector <32 x i8> %w, <32 x i8> poison, {bytes_}",
            f"%r{i} = call <4 x i32> @{_SDOT}{given}",
        ]
    body += [
        f"%r = shufflevector <4 x i32> %r0, <4 x i32> %r1, {mask(range(8))}",
        "ret <8 x i32> %r",
    ]
    declared = f"declare <4 x i32> @{_SDOT}(<4 x i32>, <16 x i8>, <16 x i8>)\n"
    parameters = "<8 x i32> %a, <32 x i8> %x, <32 x i8> %w"
    return declared + function("<8 x i32>", "jc_dot", parameters, *body)


def _add_products(lanes: int, count: int) -> str:
    """`jc_taps_L_N(a, x0, w0, ..)`: int32 sums plus those of N products, added in 16 bits."""
    narrow, half, wide = (f"<{lanes} x {kind}>" for kind in ("i8", "i16", "i32"))
    body: list[str] = []
    for i in range(count):
        body += [
            f"%xs{i} = sext {narrow} %x{i} to {half}",
            f"%ws{i} = sext {narrow} %w{i} to {half}",
            f"%p{i} = mul {half} %xs{i}, %ws{i}",
            f"%s{i} = add {half} %s{i - 1}, %p{i}"
            if i
            else f"%s0 = add {half} %p0, zeroinitializer",
        ]
    body += [
        f"%t = sext {half} %s{count - 1} to {wide}",
        f"%r = add {wide} %a, %t",
        f"ret {wide} %r",
    ]
    parameters = [f"{wide} %a", *(f"{narrow} %{n}{i}" for i in range(count) for n in "xw")]
    return function(wide, f"jc_taps_{lanes}_{count}", ", ".join(parameters), *body)
