"""The end of a tile, whatever summed it: pool, bring back to 8 bits, store.

Sums lie in the local buffer `acc`, [rows, columns, blocks, lanes] of int32. Some neighbouring
pixels of y make a unit, whose vectors of channels end as one vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.targets.cpu.epilogue import Integers, float32
from joulecut.targets.cpu.nhwc import vector_ir
from joulecut.targets.cpu.nhwc.ending import Ending, Spelling, Term, ended
from joulecut.targets.cpu.nhwc.family import PLAIN_ENDS, Ends
from joulecut.targets.cpu.nhwc.plane import Plane
from joulecut.targets.cpu.script import Arg, Array, constant, lines, nest

_LARGEST_16_BITS = 2**15 - 8  # float32 rounds less than the difference


@dataclass(frozen=True)
class Layer:
    """What is known of the end of a layer.

    Attributes:
        y: what is stored, pooled.
        operands: planes that endings read, shaped like y.
        endings: none stores the int32 sums.
        pool: rows and columns of which the maximum is taken.
        group: groups of channels, each of which fills its own vectors.
        outputs: channels of a group.
        lanes: channels of an accumulator.
        units: pixels that may end together, down to 1; a row of a tile takes as many of the
            first as fit, then of the next.
        largest: float64 [groups * outputs], which no sum exceeds in magnitude.
        ends: what the processor has for the end of a tile.
        order: channels of a vector as accumulators hold them, if that is not their own order;
            a store of `ends` brings them back, and units are of one pixel.
    """

    y: Plane
    operands: tuple[Plane, ...]
    endings: tuple[Ending, ...]
    pool: tuple[int, int]
    group: int
    outputs: int
    lanes: int
    units: tuple[int, ...]
    largest: Array
    ends: Ends = PLAIN_ENDS
    order: tuple[int, ...] = ()

    @property
    def fits_in_16_bits(self) -> bool:
        """Is every integer that is stored one of 16 bits even before it is clamped?"""
        largest = self.largest
        for depth, ending in enumerate(self.endings):
            reals = np.zeros(1)
            for term in ending.terms:
                now = largest + abs(term.zero_point)
                if term.operand is not None:
                    stored = np.iinfo(self.operands[term.operand].dtype)
                    now = np.full(1, float(stored.max - stored.min) + abs(term.zero_point))
                reals = reals + now * np.abs(term.multiplier.astype(np.float64))
            largest = reals + abs(ending.target.zero_point)
            if depth + 1 < len(self.endings):
                bounds = (ending.target.low, ending.target.high)
                largest = np.full(1, float(max(map(abs, bounds))))
        return bool(largest.max() < _LARGEST_16_BITS)


@dataclass(frozen=True)
class Spot:
    """Where a tile of y begins, as expressions.

    Attributes:
        sample: of the batch.
        row: of y.
        column: of y.
        block: vector of channels in the group.
        group: of channels.
    """

    sample: str
    row: str
    column: str
    block: str
    group: str = "0"


class Finish:
    """Texts of the ends of a kernel's tiles, and the arguments and functions that they need.

    Attributes:
        blocks: vectors of channels in a group.
        starts: their first channels; the last starts early enough to fit.
        functions: LLVM functions that the texts call.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        lanes, outputs = layer.lanes, layer.outputs
        self.blocks = -(-outputs // lanes)
        self.starts = [max(0, min(b * lanes, outputs - lanes)) for b in range(self.blocks)]
        self.functions: list[str] = []
        self._is_narrow = layer.y.itemsize == 1 and layer.fits_in_16_bits
        self._kept = min(lanes, outputs)
        terms = [term for ending in layer.endings for term in ending.terms]
        self._scales = {
            id(term): f"M{i}" for i, term in enumerate(terms) if term.multiplier.size > 1
        }

    def text(self, rows: int, columns: int, blocks: int, spot: Spot) -> str:
        """Statements that finish a tile.

        Args:
            rows: of y, as are columns.
            columns: of the tile.
            blocks: vectors of channels of the tile.
            spot: where it begins.
        """
        parts: list[str] = []
        start = 0
        for unit in self.layer.units:
            count = (columns - start) // unit
            if count:
                units = f"(u * {unit} + {start})" if start else f"(u * {unit})"
                value = self._units(columns, blocks, spot, unit, units)
                loops = [
                    f"r in T.unroll({rows})",
                    f"u in T.unroll({count})",
                    f"j in T.unroll({blocks})",
                ]
                parts.append(nest(loops, f"T.evaluate({value})"))
            start += count * unit
        return lines(*parts)

    def _units(self, columns: int, blocks: int, spot: Spot, pixels: int, first: str) -> str:
        """An expression that ends and stores some pixels of row r and block j, from `first` on."""
        layer, lanes = self.layer, self.layer.lanes
        wide = pixels * lanes
        sums = [self._pooled(columns, blocks, f"({first} + {p})") for p in range(pixels)]
        if pixels > 1:
            joined = self._call(vector_ir.join(pixels, lanes, "i32"), f"int32x{wide}", *sums)
        else:
            (joined,) = sums
        if layer.ends.begin is not None:
            joined = self._call(layer.ends.begin(wide), f"int32x{wide}", joined)
        channel = f"({spot.block} + j) * {lanes}"
        if layer.outputs > lanes and layer.outputs % lanes:
            channel = f"T.min({channel}, {layer.outputs - lanes})"
        channel = f"{channel} + {spot.group} * {layer.outputs}"

        def at(plane: Plane) -> str:
            return (
                f"({spot.sample}) * {plane.sample} + ({spot.row} + r) * {plane.row}"
                f" + ({spot.column} + {first}) * {plane.pixel} + {channel}"
            )

        def load(i: int) -> str:
            plane = layer.operands[i]
            text = vector_ir.load(pixels, lanes, element_of(plane.dtype))
            address = f"T.address_of(R{i}[{at(plane)}])"
            raw = self._call(text, f"{plane.dtype}x{wide}", address, f"{plane.pixel}")
            if layer.order:
                raw = self._shuffled(raw, plane.dtype, layer.order)
            return f'T.cast({raw}, "int32x{wide}")'

        def scale_of(term: Term) -> str:
            name = self._scales.get(id(term))
            if name is None:
                return f"T.Broadcast({float32(float(term.multiplier.flat[0]))}, {wide})"
            block = f"{spot.group} * {self.blocks} + {spot.block} + j"
            scale = f"{name}[T.Ramp(({block}) * {lanes}, 1, {lanes})]"
            if layer.ends.load is not None:
                address = f"T.address_of({name}[({block}) * {lanes}])"
                scale = self._call(layer.ends.load(lanes), f"float32x{lanes}", address)
            if pixels == 1:
                return scale
            return self._call(
                vector_ir.repeat(pixels, lanes, "float"), f"float32x{wide}", scale
            )

        y = layer.y
        value = ended(layer.endings, joined, wide, load, scale_of, self._spelling(wide))
        if layer.order and not (layer.ends.store and self._is_narrow):
            value = self._shuffled(value, y.dtype, tuple(np.argsort(layer.order).tolist()))
        text = vector_ir.store(pixels, lanes, self._kept, element_of(y.dtype))
        address = f"T.address_of(Y[{at(y)}])"
        return self._call(text, "int32", address, f"{y.pixel}", value)

    def args(self) -> list[Arg]:
        """Scales, operands and y: the last arguments of the kernel."""
        layer = self.layer
        scales = [
            constant(self._scales[id(term)], self.by_block(term.multiplier))
            for ending in layer.endings
            for term in ending.terms
            if id(term) in self._scales
        ]
        operands = [
            Arg(f"R{i}", plane.name, (plane.size,), plane.dtype, plane.origin)
            for i, plane in enumerate(layer.operands)
        ]
        y = layer.y
        return [*scales, *operands, Arg("Y", y.name, (y.size,), y.dtype, y.origin)]

    def by_block(self, values: Array) -> Array:
        """[O] => [groups * blocks * lanes], as the blocks lie."""
        lanes, parts = self.layer.lanes, list[Array]()
        for group in np.split(values, self.layer.group):
            room = np.zeros(len(group) + lanes, values.dtype)
            room[: len(group)] = group
            parts += [room[start : start + lanes] for start in self.starts]
        if self.layer.order:
            parts = [part[list(self.layer.order)] for part in parts]
        return np.concatenate(parts)

    def _pooled(self, columns: int, blocks: int, pixel: str) -> str:
        """The largest sum of a window: that of a pixel of y in row r."""
        lanes, (down, across) = self.layer.lanes, self.layer.pool
        found = ""
        for i in range(down):
            for j in range(across):
                row, column = f"(r * {down} + {i})", f"({pixel} * {across} + {j})"
                at = f"(({row} * {columns * across} + {column}) * {blocks} + j) * {lanes}"
                one = f"acc[T.Ramp({at}, 1, {lanes})]"
                found = f"T.max({found}, {one})" if found else one
        return found

    def _spelling(self, lanes: int) -> Spelling:
        ends, kind = self.layer.ends, f"float32x{lanes}"

        def rounded(real: str) -> str:
            return self._call(vector_ir.rounding(lanes), kind, real)

        def clamped(real: str, low: float, high: float) -> str:
            assert ends.clamp is not None
            bounds = (float32(float(low)), float32(float(high)))
            return self._call(ends.clamp(lanes), kind, real, *bounds)

        def apart(product: str) -> str:
            assert ends.apart is not None
            return self._call(ends.apart(lanes), kind, product)

        def stored(real: str, target: Integers) -> str:
            assert ends.store is not None
            return self._call(ends.store(lanes, target), f"{target.dtype}x{lanes}", real)

        return Spelling(
            rounded,
            clamped if ends.clamp else None,
            apart if ends.apart else None,
            stored if ends.store and self._is_narrow else None,
        )

    def _shuffled(self, value: str, dtype: str, order: tuple[int, ...]) -> str:
        text = vector_ir.shuffle(element_of(dtype), order)
        return self._call(text, f"{dtype}x{len(order)}", value)

    def _call(self, text: str, result: str, *operands: str) -> str:
        """A call of a function of `vector_ir`, which the kernel then imports."""
        self.functions.append(text)
        return f'T.call_extern("{result}", "{vector_ir.name_of(text)}", {", ".join(operands)})'


def element_of(dtype: str) -> str:
    """LLVM's name of an integer type."""
    return f"i{8 * np.dtype(dtype).itemsize}"
