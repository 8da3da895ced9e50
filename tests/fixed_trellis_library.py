"""The fixed-rate trellis in C, for ctypes: struct jc_quantizer and what works on it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from c_library import c_library, pointer
from numpy.typing import NDArray

from joulecut.compiler.quantizers.training import Assign

JC_OK, JC_BAD_ARGUMENT, JC_BAD_VALUE = 0, 1, 3
UNTOUCHED = 0xABCD

Floats = NDArray[np.float32]
Symbols = NDArray[np.uint16]
UNDEFINED_TRAPS = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")


class CQuantizer(ctypes.Structure):
    """struct jc_quantizer of kernels/c/trellis.h."""

    _fields_ = (
        ("kind", ctypes.c_uint8),
        ("width", ctypes.c_uint8),
        ("fold", ctypes.c_uint8),
        ("n_states", ctypes.c_uint16),
        ("n_centroids", ctypes.c_uint8),
        ("integer_offset", ctypes.c_int32),
        ("step", ctypes.c_float),
        ("offset", ctypes.c_float),
        ("centroids", ctypes.c_float * 16 * 2),
        ("book", ctypes.c_float * 512),
    )


class CLayout(ctypes.Structure):
    """struct jc_layout of kernels/c/context.h."""

    _fields_ = (
        ("n", ctypes.c_size_t),
        ("row", ctypes.c_size_t),
        ("width", ctypes.c_uint),
        ("fold", ctypes.c_uint),
        ("lanes", ctypes.c_uint),
        ("n_states", ctypes.c_uint),
    )


@dataclass(frozen=True)
class FixedTrellis:
    """One quantizer and how its symbols lie."""

    book: Sequence[float] | Floats
    n_states: int
    lanes: int = 1
    width: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def rate(self) -> int:
        """R, from the book unless it is given."""
        return len(self.book).bit_length() - 2 if self.width is None else self.width

    def structs(self, n: int) -> tuple[CQuantizer, CLayout]:
        """The two structs for n samples."""
        quantizer = CQuantizer(kind=6, width=self.rate, n_states=self.n_states)
        np.ctypeslib.as_array(quantizer.book)[: len(self.book)] = self.book
        return quantizer, CLayout(n=n, width=self.rate, lanes=self.lanes)

    def quantize(self, x: Floats) -> tuple[int, Symbols]:
        """The result and the symbols, which are followed by nothing that was written."""
        library = c_library("fixed_trellis.c", flags=self.flags)
        library.jc_fixed_trellis_workspace_size.restype = ctypes.c_size_t
        size = library.jc_fixed_trellis_workspace_size(
            ctypes.c_size_t(x.size), ctypes.c_uint(self.n_states)
        )
        workspace = np.full(size + 8, 0xA5, np.uint8)
        symbols = np.full(x.size + 1, UNTOUCHED, np.uint16)
        quantizer, layout = self.structs(x.size)
        result = library.jc_fixed_trellis_quantize(
            pointer(workspace),
            ctypes.byref(quantizer),
            ctypes.byref(layout),
            pointer(x),
            pointer(symbols),
        )
        assert (workspace[size:] == 0xA5).all()
        assert symbols[-1] == UNTOUCHED
        return result, symbols[:-1]

    def values(self, symbols: Symbols) -> Floats:
        """The values of symbols."""
        x = np.full(symbols.size + 1, -1e9, np.float32)
        quantizer, layout = self.structs(symbols.size)
        c_library("fixed_trellis.c", flags=self.flags).jc_fixed_trellis_values(
            ctypes.byref(quantizer), ctypes.byref(layout), pointer(symbols), pointer(x)
        )
        assert x[-1] == np.float32(-1e9)
        return x[:-1]


def _assign(
    n_states: int, lanes: int, x: Floats, book: Floats
) -> tuple[Symbols, NDArray[np.int64]]:
    """The best path; places in the book are the values of a book that counts 0, 1, 2 .."""
    result, symbols = FixedTrellis(book, n_states, lanes).quantize(x)
    assert result == JC_OK
    places = FixedTrellis(np.arange(book.size, dtype=np.float32), n_states, lanes)
    return symbols, places.values(symbols).astype(np.int64)


def assign_by_ctypes(n_states: int, lanes: int = 16) -> Assign:
    """What the trainer asks for, of the C kernel."""
    return partial(_assign, n_states, lanes)
