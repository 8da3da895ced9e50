"""Order-0 prefix codes the slow and obvious way: docs/bitstream.md, "huffman", "packed" and "raw".

Written from the page, one bit at a time. The C kernels differ in how they compute, never in what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from joulecut.kernels.twin.bits import (
    BitReader,
    Bits,
    StreamError,
    number_bits,
    padded,
    to_bytes,
)

MAX_CODE_BITS = 11
STREAMS = 6
MIN_CODES_FOR_STREAMS = 4096
REPEAT_LENGTH, FEW_ZEROS, MANY_ZEROS = 12, 13, 14
EXTRA_BITS = {REPEAT_LENGTH: 2, FEW_ZEROS: 3, MANY_ZEROS: 7}
SHORTEST_RUN = {REPEAT_LENGTH: 3, FEW_ZEROS: 3, MANY_ZEROS: 11}


def code_lengths(counts: Mapping[int, int], max_bits: int = MAX_CODE_BITS) -> dict[int, int]:
    """Package-merge with explicit coins: a coin is a weight and the symbols inside it.

    Args:
        counts: symbol -> count; symbols that do not occur may have 0.
        max_bits: the longest code allowed.

    Returns:
        Symbol -> code length; no entries for fewer than two symbols.
    """
    leaves = sorted((count, (symbol,)) for symbol, count in counts.items() if count)
    if len(leaves) < 2:
        return {}
    coins: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(max_bits):
        packages = [
            (a[0] + b[0], a[1] + b[1]) for a, b in zip(coins[::2], coins[1::2], strict=False)
        ]
        coins = sorted([*leaves, *packages], key=lambda coin: coin[0])  # stable: leaves first
    bought = Counter(symbol for _, inside in coins[: 2 * len(leaves) - 2] for symbol in inside)
    return dict(bought)


def canonical_codes(lengths: Mapping[int, int]) -> dict[int, Bits]:
    """Symbol -> code, as written: its highest bit first; codes ascend by (length, symbol)."""
    codes: dict[int, Bits] = {}
    code, last = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - last
        codes[symbol] = number_bits(code, length)[::-1]
        code, last = code + 1, length
    return codes


def run_bits(length: int, run: int) -> Bits:
    """The tokens of one more run of equal lengths, front to back."""
    bits = number_bits(length, 4) if length else []
    run -= length > 0
    while run:
        kind, step = length, 1
        if length and run >= 3:
            kind, step = REPEAT_LENGTH, min(run, 6)
        elif not length and run >= 11:
            kind, step = MANY_ZEROS, min(run, 138)
        elif not length and run >= 3:
            kind, step = FEW_ZEROS, min(run, 10)
        bits += number_bits(kind, 4)
        if kind in EXTRA_BITS:
            bits += number_bits(step - SHORTEST_RUN[kind], EXTRA_BITS[kind])
        run -= step
    return bits


def table_bits(lengths: Mapping[int, int]) -> Bits:
    """The written table: lengths of symbols 0, 1, .. up to the last one that has a code."""
    row = [lengths.get(symbol, 0) for symbol in range(max(lengths) + 1)]
    bits: Bits = []
    while row:
        run = next((i for i, other in enumerate(row) if other != row[0]), len(row))
        bits += run_bits(row[0], run)
        row = row[run:]
    return bits


def read_table(reader: BitReader, n_alphabet: int) -> dict[int, int]:
    """The lengths; the table ends where its code is complete."""
    row: list[int] = []
    filled = 0
    while filled < 1 << MAX_CODE_BITS:
        kind = reader.take(4)
        length, run = kind, 1
        if kind in EXTRA_BITS:
            run = SHORTEST_RUN[kind] + reader.take(EXTRA_BITS[kind])
            length = row[-1] if kind == REPEAT_LENGTH and row else 0
        if kind > MANY_ZEROS or (kind == REPEAT_LENGTH and length == 0):
            raise StreamError("token must have a meaning")
        row += [length] * run
        filled += run << (MAX_CODE_BITS - length) if length else 0
        if len(row) > n_alphabet:
            raise StreamError("code must be of symbols in the alphabet")
    if filled != 1 << MAX_CODE_BITS:
        raise StreamError("code must be complete")
    return {symbol: length for symbol, length in enumerate(row) if length}


def segments(n: int) -> list[range]:
    """Which codes are in which stream."""
    if n < MIN_CODES_FOR_STREAMS:
        return [range(n)]
    step = -(-n // STREAMS)
    return [range(start, min(start + step, n)) for start in range(0, n, step)]


def encode_streams(codes: Sequence[int], lengths: Mapping[int, int]) -> bytes:
    """The sizes of all streams but the last, and the streams."""
    bits_of = canonical_codes(lengths)
    streams = [
        to_bytes([bit for i in segment for bit in bits_of[codes[i]]])
        for segment in segments(len(codes))
    ]
    sizes = [len(stream).to_bytes(3, "little") for stream in streams[:-1]]
    return b"".join([*sizes, *streams])


def decode_stream(stream: bytes, n: int, lengths: Mapping[int, int]) -> list[int]:
    """The n codes of one stream, which must end in its last byte before zeros."""
    symbol_of = {tuple(code): symbol for symbol, code in canonical_codes(lengths).items()}
    reader = BitReader(stream)
    symbols: list[int] = []
    for _ in range(n):
        code: tuple[int, ...] = ()
        while code not in symbol_of:
            code = (*code, reader.take(1))
        symbols.append(symbol_of[code])
    reader.finish()
    return symbols


def decode_streams(payload: bytes, n: int, lengths: Mapping[int, int]) -> list[int]:
    """Exactly n codes from what encode_streams writes."""
    sections = segments(n)
    reader = BitReader(payload)
    sizes = [reader.take(24) for _ in sections[:-1]]
    streams = [reader.take_bytes(size) for size in sizes]
    streams.append(payload[reader.at // 8 :])
    return [
        symbol
        for stream, section in zip(streams, sections, strict=True)
        for symbol in decode_stream(stream, len(section), lengths)
    ]


def encode_huffman(codes: Sequence[int]) -> bytes | None:
    """The payload of mode huffman, or None if fewer than two different codes occur."""
    lengths = code_lengths(Counter(codes))
    if not lengths:
        return None
    return to_bytes(padded(table_bits(lengths))) + encode_streams(codes, lengths)


def decode_huffman(payload: bytes, n: int, n_alphabet: int) -> list[int]:
    """The n codes of a payload of mode huffman."""
    reader = BitReader(payload)
    lengths = read_table(reader, n_alphabet)
    reader.skip_padding()
    return decode_streams(payload[reader.at // 8 :], n, lengths)


def group(symbols: Sequence[int], width: int) -> list[int]:
    """floor(8 / width) symbols in one number, the first in the lowest bits."""
    per_group = 8 // width
    return [
        sum(s << (width * i) for i, s in enumerate(symbols[start : start + per_group]))
        for start in range(0, len(symbols), per_group)
    ]


def ungroup(groups: Sequence[int], n: int, width: int) -> list[int]:
    """The n symbols of groups; what fills the last group must be zeros."""
    per_group = 8 // width
    symbols = [g >> (width * i) & ((1 << width) - 1) for g in groups for i in range(per_group)]
    if any(symbols[n:]):
        raise StreamError("padding must be zero")
    return symbols[:n]


def encode_packed(symbols: Sequence[int], width: int) -> bytes | None:
    """The payload of mode packed, or None if fewer than two different groups occur."""
    return encode_huffman(group(symbols, width))


def decode_packed(payload: bytes, n: int, width: int) -> list[int]:
    """The n symbols of a payload of mode packed."""
    per_group = 8 // width
    groups = decode_huffman(payload, -(-n // per_group), 1 << (width * per_group))
    return ungroup(groups, n, width)


def pack_raw(symbols: Sequence[int], width: int) -> bytes:
    """`width` bits a symbol, padded."""
    return to_bytes([bit for symbol in symbols for bit in number_bits(symbol, width)])


def unpack_raw(payload: bytes, n: int, width: int) -> list[int]:
    """The n symbols of what pack_raw writes."""
    reader = BitReader(payload)
    symbols = [reader.take(width) for _ in range(n)]
    reader.finish()
    return symbols
