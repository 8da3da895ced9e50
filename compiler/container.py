"""The bytes around coded symbols: a tensor's header, and the frame of several tensors.

docs/bitstream.md draws every field. Everything here is read as hostile: each number is bounded
before it is used, and every refusal is an UntrustedInputError that names the offset.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.quantizer import QUANTIZABLE, UniformGrid

VERSION = 1
TENSOR_MAGIC = b"JCT\x1a"  # the last byte ends a text file, so that it is not taken for one
FRAME_MAGIC = b"JCF\x1a"
MAX_DIMS = 8
MAX_TENSORS = 4096

DTYPES = ("int8", "uint8", "int32", "float32")  # the id is the position plus 1
LOSSLESS, UNIFORM = 0, 1  # quantizer ids

_PREFIX = struct.Struct("<4sBBBBI")  # magic, version, dtype, dims, quantizer, content CRC
_GRID = struct.Struct("<Bff")  # bits, step, offset
_U32 = struct.Struct("<I")
_FRAME_PREFIX = struct.Struct("<4sBxH")  # magic, version, zero, tensors
_MAX_NUMPY_BYTES = (1 << 63) - 1  # numpy applies it with dimensions of zero left out

MAX_HEADER_BYTES = _PREFIX.size + MAX_DIMS * 4 + _GRID.size + 4


def refuse(reason: str, offset: int) -> UntrustedInputError:
    """The error for coded bytes that cannot be right."""
    return UntrustedInputError(
        f"coded tensor: {reason} (offset {offset}); get it from its sender again"
    )


@dataclass(frozen=True)
class Header:
    """What the decoder must know before it can read the symbols.

    Attributes:
        dtype: one of DTYPES, the type of the decoded tensor.
        shape: at most MAX_DIMS dimensions.
        grid: the values of the symbols; None if symbols are the bytes of the tensor.
        content_crc: CRC-32 of all symbols in the order in which they are coded.
    """

    dtype: str
    shape: tuple[int, ...]
    grid: UniformGrid | None
    content_crc: int

    @property
    def n_elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded tensor."""
        return self.n_elements * self.numpy_dtype.itemsize

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type in numpy's terms, little-endian."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def n_planes(self) -> int:
        """Symbols for each element: its bytes, or one index."""
        return self.numpy_dtype.itemsize if self.grid is None else 1

    @property
    def width(self) -> int:
        """Bits of a symbol."""
        return 8 if self.grid is None else self.grid.bits

    def to_bytes(self) -> bytes:
        """The header with its checksum.

        Raises:
            ConfigError: the tensor is of a type or shape that the format does not have.
        """
        if self.dtype not in DTYPES:
            raise ConfigError(
                f"a coded tensor must be one of {', '.join(DTYPES)}, not {self.dtype}; "
                f"convert it first"
            )
        if len(self.shape) > MAX_DIMS or any(dim >= 1 << 32 for dim in self.shape):
            raise ConfigError(
                f"a coded tensor must have at most {MAX_DIMS} dimensions below 2^32, "
                f"not shape {self.shape}; reshape it first"
            )
        body = _PREFIX.pack(
            TENSOR_MAGIC,
            VERSION,
            DTYPES.index(self.dtype) + 1,
            len(self.shape),
            LOSSLESS if self.grid is None else UNIFORM,
            self.content_crc,
        )
        body += b"".join(_U32.pack(dim) for dim in self.shape)
        if self.grid is not None:
            body += _GRID.pack(self.grid.bits, self.grid.step, self.grid.offset)
        return body + _U32.pack(crc32(body))


def read_header(blob: memoryview) -> tuple[Header, int]:
    """The header at the front of a coded tensor, and the bytes that it takes.

    Raises:
        UntrustedInputError: it is not a header of this version.
    """
    if len(blob) < _PREFIX.size:
        raise refuse(f"it must have at least {_PREFIX.size} bytes, not {len(blob)}", len(blob))
    prefix: tuple[bytes, int, int, int, int, int] = _PREFIX.unpack_from(blob)
    magic, version, dtype_id, n_dims, quantizer_id, content_crc = prefix
    if magic != TENSOR_MAGIC:
        raise refuse(f"it must start with {TENSOR_MAGIC!r}, not {magic!r}", 0)
    if version != VERSION:
        raise UntrustedInputError(
            f"coded tensor: version must be {VERSION}, not {version} (offset 4); "
            f"use the joulecut that wrote it"
        )
    if not 1 <= dtype_id <= len(DTYPES):
        raise refuse(f"dtype id must be 1 to {len(DTYPES)}, not {dtype_id}", 5)
    if n_dims > MAX_DIMS:
        raise refuse(f"dimensions must be at most {MAX_DIMS}, not {n_dims}", 6)
    if quantizer_id not in (LOSSLESS, UNIFORM):
        raise refuse(f"quantizer id must be 0 or 1, not {quantizer_id}", 7)
    dims_end = _PREFIX.size + 4 * n_dims
    body_end = dims_end + (_GRID.size if quantizer_id == UNIFORM else 0)
    if len(blob) < body_end + 4:
        raise refuse(f"its header must have {body_end + 4} bytes", len(blob))
    (header_crc,) = _U32.unpack_from(blob, body_end)
    if header_crc != crc32(blob[:body_end]):
        raise refuse("the checksum of the header must match", body_end)
    shape: tuple[int, ...] = struct.unpack_from(f"<{n_dims}I", blob, _PREFIX.size)
    dtype = DTYPES[dtype_id - 1]
    if math.prod(filter(None, shape)) * np.dtype(dtype).itemsize > _MAX_NUMPY_BYTES:
        raise refuse(f"shape must be one that numpy can index, not {shape}", _PREFIX.size)
    grid = _read_grid(blob, dims_end, dtype) if quantizer_id == UNIFORM else None
    return Header(dtype, shape, grid, content_crc), body_end + 4


def _read_grid(blob: memoryview, at: int, dtype: str) -> UniformGrid:
    if dtype not in QUANTIZABLE:
        raise refuse(f"a quantized tensor must be one of {', '.join(QUANTIZABLE)}", 5)
    try:
        return UniformGrid(*_GRID.unpack_from(blob, at))
    except ConfigError as error:
        raise refuse(str(error), at) from None


def join_frame(blobs: Sequence[bytes]) -> bytes:
    """Several coded tensors, each after its length, behind one checked header."""
    if len(blobs) > MAX_TENSORS:
        raise ConfigError(f"a frame must have at most {MAX_TENSORS} tensors, not {len(blobs)}")
    head = _FRAME_PREFIX.pack(FRAME_MAGIC, VERSION, len(blobs))
    try:
        head += b"".join(_U32.pack(len(blob)) for blob in blobs)
    except struct.error:
        raise ConfigError("a tensor in a frame must be coded in less than 2^32 bytes") from None
    return b"".join([head, _U32.pack(crc32(head)), *blobs])


def split_frame(frame: memoryview) -> list[tuple[int, memoryview]]:
    """The offset and the bytes of every coded tensor in a frame.

    Raises:
        UntrustedInputError: the frame is not of this version, or its lengths do not add up.
    """
    if len(frame) < _FRAME_PREFIX.size:
        raise refuse(f"its frame must have {_FRAME_PREFIX.size} bytes", len(frame))
    magic, version, n_tensors = _FRAME_PREFIX.unpack_from(frame)
    if magic != FRAME_MAGIC:
        raise refuse(f"its frame must start with {FRAME_MAGIC!r}, not {magic!r}", 0)
    if version != VERSION or frame[5] != 0:
        raise refuse(f"the version of its frame must be {VERSION}, not {version}", 4)
    if n_tensors > MAX_TENSORS:
        raise refuse(f"its frame must have at most {MAX_TENSORS} tensors", 6)
    body_end = _FRAME_PREFIX.size + 4 * n_tensors
    if len(frame) < body_end + 4:
        raise refuse(f"the header of its frame must have {body_end + 4} bytes", len(frame))
    (header_crc,) = _U32.unpack_from(frame, body_end)
    if header_crc != crc32(frame[:body_end]):
        raise refuse("the checksum of the frame must match", body_end)
    lengths = struct.unpack_from(f"<{n_tensors}I", frame, _FRAME_PREFIX.size)
    at, blobs = body_end + 4, list[tuple[int, memoryview]]()
    for length in lengths:
        blobs.append((at, frame[at : at + length]))
        at += length
    if at != len(frame):
        raise refuse(
            f"its frame must end after {at} bytes, not {len(frame)}", min(at, len(frame))
        )
    return blobs
