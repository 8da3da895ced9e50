"""Symbols <-> blocks, written from docs/bitstream.md, "Blocks" and "The encoder's choices"."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from joulecut.kernels.twin import context_streams as streams
from joulecut.kernels.twin import huffman
from joulecut.kernels.twin.bits import BitReader, StreamError, padded, to_bytes, varint
from joulecut.kernels.twin.checksum import xxh32
from joulecut.kernels.twin.context import Layout, choose_lanes, contexts, count, token_of
from joulecut.kernels.twin.context_model import Model, models

MODES = ("raw", "constant", "huffman", "packed", "context_prefix", "context_ans")
RAW, CONSTANT, HUFFMAN, PACKED, CONTEXT_PREFIX, CONTEXT_ANS = range(6)
STATIC = 64

Payload = tuple[bool, bytes]  # whether with static tables


@dataclass(frozen=True)
class Tables:
    """Static tables by mode; `sum` names them, `kinds` are their widths and unions."""

    sum: int
    kinds: Mapping[int, tuple[int, int]]
    codes: Mapping[int, dict[int, int]]
    models: Mapping[int, Model]

    def has(self, mode: int, layout: Layout) -> bool:
        """Whether there is one for such a block."""
        return self.kinds.get(mode) == (layout.width, layout.unions)


NO_TABLES = Tables(0, {}, {}, {})


def n_codes(mode: int, width: int) -> int:
    """How many codes a table of mode huffman or packed may name."""
    return 1 << (width if mode == HUFFMAN else 8 // width * width)


def can_use(mode: int, width: int) -> bool:
    """Whether the mode has blocks of that width."""
    return 1 <= width <= {HUFFMAN: 8, PACKED: 4}.get(mode, 16)


def model_bytes(mode: int, model: Model, unions: int) -> bytes:
    """The padded tables of a mode with contexts."""
    is_ans = mode == CONTEXT_ANS
    of_table = streams.frequency_bits if is_ans else streams.length_bits
    return to_bytes(padded(streams.model_bits(model, unions, of_table)))


def read_model(mode: int, reader: BitReader, layout: Layout) -> Model:
    """The reverse of model_bytes."""
    is_ans = mode == CONTEXT_ANS
    read = streams.read_frequencies if is_ans else streams.read_lengths
    return streams.read_model(reader, layout, read)


def symbol_bytes(symbols: Sequence[int], width: int) -> bytes:
    """What a block's checksum covers: groups of narrow symbols, else one byte each or two."""
    if width <= 4:
        return bytes(huffman.group(symbols, width))
    return b"".join(s.to_bytes(1 if width <= 8 else 2, "little") for s in symbols)


def code_payloads(
    mode: int, layout: Layout, symbols: Sequence[int], tables: Tables
) -> Iterator[Payload]:
    """What modes huffman and packed can write."""
    codes = symbols if mode == HUFFMAN else huffman.group(symbols, layout.width)
    own = huffman.encode_huffman(codes)
    if own is not None:
        yield False, own
    if tables.has(mode, layout) and set(codes) <= set(tables.codes[mode]):
        yield True, huffman.encode_streams(codes, tables.codes[mode])


def context_payloads(
    mode: int, layout: Layout, symbols: Sequence[int], tables: Tables
) -> Iterator[Payload]:
    """What the modes with contexts can write."""
    encode = streams.encode_ans if mode == CONTEXT_ANS else streams.encode_prefix
    own = models(count(layout, symbols))[mode - CONTEXT_PREFIX]
    yield False, model_bytes(mode, own, layout.unions) + encode(layout, symbols, own)
    if not tables.has(mode, layout):
        return
    model = tables.models[mode]
    pairs = zip(contexts(layout, symbols), symbols, strict=True)
    if all(token_of(s)[0] in model.tables[model.cluster_of[c]] for c, s in pairs):
        yield True, encode(layout, symbols, model)


def encode_block(
    layout: Layout,
    symbols: Sequence[int],
    *,
    has_lanes: bool,
    modes: Collection[int],
    tables: Tables,
) -> bytes:
    """The smallest block; the lowest mode on a tie, and then static tables.

    Args:
        layout: with the lanes of the trellis, if the quantizer is one.
        symbols: of the block.
        has_lanes: whether the quantizer is a trellis.
        modes: the allowed ones besides raw.
        tables: static ones.
    """
    width = layout.width
    inner = layout if has_lanes else replace(layout, lanes=choose_lanes(symbols))
    options = [(RAW, False, huffman.pack_raw(symbols, width))]
    if CONSTANT in modes and len(set(symbols)) == 1:
        options = [(CONSTANT, False, symbol_bytes(symbols[:1], width))]
        modes = ()
    for mode in (HUFFMAN, PACKED, CONTEXT_PREFIX, CONTEXT_ANS):
        if mode in modes and can_use(mode, width):
            payloads = code_payloads if mode in (HUFFMAN, PACKED) else context_payloads
            options += [(mode, *payload) for payload in payloads(mode, inner, symbols, tables)]
    mode, is_static, payload = min(options, key=lambda o: (len(o[2]), o[0], not o[1]))
    lanes = inner.lanes if has_lanes or mode >= CONTEXT_PREFIX else 1
    first = mode | {1: 0, 4: 1, 16: 2}[lanes] << 4 | (STATIC if is_static else 0)
    summed = xxh32(symbol_bytes(symbols, width)).to_bytes(4, "little")
    return bytes([first]) + varint(len(payload)) + summed + payload


def decode_payload(
    mode: int, layout: Layout, payload: bytes, tables: Tables | None
) -> list[int]:
    """The symbols of a payload; with static tables if they are given."""
    n, width = layout.n, layout.width
    if mode == RAW:
        return huffman.unpack_raw(payload, n, width)
    if mode == CONSTANT:
        if len(payload) != (1 if width <= 8 else 2):
            raise StreamError("constant must be one symbol")
        return [int.from_bytes(payload, "little")] * n
    if mode in (HUFFMAN, PACKED):
        total = n if mode == HUFFMAN else -(-n // (8 // width))
        if tables:
            codes = huffman.decode_streams(payload, total, tables.codes[mode])
        else:
            codes = huffman.decode_huffman(payload, total, n_codes(mode, width))
        return codes if mode == HUFFMAN else huffman.ungroup(codes, n, width)
    reader = BitReader(payload)
    model = tables.models[mode] if tables else read_model(mode, reader, layout)
    decode = streams.decode_ans if mode == CONTEXT_ANS else streams.decode_prefix
    return decode(layout, payload[reader.at // 8 :], model)


def decode_block(
    reader: BitReader, layout: Layout, *, has_lanes: bool, tables: Tables | None
) -> tuple[list[int], int]:
    """The next block: its symbols and lanes.

    Args:
        reader: stands before the block.
        layout: with the lanes of the trellis, or 1.
        has_lanes: whether the quantizer is a trellis.
        tables: those that the tensor names; NO_TABLES if they are not at hand, None if it
            names none.
    """
    first = reader.take(8)
    mode, log4_lanes, is_static = first & 15, first >> 4 & 3, bool(first & STATIC)
    if first >> 7 or mode >= len(MODES) or log4_lanes > 2 or not can_use(mode, layout.width):
        raise StreamError("mode must be known")
    if 4**log4_lanes != layout.lanes and (has_lanes or mode < CONTEXT_PREFIX):
        raise StreamError("lanes must be those of the trellis, or 1")
    if is_static and (tables is None or mode < HUFFMAN):
        raise StreamError("tables must be of the block")
    if is_static and tables and not tables.has(mode, layout):
        raise StreamError("static tables must be given")
    size = reader.take_varint()
    summed = reader.take(32)
    inner = replace(layout, lanes=4**log4_lanes)
    payload = reader.take_bytes(size)
    symbols = decode_payload(mode, inner, payload, tables if is_static else None)
    if any(symbol >> layout.width for symbol in symbols):
        raise StreamError("symbol must fit in the width")
    if xxh32(symbol_bytes(symbols, layout.width)) != summed:
        raise StreamError("checksum must match")
    return symbols, inner.lanes
