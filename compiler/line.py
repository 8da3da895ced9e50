"""A cost that grows linearly with the seconds per bit of a channel, compared exactly.

Rounded values of two lines do not cross once: near their crossing each is a staircase, and which
is lower changes with every step. So lines are compared as the rational numbers that they are:
float64 coefficients at a float64 x. Then two lines cross once, and a table of crossings can agree
with a comparison at every x.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from joulecut.compiler.errors import ConfigError

# More than the rounding of fixed + slope * x and of its comparison: 8 half units in the last
# place would do, and some of the smallest subnormals.
_RELATIVE_SLACK = 2.0**-48
_ABSOLUTE_SLACK = 2.0**-1070


@dataclass(frozen=True)
class Line:
    """fixed + slope * x, for x from 0 to infinity.

    Infinity is the limit: there the smaller slope is lower and, of equal slopes, the smaller
    fixed part.

    Attributes:
        fixed: at x = 0; finite, 0 or more.
        slope: per second per bit; finite, 0 or more.
    """

    fixed: float
    slope: float

    def __post_init__(self) -> None:
        for name, value in (("fixed", self.fixed), ("slope", self.slope)):
            if not 0 <= value < math.inf:
                raise ConfigError(
                    f"{name} part of a cost must be finite and 0 or more, not {value}"
                )

    def exact(self, x: float) -> Fraction:
        """The value at a finite x, without rounding."""
        return Fraction(self.fixed) + Fraction(self.slope) * Fraction(x)

    def at(self, x: float) -> float:
        """The value, rounded once, so that rounding never reverses an order."""
        if math.isinf(x):
            return math.inf if self.slope else self.fixed
        return nearest(self.exact(x))

    def within(self, bound: float, x: float) -> bool:
        """Whether the value is at most a finite bound."""
        if math.isinf(x):
            return not self.slope and self.fixed <= bound
        rounded = self.fixed + self.slope * x
        if abs(rounded - bound) > bound * _RELATIVE_SLACK + _ABSOLUTE_SLACK:
            return rounded < bound
        return self.exact(x) <= bound

    def last_within(self, bound: float) -> float | None:
        """The last x with a value of at most a finite bound; None: there is none."""
        if self.fixed > bound:
            return None
        if not self.slope:
            return math.inf
        return last_at_most((Fraction(bound) - Fraction(self.fixed)) / Fraction(self.slope))

    def scaled(self, factor: float) -> Line:
        """The line of x times a factor."""
        return Line(self.fixed, self.slope * factor)


def least(lines: Sequence[Line], among: Sequence[int], x: float) -> int:
    """The number of the lowest line at x, the first of equals.

    Args:
        lines: of which some are compared.
        among: their numbers, one or more, in order.
        x: 0 or more; infinity is the limit.
    """
    if math.isinf(x):
        return min(among, key=lambda i: (lines[i].slope, lines[i].fixed))
    rounded = [lines[i].fixed + lines[i].slope * x for i in among]
    enough = min(rounded) * (1 + _RELATIVE_SLACK) + _ABSOLUTE_SLACK
    near = [i for i, value in zip(among, rounded, strict=True) if value <= enough]
    return near[0] if len(near) == 1 else min(near, key=lambda i: lines[i].exact(x))


def first_below(line: Line, other: Line, *, wins_ties: bool) -> float:
    """The first x at which a line of smaller slope is lower than another, or as low.

    Infinity where that is beyond the largest float64.
    """
    crossing = (Fraction(line.fixed) - Fraction(other.fixed)) / (
        Fraction(other.slope) - Fraction(line.slope)
    )
    at = first_at_least(crossing)
    if wins_ties or math.isinf(at) or Fraction(at) > crossing:
        return at
    return math.nextafter(at, math.inf)


def nearest(value: Fraction) -> float:
    """The nearest float64, infinity beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def first_at_least(value: Fraction) -> float:
    """The first float64 at or above a number, 0 or more; infinity beyond the largest."""
    found = max(0.0, nearest(value))
    if math.isinf(found) or Fraction(found) >= value:
        return found
    return math.nextafter(found, math.inf)


def last_at_most(value: Fraction) -> float:
    """The last finite float64 at or below a number; negative where the number is."""
    found = max(-sys.float_info.max, min(sys.float_info.max, nearest(value)))
    return found if Fraction(found) <= value else math.nextafter(found, -math.inf)
