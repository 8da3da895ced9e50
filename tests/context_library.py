"""The context coder in C, for ctypes: a model, its tables, and the lanes of a block."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from c_library import c_library, pointer
from numpy.typing import NDArray

from joulecut.kernels.twin.context import Layout

JC_OK, JC_BAD_TABLE, JC_BAD_LENGTH, JC_BAD_PADDING = 0, 12, 13, 14
MODES: tuple[str, ...] = ("prefix", "ans")
UNTOUCHED = 0xABCD
UNDEFINED_TRAPS = ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
SOURCES = (
    "context.c",
    "context_ans.c",
    "context_ans_avx2.c",
    "context_ans_decode.c",
    "context_model.c",
    "context_prefix.c",
    "context_tables.c",
    "context_unravel_sse2.c",
    "huffman_lengths.c",
    "trellis_tables.c",
)
NO_SIZE = ctypes.c_size_t(-1).value

Symbols = NDArray[np.uint16]
Bytes = NDArray[np.uint8]


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


class CModel(ctypes.Structure):
    """struct jc_context_model of kernels/c/context.h."""

    _fields_ = (
        ("n_clusters", ctypes.c_uint8),
        ("cluster_of", ctypes.c_uint8 * 24 * 2),
        ("freqs", ctypes.c_uint16 * 64 * 16),
        ("lens", ctypes.c_uint8 * 64 * 16),
        ("only", ctypes.c_int8 * 16),
    )


class BitBuffer(ctypes.Structure):
    """struct jc_bit_writer and struct jc_bit_reader of kernels/c/bits.h: three words each."""

    _fields_ = (("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t))


@cache
def library(flags: tuple[str, ...] = UNDEFINED_TRAPS) -> ctypes.CDLL:
    lib = c_library(*SOURCES, flags=flags)
    for name in ("encoder_size", "decoder_size", "prefix_bits"):
        getattr(lib, f"jc_context_{name}").restype = ctypes.c_size_t
    for mode in MODES:
        getattr(lib, f"jc_context_{mode}_encode").restype = ctypes.c_size_t
        getattr(lib, f"jc_context_{mode}_table_bits").restype = ctypes.c_size_t
    return lib


@cache
def guarded_page() -> tuple[mmap.mmap, int]:
    """Memory that ends where nobody may read, and the address of its end."""
    size = 1 << 20
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    end = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + size
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(end), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return memory, end


def at_the_end(payload: bytes) -> ctypes.c_void_p:
    """A copy that is followed by memory that nobody may read."""
    _, end = guarded_page()
    ctypes.memmove(end - len(payload), payload, len(payload))
    return ctypes.c_void_p(end - len(payload))


@dataclass(frozen=True)
class ContextCoder:
    """The encoder and the decoder of blocks with one layout."""

    layout: Layout
    flags: tuple[str, ...] = UNDEFINED_TRAPS

    @property
    def library(self) -> ctypes.CDLL:
        return library(self.flags)

    @property
    def c_layout(self) -> CLayout:
        a = self.layout
        return CLayout(a.n, a.row, a.width, a.fold, a.lanes, a.n_states)

    def workspace(self, name: str) -> Bytes:
        size: int = getattr(self.library, f"jc_context_{name}_size")(
            ctypes.c_size_t(self.layout.n)
        )
        return np.full(size, 0xA5, np.uint8)

    def add(self, symbols: Sequence[int] | Symbols, times: int = 1) -> Bytes:
        """A workspace that has counted the block."""
        ws = self.workspace("encoder")
        syms = np.array(symbols, np.uint16)
        self.library.jc_context_begin(pointer(ws))
        for _ in range(times):
            self.library.jc_context_add(pointer(ws), ctypes.byref(self.c_layout), pointer(syms))
        return ws

    def models(self, ws: Bytes) -> dict[str, CModel]:
        prefix, ans = CModel(), CModel()
        self.library.jc_context_build(
            pointer(ws), self.layout.unions, ctypes.byref(prefix), ctypes.byref(ans)
        )
        return {"prefix": prefix, "ans": ans}

    def static_models(self, ws: Bytes) -> dict[str, CModel]:
        prefix, ans = CModel(), CModel()
        a = self.layout
        self.library.jc_context_build_static(
            pointer(ws), a.width, a.unions, ctypes.byref(prefix), ctypes.byref(ans)
        )
        return {"prefix": prefix, "ans": ans}

    def write_table(self, mode: str, model: CModel) -> bytes:
        """The map and the tables, padded."""
        unions = self.layout.unions
        n_bits = getattr(self.library, f"jc_context_{mode}_table_bits")(
            ctypes.byref(model), unions
        )
        out = np.zeros(-(-n_bits // 8), np.uint8)
        writer = BitBuffer(out.ctypes.data, out.size, 0)
        write = getattr(self.library, f"jc_write_context_{mode}_table")
        write(ctypes.byref(writer), ctypes.byref(model), unions)
        assert writer.at == n_bits
        return out.tobytes()

    def read_table(self, mode: str, table: bytes) -> tuple[int, CModel, int]:
        """The result, the model, and how many bits it took."""
        model = CModel()
        reader = BitBuffer(at_the_end(table).value, len(table), 0)
        result = getattr(self.library, f"jc_read_context_{mode}_table")(
            ctypes.byref(reader), self.layout.unions, self.layout.width, ctypes.byref(model)
        )
        return result, model, reader.at

    def encode(
        self, mode: str, ws: Bytes, model: CModel, room: int | None = None
    ) -> bytes | None:
        """What follows the tables, or None if it does not fit."""
        room = 6 * self.layout.n + 200 if room is None else room
        out = np.full(room + 8, 0xC3, np.uint8)
        size: int = getattr(self.library, f"jc_context_{mode}_encode")(
            pointer(ws),
            ctypes.byref(self.c_layout),
            ctypes.byref(model),
            pointer(out),
            ctypes.c_size_t(room),
        )
        assert (out[room:] == 0xC3).all()
        return None if size == NO_SIZE else out[:size].tobytes()

    def decode(self, mode: str, payload: bytes, model: CModel) -> tuple[int, Symbols]:
        """The result and the symbols."""
        ws = self.workspace("decoder")
        syms = np.full(self.layout.n + 4, UNTOUCHED, np.uint16)
        result = getattr(self.library, f"jc_context_{mode}_decode")(
            pointer(ws),
            ctypes.byref(self.c_layout),
            at_the_end(payload),
            ctypes.c_size_t(len(payload)),
            ctypes.byref(model),
            pointer(syms),
        )
        assert (syms[self.layout.n :] == UNTOUCHED).all()
        return result, syms[: self.layout.n]
