"""Coded tensors, written from docs/bitstream.md; the twin of kernels/c/tensor.c."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from joulecut.kernels.twin import blocks, trellis
from joulecut.kernels.twin.bits import BitReader
from joulecut.kernels.twin.blocks import NO_TABLES, Tables
from joulecut.kernels.twin.context import Layout
from joulecut.kernels.twin.header import DTYPES, Header, demand, header_bytes, take_header
from joulecut.kernels.twin.quantizers import Quantizer, Value, symbols_of, values_of


def block_symbols(
    h: Header, data: bytes, rates: trellis.Rates | None
) -> Iterator[tuple[Layout, list[int]]]:
    """Layout and symbols of every block of every plane."""
    flat: tuple[Value, ...] = struct.unpack(f"<{h.n_elements}{DTYPES[h.dtype]}", data)
    for plane in range(h.n_planes):
        for segment in h.segments:
            if h.quantizer.kind == "bytes":
                symbols = [data[i * h.itemsize + plane] for i in segment]
            else:
                symbols = symbols_of(h.quantizer, [flat[i] for i in segment], rates)
            yield h.layout(len(segment)), symbols


def encode(
    data: bytes,
    dtype: str,
    shape: Sequence[int],
    quantizer: Quantizer,
    *,
    row: int = 0,
    block_log2: int = 17,
    modes: Sequence[str] = blocks.MODES,
    rates: trellis.Rates | None = None,
    tables: Tables = NO_TABLES,
) -> bytes:
    """The coded tensor."""
    h = Header(dtype, tuple(shape), quantizer, row, block_log2, tables.sum)
    coded = [
        blocks.encode_block(
            layout,
            symbols,
            has_lanes=quantizer.has_lanes,
            modes=[blocks.MODES.index(mode) for mode in modes],
            tables=tables,
        )
        for layout, symbols in block_symbols(h, data, rates)
    ]
    return header_bytes(h) + b"".join(coded)


def decode(blob: bytes, tables: Tables = NO_TABLES) -> tuple[Header, bytes]:
    """The header and the bytes of the tensor; StreamError if anything is wrong."""
    reader = BitReader(blob)
    h = take_header(reader)
    given = tables if tables.sum == h.tables_sum else NO_TABLES
    planes: list[list[int]] = []
    values: list[Value] = []
    for _ in range(h.n_planes):
        plane: list[int] = []
        for segment in h.segments:
            symbols, lanes = blocks.decode_block(
                reader,
                h.layout(len(segment)),
                has_lanes=h.quantizer.has_lanes,
                tables=given if h.tables_sum else None,
            )
            plane += symbols
            if h.quantizer.kind != "bytes":
                values += values_of(h.quantizer, symbols, h.dtype, lanes)
        planes.append(plane)
    demand(reader.at == 8 * len(blob), "tensor must end after its last block")
    if h.quantizer.kind == "bytes":
        return h, bytes(byte for element in zip(*planes, strict=True) for byte in element)
    return h, struct.pack(f"<{h.n_elements}{DTYPES[h.dtype]}", *values)
