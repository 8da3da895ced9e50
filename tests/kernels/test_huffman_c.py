"""Prefix codes in C against their slow twin, and against damaged payloads."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest
from c_library import C_FOLDER, c_library, pointer
from hypothesis import given
from hypothesis import strategies as st

from joulecut.kernels.twin import huffman as twin
from joulecut.kernels.twin.bits import BitReader, StreamError, to_bytes

SOURCES = tuple(f"huffman_{part}.c" for part in ("lengths", "encode", "tables", "decode"))
SCALAR = ("-DJC_SCALAR",)
OK, BAD_TABLE, BAD_LENGTH, BAD_PADDING = 0, 12, 13, 14
SLACK = 16
DECODER_BYTES = 8 * 4096 + 2 * 2048
CORNERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 4095, 4096, 4097, 4101, 4102)


class Reader(ctypes.Structure):
    """struct jc_bit_reader"""

    _fields_ = (("bytes", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


class Writer(ctypes.Structure):
    """struct jc_bit_writer"""

    _fields_ = (
        ("bytes", ctypes.c_void_p),
        ("capacity", ctypes.c_size_t),
        ("n_bits", ctypes.c_size_t),
    )


def kernels(flags: tuple[str, ...] = ()) -> ctypes.CDLL:
    library = c_library(*SOURCES, flags=flags)
    for name in ("jc_code_lengths", "jc_code_table_bits", "jc_huffman_encode"):
        getattr(library, name).restype = ctypes.c_size_t
    library.jc_huffman_streams_size.restype = ctypes.c_size_t
    library.jc_counted_streams_size.restype = ctypes.c_size_t
    return library


def size(n: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(n)


class Guarded:
    """Memory that ends at a page which nobody may touch: one byte too far is a crash."""

    def __init__(self, n_bytes: int):
        pages = -(-n_bytes // mmap.PAGESIZE) + 1
        self.n_bytes = n_bytes
        self.map = mmap.mmap(-1, pages * mmap.PAGESIZE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.guard = self.base + (pages - 1) * mmap.PAGESIZE
        self.at = self.guard - n_bytes
        protect = ctypes.CDLL(None).mprotect
        prot_none = 0
        where = ctypes.c_void_p(self.guard)
        assert protect(where, size(mmap.PAGESIZE), ctypes.c_int(prot_none)) == 0

    def put(self, data: bytes) -> ctypes.c_void_p:
        """The address of `data`, which ends at the guard."""
        assert len(data) <= self.n_bytes
        ctypes.memmove(self.guard - len(data), data, len(data))
        return ctypes.c_void_p(self.guard - len(data))

    def get(self, n_bytes: int) -> bytes:
        return ctypes.string_at(self.guard - n_bytes, n_bytes)


SOURCE, TARGET = Guarded(1 << 16), Guarded(1 << 17)


def lengths_of(counts: np.ndarray) -> np.ndarray:
    """The code lengths by the C kernel."""
    lens = np.zeros(256, np.uint8)
    merge = np.zeros(1 << 15, np.uint8)
    wide = counts.astype(np.uint32)
    n = kernels().jc_code_lengths(pointer(merge), pointer(wide), pointer(lens))
    assert n == np.count_nonzero(counts)
    return lens


def twin_lengths(counts: np.ndarray) -> dict[int, int]:
    return twin.code_lengths({s: int(c) for s, c in enumerate(counts)})


def table_of(lens: np.ndarray, offset: int = 0) -> bytes:
    """The written table, `offset` bits behind."""
    data = np.full(600, 0xAA, np.uint8)
    writer = Writer(data.ctypes.data, 600, offset)
    data[0] = 0
    kernels().jc_write_code_table(ctypes.byref(writer), pointer(lens))
    assert writer.n_bits == offset + kernels().jc_code_table_bits(pointer(lens))
    return data[: -(-writer.n_bits // 8)].tobytes()


def payload_of(codes: np.ndarray, flags: tuple[str, ...] = ()) -> tuple[bytes, np.ndarray]:
    """The streams by the C kernel, and the lengths."""
    library = kernels(flags)
    lens = lengths_of(np.bincount(codes, minlength=256))
    n_bytes = library.jc_huffman_streams_size(pointer(codes), size(len(codes)), pointer(lens))
    at = TARGET.put(b"\xcc" * (n_bytes + SLACK))
    source = SOURCE.put(codes.tobytes())
    assert library.jc_huffman_encode(source, size(len(codes)), pointer(lens), at) == n_bytes
    return TARGET.get(n_bytes + SLACK)[:n_bytes], lens


def decoded(
    streams: bytes, n: int, lens: np.ndarray, flags: tuple[str, ...] = ()
) -> tuple[int, bytes]:
    """What jc_huffman_decode returns, with guards behind source and target and a canary."""
    workspace = np.full(DECODER_BYTES, 0x55, np.uint8)
    canary = b"\x11" * 16
    target = TARGET.put(canary + bytes(n))
    result = kernels(flags).jc_huffman_decode(
        pointer(workspace),
        SOURCE.put(streams),
        size(len(streams)),
        pointer(lens),
        ctypes.c_void_p((target.value or 0) + 16),
        size(n),
    )
    written = TARGET.get(16 + n)
    assert written[:16] == canary
    return result, written[16:]


def read_table(data: bytes, n_alphabet: int) -> tuple[int, np.ndarray, int]:
    lens = np.zeros(256, np.uint8)
    reader = Reader(SOURCE.put(data).value, len(data), 0)
    result = kernels().jc_read_code_table(ctypes.byref(reader), size(n_alphabet), pointer(lens))
    return result, lens, reader.pos


def drawn(n: int, n_symbols: int, skew: float, seed: int = 0) -> np.ndarray:
    """At least two different codes of an alphabet, the lower the likelier."""
    rng = np.random.default_rng(seed)
    codes = np.minimum(rng.geometric(skew, n) - 1, n_symbols - 1).astype(np.uint8)
    codes[0] = (int(codes[-1]) + 1) % n_symbols
    return codes


def fibonacci(n_symbols: int) -> np.ndarray:
    counts = [1, 1]
    while len(counts) < n_symbols:
        counts.append(counts[-1] + counts[-2])
    return np.array([*counts, *[0] * (256 - n_symbols)])


def test_workspace_is_as_large_as_here():
    header = (C_FOLDER / "huffman.h").read_text()
    assert "multi[2 << JC_MAX_CODE_BITS]" in header
    assert "single[1 << JC_MAX_CODE_BITS]" in header


@given(st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 5, 100, 2**12]), min_size=2, max_size=256))
def test_lengths_and_tables_equal_the_twin(row: list[int]):
    counts = np.array([*row, *[0] * (256 - len(row))])
    lens, expected = lengths_of(counts), twin_lengths(counts)
    assert lens.tolist() == [expected.get(s, 0) for s in range(256)]
    if not expected:
        return
    bits = twin.table_bits(expected)
    assert table_of(lens) == to_bytes(bits)
    assert table_of(lens, offset=3) == to_bytes([0, 0, 0, *bits])
    result, found, at = read_table(to_bytes(bits), max(expected) + 1)
    assert (result, found.tolist(), at) == (OK, lens.tolist(), len(bits))
    assert read_table(to_bytes(bits), max(expected))[0] == BAD_TABLE
    assert read_table(to_bytes(bits)[:-1], 256)[0] == BAD_TABLE


@pytest.mark.parametrize("n_symbols", [2, 3, 11, 12, 13, 20, 30])
def test_lengths_where_the_limit_binds(n_symbols: int):
    counts = fibonacci(n_symbols)
    lens, expected = lengths_of(counts), twin_lengths(counts)
    assert lens.tolist() == [expected.get(s, 0) for s in range(256)]
    assert max(lens) == min(n_symbols - 1, twin.MAX_CODE_BITS)


def test_lengths_of_full_alphabets():
    for counts in (
        np.ones(256),
        np.arange(1, 257),
        np.arange(256, 0, -1),
        1 + np.arange(256) % 3,
    ):
        lens, expected = lengths_of(counts.astype(int)), twin_lengths(counts)
        assert lens.tolist() == [expected.get(s, 0) for s in range(256)]


@given(st.binary(min_size=1, max_size=24), st.sampled_from([2, 16, 64, 256]))
def test_tables_of_any_bits_equal_the_twin(data: bytes, n_alphabet: int):
    result, lens, at = read_table(data, n_alphabet)
    reader = BitReader(data)
    try:
        expected = twin.read_table(reader, n_alphabet)
    except StreamError:
        assert result == BAD_TABLE
    else:
        assert (result, at) == (OK, reader.at)
        assert lens.tolist() == [expected.get(s, 0) for s in range(256)]


def check_equal(codes: np.ndarray) -> None:
    """C == twin in bytes; C decodes what it wrote, with and without intrinsics."""
    streams, lens = payload_of(codes)
    lengths = {s: int(length) for s, length in enumerate(lens) if length}
    assert streams == twin.encode_streams(codes.tolist(), lengths)
    assert payload_of(codes, SCALAR)[0] == streams
    assert decoded(streams, len(codes), lens) == (OK, codes.tobytes())
    assert decoded(streams, len(codes), lens, SCALAR) == (OK, codes.tobytes())


@pytest.mark.parametrize("n", [n for n in CORNERS if n > 1])
@pytest.mark.parametrize(("n_symbols", "skew"), [(2, 0.5), (256, 0.01), (200, 0.3)])
def test_streams_equal_the_twin(n: int, n_symbols: int, skew: float):
    check_equal(drawn(n, n_symbols, skew))


@given(st.integers(2, 6000), st.integers(2, 256), st.floats(0.005, 0.95), st.integers(0, 99))
def test_streams_of_any_shape_equal_the_twin(n: int, n_symbols: int, skew: float, seed: int):
    check_equal(drawn(n, n_symbols, skew, seed))


@pytest.mark.parametrize("n", CORNERS)
def test_one_code_that_differs(n: int):
    codes = np.full(max(n, 2), 7, np.uint8)
    codes[-1] = 200
    check_equal(codes)


def test_one_code_alone_decodes():
    lens = lengths_of(fibonacci(2))
    assert decoded(b"\x00", 1, lens) == (OK, b"\x00")
    assert decoded(b"\x01", 1, lens) == (OK, b"\x01")
    assert decoded(b"\x02", 1, lens)[0] == BAD_PADDING
    assert decoded(b"", 1, lens)[0] == BAD_LENGTH
    assert decoded(b"\x00\x00", 1, lens)[0] == BAD_LENGTH


@pytest.mark.parametrize("flags", [(), SCALAR])
@pytest.mark.parametrize("skew", [0.9, 0.6, 0.3, 0.1, 0.03, 0.01])
@pytest.mark.parametrize("order", ["mixed", "sorted", "last"])
def test_long_streams_return(skew: float, order: str, flags: tuple[str, ...]):
    """Both tables, and streams that need very different numbers of look-ups."""
    codes = drawn(40_000, 256, skew)
    if order == "sorted":
        codes.sort()
    elif order == "last":
        codes[:-7000] = 0
    streams, lens = payload_of(codes, flags)
    assert decoded(streams, len(codes), lens, flags) == (OK, codes.tobytes())


def test_more_symbols_in_a_look_up_than_fit():
    """Eleven codes of one bit; only six go in an entry, whatever comes first."""
    codes = np.zeros(40_000, np.uint8)
    for seed in range(4):
        where = np.random.default_rng(seed).integers(0, 40_000, 4 << 2 * seed)
        codes[where] = np.arange(len(where)) % 5
        streams, lens = payload_of(codes)
        assert decoded(streams, len(codes), lens) == (OK, codes.tobytes())


def twin_result(streams: bytes, n: int, lens: np.ndarray) -> bytes | None:
    lengths = {s: int(length) for s, length in enumerate(lens) if length}
    try:
        return bytes(twin.decode_streams(streams, n, lengths))
    except StreamError:
        return None


@pytest.mark.parametrize("n", [40, 4100])
def test_every_truncation_is_refused(n: int):
    codes = drawn(n, 30, 0.5)
    streams, lens = payload_of(codes)
    for cut in range(len(streams)):
        assert decoded(streams[:cut], n, lens)[0] == BAD_LENGTH
    assert decoded(streams + b"\x00", n, lens)[0] == BAD_LENGTH


def flipped(streams: bytes, bit: int) -> bytes:
    damaged = bytearray(streams)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_every_flipped_bit_equals_the_twin():
    codes = drawn(150, 30, 0.3)
    streams, lens = payload_of(codes)
    for bit in range(8 * len(streams)):
        damaged = flipped(streams, bit)
        result, symbols = decoded(damaged, len(codes), lens)
        expected = twin_result(damaged, len(codes), lens)
        assert (symbols if result == OK else None) == expected
        assert expected != codes.tobytes()


@pytest.mark.parametrize("skew", [0.9, 0.5, 0.02])
@pytest.mark.parametrize("n", [4096, 20_000])
def test_damage_of_long_streams_stays_inside(n: int, skew: float):
    """Sizes of streams that are wrong, and codes that run over; the guards tell."""
    codes = drawn(n, 256, skew)
    streams, lens = payload_of(codes)
    rng = np.random.default_rng(1)
    bits = [*range(8 * 15), *rng.integers(0, 8 * len(streams), 300).tolist()]
    refused = 0
    for bit in bits:
        result, symbols = decoded(flipped(streams, bit), n, lens)
        assert result in (OK, BAD_LENGTH, BAD_PADDING)
        assert symbols != codes.tobytes() or result != OK
        refused += result != OK
    assert refused > 120
    for fill in (0, 255):
        junk = streams[:15] + bytes([fill]) * (len(streams) - 15)
        assert decoded(junk, n, lens)[0] in (OK, BAD_LENGTH, BAD_PADDING)
        assert decoded(bytes([fill]) * len(streams), n, lens)[0] == BAD_LENGTH


def test_counts_of_streams_give_their_size():
    for n in (1, 4095, 4096, 4103, 9000):
        codes = drawn(n, 90, 0.05) if n > 1 else np.zeros(1, np.uint8)
        by_stream, total = np.zeros((6, 256), np.uint32), np.zeros(256, np.uint32)
        library = kernels()
        library.jc_stream_histograms(SOURCE.put(codes.tobytes()), size(n), pointer(by_stream))
        for row, section in zip(by_stream, twin.segments(n), strict=False):
            segment = codes[section.start : section.stop]
            assert row.tolist() == np.bincount(segment, minlength=256).tolist()
        library.jc_histogram(SOURCE.put(codes.tobytes()), size(n), pointer(total))
        assert total.tolist() == np.bincount(codes, minlength=256).tolist()
        lens = lengths_of(total)
        args = (size(n), pointer(lens))
        counted = library.jc_counted_streams_size(pointer(by_stream), *args)
        assert counted == library.jc_huffman_streams_size(pointer(codes), *args)
