"""The grid that loses nothing: integers that need few bits as such, all else as bytes."""

from __future__ import annotations

from joulecut.compiler.quantizers.grid import Array, Grid
from joulecut.kernels import coder

_LOWEST = {"int8": -128, "uint8": 0}


def lossless_grid(array: Array, *, any_value: bool = False) -> Grid:
    """The grid for one tensor.

    Args:
        array: int8, uint8, int32 or float32.
        any_value: every value of int8 and uint8 has a symbol, so that all tensors have the same
            width and can share static tables.
    """
    dtype = array.dtype.name
    header = coder.lossless_quantizer(array, dtype)
    if not any_value or dtype not in _LOWEST:
        return Grid(header)
    offset = 0 if header.fold else _LOWEST[dtype]
    return Grid(coder.Quantizer("integers", 8, header.fold, offset=float(offset)))
