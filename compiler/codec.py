"""Coded tensors: what crosses a cut, as few bytes that prove themselves.

`encode` moves a tensor onto few values if it is told to (lossy), then codes the symbols in
blocks (lossless). `decode` trusts nothing: the bytes come over a wire. The format is
docs/bitstream.md; kernels/c reads and writes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from joulecut.compiler import frame
from joulecut.compiler.blob_stat import BlobStat, blocks_of, header_of
from joulecut.compiler.buffers import BytesLike, as_array, bytes_of
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.frame import refuse
from joulecut.compiler.quantizers import (
    Calibrated,
    DeadZoneQuantizer,
    FixedTrellisQuantizer,
    Grid,
    LloydMaxQuantizer,
    Quantizer,
    RateQuantizer,
    TrellisQuantizer,
    UniformQuantizer,
)
from joulecut.compiler.quantizers.block_size import default_block_log2
from joulecut.compiler.quantizers.grid import Array
from joulecut.compiler.quantizers.lossless import lossless_grid
from joulecut.compiler.quantizers.named import Name, named
from joulecut.compiler.table_set import TableSet
from joulecut.kernels import coder, version1

__all__ = [
    "BlobStat",
    "Calibrated",
    "DeadZoneQuantizer",
    "FixedTrellisQuantizer",
    "Grid",
    "LloydMaxQuantizer",
    "Quantizer",
    "RateQuantizer",
    "TableSet",
    "TrellisQuantizer",
    "UniformQuantizer",
    "bound",
    "decode",
    "encode",
    "entropy_bits",
    "named",
    "pack",
    "stat",
    "unpack",
]

MAX_BYTES = 2**28
Entropy = Literal["best", "fast", "huffman", "raw"]
_MODES: dict[str, Sequence[str]] = {
    "best": coder.MODES,
    "fast": coder.FAST_MODES,
    "huffman": coder.FAST_MODES,  # its name in version 1
    "raw": ("raw",),
}


def encode(
    array: BytesLike,
    quantizer: Name | Quantizer | None = None,
    *,
    bits: int | None = None,
    rate: float | None = None,
    entropy: Entropy = "best",
    tables: TableSet | None = None,
    block_log2: int | None = None,
) -> bytes:
    """Code a tensor.

    Args:
        array: int8, uint8, int32 or float32, any shape of at most 8 dimensions; or another
            buffer, of which bytes are uint8.
        quantizer: None for lossless; a Quantizer; or the name of one, with `bits` or `rate`:
            "sq" (uniform), "sq-clip" (uniform, range of least error), "lloyd" (codebook),
            "rdo" (dead zone), "tcq" (trellis), "tcq-fixed" (fixed-rate trellis), "auto" (the
            better of "rdo" and "tcq" at a rate).
        bits: bits of an index, 1 to 8; to 16 with "rdo" and "tcq".
        rate: the most bits a sample of the result; with "sq", "rdo", "tcq" and "auto".
        entropy: "best"; "fast", which is Huffman only; or "raw", packed but not coded.
        tables: static tables that the decoder will have, too.
        block_log2: log2 of the symbols in a block, 10 to 20; None: 17, or 18 for
            large tensors.

    Returns:
        A self-describing blob of at most `bound(nbytes of the array)` bytes.

    Raises:
        ConfigError: the tensor or an option is not usable.
    """
    if entropy not in _MODES:
        raise ConfigError(f"entropy must be one of {', '.join(_MODES)}, not {entropy!r}")
    tensor = as_array(array)
    if block_log2 is None:
        block_log2 = default_block_log2(tensor.size)
    if block_log2 not in coder.BLOCK_LOG2S:
        raise ConfigError(f"block_log2 must be 10 to 20, not {block_log2}")
    if isinstance(quantizer, str):
        measure = "best" if entropy == "best" else "fast"
        quantizer = named(quantizer, bits, rate, measure, block_log2)
    elif bits is not None or rate is not None:
        raise ConfigError(
            "bits and rate must come with the name of a quantizer, "
            f"not with {quantizer!r} (bits={bits}, rate={rate})"
        )
    if quantizer is None:
        grid = lossless_grid(tensor, any_value=tables is not None)
    else:
        grid = quantizer.fit(tensor)
    return coder.encode(
        tensor,
        tensor.dtype.name,
        tensor.shape,
        grid.header,
        block_log2=block_log2,
        modes=_MODES[entropy],
        rates=grid.rates,
        tables=None if tables is None else tables.parsed,
    )


def decode(
    blob: BytesLike,
    out: Array | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    tables: TableSet | None = None,
    threads: int = 1,
) -> Array:
    """Decode an untrusted blob of either version.

    Args:
        blob: what `encode` returned.
        out: C-contiguous array of the coded type and shape to decode into; unspecified after
            an error.
        max_bytes: the largest tensor to accept, checked before anything is allocated.
        tables: the static tables that it was encoded with.
        threads: how many may work on it.

    Returns:
        `out`, or a new array.

    Raises:
        UntrustedInputError: the blob is damaged, hostile, or larger than `max_bytes`.
        ConfigError: `out` or `tables` does not fit the blob, or `threads` is not positive.
    """
    if threads < 1:
        raise ConfigError(f"threads must be at least 1, not {threads}")
    view = bytes_of(blob)
    found = header_of(view)
    n_bytes = math.prod(found.shape) * np.dtype(found.dtype).itemsize
    if n_bytes > max_bytes:
        raise UntrustedInputError(
            f"coded tensor: {found.dtype} of shape {found.shape} must take at most "
            f"{max_bytes} bytes, not {n_bytes}; raise max_bytes if its sender is trusted"
        )
    _require_tables(found, tables)
    blocks_of(view, found)  # they must be there before memory is taken for what they hold
    if out is None:
        out = np.empty(found.shape, found.dtype)
    _require_out(found, out)
    try:
        if found.version == 1:
            version1.decode_into(view, out)
        else:
            coder.decode_into(view, out, tables.parsed if tables else None, threads)
    except coder.CoderError as error:
        raise refuse(error.reason, error.offset) from None
    return out


def bound(nbytes: int) -> int:
    """The most bytes that `encode` returns for a tensor of `nbytes`."""
    if nbytes < 0:
        raise ConfigError(f"nbytes must not be negative, not {nbytes}")
    smallest = coder.BLOCK_LOG2S[0]
    wide = coder.Quantizer("trellis", width=16, n_states=8)  # two bytes for each of an int8
    planes = coder.Quantizer("bytes")
    return max(
        coder.bound("int8", (nbytes,), wide, block_log2=smallest),
        coder.bound("float32", (nbytes // 4,), planes, block_log2=smallest),
    )


def stat(blob: BytesLike) -> BlobStat:
    """Describe an untrusted blob from its headers, without decoding it.

    Raises:
        UntrustedInputError: the headers cannot be right. The content is not checked.
    """
    view = bytes_of(blob)
    found = header_of(view)
    return replace(found, blocks=blocks_of(view, found))


def entropy_bits(symbols: Array) -> float:
    """Empirical order-0 entropy in bits a sample: -sum p log2 p; 0 for an empty array."""
    _, counts = np.unique(symbols, return_counts=True)
    p = counts / max(symbols.size, 1)
    return float(np.abs(np.sum(p * np.log2(p))))


def pack(
    arrays: Iterable[BytesLike],
    quantizer: Name | Quantizer | None = None,
    *,
    bits: int | None = None,
    rate: float | None = None,
    entropy: Entropy = "best",
    tables: TableSet | None = None,
    block_log2: int | None = None,
) -> bytes:
    """Code the tensors of a cut, all with the same options, in one frame; see `encode`."""
    return frame.join(
        [
            encode(
                array,
                quantizer,
                bits=bits,
                rate=rate,
                entropy=entropy,
                tables=tables,
                block_log2=block_log2,
            )
            for array in arrays
        ]
    )


def unpack(
    blob: BytesLike,
    max_bytes: int = MAX_BYTES,
    *,
    tables: TableSet | None = None,
    threads: int = 1,
) -> list[Array]:
    """Decode an untrusted frame of either version.

    Args:
        blob: what `pack` returned.
        max_bytes: the most bytes of all its tensors together.
        tables: the static tables that it was packed with.
        threads: how many may work on a tensor.

    Raises:
        UntrustedInputError: the frame or a tensor is damaged, hostile or too large.
    """
    arrays: list[Array] = []
    for index, (offset, tensor) in enumerate(frame.split(bytes_of(blob))):
        room = max_bytes - sum(array.nbytes for array in arrays)
        try:
            arrays.append(decode(tensor, max_bytes=room, tables=tables, threads=threads))
        except UntrustedInputError as error:
            raise UntrustedInputError(
                f"tensor {index} of the frame, which starts at offset {offset}: {error}"
            ) from None
    return arrays


def _require_tables(found: BlobStat, tables: TableSet | None) -> None:
    if found.tables_sum and (tables is None or tables.sum != found.tables_sum):
        given = "none" if tables is None else f"{tables.sum:#010x}"
        raise ConfigError(
            f"tables must be the set {found.tables_sum:#010x} that the tensor was coded with, "
            f"not {given}"
        )


def _require_out(found: BlobStat, out: Array) -> None:
    if (out.dtype, out.shape) != (np.dtype(found.dtype), found.shape):
        raise ConfigError(
            f"out must be {found.dtype} of shape {found.shape}, "
            f"not {out.dtype} of shape {out.shape}"
        )
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ConfigError("out must be C-contiguous and writeable; pass np.empty(...)")
