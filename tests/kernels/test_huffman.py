"""The C kernel against hand-worked codes, against its slow twin, and against damaged streams."""

from __future__ import annotations

import heapq
import itertools
import subprocess
import sys
import zlib
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulecut.kernels import huffman, reference

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = range(1, 9)
CORNERS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025)


def draws(shape: str, n: int, width: int, seed: int = 0) -> bytes:
    """Symbols of a named distribution."""
    rng = np.random.default_rng(seed)
    top = (1 << width) - 1
    if shape == "uniform":
        drawn = rng.integers(0, top + 1, n)
    elif shape == "sparse":
        drawn = (rng.random(n) < 0.05) * rng.integers(0, top + 1, n)
    elif shape == "geometric":
        drawn = rng.geometric(0.6, n) - 1
    elif shape == "bell":  # of small signed numbers as bytes: both ends of the alphabet
        drawn = np.rint(rng.normal(0, 1 + top / 12, n)).astype(int) & top
    else:
        drawn = np.full(n, top)
    return bytes(np.minimum(drawn, top).astype(np.uint8))


SHAPES = ("uniform", "sparse", "geometric", "bell", "constant")


def decoded(stream: bytes, n: int, width: int) -> bytes:
    out = bytearray(n)
    assert huffman.decode(stream, out, width) == len(stream)
    return bytes(out)


def test_the_twin_has_the_same_constants():
    assert reference.BLOCK_SYMBOLS == huffman.BLOCK_SYMBOLS
    assert reference.MAX_CODE_BITS == huffman.MAX_CODE_BITS
    assert huffman.MODES.index("huffman") == reference.HUFFMAN
    assert huffman.MODES.index("grouped") == reference.GROUPED


def test_hand_worked_tree_with_ties():
    # a:5 b:2 c:2 d:1 e:1 -> d+e=2; ties of weight 2 take the leaves b, c first; (de)+4=6; +5.
    counts = {0: 5, 1: 2, 2: 2, 3: 1, 4: 1}
    lengths = reference.code_lengths(counts)
    assert lengths == {0: 1, 1: 3, 2: 3, 3: 3, 4: 3}
    codes = {
        s: "".join(map(str, code)) for s, code in reference.canonical_codes(lengths).items()
    }
    assert codes == {0: "0", 1: "100", 2: "101", 3: "110", 4: "111"}
    row = [counts.get(s, 0) for s in range(256)]
    assert huffman.code_lengths(row) == [lengths.get(s, 0) for s in range(256)]


def test_hand_worked_block():
    symbols = bytes([9, 9, 9, 9, 9, 9, 9, 9, 200, 200, 200, 200, 200, 200, 200, 9])
    table = (
        "1011 011"  # token 13: 3 + 6 symbols, 0 to 8, have no code
        "1000"  # 9 has a code of one bit
        "0111 1111111"  # token 14: 11 + 127, and ..
        "0111 1001010"  # .. 11 + 41 symbols, 10 to 199, have no code
        "1000"  # 200 has a code of one bit, which completes the code
    )
    codes = "0000 0000 1111 1110"
    assert huffman.encode(symbols) == code_block(table + codes)
    assert len(code_block(table + codes)) == 4 + 7
    assert reference.table_bits({9: 1, 200: 1}) == [int(bit) for bit in table.replace(" ", "")]


def cheapest(counts: list[int], limit: int) -> int:
    """Bits of the best prefix code of at most `limit` bits a code, by trying all."""
    return min(
        sum(map(int.__mul__, counts, lengths))
        for lengths in itertools.product(range(1, limit + 1), repeat=len(counts))
        if sum(1 << (limit - length) for length in lengths) <= 1 << limit
    )


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5))
def test_lengths_are_optimal_by_brute_force(counts: list[int]):
    lengths = huffman.code_lengths(counts + [0] * (256 - len(counts)))
    cost = sum(c * length for c, length in zip(counts, lengths, strict=False))
    assert cost == cheapest(counts, limit=max(len(counts) - 1, 1))


def huffman_cost(counts: list[int]) -> int:
    """Bits of the unlimited Huffman code: the sum of all inner nodes."""
    heap = [c for c in counts if c]
    heapq.heapify(heap)
    cost = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        cost += joined
        heapq.heappush(heap, joined)
    return cost


@given(
    st.lists(st.integers(0, 65), min_size=256, max_size=256).filter(
        lambda c: sum(map(bool, c)) > 1
    )
)
def test_lengths_match_unlimited_huffman_where_the_limit_does_not_bind(counts: list[int]):
    lengths = huffman.code_lengths(counts)
    cost = sum(c * length for c, length in zip(counts, lengths, strict=True))
    assert cost >= huffman_cost(counts)
    if max(lengths) < huffman.MAX_CODE_BITS:
        assert cost == huffman_cost(counts)
    assert sum(Fraction(1, 2**length) for length in lengths if length) == 1


@pytest.mark.parametrize("n", [2, 11, 12, 13, 20, 33])
def test_the_limit_binds_on_fibonacci_counts(n: int):
    counts = [1, 1]
    while len(counts) < n:
        counts.append(counts[-1] + counts[-2])
    counts = [c for c in counts if c < 1 << 20]
    row = counts + [0] * (256 - len(counts))
    lengths = huffman.code_lengths(row)
    assert max(lengths) == min(len(counts) - 1, huffman.MAX_CODE_BITS)
    twin = reference.code_lengths({s: c for s, c in enumerate(row) if c})
    assert lengths == [twin.get(s, 0) for s in range(256)]
    assert sum(Fraction(1, 2**length) for length in lengths if length) == 1


@pytest.mark.parametrize("limit", [3, 4])
@given(counts=st.lists(st.integers(1, 200), min_size=3, max_size=5))
@settings(max_examples=30)
def test_a_binding_limit_is_optimal_by_brute_force(limit: int, counts: list[int]):
    lengths = reference.code_lengths(dict(enumerate(counts)), limit)
    assert sum(counts[s] * length for s, length in lengths.items()) == cheapest(counts, limit)
    assert max(lengths.values()) <= limit


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_equals_the_slow_twin_byte_for_byte(width: int, shape: str):
    for n in CORNERS:
        symbols = draws(shape, n, width, seed=n)
        stream = huffman.encode(symbols, width)
        assert stream == reference.encode(symbols, width)
        assert decoded(stream, n, width) == symbols
        assert reference.decode(stream, n, width) == (symbols, len(stream))
        assert len(stream) <= huffman.bound(n, width)


@given(width=st.integers(1, 8), data=st.data())
def test_any_symbols_round_trip(width: int, data: st.DataObject):
    symbols = bytes(data.draw(st.lists(st.integers(0, (1 << width) - 1), max_size=400)))
    stream = huffman.encode(symbols, width)
    assert stream == reference.encode(symbols, width)
    assert decoded(stream, len(symbols), width) == symbols


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("width", [2, 8])
def test_block_boundaries(width: int, extra: int):
    for n_blocks in (1, 2):
        n = n_blocks * huffman.BLOCK_SYMBOLS + extra
        symbols = draws("geometric", n, width)
        stream = huffman.encode(symbols, width)
        assert decoded(stream, n, width) == symbols
        used, counts = huffman.scan(stream, n, width)
        assert used == len(stream)
        assert sum(counts) == -(-n // huffman.BLOCK_SYMBOLS)


def test_blocks_choose_their_own_mode():
    block = huffman.BLOCK_SYMBOLS
    parts = [bytes(block), draws("uniform", block, 2), draws("sparse", block, 2)]
    stream = huffman.encode(b"".join(parts), 2)
    assert huffman.scan(stream, 3 * block, 2)[1] == (1, 1, 0, 1)
    assert huffman.scan(huffman.encode(draws("bell", block, 8)), block)[1] == (0, 0, 1, 0)
    raw = huffman.encode(bytes(block), 2, modes=("raw",))
    assert raw == bytes(1 + block // 4)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rate_is_close_to_entropy(shape: str, width: int):
    n = huffman.BLOCK_SYMBOLS
    symbols = draws(shape, n, width)
    p = [count / n for count in Counter(symbols).values()]
    entropy = float(-sum(np.multiply(p, np.log2(p))))
    rate = 8 * len(huffman.encode(symbols, width)) / n
    assert rate <= entropy + 1
    assert rate <= width + 8 / n
    if shape == "bell" and width == 8:
        assert rate <= entropy * 1.015  # eleven bits are enough, and the table is small
    if shape == "sparse" and width <= 4:
        assert rate <= entropy + 1 / (8 // width)  # groups lower the floor of one bit


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_truncation_at_every_byte_is_refused(width: int, shape: str):
    n = 300
    stream = huffman.encode(draws(shape, n, width), width)
    for size in range(len(stream)):
        with pytest.raises(huffman.HuffmanError, match="must be complete"):
            huffman.decode(stream[:size], bytearray(n), width)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_flipped_bit_gives_what_the_twin_gives(width: int, shape: str):
    n = 61
    stream = huffman.encode(draws(shape, n, width), width)
    for bit in range(8 * len(stream)):
        flipped = bytearray(stream)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            expected = reference.decode(bytes(flipped), n, width)
        except ValueError:
            with pytest.raises(huffman.HuffmanError):
                huffman.decode(flipped, bytearray(n), width)
        else:
            out = bytearray(n)
            used = huffman.decode(flipped, out, width)
            assert (bytes(out), used) == expected


@given(stream=st.binary(max_size=80), width=st.integers(1, 8), n=st.integers(1, 100))
def test_arbitrary_bytes_give_what_the_twin_gives(stream: bytes, width: int, n: int):
    out = bytearray(n)
    try:
        expected = reference.decode(stream, n, width)
    except ValueError:
        with pytest.raises(huffman.HuffmanError):
            huffman.decode(stream, out, width)
    else:
        assert (huffman.decode(stream, out, width), bytes(out)) == (expected[1], expected[0])


def code_block(bits: str) -> bytes:
    """A huffman block of the bits, in the order in which they are read."""
    bits = bits.replace(" ", "")
    return bytes([5]) + len(bits).to_bytes(3, "little") + reference.to_bytes([*map(int, bits)])


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\x09abc", "block mode must be one of this version and width"),
        (b"\x06\x08\x00\x00a", "block mode must be one of this version and width"),
        (b"\x04ab", "block mode must be one of this version and width"),  # odd parity
        (b"", "block must be complete"),
        (b"\x05\x08\x00", "block must be complete"),
        (b"\x05\xff\xff\xffabc", "block must be complete"),
        (code_block("1000"), "complete prefix code"),  # one code of one bit: sum is 1/2
        (code_block("1000 1000 1"), "codes must end at the declared bit"),  # one symbol short
        (code_block("1000 1000 11 1"), "codes must end at the declared bit"),  # one too many
        (code_block("0011 00"), "complete prefix code"),  # repeats a length that is not there
        (code_block("1111"), "complete prefix code"),  # reserved token
        (code_block("0100 0011 11 11"), "complete prefix code"),  # 7 codes of 2 bits: sum > 1
        (code_block("0111 1111111" * 2 + "1000 1000 11"), "complete prefix code"),  # symbol 298
        (code_block(""), "complete prefix code"),
        (code_block("1000 1000 11")[:-1] + b"\x0f", "bits that carry nothing must be zero"),
    ],
)
def test_each_defect_is_named(stream: bytes, reason: str):
    with pytest.raises(huffman.HuffmanError, match=reason) as caught:
        huffman.decode(stream, bytearray(2))
    assert caught.value.offset == 0
    with pytest.raises(ValueError, match="must"):
        reference.decode(stream, 2)


def test_the_smallest_code_block_decodes():
    assert decoded(code_block("1000 1000 01"), 2, 8) == bytes([0, 1])


def test_unused_bits_of_the_last_group_must_be_zero():
    good = huffman.encode(draws("sparse", 401, 2), 2)  # one symbol in the last group of four
    assert good[0] == reference.mode_byte(reference.GROUPED)
    # Decoding 400 symbols of the same stream leaves no group half empty, but one too many.
    with pytest.raises(huffman.HuffmanError, match="end at the declared bit"):
        huffman.decode(good, bytearray(400), 2)
    full = huffman.encode(bytes([0, 0, 0, 0, 3, 3, 3, 3] * 50), 2)
    assert full[0] == reference.mode_byte(reference.GROUPED)
    with pytest.raises(huffman.HuffmanError, match="bits that carry nothing must be zero"):
        huffman.decode(full, bytearray(399), 2)


def test_a_symbol_must_fit_in_the_width():
    with pytest.raises(huffman.HuffmanError, match="every symbol must fit in the width"):
        huffman.encode(bytes([0, 8]), 3)
    with pytest.raises(huffman.HuffmanError, match="every symbol must fit in the width"):
        huffman.decode(bytes([3, 8]), bytearray(5), 3)


def test_the_offset_names_the_block():
    n = 2 * huffman.BLOCK_SYMBOLS
    stream = bytearray(huffman.encode(bytes(n), 8))
    stream[2] = 77
    with pytest.raises(huffman.HuffmanError, match=r"block at offset 2\)"):
        huffman.decode(stream, bytearray(n))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: huffman.encode(b"", 0), "width must be 1 to 8, not 0 and 0"),
        (lambda: huffman.encode(b"", 9), "width must be 1 to 8, not 0 and 9"),
        (lambda: huffman.decode(b"", bytearray(1), 9), "width must be 1 to 8"),
        (lambda: huffman.scan(b"", 1, 0), "width must be 1 to 8"),
        (lambda: huffman.decode(b"\x03a", b"12"), "out must be writable"),
        (
            lambda: huffman.encode(np.zeros((4, 4), np.uint8)[:, ::2]),
            "symbols must be C-contig",
        ),
        (lambda: huffman.encode(np.zeros(4, np.int32)), "symbols must have items of one byte"),
        (lambda: huffman.encode(b"a", modes=("tans",)), "tuple.index"),
        (lambda: huffman.code_lengths([1, 2]), "counts must be 256 numbers"),
        (lambda: huffman.code_lengths([1 << 24] + [0] * 255), "less than 2\\^24"),
        (lambda: huffman.bound(-1), "n_symbols must not be negative"),
    ],
)
def test_misuse_is_refused(call: object, message: str):
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


def test_bound_refuses_what_memory_cannot_hold():
    with pytest.raises(OverflowError):
        huffman.bound((1 << 64) - 1)
    assert huffman.bound(0) == 0
    assert huffman.bound(65537, 3) == 2 + -(-65537 * 3 // 8)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_crc_is_that_of_zlib(data: bytes, start: int):
    assert huffman.crc32(data, start) == zlib.crc32(data, start)


@given(st.binary(max_size=300))
def test_histogram_counts(data: bytes):
    assert huffman.histogram(data) == [data.count(value) for value in range(256)]


def test_the_crc_table_is_what_its_script_writes():
    script = ROOT / "scripts/gen_crc32_table.py"
    written = subprocess.run(
        [sys.executable, script], check=True, capture_output=True, text=True
    )
    assert (ROOT / "kernels/c/crc32_table.h").read_text() == written.stdout
