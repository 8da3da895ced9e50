"""Memory that C writes to: aligned arrays, and arrays of pointers to them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

ALIGNMENT_BYTES = 64  # of the arena, by the artifact's contract; tensors get the same


def aligned(nbytes: int) -> np.ndarray:
    """Zeroed uint8 [nbytes] whose address is a multiple of ALIGNMENT_BYTES."""
    raw = np.zeros(nbytes + ALIGNMENT_BYTES, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    return raw[start : start + nbytes]


def pointers(buffers: Sequence[np.ndarray]) -> Any:
    """A C array of the addresses; keep the buffers alive as long as it is used."""
    return (ctypes.c_void_p * len(buffers))(*(buffer.ctypes.data for buffer in buffers))
