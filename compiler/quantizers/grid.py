"""A fitted grid: how the symbols of one tensor become values, and what its encoder weighs.

The first travels in the header of the coded tensor, so that the receiver needs nothing else; the
second stays with the encoder. Both run in C, which computes the same symbols on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulecut.compiler.errors import ConfigError
from joulecut.kernels import coder

Array = NDArray[Any]
Symbols = NDArray[np.uint16]

QUANTIZABLE = ("float32", "int8", "uint8")


@dataclass(frozen=True)
class Grid:
    """What a quantizer decided for one tensor.

    Attributes:
        header: what the coded tensor says: kind, bits of a symbol, step, values.
        rates: prices of symbols, for those kinds that give distance for bits; None: the
            nearest values.
    """

    header: coder.Quantizer
    rates: coder.Rates | None = None

    def quantize(self, array: Array) -> Symbols:
        """The symbol of every element, same shape."""
        symbols = np.empty(array.shape, np.uint16)
        data = np.ascontiguousarray(array)
        coder.symbols_into(data, array.dtype.name, self.header, symbols, rates=self.rates)
        return symbols

    def dequantize(self, symbols: Symbols, dtype: str = "float32") -> Array:
        """The value of every symbol, same shape."""
        values = np.empty(symbols.shape, dtype)
        coder.values_into(np.ascontiguousarray(symbols), dtype, self.header, values)
        return values


def quantizable(array: Array) -> Array:
    """The array, C-contiguous, if it can be quantized.

    Raises:
        ConfigError: it has another type, or holds NaN or infinity.
    """
    if array.dtype.name not in QUANTIZABLE:
        raise ConfigError(
            f"a quantized tensor must be one of {', '.join(QUANTIZABLE)}, "
            f"not {array.dtype.name}; leave the quantizer out to send it losslessly"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ConfigError("a quantized tensor must be finite; look for NaN or infinity")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def require_bits(bits: int, most: int = 8) -> None:
    """Refuse a width of symbols that the format does not have."""
    if not 1 <= bits <= most:
        raise ConfigError(f"bits must be 1 to {most}, not {bits}")
