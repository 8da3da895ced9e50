"""Coded tensors: what crosses a cut, as few bytes that prove themselves.

`encode` rounds a tensor onto a grid if it is told to (lossy), then codes the symbols in
Huffman blocks (lossless). `decode` trusts nothing: the bytes come over a wire. The format is
docs/bitstream.md; this is the only door to joulecut.kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np

from joulecut.compiler.container import (
    DTYPES,
    MAX_HEADER_BYTES,
    Header,
    join_frame,
    read_header,
    refuse,
    split_frame,
)
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.quantizer import (
    Array,
    Quantizer,
    Symbols,
    UniformGrid,
    UniformQuantizer,
    lossless_grid,
)
from joulecut.kernels import huffman

__all__ = [
    "BlobStat",
    "Codec",
    "HuffmanCodec",
    "Quantizer",
    "UniformGrid",
    "UniformQuantizer",
    "bound",
    "decode",
    "encode",
    "entropy_bits",
    "pack",
    "stat",
    "unpack",
]

MAX_BYTES = 2**28
Entropy = Literal["huffman", "raw"]
BytesLike = bytes | bytearray | memoryview | Array


@dataclass(frozen=True)
class BlobStat:
    """What a coded tensor says about itself.

    Attributes:
        dtype: numpy's name of the decoded type.
        shape: the decoded shape.
        grid: the values of the symbols; None if symbols are the bytes of the tensor.
        n_symbols: coded symbols: one for each element on a grid, one for each byte without.
        coded_bytes: the whole blob.
        header_bytes: the part of it that is not blocks.
        blocks: how many blocks have each mode.
    """

    dtype: str
    shape: tuple[int, ...]
    grid: UniformGrid | None
    n_symbols: int
    coded_bytes: int
    header_bytes: int
    blocks: dict[str, int]

    @property
    def bits_per_sample(self) -> float:
        """Bits of the whole blob for each element; 0 for an empty tensor."""
        return 8 * self.coded_bytes / (int(np.prod(self.shape, dtype=object)) or float("inf"))


class Codec(Protocol):
    """Lossless, bytes to bytes and back, in the shape of numcodecs.abc.Codec."""

    codec_id: ClassVar[str]

    def encode(self, buf: BytesLike) -> bytes:
        """The coded bytes of a buffer."""
        ...

    def decode(self, buf: BytesLike, out: BytesLike | None = None) -> BytesLike:
        """The buffer that was coded, written to `out` if that is given."""
        ...

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs, and "id"."""
        ...


def encode(
    array: Array,
    *,
    quantizer: Literal["sq"] | Quantizer | None = None,
    bits: int | None = None,
    entropy: Entropy = "huffman",
) -> bytes:
    """Code a tensor.

    Args:
        array: int8, uint8, int32 or float32, any shape of at most 8 dimensions.
        quantizer: None for lossless; "sq" for a UniformQuantizer of `bits` over the range of
            the tensor; or a Quantizer.
        bits: bits of an index, 1 to 8, together with "sq".
        entropy: "huffman", or "raw" for symbols that are packed but not coded.

    Returns:
        A self-describing blob of at most `bound(array.nbytes)` bytes.

    Raises:
        ConfigError: the tensor or an option is not usable.
    """
    array = _native(array)
    grid = _grid_for(array, quantizer, bits)
    planes = _planes(array) if grid is None else grid.quantize(array).reshape(1, -1)
    header = Header(array.dtype.name, array.shape, grid, huffman.crc32(planes))
    modes = _modes(entropy)
    blocks = (huffman.encode(plane, header.width, modes=modes) for plane in planes)
    return b"".join([header.to_bytes(), *blocks])


def decode(blob: BytesLike, *, out: Array | None = None, max_bytes: int = MAX_BYTES) -> Array:
    """Decode an untrusted blob.

    Args:
        blob: what `encode` returned.
        out: C-contiguous array of the coded type and shape to decode into; unspecified after
            an error.
        max_bytes: the largest tensor to accept, checked before anything is allocated.

    Returns:
        `out`, or a new array.

    Raises:
        UntrustedInputError: the blob is damaged, hostile, or larger than `max_bytes`.
        ConfigError: `out` does not fit the blob.
    """
    view = _bytes_of(blob)
    header, at = read_header(view)
    if header.nbytes > max_bytes:
        raise UntrustedInputError(
            f"coded tensor: {header.dtype} of shape {header.shape} must take at most "
            f"{max_bytes} bytes, not {header.nbytes}; raise max_bytes if its sender is trusted"
        )
    _scan(view, header, at)
    if out is None:
        out = np.empty(header.shape, header.dtype)
    elif (out.dtype, out.shape) != (np.dtype(header.dtype), header.shape):
        raise ConfigError(
            f"out must be {header.dtype} of shape {header.shape}, "
            f"not {out.dtype} of shape {out.shape}"
        )
    elif not (out.flags.c_contiguous and out.flags.writeable):
        raise ConfigError("out must be C-contiguous and writeable; pass np.empty(...)")
    _decode_symbols(view, header, at, out)
    return out


def bound(nbytes: int) -> int:
    """The most bytes that `encode` returns for a tensor of `nbytes`."""
    if nbytes < 0:
        raise ConfigError(f"nbytes must not be negative, not {nbytes}")
    planes = np.dtype(np.float32).itemsize  # each plane may end in a block of its own
    return MAX_HEADER_BYTES + huffman.bound(nbytes) + planes


def stat(blob: BytesLike) -> BlobStat:
    """Describe an untrusted blob from its headers, without decoding it.

    Raises:
        UntrustedInputError: the headers cannot be right. The content is not checked.
    """
    view = _bytes_of(blob)
    header, at = read_header(view)
    return BlobStat(
        dtype=header.dtype,
        shape=header.shape,
        grid=header.grid,
        n_symbols=header.n_elements * header.n_planes,
        coded_bytes=len(view),
        header_bytes=at,
        blocks=_scan(view, header, at),
    )


def entropy_bits(symbols: Array) -> float:
    """Empirical order-0 entropy in bits a sample: -sum p log2 p; 0 for an empty array."""
    _, counts = np.unique(symbols, return_counts=True)
    p = counts / max(symbols.size, 1)
    return float(np.abs(np.sum(p * np.log2(p))))


def pack(
    arrays: Iterable[Array],
    *,
    quantizer: Literal["sq"] | Quantizer | None = None,
    bits: int | None = None,
    entropy: Entropy = "huffman",
) -> bytes:
    """Code the tensors of a cut, all with the same options, in one frame; see `encode`."""
    return join_frame(
        [encode(array, quantizer=quantizer, bits=bits, entropy=entropy) for array in arrays]
    )


def unpack(blob: BytesLike, max_bytes: int = MAX_BYTES) -> list[Array]:
    """Decode an untrusted frame.

    Args:
        blob: what `pack` returned.
        max_bytes: the most bytes of all its tensors together.

    Raises:
        UntrustedInputError: the frame or a tensor is damaged, hostile or too large.
    """
    arrays: list[Array] = []
    for index, (offset, tensor) in enumerate(split_frame(_bytes_of(blob))):
        try:
            arrays.append(decode(tensor, max_bytes=max_bytes - sum(a.nbytes for a in arrays)))
        except UntrustedInputError as error:
            raise UntrustedInputError(
                f"tensor {index} of the frame, which starts at offset {offset}: {error}"
            ) from None
    return arrays


class HuffmanCodec:
    """Lossless coding of buffers for numcodecs and zarr, without options.

    numcodecs finds the class by its entry point, so neither imports the other. Arrays of a
    type that the format has keep it, which codes the bytes of equal weight together; all
    others cross as bytes.
    """

    codec_id: ClassVar[str] = "joulecut.huffman"

    def encode(self, buf: BytesLike) -> bytes:
        """The coded bytes of a C-contiguous buffer; its shape is not kept."""
        if isinstance(buf, np.ndarray) and buf.dtype.name in DTYPES and buf.dtype.isnative:
            return encode(buf.reshape(-1))
        return encode(np.frombuffer(_bytes_of(buf), np.uint8))

    def decode(self, buf: BytesLike, out: BytesLike | None = None) -> Array:
        """The elements that were coded, one-dimensional, also copied to `out` if given."""
        if out is None:
            return decode(buf)
        target = np.frombuffer(_bytes_of(out), np.uint8)
        array = decode(buf, max_bytes=target.nbytes).view(np.uint8)
        if array.nbytes != target.nbytes:
            raise ConfigError(f"out must have {array.nbytes} bytes, not {target.nbytes}")
        target[:] = array
        return target

    def get_config(self) -> dict[str, Any]:
        """The configuration that zarr stores."""
        return {"id": self.codec_id}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The codec of a stored configuration."""
        unknown = set(config) - {"id"}
        if unknown:
            raise ConfigError(f"{cls.codec_id} must have no options, not {sorted(unknown)}")
        return cls()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HuffmanCodec)

    def __hash__(self) -> int:
        return hash(self.codec_id)

    def __repr__(self) -> str:
        return "HuffmanCodec()"


def _native(array: Array) -> Array:
    """The array C-contiguous and in the byte order of the format."""
    if array.dtype.name not in DTYPES:
        raise ConfigError(
            f"array must be one of {', '.join(DTYPES)}, not {array.dtype.name}; convert it first"
        )
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _grid_for(
    array: Array, quantizer: Literal["sq"] | Quantizer | None, bits: int | None
) -> UniformGrid | None:
    if quantizer is None:
        if bits is not None:
            raise ConfigError(f"bits must come with quantizer='sq', not alone (bits={bits})")
        return lossless_grid(array)
    if isinstance(quantizer, str):
        if quantizer != "sq":
            raise ConfigError(f"quantizer must be 'sq', a Quantizer or None, not {quantizer!r}")
        if bits is None:
            raise ConfigError("bits must be 1 to 8 with quantizer='sq', not None")
        return UniformQuantizer(bits).fit(array)
    if bits is not None:
        raise ConfigError(f"bits must come from the quantizer, not beside it (bits={bits})")
    return quantizer.fit(array)


def _modes(entropy: Entropy) -> Sequence[str]:
    modes = {"huffman": huffman.MODES, "raw": ("raw",)}.get(entropy)
    if modes is None:
        raise ConfigError(f"entropy must be 'huffman' or 'raw', not {entropy!r}")
    return modes


def _planes(array: Array) -> Symbols:
    """The bytes of equal weight together, lowest first, shape [itemsize, elements]."""
    bytes_of_elements = array.reshape(-1).view(np.uint8).reshape(array.size, array.itemsize)
    return np.ascontiguousarray(bytes_of_elements.T)


def _bytes_of(blob: BytesLike) -> memoryview:
    view = blob.data if isinstance(blob, np.ndarray) else memoryview(blob)
    if not view.c_contiguous:
        raise ConfigError("blob must be C-contiguous; copy it first")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _scan(view: memoryview, header: Header, at: int) -> dict[str, int]:
    """Walk the blocks of all planes: they must fill the blob. Returns blocks by mode."""
    totals = dict.fromkeys(huffman.MODES, 0)
    for _ in range(header.n_planes):
        try:
            used, counts = huffman.scan(view[at:], header.n_elements, header.width)
        except huffman.HuffmanError as error:
            raise refuse(error.reason, at + error.offset) from None
        for mode, count in zip(huffman.MODES, counts, strict=True):
            totals[mode] += count
        at += used
    if at != len(view):
        raise refuse(f"it must end after {at} bytes, not {len(view)}", at)
    return totals


def _decode_symbols(view: memoryview, header: Header, at: int, out: Array) -> None:
    """Decode the blocks to `out`; the content checksum is compared before values are made."""
    whole = header.grid is None and header.n_planes == 1
    flat = out.reshape(-1)
    shape = (header.n_planes, header.n_elements)
    planes = flat.view(np.uint8).reshape(shape) if whole else np.empty(shape, np.uint8)
    for plane in planes:
        try:
            at += huffman.decode(view[at:], plane, header.width)
        except huffman.HuffmanError as error:
            raise refuse(error.reason, at + error.offset) from None
    if huffman.crc32(planes) != header.content_crc:
        raise refuse("the checksum of the content must match", 8)
    if header.grid is not None:
        header.grid.dequantize(planes[0], flat)
    elif not whole:
        flat.view(np.uint8).reshape(planes.T.shape)[:] = planes.T
