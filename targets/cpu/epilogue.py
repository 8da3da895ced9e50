"""From real numbers back to integers: how a kernel ends (docs/spec.md, "Back to 8 bits").

Two facts make the end cheap and exact. Clamping commutes with rounding because the bounds are
integers, so the clamp comes first and bounds what is rounded. And for |v| < 2**22 the sum
v + 1.5 * 2**23 lies where float32 has steps of 1: the addition itself rounds v to the nearest
integer, ties to even, and leaves that integer in the low bits of the sum. No call of libm, no
rounding mode, one vector add on every target.

LLVM contracts a product that feeds a sum into one fused operation, and TVM has no switch for it.
A `max` between the two forbids that: the clamp does it for one product, and a bound below
every product (`FLOOR`) does it where products are summed.

NEON on armv7 flushes subnormals to zero. A subnormal real rounds to 0 either way, and added to
a normal one it only matters where the sum is subnormal too, so results are not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.targets.cpu.script import Arg

ROUNDER = 12582912.0  # 1.5 * 2**23
ROUNDER_BITS = 0x4B400000
FLOOR = -1e30  # below every product: |x| < 2**31, multipliers are checked to be < 1e20
LARGEST_MULTIPLIER = 1e20


@dataclass(frozen=True)
class Integers:
    """The integers that a kernel stores: low..high, `zero_point` stands for 0."""

    zero_point: int
    low: int
    high: int
    dtype: str

    def of(self, real: str) -> str:
        """clamp(rhe(real) + zero_point, low, high)."""
        low, high = self.low - self.zero_point, self.high - self.zero_point
        clamped = f"T.min(T.max({real}, {float32(low)}), {float32(high)})"
        bits = f'T.reinterpret("int32", {clamped} + {float32(ROUNDER)})'
        return f'T.cast({bits} - {ROUNDER_BITS - self.zero_point}, "{self.dtype}")'


@dataclass(frozen=True)
class Term:
    """One scaled operand of an ending.

    Attributes:
        value: what is scaled; None for the accumulator of the kernel.
        zero_point: of the value.
        multiplier: broadcasts against the output.
    """

    value: Arg | None
    zero_point: int
    multiplier: Arg

    def of(self, accumulator: str, index: Sequence[str]) -> str:
        """float32(x - zero_point) * multiplier."""
        zero_point = self.zero_point
        if self.value is None:
            x = shifted(accumulator, zero_point)
        else:
            x = integer(self.value, index, zero_point)
        return f'T.cast({x}, "float32") * {self.multiplier.at(index)}'


@dataclass(frozen=True)
class Ending:
    """What becomes of an accumulator: the sum of the terms, rounded, clamped and stored.

    Attributes:
        terms: summed in this order; none if the accumulator itself is stored.
        target: None if the accumulator itself is stored.
    """

    terms: tuple[Term, ...] = ()
    target: Integers | None = None

    @property
    def dtype(self) -> str:
        """The type of what is stored."""
        return "int32" if self.target is None else self.target.dtype

    @property
    def args(self) -> tuple[Arg, ...]:
        """The buffers that the ending reads."""
        return tuple(
            arg
            for term in self.terms
            for arg in (term.value, term.multiplier)
            if arg is not None
        )

    def seen(self, args: Sequence[Arg]) -> Ending:
        """The same ending of other views of its args, given in the order of `args`."""
        views = iter(args)
        terms = (
            Term(None if t.value is None else next(views), t.zero_point, next(views))
            for t in self.terms
        )
        return Ending(tuple(terms), self.target)

    def of(self, accumulator: str, index: Sequence[str]) -> str:
        """The stored integer at an index of the output."""
        if self.target is None:
            return accumulator
        products = [term.of(accumulator, index) for term in self.terms]
        if len(products) == 1:
            return self.target.of(products[0])
        first, *others = (f"T.max({product}, {float32(FLOOR)})" for product in products)
        for other in others:
            first = f"({first} + {other})"
        return self.target.of(first)


def integer(arg: Arg, index: Sequence[str], zero_point: int) -> str:
    """The int32 x - zero_point."""
    return shifted(f'T.cast({arg.at(index)}, "int32")', zero_point)


def widened_product(x: tuple[str, str], w: tuple[str, str], *, narrow: bool) -> str:
    """The int32 product of two 8-bit numbers, each an expression and its type.

    In 16 bits it fits unless both are uint8: 255 * -128 is the largest in magnitude otherwise.
    """
    if narrow and (x[1], w[1]) != ("uint8", "uint8"):
        return f'T.cast(T.cast({x[0]}, "int16") * T.cast({w[0]}, "int16"), "int32")'
    return f'T.cast({x[0]}, "int32") * T.cast({w[0]}, "int32")'


def shifted(x: str, zero_point: int) -> str:
    """X - zero_point."""
    return f"({x} - {zero_point})" if zero_point else x


def float32(value: float) -> str:
    """A literal that parses to exactly this float32."""
    return f"T.float32({value!r})"
