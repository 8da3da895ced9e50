"""Values <-> symbols of one block, written from docs/bitstream.md, "Quantizers".

Values are Python's numbers: an int of an integer type, or a float that binary32 has exactly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.kernels.twin import fixed_trellis, trellis
from joulecut.kernels.twin.bits import StreamError

RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int32": (-(2**31), 2**31 - 1)}
FLOAT_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
Value = float  # or int


@dataclass(frozen=True)
class Quantizer:
    """How symbols become values; the fields of a kind are those of its header."""

    kind: str
    width: int = 8
    fold: bool = False
    n_states: int = 0
    step: float = 1.0
    offset: float = 0.0
    centroids: tuple[tuple[float, ...], ...] = ()
    book: tuple[float, ...] = ()

    @property
    def unions(self) -> int:
        """Unions of contexts."""
        return 2 if self.kind == "trellis" else 1

    @property
    def has_lanes(self) -> bool:
        """Whether symbols follow a state, which starts anew in each lane."""
        return self.kind in ("trellis", "fixed_trellis")

    @property
    def lattice(self) -> trellis.Quantizer:
        """The parameters of a dead zone or a trellis."""
        centroids = self.centroids or ((),) * self.unions
        return trellis.Quantizer(
            self.width, int(self.fold), self.step, self.offset, centroids, self.n_states
        )


def trellis_lanes(n: int) -> int:
    """Lanes of a trellis over n symbols."""
    return 16 if n >= 32768 else 4 if n >= 2048 else 1


def fold(m: int) -> int:
    """0, -1, 1, -2, 2 .. become 0, 1, 2, 3, 4 .."""
    return 2 * m if m >= 0 else -2 * m - 1


def unfold(symbol: int) -> int:
    """The reverse of fold."""
    return -(symbol + 1) // 2 if symbol % 2 else symbol // 2


def uniform_symbol(q: Quantizer, x: Value) -> int:
    """The nearest index, ties to even."""
    exact = min(max((x - q.offset) / q.step, -1.0), 2.0**q.width)  # round() takes no infinity
    return min(max(round(exact), 0), (1 << q.width) - 1)


def codebook_symbol(q: Quantizer, x: Value) -> int:
    """How many middles of neighbours lie below x."""
    return sum(x > (a + b) / 2 for a, b in zip(q.book, q.book[1:], strict=False))


def integer_symbol(q: Quantizer, x: Value) -> int:
    """The symbol of an integer."""
    m = int(x - q.offset)
    symbol = fold(m) if q.fold else m
    if not 0 <= symbol < 1 << q.width:
        raise ValueError("value must have a symbol")
    return symbol


def symbols_of(q: Quantizer, x: Sequence[Value], rates: trellis.Rates | None) -> list[int]:
    """The symbols of a block."""
    rates = rates or trellis.FREE
    if q.kind == "integers":
        return [integer_symbol(q, value) for value in x]
    if not all(map(math.isfinite, x)):
        raise ValueError("values must be finite")
    if q.kind == "uniform":
        return [uniform_symbol(q, value) for value in x]
    if q.kind == "codebook":
        return [codebook_symbol(q, value) for value in x]
    if q.kind == "dead_zone":
        return trellis.dead_zone_symbols(q.lattice, x, rates)
    lanes = trellis_lanes(len(x))
    if q.kind == "trellis":
        return trellis.trellis_symbols(q.lattice, x, rates, lanes)
    return fixed_trellis.quantize(x, q.book, q.n_states, lanes)


def to_type(x: float, dtype: str) -> Value:
    """Rounded half to even and clamped."""
    if dtype == "float32":
        return struct.unpack("<f", struct.pack("<f", min(max(x, -FLOAT_MAX), FLOAT_MAX)))[0]
    low, high = RANGES[dtype]
    return round(min(max(x, low), high))


def values_of(q: Quantizer, symbols: Sequence[int], dtype: str, lanes: int) -> list[Value]:
    """The values of a block."""
    if q.kind == "integers":
        values = [int(q.offset) + (unfold(s) if q.fold else s) for s in symbols]
        low, high = RANGES[dtype]
        if not all(low <= value <= high for value in values):
            raise StreamError("value must lie in its type")
        return [*values]
    if q.kind == "uniform":
        exact = [q.offset + s * q.step for s in symbols]
    elif q.kind == "codebook":
        exact = [q.book[s] for s in symbols]
    elif q.kind == "dead_zone":
        exact = [float(x) for x in trellis.dead_zone_values(q.lattice, symbols)]
    elif q.kind == "trellis":
        exact = [float(x) for x in trellis.trellis_values(q.lattice, symbols, lanes)]
    else:
        exact = fixed_trellis.values(symbols, q.book, q.n_states, lanes)
    return [to_type(x, dtype) for x in exact]
