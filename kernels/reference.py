"""Huffman blocks the slow and obvious way, the twin that the C kernel must equal byte for byte.

Written from docs/bitstream.md, one bit at a time, so that a reader can check it against the
page. The C kernel differs in how it computes, never in what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

BLOCK_SYMBOLS = 65536
MAX_CODE_BITS = 11
RAW, CONSTANT, HUFFMAN, GROUPED = range(4)
REPEAT_LENGTH, FEW_ZEROS, MANY_ZEROS = 12, 13, 14
EXTRA_BITS = {REPEAT_LENGTH: 2, FEW_ZEROS: 3, MANY_ZEROS: 7}
SHORTEST_RUN = {REPEAT_LENGTH: 3, FEW_ZEROS: 3, MANY_ZEROS: 11}

Bits = list[int]


def mode_byte(mode: int) -> int:
    """The first byte of a block: the mode above a bit that makes the number of ones even."""
    return mode << 1 | mode.bit_count() % 2


def number_bits(value: int, n_bits: int) -> Bits:
    """The bits of a number, lowest first."""
    return [value >> i & 1 for i in range(n_bits)]


def to_bytes(bits: Bits) -> bytes:
    """Bits to bytes, each filled from its lowest bit, the last padded with zeros."""
    return bytes(
        sum(bit << i for i, bit in enumerate(bits[start : start + 8]))
        for start in range(0, len(bits), 8)
    )


def code_lengths(counts: Mapping[int, int], max_bits: int = MAX_CODE_BITS) -> dict[int, int]:
    """Package-merge with explicit coins: a coin is a weight and the symbols inside it.

    Args:
        counts: symbol -> positive count.
        max_bits: the longest code allowed.

    Returns:
        Symbol -> code length; no entries for fewer than two symbols.
    """
    if len(counts) < 2:
        return {}
    leaves = sorted((count, (symbol,)) for symbol, count in counts.items())
    coins: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(max_bits):
        packages = [
            (a[0] + b[0], a[1] + b[1]) for a, b in zip(coins[::2], coins[1::2], strict=False)
        ]
        coins = sorted([*leaves, *packages], key=lambda coin: coin[0])  # stable: leaves first
    bought = Counter(symbol for _, inside in coins[: 2 * len(leaves) - 2] for symbol in inside)
    return dict(bought)


def canonical_codes(lengths: Mapping[int, int]) -> dict[int, Bits]:
    """Symbol -> code, first bit first; codes ascend by (length, symbol)."""
    codes: dict[int, Bits] = {}
    code, last = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - last
        codes[symbol] = number_bits(code, length)[::-1]
        code, last = code + 1, length
    return codes


def table_bits(lengths: Mapping[int, int]) -> Bits:
    """The written table: lengths of symbols 0, 1, .. up to the last one that has a code."""
    row = [lengths.get(symbol, 0) for symbol in range(max(lengths) + 1)]
    bits: Bits = []

    def token(kind: int, run: int) -> None:
        bits.extend(number_bits(kind, 4))
        if kind in EXTRA_BITS:
            bits.extend(number_bits(run - SHORTEST_RUN[kind], EXTRA_BITS[kind]))

    while row:
        length = row[0]
        run = next((i for i, other in enumerate(row) if other != length), len(row))
        row = row[run:]
        if length:
            token(length, 1)
            run -= 1
        while run:
            kind = length
            if length and run >= 3:
                kind, step = REPEAT_LENGTH, min(run, 6)
            elif not length and run >= 11:
                kind, step = MANY_ZEROS, min(run, 138)
            elif not length and run >= 3:
                kind, step = FEW_ZEROS, min(run, 10)
            else:
                step = 1
            token(kind, step)
            run -= step
    return bits


def group(symbols: Sequence[int], width: int) -> list[int]:
    """floor(8 / width) symbols in one number, the first in the lowest bits."""
    per_group = 8 // width
    return [
        sum(
            symbol << (width * i) for i, symbol in enumerate(symbols[start : start + per_group])
        )
        for start in range(0, len(symbols), per_group)
    ]


def code_block(mode: int, symbols: Sequence[int]) -> bytes | None:
    """A block of Huffman codes, or None if fewer than two different symbols occur."""
    lengths = code_lengths(Counter(symbols))
    if not lengths:
        return None
    codes = canonical_codes(lengths)
    bits = table_bits(lengths)
    for symbol in symbols:
        bits += codes[symbol]
    return bytes([mode_byte(mode)]) + len(bits).to_bytes(3, "little") + to_bytes(bits)


def encode_block(symbols: Sequence[int], width: int) -> bytes:
    """The smallest block; the lowest mode number on a tie, constant before all."""
    if len(set(symbols)) == 1:
        return bytes([mode_byte(CONSTANT), symbols[0]])
    raw = bytes([mode_byte(RAW)]) + to_bytes(
        [bit for s in symbols for bit in number_bits(s, width)]
    )
    blocks = [raw, code_block(HUFFMAN, symbols)]
    if width <= 4:
        blocks.append(code_block(GROUPED, group(symbols, width)))
    return min((block for block in blocks if block is not None), key=len)


def encode(symbols: bytes, width: int = 8) -> bytes:
    """All blocks.

    Args:
        symbols: one symbol of `width` bits a byte.
        width: bits of a symbol, 1 to 8.
    """
    return b"".join(
        encode_block(symbols[start : start + BLOCK_SYMBOLS], width)
        for start in range(0, len(symbols), BLOCK_SYMBOLS)
    )


class BitReader:
    """Reads declared bits and refuses to read more."""

    def __init__(self, payload: bytes, n_bits: int):
        if len(payload) * 8 < n_bits:
            raise ValueError("block must be complete")
        bits = [bit for byte in payload for bit in number_bits(byte, 8)]
        if any(bits[n_bits:]):
            raise ValueError("padding must be zero")
        self.bits = bits[:n_bits]
        self.at = 0

    def take(self, n_bits: int) -> int:
        """The next number, lowest bit first."""
        if self.at + n_bits > len(self.bits):
            raise ValueError("bits must not run out")
        taken = self.bits[self.at : self.at + n_bits]
        self.at += n_bits
        return sum(bit << i for i, bit in enumerate(taken))


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
            raise ValueError("token must have a meaning")
        row += [length] * run
        filled += run << (MAX_CODE_BITS - length) if length else 0
    if filled != 1 << MAX_CODE_BITS or len(row) > n_alphabet:
        raise ValueError("code must be complete")
    return {symbol: length for symbol, length in enumerate(row) if length}


def read_codes(reader: BitReader, n_alphabet: int, n: int) -> list[int]:
    """A table, n codes and nothing else."""
    codes = canonical_codes(read_table(reader, n_alphabet))
    symbol_of = {tuple(code): symbol for symbol, code in codes.items()}
    symbols: list[int] = []
    while len(symbols) < n:
        code: tuple[int, ...] = ()
        while code not in symbol_of:
            code = (*code, reader.take(1))
        symbols.append(symbol_of[code])
    if reader.at != len(reader.bits):
        raise ValueError("codes must end at the declared bit")
    return symbols


def decode_block(stream: bytes, width: int, n: int) -> tuple[list[int], int]:
    """The n symbols of the first block, and the bytes that it takes."""
    mode = stream[0] >> 1 if stream else -1
    if stream and stream[0] != mode_byte(mode):
        raise ValueError("mode must have even parity")
    if mode == RAW:
        reader = BitReader(stream[1 : 1 + -(-n * width // 8)], n * width)
        return [reader.take(width) for _ in range(n)], 1 + -(-n * width // 8)
    if mode == CONSTANT:
        symbol = BitReader(stream[1:2], 8).take(8)
        if symbol >> width:
            raise ValueError("symbol must fit in the width")
        return [symbol] * n, 2
    if mode not in (HUFFMAN, GROUPED) or (mode == GROUPED and width > 4) or len(stream) < 4:
        raise ValueError("block must have a mode and a length")
    n_bits = int.from_bytes(stream[1:4], "little")
    end = 4 + -(-n_bits // 8)
    reader = BitReader(stream[4:end], n_bits)
    if mode == HUFFMAN:
        return read_codes(reader, 1 << width, n), end
    per_group = 8 // width
    groups = read_codes(reader, 1 << (width * per_group), -(-n // per_group))
    bits = [bit for number in groups for bit in number_bits(number, width * per_group)]
    if any(bits[n * width :]):
        raise ValueError("padding must be zero")
    unpacked = BitReader(to_bytes(bits), n * width)
    return [unpacked.take(width) for _ in range(n)], end


def decode(stream: bytes, n_symbols: int, width: int = 8) -> tuple[bytes, int]:
    """The symbols, and the bytes of the stream that they took; ValueError if it is wrong."""
    symbols: list[int] = []
    at = 0
    while len(symbols) < n_symbols:
        n = min(n_symbols - len(symbols), BLOCK_SYMBOLS)
        block, used = decode_block(stream[at:], width, n)
        symbols += block
        at += used
    return bytes(symbols), at
