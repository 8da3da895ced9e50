"""Damaged and hostile coded tensors: always an error with an offset, never wrong data."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any, cast
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler import codec
from joulecut.compiler.container import MAX_TENSORS
from joulecut.compiler.errors import ConfigError, UntrustedInputError

RNG = np.random.default_rng(0)
SPARSE = (RNG.random(200) < 0.1) * RNG.integers(0, 4, 200)
TENSORS: dict[str, codec.Array] = {
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(7, np.int32),
    "constant": np.full((3, 4), 99, np.uint8),
    "raw": RNG.integers(-128, 128, 40).astype(np.int8),
    "huffman": (40 * np.abs(RNG.normal(0, 1, 150))).clip(0, 255).astype(np.uint8),
    "grouped": SPARSE.astype(np.uint8),
    "planes": RNG.normal(0, 1, 30).astype(np.float32),
}
BLOBS = {
    **{name: codec.encode(array) for name, array in TENSORS.items()},
    "grid": codec.encode(TENSORS["planes"], quantizer="sq", bits=3),
}
GRID_AT = 12 + 4  # of a one-dimensional tensor


def test_the_samples_are_what_they_are_called():
    for name in ("constant", "raw", "huffman", "grouped"):
        assert codec.stat(BLOBS[name]).blocks[name] == 1


def edited(blob: bytes, at: int, data: bytes, header_end: int | None = None) -> bytes:
    """The blob with other bytes, and with the header checksum that an attacker would add."""
    end = (codec.stat(blob).header_bytes if header_end is None else header_end) - 4
    body = bytearray(blob)
    body[at : at + len(data)] = data
    body[end : end + 4] = struct.pack("<I", crc32(body[:end]))
    return bytes(body)


@pytest.mark.parametrize("name", BLOBS)
def test_truncation_at_every_byte_is_refused(name: str):
    blob = BLOBS[name]
    for size in range(len(blob)):
        with pytest.raises(
            UntrustedInputError, match=r"offset \d+.*get it from its sender again"
        ):
            codec.decode(blob[:size])


@pytest.mark.parametrize("name", BLOBS)
def test_every_flipped_bit_is_refused(name: str):
    blob = BLOBS[name]
    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(UntrustedInputError, match=r"offset \d+"):
            codec.decode(flipped)


@given(name=st.sampled_from(sorted(BLOBS)), data=st.data())
def test_damage_behind_a_valid_header_is_refused(name: str, data: st.DataObject):
    blob = BLOBS[name]
    at = data.draw(st.integers(0, len(blob) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=4))
    damaged = edited(blob, at, patch)[: len(blob)]
    try:
        back = codec.decode(damaged, max_bytes=1 << 16)
    except UntrustedInputError:
        return
    # Whoever can rewrite the header checksum can describe another tensor, but the symbols
    # are still those that the content checksum is of.
    assert codec.stat(damaged).n_symbols == codec.stat(blob).n_symbols
    assert back.nbytes <= 1 << 16


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(blob: bytes):
    for bytes_of in (blob, b"JCT\x1a\x01" + blob, b"JCF\x1a\x01\x00" + blob):
        for read in (codec.decode, codec.stat, codec.unpack):
            with pytest.raises(UntrustedInputError):
                read(bytes_of)


HUFFMAN, GRID = BLOBS["huffman"], BLOBS["grid"]
BLOCK_AT = codec.stat(HUFFMAN).header_bytes


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", r"it must have at least 12 bytes, not 0 \(offset 0\)"),
        (b"PK" + HUFFMAN[2:], r"it must start with b'JCT\\x1a', not b'PKT\\x1a' \(offset 0\)"),
        (
            edited(HUFFMAN, 4, b"\x02"),
            r"version must be 1, not 2 \(offset 4\); use the joulecut",
        ),
        (edited(HUFFMAN, 5, b"\x00"), r"dtype id must be 1 to 4, not 0 \(offset 5\)"),
        (edited(HUFFMAN, 5, b"\x05"), r"dtype id must be 1 to 4, not 5 \(offset 5\)"),
        (edited(HUFFMAN, 6, b"\x09"), r"dimensions must be at most 8, not 9 \(offset 6\)"),
        (edited(HUFFMAN, 7, b"\x02"), r"quantizer id must be 0 or 1, not 2 \(offset 7\)"),
        (HUFFMAN[:15], r"its header must have 20 bytes \(offset 15\)"),
        (
            HUFFMAN[:13] + b"\xee" + HUFFMAN[14:],
            r"checksum of the header must match \(offset 16",
        ),
        (edited(HUFFMAN, 8, b"abcd"), r"checksum of the content must match \(offset 8\)"),
        (edited(GRID, GRID_AT, b"\x00"), r"bits must be 1 to 8, not 0 \(offset 16\)"),
        (edited(GRID, GRID_AT, b"\x09"), r"bits must be 1 to 8, not 9 \(offset 16\)"),
        (edited(GRID, GRID_AT + 1, bytes(4)), r"step must be finite and positive, not 0.0"),
        (
            edited(GRID, GRID_AT + 1, b"\0\0\x80\x7f"),
            r"step must be finite and positive, not inf",
        ),
        (edited(GRID, GRID_AT + 5, b"\0\0\xc0\x7f"), r"offset must be finite, not nan"),
        (edited(GRID, 5, b"\x03"), r"a quantized tensor must be one of float32, int8, uint8"),
        (HUFFMAN + b"\0", rf"it must end after {len(HUFFMAN)} bytes, not {len(HUFFMAN) + 1}"),
        (HUFFMAN[:-1], rf"block must be complete, .* \(offset {BLOCK_AT}\)"),
        (
            edited(HUFFMAN, BLOCK_AT, b"\x06"),
            rf"block mode must be one of .*offset {BLOCK_AT}\)",
        ),
        (
            edited(HUFFMAN, BLOCK_AT + 4, b"\xff"),
            rf"complete prefix code \(offset {BLOCK_AT}\)",
        ),
    ],
)
def test_each_defect_is_named_with_its_offset(blob: bytes, message: str):
    with pytest.raises(UntrustedInputError, match=message):
        codec.decode(blob)


def test_hostile_grids_decode_to_finite_values():
    huge = edited(GRID, GRID_AT + 1, struct.pack("<ff", 3e38, 3e38))
    assert np.isfinite(codec.decode(huge)).all()
    as_int8 = edited(huge, 5, b"\x01")
    assert codec.decode(as_int8).max() == 127


def hostile(shape: tuple[int, ...], dtype_id: int = 1) -> bytes:
    """A well-formed header of a huge tensor, followed by nothing."""
    body = struct.pack(
        f"<4sBBBBI{len(shape)}I", b"JCT\x1a", 1, dtype_id, len(shape), 0, 0, *shape
    )
    return body + struct.pack("<I", crc32(body))


@pytest.mark.parametrize("shape", [(1 << 30, 1 << 30), ((1 << 32) - 1,), (1 << 28, 2)])
def test_sizes_are_compared_before_memory_is_taken(shape: tuple[int, ...]):
    blob = hostile(shape)
    tracemalloc.start()
    with pytest.raises(UntrustedInputError, match="must take at most 268435456 bytes, not"):
        codec.decode(blob)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 22


def test_an_allowed_size_without_blocks_takes_no_memory():
    tracemalloc.start()
    with pytest.raises(UntrustedInputError, match="block must be complete"):
        codec.decode(hostile((1 << 26,), dtype_id=4))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 22


def test_stat_of_a_huge_empty_promise_is_refused():
    for shape in ((1 << 30, 1 << 30), ((1 << 32) - 1,) * 8):
        with pytest.raises(UntrustedInputError, match="must be"):
            codec.stat(hostile(shape))


@pytest.mark.parametrize("shape", [((1 << 32) - 1, 0, (1 << 32) - 1), ((1 << 32) - 1,) * 8])
def test_shapes_that_numpy_cannot_hold_are_refused(shape: tuple[int, ...]):
    with pytest.raises(
        UntrustedInputError, match=r"shape must be one that numpy .*offset 12\)"
    ):
        codec.decode(hostile(shape))


def test_max_bytes_is_exact():
    blob = codec.encode(np.zeros(100, np.float32))
    assert codec.decode(blob, max_bytes=400).nbytes == 400
    with pytest.raises(
        UntrustedInputError, match="at most 399 bytes, not 400; raise max_bytes"
    ):
        codec.decode(blob, max_bytes=399)


class TestFrames:
    FRAME = codec.pack([TENSORS["huffman"], TENSORS["planes"], TENSORS["empty"]])

    def test_every_flipped_bit_is_refused(self):
        for bit in range(8 * len(self.FRAME)):
            flipped = bytearray(self.FRAME)
            flipped[bit // 8] ^= 1 << (bit % 8)
            with pytest.raises(UntrustedInputError, match=r"offset \d+"):
                codec.unpack(flipped)

    def test_truncation_at_every_byte_is_refused(self):
        for size in range(len(self.FRAME)):
            with pytest.raises(UntrustedInputError, match=r"offset \d+"):
                codec.unpack(self.FRAME[:size])

    def test_the_limit_is_of_all_tensors_together(self):
        frame = codec.pack([np.zeros(10, np.int8)] * 3)
        assert len(codec.unpack(frame, max_bytes=30)) == 3
        with pytest.raises(
            UntrustedInputError, match=r"tensor 2 of the frame.* at most 9 bytes"
        ):
            codec.unpack(frame, max_bytes=29)

    def test_the_damaged_tensor_is_named(self):
        damaged = bytearray(self.FRAME)
        damaged[-1] ^= 1
        with pytest.raises(
            UntrustedInputError, match=r"tensor 2 of the frame, which starts at"
        ):
            codec.unpack(damaged)

    @pytest.mark.parametrize(
        ("at", "data", "message"),
        [
            (0, b"JCT", r"its frame must start with b'JCF\\x1a'"),
            (4, b"\x02", "the version of its frame must be 1, not 2"),
            (5, b"\x01", "the version of its frame must be 1"),
            (6, b"\xff\xff", f"its frame must have at most {MAX_TENSORS} tensors"),
            (6, b"\xff\x0f", r"the header of its frame must have 16392 bytes"),
            (8, b"\x00\x00", "its frame must end after"),
            (11, b"\xff", "its frame must end after"),
        ],
    )
    def test_each_defect_is_named(self, at: int, data: bytes, message: str):
        frame = edited(self.FRAME, at, data, header_end=8 + 3 * 4 + 4)
        with pytest.raises(UntrustedInputError, match=message):
            codec.unpack(frame)

    def test_too_many_tensors_are_refused(self):
        with pytest.raises(ConfigError, match=f"at most {MAX_TENSORS} tensors, not 4097"):
            codec.pack([np.zeros(0, np.int8)] * (MAX_TENSORS + 1))


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: codec.encode(X.astype(np.float64)), "int32, float32, not float64; convert it"),
        (lambda: codec.encode(X, bits=3), r"bits must come with quantizer='sq', not alone"),
        (lambda: codec.encode(X, quantizer="sq"), "bits must be 1 to 8 with quantizer='sq'"),
        (lambda: codec.encode(X, quantizer="sq", bits=9), "bits must be 1 to 8, not 9"),
        (
            lambda: codec.encode(X, quantizer=cast("Any", "tqc"), bits=3),
            "quantizer must be 'sq', a Quantizer",
        ),
        (
            lambda: codec.encode(X, quantizer=codec.UniformQuantizer(3), bits=3),
            "bits must come from the quantizer, not beside it",
        ),
        (
            lambda: codec.encode(X, entropy=cast("Any", "lzma")),
            "entropy must be 'huffman' or 'raw', not 'lzma'",
        ),
        (
            lambda: codec.encode(X.astype(np.int32), quantizer="sq", bits=3),
            "must be one of float32, int8, uint8, not int32; leave the quantizer out",
        ),
        (
            lambda: codec.encode(X + np.nan, quantizer="sq", bits=3),
            "must be finite; look for NaN",
        ),
        (
            lambda: codec.encode(X + np.inf, quantizer="sq", bits=3),
            "must be finite; look for NaN",
        ),
        (lambda: codec.encode(X.reshape((1,) * 7 + (2, 3))), "at most 8 dimensions below 2"),
        (lambda: codec.UniformQuantizer(0), "bits must be 1 to 8, not 0"),
        (lambda: codec.UniformQuantizer(3, low=1, high=1), "low must be less than high, not 1"),
        (lambda: codec.UniformQuantizer(3, low=float("nan")), "low must be finite in float32"),
        (
            lambda: codec.UniformQuantizer(3, high=1e39),
            "high must be finite in float32, not 1e",
        ),
        (lambda: codec.UniformGrid(3, 0.0, 0.0), "step must be finite and positive, not 0.0"),
        (lambda: codec.UniformGrid(3, 1.0, float("inf")), "offset must be finite, not inf"),
        (lambda: codec.bound(-1), "nbytes must not be negative, not -1"),
        (
            lambda: codec.decode(codec.encode(X), out=np.empty((3, 2), np.float32)),
            r"out must be float32 of shape \(2, 3\), not float32 of shape \(3, 2\)",
        ),
        (
            lambda: codec.decode(codec.encode(X), out=np.empty((3, 2), np.float32).T),
            "out must be C-contiguous and writeable",
        ),
        (
            lambda: codec.decode(np.frombuffer(codec.encode(X), np.uint8)[::2]),
            "blob must be C-contiguous; copy it first",
        ),
    ],
)
def test_misuse_is_refused(call: Callable[[], object], message: str):
    with pytest.raises(ConfigError, match=message):
        call()
