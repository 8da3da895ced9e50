"""Static tables: code tables that both ends have before the first tensor crosses.

A small tensor cannot pay for tables of its own. Trained on tensors like it, they go into the
bundle, and each coded tensor names the set that it was coded with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np

from joulecut.compiler.buffers import BytesLike, as_array, bytes_of
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.quantizers.grid import Array, Grid
from joulecut.compiler.quantizers.lossless import lossless_grid
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.kernels import coder


@dataclass(frozen=True)
class TableSet:
    """Tables for the blocks of some modes, one mode each.

    Attributes:
        blob: as they are written; `to_bytes` and `from_bytes` are the way in and out.
    """

    blob: bytes

    @classmethod
    def train(
        cls,
        arrays: Iterable[Array],
        quantizer: Quantizer | None = None,
        *,
        entropy: Literal["best", "fast"] = "best",
        block_log2: int = coder.DEFAULT_BLOCK_LOG2,
    ) -> Self:
        """The tables that code some tensors in the fewest bits.

        Args:
            arrays: tensors of one type, like those that will be coded.
            quantizer: the one they will be coded with; one with a grid of its own
                (`Quantizer.calibrate`) fits best. None for lossless.
            entropy: which modes get a table.
            block_log2: log2 of the symbols in a block.

        Raises:
            ConfigError: there is no tensor, or their types differ.
        """
        tensors = [as_array(array) for array in arrays]
        if not tensors:
            raise ConfigError("static tables must be trained on at least one tensor, not none")
        if len({array.dtype for array in tensors}) > 1:
            names = sorted({array.dtype.name for array in tensors})
            raise ConfigError(f"static tables must be trained on one type, not {names}")
        grid = _grid(tensors, quantizer)
        blob = coder.build_tables(
            [(array, array.shape) for array in tensors],
            tensors[0].dtype.name,
            grid.header,
            block_log2=block_log2,
            modes=coder.MODES if entropy == "best" else coder.FAST_MODES,
            rates=grid.rates,
        )
        return cls(blob)

    @classmethod
    def from_bytes(cls, blob: BytesLike) -> Self:
        """Read untrusted tables.

        Raises:
            UntrustedInputError: they are damaged or hostile.
        """
        tables = cls(bytes(bytes_of(blob)))
        try:
            _ = tables.parsed
        except coder.CoderError as error:
            raise UntrustedInputError(
                f"static tables: {error.reason} (offset {error.offset}); "
                f"get them from their sender again"
            ) from None
        return tables

    def to_bytes(self) -> bytes:
        """The tables as they are written, in the format of docs/bitstream.md."""
        return self.blob

    @property
    def sum(self) -> int:
        """The checksum that names the set."""
        return self.parsed.sum

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that have a table."""
        return self.parsed.modes

    @cached_property
    def parsed(self) -> coder.Tables:
        """What the coder takes."""
        return coder.Tables(self.blob)


def _grid(tensors: list[Array], quantizer: Quantizer | None) -> Grid:
    """The common grid."""
    if quantizer is not None:
        return quantizer.calibrate(tensors).fit(tensors[0])
    flat = np.concatenate([array.reshape(-1) for array in tensors])
    return lossless_grid(flat, any_value=True)
