"""From int32 accumulators back to 8 bits, a vector of pixels and channels at a time.

The arithmetic is that of `joulecut.targets.cpu.epilogue`, whose first paragraphs say why it is
exact. Several endings in a row (a convolution's own, then that of the sum which reads it) pass
the rounded number on as a float: it never becomes an integer in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joulecut.targets.cpu.epilogue import FLOOR, ROUNDER, ROUNDER_BITS, Integers, float32
from joulecut.targets.cpu.nhwc.lanes import cast, kind, splat
from joulecut.targets.cpu.script import Array

Load = Callable[[int], str]  # number of an operand -> what a vector of it holds


@dataclass(frozen=True)
class Term:
    """One scaled operand.

    Attributes:
        operand: which operand is read; None for what was computed before.
        zero_point: of the operand as it is stored.
        multiplier: float32 [C], or [1] for all channels.
    """

    operand: int | None
    zero_point: int
    multiplier: Array


@dataclass(frozen=True)
class Ending:
    """The sum of the terms, rounded and clamped.

    Attributes:
        terms: summed in this order.
        target: the integers as they are stored.
    """

    terms: tuple[Term, ...]
    target: Integers


@dataclass(frozen=True)
class Spelling:
    """Expressions of float32 vectors; each has words that do for every processor.

    Attributes:
        rounded: a vector below 2**22 in magnitude, rounded (TVM would simplify the sums).
        clamped: a vector within two bounds.
        apart: a product, so that LLVM fuses it with no sum.
        stored: the integers to be stored.
    """

    rounded: Callable[[str], str]
    clamped: Callable[[str, float, float], str] | None = None
    apart: Callable[[str], str] | None = None
    stored: Callable[[str, Integers], str] | None = None


def ended(
    endings: Sequence[Ending],
    accumulator: str,
    lanes: int,
    loads: Load,
    scale_of: Callable[[Term], str],
    spelling: Spelling,
) -> str:
    """The expression of the vector to be stored.

    Args:
        endings: in order; none stores the accumulator itself.
        accumulator: an int32 vector expression.
        lanes: of all vectors.
        loads: the int32 vector of an operand.
        scale_of: the float32 vector of a term's multipliers.
        spelling: of what the processor has better words for.
    """

    def clamped(real: str, target: Integers) -> str:
        low, high = target.low - target.zero_point, target.high - target.zero_point
        if spelling.clamped is not None:
            return spelling.clamped(real, low, high)
        return _clamped(real, target, lanes)

    def apart(product: str) -> str:
        return spelling.apart(product) if spelling.apart else _floored(product, lanes)

    now, is_float = accumulator, False
    for depth, ending in enumerate(endings):
        before = endings[depth - 1].target.zero_point if depth else 0
        products: list[str] = []
        for term in ending.terms:
            x = now if term.operand is None else loads(term.operand)
            if term.operand is None and is_float:
                moved = before - term.zero_point
                x = f"({x} + {_splat(moved, lanes)})" if moved else x
            else:
                zero_point = splat(str(term.zero_point), lanes)
                x = cast(f"({x} - {zero_point})" if term.zero_point else x, "float32", lanes)
            products.append(f"{x} * {scale_of(term)}")
        real = products[0]
        if len(products) > 1:
            real, *others = (apart(product) for product in products)
            for other in others:
                real = f"({real} + {other})"
        if depth + 1 < len(endings):
            now, is_float = spelling.rounded(clamped(real, ending.target)), True
            continue
        if spelling.stored is not None:
            return spelling.stored(real, ending.target)
        return stored(real, ending.target, lanes)
    return accumulator


def stored(real: str, target: Integers, lanes: int) -> str:
    """The integers that a vector of float32 becomes.

    An even zero point leaves ties where they are, so it is added before rounding.
    """
    clamped = _clamped(real, target, lanes)
    start, rest = ROUNDER, target.zero_point
    if target.zero_point % 2 == 0:
        start, rest = ROUNDER + target.zero_point, 0
    bits = f'T.reinterpret("{kind("int32", lanes)}", {clamped} + {_splat(start, lanes)})'
    moved = rest - ROUNDER_BITS if target.dtype == "int16" else rest
    whole = f"({bits} + {splat(str(moved), lanes)})" if moved else bits
    return cast(whole, target.dtype, lanes)


def _clamped(real: str, target: Integers, lanes: int) -> str:
    low, high = target.low - target.zero_point, target.high - target.zero_point
    return f"T.min(T.max({real}, {_splat(low, lanes)}), {_splat(high, lanes)})"


def _floored(product: str, lanes: int) -> str:
    """`max` keeps LLVM from fusing a product into a sum."""
    return f"T.max({product}, {_splat(FLOOR, lanes)})"


def _splat(value: float, lanes: int) -> str:
    return splat(float32(float(value)), lanes)
