"""Headers of coded tensors, written from docs/bitstream.md, "Tensor"."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from joulecut.kernels.twin.bits import BitReader, StreamError, varint
from joulecut.kernels.twin.checksum import xxh32
from joulecut.kernels.twin.context import Layout
from joulecut.kernels.twin.quantizers import Quantizer, trellis_lanes

DTYPES = {"int8": "b", "uint8": "B", "int32": "i", "float32": "f"}
KINDS = (
    "bytes", "integers", "uniform", "codebook", "dead_zone", "trellis", "fixed_trellis",
)  # fmt: skip
VERSION = 2


def u32(value: int) -> bytes:
    """Four bytes."""
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def floats(values: Iterable[float]) -> bytes:
    """Four bytes each."""
    return b"".join(struct.pack("<f", value) for value in values)


@dataclass(frozen=True)
class Header:
    """Everything before the blocks."""

    dtype: str
    shape: tuple[int, ...]
    quantizer: Quantizer
    row: int
    block_log2: int
    tables_sum: int

    @property
    def n_elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return struct.calcsize(DTYPES[self.dtype])

    @property
    def n_planes(self) -> int:
        """Sequences of symbols."""
        return self.itemsize if self.quantizer.kind == "bytes" else 1

    @property
    def segments(self) -> list[range]:
        """The elements of each block."""
        n, step = self.n_elements, 1 << self.block_log2
        return [range(start, min(start + step, n)) for start in range(0, n, step)]

    def layout(self, n: int) -> Layout:
        """Of a block of n symbols; lanes are those of a trellis."""
        q = self.quantizer
        lanes = trellis_lanes(n) if q.has_lanes else 1
        n_states = q.n_states if q.kind == "trellis" else 0
        return Layout(n, self.row, q.width, int(q.fold), lanes, n_states)


def quantizer_bytes(q: Quantizer) -> bytes:
    """The fields of a quantizer."""
    width, fold, line = bytes([q.width]), bytes([q.fold]), floats([q.step, q.offset])
    log2_states = bytes([max(q.n_states, 1).bit_length() - 1])
    unions = q.centroids or ((),) * q.unions
    n_centroids = bytes([len(unions[0])])
    centroids = n_centroids + b"".join(floats(union) for union in unions)
    return {
        "bytes": b"",
        "integers": width + fold + u32(int(q.offset)),
        "uniform": width + line,
        "codebook": width + floats(q.book),
        "dead_zone": width + fold + line + centroids,
        "trellis": width + fold + bytes([q.n_states & 255]) + line + centroids,
        "fixed_trellis": width + log2_states + floats(q.book),
    }[q.kind]


def header_bytes(h: Header) -> bytes:
    """The header with its checksum."""
    body = b"JCT\x1a" + bytes(
        [VERSION, [*DTYPES].index(h.dtype) + 1, KINDS.index(h.quantizer.kind), len(h.shape)]
    )
    body += b"".join(map(varint, h.shape)) + varint(h.row) + bytes([h.block_log2])
    body += u32(h.tables_sum) + quantizer_bytes(h.quantizer)
    return body + u32(xxh32(body))


def demand(condition: bool, reason: str) -> None:
    """StreamError unless the condition holds."""
    if not condition:
        raise StreamError(reason)


def take_floats(reader: BitReader, n: int) -> tuple[float, ...]:
    """The next n binary32 numbers, which must be finite."""
    values = struct.unpack(f"<{n}f", reader.take_bytes(4 * n))
    demand(all(map(math.isfinite, values)), "numbers must be finite")
    return values


def take_line(reader: BitReader, *, is_lattice: bool) -> tuple[float, float]:
    """Step and offset."""
    step, offset = take_floats(reader, 2)
    demand(step > 0, "step must be positive")
    demand(not is_lattice or 2.0**-96 <= step <= 2.0**96, "step must be in its range")
    return step, offset


def take_centroids(reader: BitReader, unions: int, fold: int) -> tuple[tuple[float, ...], ...]:
    """The centroids of each union; nothing if there are none."""
    n = reader.take(8)
    demand(n <= 16, "centroids must be at most 16")
    found = tuple(take_floats(reader, n) for _ in range(unions))
    demand(not (fold and any(c and c[0] for c in found)), "the first centroid must be 0")
    return found if n else ()


def take_quantizer(reader: BitReader, kind: str, dtype: str) -> Quantizer:
    """The fields of a quantizer."""
    if kind == "bytes":
        return Quantizer(kind)
    is_lattice = kind in ("dead_zone", "trellis")
    width, fold = reader.take(8), 0
    demand(
        1 <= width <= (16 if is_lattice or kind == "integers" else 8), "width must be possible"
    )
    if is_lattice or kind == "integers":
        fold = reader.take(8)
        demand(fold <= 1, "fold must be 0 or 1")
    if kind == "integers":
        demand(dtype != "float32", "integers must be integers")
        offset = struct.unpack("<i", reader.take_bytes(4))[0]
        return Quantizer(kind, width, bool(fold), offset=offset)
    demand(dtype != "int32", "int32 must be lossless")
    if kind == "uniform":
        step, offset = take_line(reader, is_lattice=False)
        return Quantizer(kind, width, step=step, offset=offset)
    n_states = 0
    if kind == "trellis":
        n_states = reader.take(8)
        demand(n_states in (4, 8) and width >= 2 + fold, "states must be 4 or 8")
    if is_lattice:
        step, offset = take_line(reader, is_lattice=True)
        unions = 2 if kind == "trellis" else 1
        centroids = take_centroids(reader, unions, fold)
        return Quantizer(kind, width, bool(fold), n_states, step, offset, centroids)
    if kind == "fixed_trellis":
        log2_states = reader.take(8)
        demand(2 <= log2_states <= 8, "states must be 4 to 256")
        n_states = 1 << log2_states
    book = take_floats(reader, 1 << (width + (kind == "fixed_trellis")))
    demand(list(book) == sorted(book), "book must not descend")
    return Quantizer(kind, width, n_states=n_states, book=book)


def take_header(reader: BitReader) -> Header:
    """The header at the front of a coded tensor."""
    start = reader.at // 8
    demand(reader.take_bytes(5) == b"JCT\x1a" + bytes([VERSION]), "tensor must have its magic")
    dtype, kind, n_dims = reader.take(8), reader.take(8), reader.take(8)
    demand(1 <= dtype <= 4 and kind < 7 and n_dims <= 8, "header must have its range")
    name = [*DTYPES][dtype - 1]
    shape = tuple(reader.take_varint() for _ in range(n_dims))
    itemsize = struct.calcsize(DTYPES[name])
    demand(itemsize * math.prod(filter(None, shape)) < 2**63, "tensor must be less than 2^63")
    row, block_log2, tables_sum = reader.take_varint(), reader.take(8), reader.take(32)
    demand(row < 2**24 and 10 <= block_log2 <= 20, "row and block must have their range")
    quantizer = take_quantizer(reader, KINDS[kind], name)
    body = reader.payload[start : reader.at // 8]
    demand(reader.take(32) == xxh32(body), "checksum must match")
    return Header(name, shape, quantizer, row, block_log2, tables_sum)
