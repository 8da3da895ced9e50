"""Coded tensors of version 1, which are decoded for ever and written no more.

docs/bitstream_v1.md is the format. Everything that is read is hostile: each number is bounded before it
is used, and every refusal is a CoderError, as for version 2.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from joulecut.kernels.coder import CoderError

VERSION = 1
MODES = ("raw", "constant", "huffman", "grouped")
DTYPES = ("int8", "uint8", "int32", "float32")

_TENSOR_MAGIC, _FRAME_MAGIC = b"JCT\x1a", b"JCF\x1a"
_PREFIX = struct.Struct("<4sBBBBI")  # magic, version, dtype, dimensions, quantizer, content CRC
_GRID = struct.Struct("<Bff")  # bits, step, offset
_U32 = struct.Struct("<I")
_FRAME_PREFIX = struct.Struct("<4sBBH")  # magic, version, zero, tensors
_MAX_DIMS, _MAX_TENSORS = 8, 4096
_BLOCK_SYMBOLS = 65536
_MAX_CODE_BITS = 11
_REPEAT_LENGTH, _FEW_ZEROS, _MANY_ZEROS = 12, 13, 14
_EXTRA_BITS = {_REPEAT_LENGTH: 2, _FEW_ZEROS: 3, _MANY_ZEROS: 7}
_SHORTEST_RUN = {_REPEAT_LENGTH: 3, _FEW_ZEROS: 3, _MANY_ZEROS: 11}
_FLOAT_MAX = float(np.finfo(np.float32).max)

Bytes = NDArray[np.uint8]


class Grid(NamedTuple):
    """2^bits values `offset + index * step`."""

    bits: int
    step: float
    offset: float


class Header(NamedTuple):
    """What a coded tensor says of itself; grid is None if its symbols are bytes."""

    dtype: str
    shape: tuple[int, ...]
    grid: Grid | None
    content_crc: int
    n_bytes: int
    header_bytes: int

    @property
    def n_elements(self) -> int:
        """Elements of the tensor: symbols of a plane."""
        return math.prod(self.shape)

    @property
    def n_planes(self) -> int:
        """Planes of symbols: the bytes of an element, or one."""
        return np.dtype(self.dtype).itemsize if self.grid is None else 1

    @property
    def width(self) -> int:
        """Bits of a symbol."""
        return 8 if self.grid is None else self.grid.bits


class _Block(NamedTuple):
    mode: int
    n: int  # symbols
    start: int  # of the block
    at: int  # of the payload
    n_bits: int  # of the payload

    @property
    def end(self) -> int:
        return self.at + -(-self.n_bits // 8)


def _demand(condition: bool, reason: str, offset: int) -> None:
    if not condition:
        raise CoderError(reason, offset)


def read_header(blob: memoryview) -> Header:
    """The header of an untrusted coded tensor; its blocks are not looked at.

    Raises:
        CoderError: it is not one of version 1.
    """
    _demand(len(blob) >= _PREFIX.size, "header must be complete", len(blob))
    magic, version, dtype_id, n_dims, quantizer, content_crc = _PREFIX.unpack_from(blob)
    _demand(magic == _TENSOR_MAGIC, "blob must start with its magic number", 0)
    _demand(version == VERSION, "version must be 1", 4)
    _demand(1 <= dtype_id <= len(DTYPES), "type must be one of version 1", 5)
    _demand(n_dims <= _MAX_DIMS, "dimensions must be at most 8", 6)
    _demand(quantizer in (0, 1), "quantizer must be one of version 1", 7)
    dims_end = _PREFIX.size + 4 * n_dims
    end = dims_end + (_GRID.size if quantizer else 0)
    _demand(len(blob) >= end + 4, "header must be complete", len(blob))
    _demand(_U32.unpack_from(blob, end)[0] == crc32(blob[:end]), "checksum must match", end)
    shape: tuple[int, ...] = struct.unpack_from(f"<{n_dims}I", blob, _PREFIX.size)
    dtype = DTYPES[int(dtype_id) - 1]
    itemsize = np.dtype(dtype).itemsize
    _demand(math.prod(filter(None, shape)) * itemsize < 1 << 63, "tensor must be indexable", 12)
    grid = None
    if quantizer:
        grid = Grid(*_GRID.unpack_from(blob, dims_end))
        is_grid = 1 <= grid.bits <= 8 and grid.step > 0
        is_grid = is_grid and math.isfinite(grid.step) and math.isfinite(grid.offset)
        _demand(is_grid and dtype != "int32", "grid must be finite", dims_end)
    return Header(dtype, shape, grid, content_crc, math.prod(shape) * itemsize, end + 4)


def _read_block(blob: memoryview, start: int, n: int, width: int) -> _Block:
    """The front of a block of n symbols, which lies in the blob."""
    _demand(start < len(blob), "block must be complete", start)
    mode, at = blob[start] >> 1, start + 1
    _demand(blob[start].bit_count() % 2 == 0, "block mode must have even parity", start)
    is_known = mode < len(MODES) and (MODES[mode] != "grouped" or width <= 4)
    _demand(is_known, "block mode must be one of this version and width", start)
    n_bits = n * width if MODES[mode] == "raw" else 8
    if MODES[mode] in ("huffman", "grouped"):
        _demand(at + 3 <= len(blob), "block must be complete", start)
        n_bits = int.from_bytes(blob[at : at + 3], "little")
        at += 3
    block = _Block(mode, n, start, at, n_bits)
    _demand(block.end <= len(blob), "block must be complete", start)
    return block


def _blocks_of(blob: memoryview, header: Header) -> Iterator[_Block]:
    """All blocks, plane by plane; they must fill the blob."""
    at = header.header_bytes
    for _ in range(header.n_planes):
        for first in range(0, header.n_elements, _BLOCK_SYMBOLS):
            n = min(header.n_elements - first, _BLOCK_SYMBOLS)
            block = _read_block(blob, at, n, header.width)
            yield block
            at = block.end
    _demand(at == len(blob), "blob must end with its last block", at)


def scan(blob: memoryview) -> tuple[int, ...]:
    """How many blocks have each of MODES.

    Raises:
        CoderError: the blocks do not fill the blob exactly.
    """
    counts = [0] * len(MODES)
    for block in _blocks_of(blob, read_header(blob)):
        counts[block.mode] += 1
    return tuple(counts)


def _read_table(bits: Bytes, n_alphabet: int, offset: int) -> tuple[list[int], int]:
    """The code lengths, and where the codes start."""
    lengths: list[int] = []
    filled, at = 0, 0

    def take(n: int) -> int:
        nonlocal at
        _demand(at + n <= len(bits), "table must be complete", offset)
        at += n
        return sum(int(bit) << i for i, bit in enumerate(bits[at - n : at]))

    while filled < 1 << _MAX_CODE_BITS:
        token = take(4)
        length, run = token, 1
        if token in _EXTRA_BITS:
            run = _SHORTEST_RUN[token] + take(_EXTRA_BITS[token])
            length = lengths[-1] if token == _REPEAT_LENGTH and lengths else 0
        is_known = token <= _MANY_ZEROS and (token != _REPEAT_LENGTH or length > 0)
        _demand(is_known, "table must be that of a complete code", offset)
        lengths += [length] * run
        filled += run << (_MAX_CODE_BITS - length) if length else 0
        _demand(len(lengths) <= n_alphabet, "table must fit the alphabet", offset)
    _demand(filled == 1 << _MAX_CODE_BITS, "table must be that of a complete code", offset)
    return lengths, at


def _read_codes(bits: Bytes, n: int, n_alphabet: int, offset: int) -> Bytes:
    """A table, n codes and nothing else.

    Looks up, for every bit, the code that would start there, and then walks from code to code.
    """
    lengths, start = _read_table(bits, n_alphabet, offset)
    order = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    repeats = [1 << (_MAX_CODE_BITS - length) for length, _ in order]
    symbol_of = np.repeat(np.array([symbol for _, symbol in order], np.uint8), repeats)
    length_of = np.repeat(np.array([length for length, _ in order]), repeats)
    padded = np.concatenate([bits, np.zeros(_MAX_CODE_BITS, np.uint8)])
    windows = np.zeros(len(bits), np.intp)  # the next bits, the first one highest
    for i in range(_MAX_CODE_BITS):
        windows = windows << 1 | padded[i : i + len(bits)]
    following = (np.arange(len(bits)) + length_of[windows]).tolist()
    at, places = start, list[int]()
    for _ in range(n):
        _demand(at < len(bits), "codes must end at the declared bit", offset)
        places.append(at)
        at = following[at]
    _demand(at == len(bits), "codes must end at the declared bit", offset)
    return symbol_of[windows[places]]


def _split_numbers(bits: Bytes, n: int, width: int) -> Bytes:
    """The n symbols of `width` bits each."""
    weights = 1 << np.arange(width, dtype=np.uint8)
    return (bits[: n * width].reshape(n, width) * weights).sum(axis=1, dtype=np.uint8)


def _decode_block(blob: memoryview, block: _Block, width: int) -> Bytes:
    payload = np.frombuffer(blob[block.at : block.end], np.uint8)
    bits = np.unpackbits(payload, bitorder="little")
    zeros, n, mode = bits[block.n_bits :], block.n, MODES[block.mode]
    _demand(not zeros.any(), "bits that carry nothing must be zero", block.start)
    bits = bits[: block.n_bits]
    if mode == "constant":
        _demand(payload[0] >> width == 0, "symbol must fit in the width", block.start)
        return np.full(n, payload[0])
    if mode == "raw":
        return _split_numbers(bits, n, width)
    if mode == "huffman":
        return _read_codes(bits, n, 1 << width, block.start)
    per_group = 8 // width
    groups = _read_codes(bits, -(-n // per_group), 1 << (width * per_group), block.start)
    spread = np.unpackbits(groups[:, None], axis=1, bitorder="little")[:, : width * per_group]
    spread = spread.reshape(-1)
    _demand(not spread[n * width :].any(), "bits that carry nothing must be zero", block.start)
    return _split_numbers(spread, n, width)


def _values(grid: Grid, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The value of every index: binary64, rounded once."""
    exact = grid.offset + grid.step * np.arange(1 << grid.bits, dtype=np.float64)
    if dtype.kind == "f":
        return np.clip(exact, -_FLOAT_MAX, _FLOAT_MAX).astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(exact), limits.min, limits.max).astype(dtype)


def decode_into(blob: memoryview, out: NDArray[Any]) -> None:
    """Decode an untrusted coded tensor.

    Args:
        blob: its bytes.
        out: C-contiguous array of its type and shape; unspecified after an error.

    Raises:
        CoderError: the blob is damaged or hostile.
        ValueError: out does not fit the blob.
    """
    header = read_header(blob)
    if (out.dtype, out.shape) != (np.dtype(header.dtype), header.shape):
        raise ValueError(f"out must be {header.dtype} of shape {header.shape}")
    blocks = list(_blocks_of(blob, header))
    symbols = [_decode_block(blob, block, header.width) for block in blocks]
    flat = np.concatenate([np.empty(0, np.uint8), *symbols])
    _demand(crc32(flat.data) == header.content_crc, "checksum of the content must match", 8)
    if header.grid is None:
        planes = flat.reshape(header.n_planes, header.n_elements)
        out.reshape(-1).view(np.uint8).reshape(planes.T.shape)[:] = planes.T
    else:
        out.reshape(-1)[:] = _values(header.grid, out.dtype)[flat]


def split_frame(frame: memoryview) -> list[tuple[int, memoryview]]:
    """The offset and the bytes of every coded tensor in an untrusted frame.

    Raises:
        CoderError: the frame is not of version 1, or its lengths do not add up.
    """
    _demand(len(frame) >= _FRAME_PREFIX.size, "frame must be complete", len(frame))
    magic, version, zero, n = _FRAME_PREFIX.unpack_from(frame)
    _demand(magic == _FRAME_MAGIC, "frame must start with its magic number", 0)
    _demand(version == VERSION and zero == 0, "version of the frame must be 1", 4)
    _demand(n <= _MAX_TENSORS, "frame must have at most 4096 tensors", 6)
    end = _FRAME_PREFIX.size + 4 * n
    _demand(len(frame) >= end + 4, "header of the frame must be complete", len(frame))
    _demand(_U32.unpack_from(frame, end)[0] == crc32(frame[:end]), "checksum must match", end)
    at, tensors = end + 4, list[tuple[int, memoryview]]()
    for size in struct.unpack_from(f"<{n}I", frame, _FRAME_PREFIX.size):
        tensors.append((at, frame[at : at + size]))
        at += size
    _demand(at == len(frame), "tensors of the frame must fill it", min(at, len(frame)))
    return tensors
