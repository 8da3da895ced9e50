"""Buffers of any kind (PEP 3118) as the arrays and bytes that the codec works on."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import Array
from joulecut.kernels import coder

BytesLike: TypeAlias = "bytes | bytearray | memoryview[Any] | Array"
DTYPES = coder.DTYPES
MAX_DIMS = 8


def as_array(data: BytesLike) -> Array:
    """A tensor, C-contiguous and in the byte order of this machine.

    Args:
        data: an array, or a buffer with a format; bytes are uint8.

    Raises:
        ConfigError: it is of a type or shape that coded tensors do not have.
    """
    array = data if isinstance(data, np.ndarray) else _of_buffer(data)
    if array.dtype.name not in DTYPES:
        raise ConfigError(
            f"array must be one of {', '.join(DTYPES)}, not {array.dtype.name}; "
            f"convert it first"
        )
    if array.ndim > MAX_DIMS or any(dim >= 1 << 32 for dim in array.shape):
        raise ConfigError(
            f"array must have at most {MAX_DIMS} dimensions below 2^32, "
            f"not shape {array.shape}; reshape it first"
        )
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def bytes_of(blob: BytesLike) -> memoryview:
    """The bytes of a buffer, whatever their format."""
    view = blob.data if isinstance(blob, np.ndarray) else memoryview(blob)
    if not view.c_contiguous:
        raise ConfigError("blob must be C-contiguous; copy it first")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _of_buffer(data: Any) -> Array:
    try:
        view = memoryview(data)
    except TypeError:
        raise ConfigError(
            f"array must be an array or another buffer, not {type(data).__name__}; "
            f"use np.asarray"
        ) from None
    return np.asarray(view)
