"""Packing of symbols in C against its slow twin."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from c_library import c_library, pointer
from hypothesis import given
from hypothesis import strategies as st

from joulecut.kernels.twin import huffman as twin
from joulecut.kernels.twin.bits import StreamError

CORNERS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 257, 1000)
CANARY = 0xA5


def symbols(n: int, width: int, seed: int = 0) -> np.ndarray:
    dtype = np.uint8 if width <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 1 << width, n).astype(dtype)


def packed(name: str, syms: np.ndarray, width: int, n_bytes: int) -> bytes:
    """What the kernel writes to exactly n_bytes."""
    out = np.full(n_bytes + 16, CANARY, np.uint8)
    n = ctypes.c_size_t(len(syms))
    getattr(c_library("packing.c"), name)(pointer(syms), n, ctypes.c_uint(width), pointer(out))
    assert (out[n_bytes:] == CANARY).all()
    return out[:n_bytes].tobytes()


def unpacked(name: str, data: bytes, n: int, width: int) -> list[int] | None:
    """The symbols, or None if the kernel finds bits that are not zero."""
    out = np.full(n + 16, CANARY, np.uint16 if name.endswith("16") else np.uint8)
    source = np.frombuffer(data, np.uint8)
    kernel = getattr(c_library("packing.c"), name)
    fine = kernel(pointer(source), ctypes.c_size_t(n), ctypes.c_uint(width), pointer(out))
    assert (out[n:] == CANARY).all()
    return out[:n].tolist() if fine else None


def twin_unpacked(data: bytes, n: int, width: int) -> list[int] | None:
    try:
        return twin.unpack_raw(data, n, width)
    except StreamError:
        return None


def twin_spread(data: bytes, n: int, width: int) -> list[int] | None:
    try:
        return twin.ungroup(list(data), n, width)
    except StreamError:
        return None


@pytest.mark.parametrize("n", CORNERS)
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_groups_equal_the_twin(width: int, n: int):
    syms = symbols(n, width)
    groups = bytes(twin.group(syms.tolist(), width))
    assert packed("jc_pack_groups", syms, width, len(groups)) == groups
    assert unpacked("jc_spread_groups", groups, n, width) == syms.tolist()
    for bit in range(8 - (width == 3) * 2):
        damaged = groups[:-1] + bytes([groups[-1] ^ 1 << bit])
        assert unpacked("jc_spread_groups", damaged, n, width) == twin_spread(damaged, n, width)


@pytest.mark.parametrize("n", CORNERS)
@pytest.mark.parametrize("width", range(1, 17))
def test_raw_equals_the_twin(width: int, n: int):
    bits = 8 if width <= 8 else 16
    syms = symbols(n, width)
    data = twin.pack_raw(syms.tolist(), width)
    assert packed(f"jc_pack_raw{bits}", syms, width, len(data)) == data
    assert unpacked(f"jc_unpack_raw{bits}", data, n, width) == syms.tolist()
    wide = syms.astype(np.uint16)
    assert packed("jc_pack_raw16", wide, width, len(data)) == data
    for bit in range(8):
        damaged = data[:-1] + bytes([data[-1] ^ 1 << bit])
        expected = twin_unpacked(damaged, n, width)
        assert unpacked(f"jc_unpack_raw{bits}", damaged, n, width) == expected
        assert unpacked("jc_unpack_raw16", damaged, n, width) == expected


@given(st.integers(1, 16), st.binary(min_size=2, max_size=80))
def test_any_bytes_unpack_as_the_twin(width: int, data: bytes):
    n = 8 * len(data) // width
    used = data[: -(-n * width // 8)]
    expected = twin_unpacked(used, n, width)
    assert unpacked("jc_unpack_raw16", used, n, width) == expected
    if width <= 8:
        assert unpacked("jc_unpack_raw8", used, n, width) == expected
