"""Static tables, written from docs/bitstream.md, "Static tables"; the twin of kernels/c/tables.c."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from joulecut.kernels.twin import blocks, huffman, trellis
from joulecut.kernels.twin.bits import BitReader, padded, to_bytes, varint
from joulecut.kernels.twin.blocks import Tables
from joulecut.kernels.twin.checksum import xxh32
from joulecut.kernels.twin.container import block_symbols
from joulecut.kernels.twin.context import N_CLASSES, Counts, Layout, choose_lanes, count
from joulecut.kernels.twin.context_model import MAX_COUNTED, Model, static_models
from joulecut.kernels.twin.header import VERSION, Header, demand, u32


def static_lengths(counts: Counter[int], n: int) -> dict[int, int]:
    """Lengths that can code each of n codes."""
    counts = Counter({code: max(1, counts[code]) for code in range(n)})
    while counts.total() >= MAX_COUNTED:
        counts = Counter({code: c - c // 2 for code, c in counts.items()})
    return huffman.code_lengths(counts)


def count_tensors(
    tensors: Iterable[tuple[bytes, Header]], unions: int, rates: trellis.Rates | None
) -> tuple[dict[int, Counter[int]], Counts]:
    """Codes of modes huffman and packed, and tokens by context, of all blocks."""
    codes = {blocks.HUFFMAN: Counter[int](), blocks.PACKED: Counter[int]()}
    counts: Counts = {(u, c): Counter() for u in range(unions) for c in range(N_CLASSES)}
    for data, h in tensors:
        for layout, symbols in block_symbols(h, data, rates):
            codes[blocks.HUFFMAN].update(symbols)
            if blocks.can_use(blocks.PACKED, layout.width):
                codes[blocks.PACKED].update(huffman.group(symbols, layout.width))
            is_trellis = h.quantizer.has_lanes
            lanes = layout.lanes if is_trellis else choose_lanes(symbols)
            for where, tokens in count(replace(layout, lanes=lanes), symbols).items():
                counts[where].update(tokens)
    return codes, counts


def build_tables(
    tensors: Sequence[tuple[bytes, Header]], rates: trellis.Rates | None = None
) -> bytes:
    """Tables of all modes, for tensors with headers of one quantizer."""
    q = tensors[0][1].quantizer
    codes, counts = count_tensors(tensors, q.unions, rates)
    written = {
        mode: to_bytes(padded(huffman.table_bits(lengths)))
        for mode in codes
        if blocks.can_use(mode, q.width)
        for lengths in [static_lengths(codes[mode], blocks.n_codes(mode, q.width))]
    }
    for i, model in enumerate(static_models(counts, q.width)):
        mode = blocks.CONTEXT_PREFIX + i
        written[mode] = blocks.model_bytes(mode, model, q.unions)
    body = b"JCS\x1a" + bytes([VERSION, len(written)])
    for mode, table in written.items():
        body += bytes([mode, q.width, q.unions]) + varint(len(table)) + table
    return body + u32(xxh32(body))


def read_tables(blob: bytes) -> Tables:
    """Static tables; StreamError if anything is wrong."""
    demand(
        len(blob) >= 10 and blob[:5] == b"JCS\x1a" + bytes([VERSION]), "tables must have magic"
    )
    summed = int.from_bytes(blob[-4:], "little")
    demand(summed == xxh32(blob[:-4]), "checksum must match")
    kinds: dict[int, tuple[int, int]] = {}
    codes: dict[int, dict[int, int]] = {}
    models: dict[int, Model] = {}
    reader = BitReader(blob[6:-4])
    for _ in range(blob[5]):
        mode, width, unions = reader.take(8), reader.take(8), reader.take(8)
        demand(blocks.HUFFMAN <= mode <= blocks.CONTEXT_ANS, "mode must have tables")
        demand(all(mode > other for other in kinds), "modes must ascend")
        demand(blocks.can_use(mode, width) and unions in (1, 2), "width must be of the mode")
        inner = BitReader(reader.take_bytes(reader.take_varint()))
        kinds[mode] = width, unions
        if mode in (blocks.HUFFMAN, blocks.PACKED):
            codes[mode] = huffman.read_table(inner, blocks.n_codes(mode, width))
            inner.skip_padding()
        else:
            layout = Layout(0, 0, width, 0, 1, 4 if unions == 2 else 0)
            models[mode] = blocks.read_model(mode, inner, layout)
        demand(inner.at == 8 * len(inner.payload), "table must fill its bytes")
    demand(reader.at == 8 * len(reader.payload), "tables must end after the last one")
    return Tables(summed, kinds, codes, models)
