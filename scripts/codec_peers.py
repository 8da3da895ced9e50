"""Coders of other people for 8-bit symbols, behind one protocol, for the codec benchmark.

Every stream is whole: it holds all that its decoder needs, the number of symbols and the model
included. What is not installed is left out, and the reason is kept.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from huff0 import BLOCK_BYTES, Huff0, MissingPeerError
from numpy.typing import NDArray

Symbols = NDArray[np.uint8]
COUNT = struct.Struct("<I")  # of symbols, before the streams that do not say it themselves
SETUP = "run scripts/bench_setup"


@dataclass(frozen=True)
class Peer:
    """A coder of bytes.

    Attributes:
        name: of the coder, with its level.
        encode: symbols, one a byte, to a stream; there must be one symbol at least.
        decode: the stream back to the symbols.
        note: how it works, in a few words.
        most_symbols: more would take too long; None if any number will do.
    """

    name: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]
    note: str
    most_symbols: int | None = None


def peers(folder: Path) -> tuple[list[Peer], list[str]]:
    """All peers that are here, and for each that is not, why.

    Args:
        folder: for what has to be compiled.
    """
    found: list[Peer] = []
    absent: list[str] = []
    for make in (
        lambda: huff0_peer(Huff0.build(folder)), zstd, zlib_huffman, ans, dahuffman, deep_cabac
    ):  # fmt: skip
        try:
            made = make()
        except MissingPeerError as missing:
            absent.append(str(missing))
        else:
            found += made
    return found, absent


def huff0_peer(coder: Huff0) -> list[Peer]:
    """Huff0 alone; its speeds are taken in C by `Huff0.encode_s` and `Huff0.decode_s`."""

    def encode(raw: bytes) -> bytes:
        return COUNT.pack(len(raw)) + coder.encode(np.frombuffer(raw, np.uint8)).tobytes()

    def decode(blob: bytes) -> bytes:
        (count,) = COUNT.unpack_from(blob)
        coded = np.frombuffer(blob, np.uint8, offset=COUNT.size)
        return coder.decode(coded, count).tobytes()

    note = f"Huffman, {BLOCK_BYTES >> 10} KiB blocks, 4 streams"
    return [Peer("Huff0", encode, decode, note)]


def zstd() -> list[Peer]:
    """Zstandard at a fast, the default and a strong level."""
    package = _package("zstandard", "zstandard")
    expand = package.ZstdDecompressor().decompress
    return [
        Peer(f"zstd -{level}", package.ZstdCompressor(level=level).compress, expand, note)
        for level, note in (
            (1, "matches, Huffman, FSE"),
            (3, "its default"),
            (19, "slow to encode"),
        )
    ]


def zlib_huffman() -> list[Peer]:
    """Huffman alone, as zlib does it without matches."""

    def encode(raw: bytes) -> bytes:
        coder = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
        return coder.compress(raw) + coder.flush()

    return [Peer("zlib huffman", encode, zlib.decompress, "Huffman, codes up to 15 bits")]


def ans() -> list[Peer]:
    """Asymmetric numeral systems with one categorical model of the whole tensor."""
    package = _package("constriction", "constriction")
    coder = package.stream.stack.AnsCoder

    def model(counts: NDArray[np.int64]) -> Any:
        # The model must have two symbols; it gives none a probability of zero.
        padded = np.pad(counts, (0, max(0, 2 - len(counts))))
        shares = (padded / counts.sum()).astype(np.float32)
        return package.stream.model.Categorical(shares, perfect=False)

    def encode(raw: bytes) -> bytes:
        symbols = np.frombuffer(raw, np.uint8)
        counts = np.bincount(symbols)
        stream = coder()
        stream.encode_reverse(symbols.astype(np.int32), model(counts))
        words: NDArray[np.uint32] = stream.get_compressed()
        return pack_counts(counts) + words.astype("<u4").tobytes()

    def decode(blob: bytes) -> bytes:
        counts, used = unpack_counts(blob)
        words = np.frombuffer(blob, "<u4", offset=used).astype(np.uint32)
        symbols: NDArray[np.int32] = coder(words).decode(model(counts), int(counts.sum()))
        return symbols.astype(np.uint8).tobytes()

    return [Peer("constriction ANS", encode, decode, "ANS, one static model")]


def dahuffman() -> list[Peer]:
    """Huffman in plain Python, on the start of the tensor alone."""
    package = _package("dahuffman", "dahuffman")

    def coder(counts: NDArray[np.int64]) -> Any:
        present = {int(symbol): int(counts[symbol]) for symbol in np.flatnonzero(counts)}
        return package.HuffmanCodec.from_frequencies(present)

    def encode(raw: bytes) -> bytes:
        counts = np.bincount(np.frombuffer(raw, np.uint8))
        return pack_counts(counts) + coder(counts).encode(raw)

    def decode(blob: bytes) -> bytes:
        counts, used = unpack_counts(blob)
        return bytes(coder(counts).decode(blob[used:]))

    return [Peer("dahuffman", encode, decode, "Huffman in Python", most_symbols=1 << 15)]


def deep_cabac() -> list[Peer]:
    """DeepCABAC of MPEG's NNC: binary arithmetic coding whose contexts adapt."""
    package = _package("nncodec.extensions.deepCABAC", "nncodec")
    no_skip = np.zeros(1, np.int32)
    no_history = (package.HdspMode.AlwaysOff, np.zeros(2, np.int8))
    unary_bins = 11  # NNC's default: ten, and one
    # Zeros below: no dependent quantization, rows in order, profile 0, no parent, no codebook.

    def encode(raw: bytes) -> bytes:
        symbols = np.frombuffer(raw, np.uint8).astype(np.int32)
        coder = package.Encoder()
        coder.initCtxModels(unary_bins, 1)
        coder.encodeLayer(symbols, 0, 0, 0, 0, 0, no_skip, *no_history, 0, 0)
        coded: Symbols = coder.finish()
        return COUNT.pack(len(raw)) + coded.tobytes()

    def decode(blob: bytes) -> bytes:
        (count,) = COUNT.unpack_from(blob)
        symbols = np.zeros(count, np.int32)
        coder = package.Decoder()
        stream = np.frombuffer(blob, np.uint8, offset=COUNT.size).copy()
        coder.setStream(stream)
        coder.initCtxModels(unary_bins)
        coder.decodeLayer(symbols, 0, 0, 0, 0, *no_history, 0, 0)
        coder.finish()
        return symbols.astype(np.uint8).tobytes()

    return [Peer("nncodec", encode, decode, "DeepCABAC, adaptive contexts")]


def pack_counts(counts: NDArray[np.int64]) -> bytes:
    """How often each symbol occurs: the last symbol, then a LEB128 number for each."""
    packed = bytearray([len(counts) - 1])
    for count in cast("list[int]", counts.tolist()):
        rest = count
        while rest > 127:
            packed.append(rest & 127 | 128)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def unpack_counts(blob: bytes) -> tuple[NDArray[np.int64], int]:
    """What `pack_counts` packed, and the bytes that it took."""
    counts = np.zeros(blob[0] + 1, np.int64)
    at = 1
    for symbol in range(len(counts)):
        shift = 0
        while True:
            counts[symbol] |= (blob[at] & 127) << shift
            shift += 7
            at += 1
            if blob[at - 1] < 128:
                break
    return counts, at


def _package(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPeerError(f"{name} is left out: {error}; {SETUP}") from error
