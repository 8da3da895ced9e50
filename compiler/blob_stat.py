"""What a coded tensor of either version says about itself, read without trust."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from joulecut.compiler.frame import refuse
from joulecut.kernels import coder, version1

_VERSION_AT = 4


@dataclass(frozen=True)
class BlobStat:
    """What a coded tensor says about itself.

    Attributes:
        version: of the format, 1 or 2.
        dtype: numpy's name of the decoded type.
        shape: the decoded shape.
        quantizer: how symbols become values.
        n_symbols: coded symbols: one for each byte of "bytes", else one for each element.
        coded_bytes: the whole blob.
        header_bytes: the part of it that is not blocks.
        tables_sum: names the static tables that it was coded with; 0 for none.
        blocks: how many blocks have each mode.
    """

    version: int
    dtype: str
    shape: tuple[int, ...]
    quantizer: coder.Quantizer
    n_symbols: int
    coded_bytes: int
    header_bytes: int
    tables_sum: int = 0
    blocks: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def bits_per_sample(self) -> float:
        """Bits of the whole blob for each element; 0 for an empty tensor."""
        return 8 * self.coded_bytes / (math.prod(self.shape) or float("inf"))


def header_of(view: memoryview) -> BlobStat:
    """What the header says; no block was looked at.

    Raises:
        UntrustedInputError: it cannot be right.
    """
    try:
        if _is_version1(view):
            return _header_of_version1(view)
        header = coder.read_header(view)
    except coder.CoderError as error:
        raise refuse(error.reason, error.offset) from None
    planes = np.dtype(header.dtype).itemsize if header.quantizer.kind == "bytes" else 1
    return BlobStat(
        version=2,
        dtype=header.dtype,
        shape=header.shape,
        quantizer=header.quantizer,
        n_symbols=math.prod(header.shape) * planes,
        coded_bytes=len(view),
        header_bytes=header.header_bytes,
        tables_sum=header.tables_sum,
    )


def _is_version1(view: memoryview) -> bool:
    return len(view) > _VERSION_AT and view[_VERSION_AT] == version1.VERSION


def _header_of_version1(view: memoryview) -> BlobStat:
    header = version1.read_header(view)
    quantizer = coder.Quantizer("bytes")
    if header.grid is not None:
        quantizer = coder.Quantizer(
            "uniform", header.grid.bits, step=header.grid.step, offset=header.grid.offset
        )
    return BlobStat(
        version=version1.VERSION,
        dtype=header.dtype,
        shape=header.shape,
        quantizer=quantizer,
        n_symbols=header.n_elements * header.n_planes,
        coded_bytes=len(view),
        header_bytes=header.header_bytes,
    )


def blocks_of(view: memoryview, found: BlobStat) -> dict[str, int]:
    """Walk the blocks: they must fill the blob. Returns how many have each mode.

    Raises:
        UntrustedInputError: they do not, or a block is not one.
    """
    try:
        if found.version == 1:
            return dict(zip(version1.MODES, version1.scan(view), strict=True))
        return dict(zip(coder.MODES, coder.scan(view), strict=True))
    except coder.CoderError as error:
        raise refuse(error.reason, error.offset) from None
