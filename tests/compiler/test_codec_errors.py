"""Damaged and hostile coded tensors: always an error with an offset, never wrong data."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulecut.compiler import codec
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.frame import MAX_TENSORS
from joulecut.compiler.quantizers.grid import Array
from joulecut.kernels import coder

RNG = np.random.default_rng(0)
SPARSE = (RNG.random(200) < 0.1) * RNG.integers(0, 4, 200)
SMOOTH = (30 * np.exp(-((np.mgrid[:30, :30] - 12) ** 2).sum(axis=0) / 60)).astype(np.uint8)
TENSORS: dict[str, Array] = {
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(7, np.int32),
    "constant": np.full((3, 4), 99, np.uint8),
    "raw": RNG.integers(-128, 128, 40).astype(np.int8),
    "huffman": (5 * np.abs(RNG.normal(0, 1, 300))).clip(0, 255).astype(np.uint8),
    "packed": SPARSE.astype(np.uint8),
    "context_ans": SMOOTH,
    "planes": RNG.normal(0, 1, 30).astype(np.float32),
}
FAST = ("huffman", "packed")
BLOBS = {
    **{
        name: codec.encode(array, entropy="fast" if name in FAST else "best")
        for name, array in TENSORS.items()
    },
    **{
        name: codec.encode(TENSORS["planes"], cast("Any", name), bits=3)
        for name in ("sq", "lloyd", "rdo", "tcq", "tcq-fixed")
    },
}


def test_the_samples_are_what_they_are_called():
    for name in ("constant", "raw", *FAST, "context_ans"):
        assert codec.stat(BLOBS[name]).blocks[name] == 1, codec.stat(BLOBS[name]).blocks


def edited(blob: bytes, at: int, data: bytes, header_end: int | None = None) -> bytes:
    """The blob with other bytes, and with the header checksum that an attacker would add."""
    end = (codec.stat(blob).header_bytes if header_end is None else header_end) - 4
    body = bytearray(blob)
    body[at : at + len(data)] = data
    body[end : end + 4] = struct.pack("<I", coder.xxh32(bytes(body[:end])))
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
def test_every_flipped_bit_is_refused_or_harmless(name: str):
    blob = BLOBS[name]
    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            back = codec.decode(flipped)
        except UntrustedInputError as error:
            assert "offset" in str(error)  # noqa: PT017
        else:  # another mode may say the same
            assert back.tobytes() == codec.decode(blob).tobytes()
            assert codec.stat(flipped).blocks != codec.stat(blob).blocks


@given(name=st.sampled_from(sorted(BLOBS)), data=st.data())
def test_damage_behind_a_valid_header_is_survived(name: str, data: st.DataObject):
    blob = BLOBS[name]
    at = data.draw(st.integers(0, len(blob) - 1))
    patch = data.draw(st.binary(min_size=1, max_size=4))
    damaged = edited(blob, at, patch)[: len(blob)]
    try:
        back = codec.decode(damaged, max_bytes=1 << 16)
    except (UntrustedInputError, ConfigError):  # an error of tables: the header may name some
        return
    assert back.nbytes <= 1 << 16


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(blob: bytes):
    for start in (b"", b"JCT\x1a\x01", b"JCT\x1a\x02", b"JCF\x1a\x01\x00", b"JCF\x1a\x02\x00"):
        for read in (codec.decode, codec.stat, codec.unpack):
            with pytest.raises(UntrustedInputError):
                read(start + blob)


HUFFMAN = BLOBS["huffman"]
BLOCK_AT = codec.stat(HUFFMAN).header_bytes


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"PK" + HUFFMAN[2:], r"offset 0\)"),
        (edited(HUFFMAN, 4, b"\x03"), r"version must be 2"),
        (HUFFMAN[:13] + b"\xee" + HUFFMAN[14:], r"checksum"),
        (HUFFMAN + b"\0", rf"offset {len(HUFFMAN)}\)|offset {BLOCK_AT}\)"),
        (edited(HUFFMAN, BLOCK_AT, b"\x0f"), rf"offset {BLOCK_AT}\)"),
        (edited(HUFFMAN, BLOCK_AT + 4, b"\xff"), rf"offset {BLOCK_AT}\)"),
    ],
)
def test_each_defect_is_named_with_its_offset(blob: bytes, message: str):
    with pytest.raises(UntrustedInputError, match=message):
        codec.decode(blob)


def hostile(shape: tuple[int, ...], dtype_id: int = 1) -> bytes:
    """A well-formed header of a huge tensor of bytes, followed by nothing."""

    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

    body = struct.pack("<4sBBBB", b"JCT\x1a", 2, dtype_id, 0, len(shape))
    body += b"".join(map(varint, shape)) + bytes([0, 17]) + bytes(4)
    return body + struct.pack("<I", coder.xxh32(body))


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
    with pytest.raises(UntrustedInputError, match=r"offset \d+"):
        codec.decode(hostile((1 << 26,), dtype_id=4))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 22


@pytest.mark.parametrize("shape", [((1 << 32) - 1, 0, (1 << 32) - 1), ((1 << 32) - 1,) * 8])
def test_shapes_that_cannot_be_indexed_are_refused(shape: tuple[int, ...]):
    for read in (codec.decode, codec.stat):
        with pytest.raises(UntrustedInputError, match=r"offset \d+"):
            read(hostile(shape))


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
            (4, b"\x03", "the version of its frame must be 1 or 2, not 3"),
            (5, b"\x01", "the version of its frame must be 1 or 2"),
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


class TestStaticTables:
    TABLES = codec.TableSet.train([TENSORS["raw"], TENSORS["raw"][:20]])

    def test_damage_is_refused(self):
        blob = self.TABLES.to_bytes()
        for at in range(len(blob)):
            damaged = bytearray(blob)
            damaged[at] ^= 0x10
            with pytest.raises(UntrustedInputError, match=r"static tables: .*offset \d+"):
                codec.TableSet.from_bytes(damaged)
            with pytest.raises(UntrustedInputError, match="static tables"):
                codec.TableSet.from_bytes(blob[:at])

    def test_the_set_must_be_the_one_of_the_tensor(self):
        blob = codec.encode(TENSORS["raw"], tables=self.TABLES)
        with pytest.raises(ConfigError, match=rf"set {self.TABLES.sum:#010x}.* not none"):
            codec.decode(blob)
        other = codec.TableSet.train([TENSORS["packed"]])
        with pytest.raises(ConfigError, match=rf"not {other.sum:#010x}"):
            codec.decode(blob, tables=other)

    def test_training_needs_tensors_of_one_type(self):
        with pytest.raises(ConfigError, match="at least one tensor, not none"):
            codec.TableSet.train([])
        with pytest.raises(ConfigError, match=r"one type, not \['int8', 'uint8'\]"):
            codec.TableSet.train([TENSORS["raw"], TENSORS["packed"]])


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: codec.encode(X.astype(np.float64)), "int32, float32, not float64; convert it"),
        (lambda: codec.encode(cast("Any", 3)), "an array or another buffer, not int"),
        (lambda: codec.encode(X, bits=3), r"bits and rate must come with the name"),
        (lambda: codec.encode(X, "sq"), "'sq' must come with bits or with rate"),
        (lambda: codec.encode(X, "sq", bits=3, rate=2), "not with bits=3 and rate=2"),
        (lambda: codec.encode(X, "sq", bits=9), "bits must be 1 to 8, not 9"),
        (lambda: codec.encode(X, "rdo", bits=17), "bits must be 1 to 16, not 17"),
        (lambda: codec.encode(X, "lloyd", rate=2), "rate must go with sq, rdo, tcq, auto, not"),
        (lambda: codec.encode(X, "auto", bits=2), "'auto' must come with rate, not with bits"),
        (lambda: codec.encode(X, "tcq", rate=0), "rate must be above 0 and at most 32 bits"),
        (
            lambda: codec.encode(X, cast("Any", "tqc"), bits=3),
            "quantizer must be one of sq, .*, a Quantizer or None, not 'tqc'",
        ),
        (
            lambda: codec.encode(X, codec.UniformQuantizer(3), bits=3),
            "bits and rate must come with the name of a quantizer",
        ),
        (
            lambda: codec.encode(X, entropy=cast("Any", "lzma")),
            "entropy must be one of best, fast, huffman, raw, not 'lzma'",
        ),
        (lambda: codec.encode(X, block_log2=9), "block_log2 must be 10 to 20, not 9"),
        (
            lambda: codec.encode(X.astype(np.int32), "sq", bits=3),
            "must be one of float32, int8, uint8, not int32; leave the quantizer out",
        ),
        (lambda: codec.encode(X + np.nan, "tcq", bits=3), "must be finite; look for NaN"),
        (lambda: codec.encode(X + np.inf, "sq", bits=3), "must be finite; look for NaN"),
        (lambda: codec.encode(X.reshape((1,) * 7 + (2, 3))), "at most 8 dimensions below 2"),
        (lambda: codec.bound(-1), "nbytes must not be negative, not -1"),
        (lambda: codec.decode(codec.encode(X), threads=0), "threads must be at least 1, not 0"),
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
