"""Integers of a known range, unchanged: symbols that have the same width in every tensor.

Only they can share static tables. Where zero lies inside the range, symbols count from it, so
that small magnitudes have small symbols.
"""

from __future__ import annotations

from joulecut.compiler.quantizers.grid import Grid
from joulecut.kernels import coder


def whole_range(low: int, high: int, zero: int = 0) -> Grid:
    """The grid of all integers from low to high.

    Args:
        low: the least.
        high: the greatest, less than 256 above it.
        zero: what stands for zero, if it lies between them.
    """
    plain = max((high - low).bit_length(), 1)
    if low < zero < high:
        folded = max(2 * (high - zero), 2 * (zero - low) - 1).bit_length()
        if folded <= max(plain, 8):
            return Grid(coder.Quantizer("integers", folded, True, offset=float(zero)))
    return Grid(coder.Quantizer("integers", plain, False, offset=float(low)))
