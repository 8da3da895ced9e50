"""How the tensors of a link are coded, decided once: at build, for the edge and the host alike.

An edge cannot fit a quantizer to a tensor that it has not seen, and the host must undo what the
edge did. So what coding depends on is fitted to samples when a bundle is built and frozen here;
the C tables of the edge and the host's coder are both made from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from joulecut.compiler import codec, frame
from joulecut.compiler.codec import (
    Calibrated,
    DeadZoneQuantizer,
    Entropy,
    Quantizer,
    RateQuantizer,
    TableSet,
    TrellisQuantizer,
)
from joulecut.compiler.config import CodecConfig
from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.quant import TensorSpec
from joulecut.compiler.quantizers.grid import Array, Grid
from joulecut.compiler.quantizers.grid_fields import grid_fields, grid_from_fields
from joulecut.compiler.quantizers.named import named
from joulecut.compiler.quantizers.whole_range import whole_range

SHAREABLE = ("int8", "uint8")
DTYPES = ("int8", "uint8", "int32", "float32")
MIN_BLOCK_LOG2, MAX_BLOCK_LOG2 = 10, 17
ELEMENTS_PER_CENTROID = 2048  # every frame carries learned values, 32 or 64 bits each


@dataclass(frozen=True)
class LinkCode:
    """How everything that crosses is coded.

    Attributes:
        specs: the tensors that cross.
        grids: for each its grid; None: without loss, by what each sample needs. Integers of 8
            bits have one where there are static tables, which need a common width.
        entropy: which modes blocks may have.
        tables: static tables, or None.
    """

    specs: tuple[TensorSpec, ...]
    grids: tuple[Grid | None, ...]
    entropy: Entropy
    tables: TableSet | None = None

    def __post_init__(self) -> None:
        if len(self.specs) != len(self.grids):
            raise ConfigError(
                f"grids must be as many as tensors, {len(self.specs)}, not {len(self.grids)}"
            )
        for spec, grid in zip(self.specs, self.grids, strict=True):
            if spec.dtype not in DTYPES:
                raise ConfigError(
                    f"tensor '{spec.name}' must be one of {', '.join(DTYPES)} to be coded, "
                    f"not {spec.dtype}; cut elsewhere"
                )

            if self.tables is not None and grid is None and spec.dtype in SHAREABLE:
                raise ConfigError(f"tensor '{spec.name}' must have a grid to share tables")

    def pack(self, arrays: Iterable[Array]) -> bytes:
        """A frame; of one sample, `[1, ...]` each, the one that the edge writes."""
        return frame.join(
            [
                codec.encode(
                    array,
                    None if grid is None else Calibrated(grid),
                    entropy=self.entropy,
                    tables=self.tables,
                    block_log2=block_log2_of(array.shape),
                )
                for array, grid in zip(arrays, self.grids, strict=True)
            ]
        )

    def unpack(self, blob: bytes) -> list[Array]:
        """The tensors of an untrusted frame.

        Raises:
            UntrustedInputError: the frame is damaged, hostile, or not of these tensors.
        """
        arrays = codec.unpack(blob, tables=self.tables)
        found = [(array.dtype.name, array.shape[1:]) for array in arrays]
        wanted = [(spec.dtype, sample_dims(spec)[1:]) for spec in self.specs]
        if found != wanted or len({len(array) for array in arrays}) > 1:
            raise UntrustedInputError(f"frame must hold tensors of {wanted}, not of {found}")
        return arrays

    def to_fields(self) -> dict[str, Any]:
        """Plain values for a manifest; the tables are a file of their own."""
        return {
            "entropy": self.entropy,
            "tables_sum": 0 if self.tables is None else self.tables.sum,
            "grids": [None if grid is None else grid_fields(grid) for grid in self.grids],
        }

    @staticmethod
    def from_fields(
        fields: Any, specs: Sequence[TensorSpec], tables: TableSet | None
    ) -> LinkCode:
        """Inverse of `to_fields`, from untrusted values.

        Raises:
            UntrustedInputError: they are not how these tensors can be coded.
        """
        match fields:
            case {"entropy": entropy, "tables_sum": int(tables_sum), "grids": [*rows]} if len(
                fields
            ) == 3 and entropy in get_args(Entropy):
                grids = [None if row is None else grid_from_fields(row) for row in rows]
            case _:
                raise UntrustedInputError(
                    "code of the link in a manifest must have entropy, tables_sum and grids"
                )
        held = 0 if tables is None else tables.sum
        if held != tables_sum:
            raise UntrustedInputError(
                f"static tables of the link must have the sum {tables_sum:#x}, as the manifest "
                f"says, not {held:#x}"
            )
        try:
            return LinkCode(tuple(specs), tuple(grids), entropy, tables)
        except ConfigError as error:
            raise UntrustedInputError(f"code of the link in a manifest: {error}") from error


def frozen(
    specs: Sequence[TensorSpec], samples: Mapping[str, Array], config: CodecConfig
) -> LinkCode:
    """Fit what a configuration leaves open to samples.

    Args:
        specs: the tensors that cross.
        samples: N of each tensor, joined in its leading dimension.
        config: how they shall be coded.

    Raises:
        ConfigError: a tensor cannot be coded so.
    """
    one_by_one = {
        spec.name: list(samples[spec.name].reshape(-1, *sample_dims(spec))) for spec in specs
    }
    grids = tuple(_grid(one_by_one[spec.name], config) for spec in specs)
    code = LinkCode(tuple(specs), grids, config.entropy)
    columns = [one_by_one[spec.name] for spec in specs]
    shared = tuple(grid or _whole(spec) for spec, grid in zip(specs, grids, strict=True))
    trained = _trained(shared, columns, config)
    return min(
        [code, *(replace(code, grids=shared, tables=tables) for tables in trained)],
        key=lambda each: sum(len(each.pack(row)) for row in zip(*columns, strict=True)),
    )  # the first on a tie: the one without tables


def _grid(tensors: Sequence[Array], config: CodecConfig) -> Grid | None:
    if config.quantizer == "none":
        return None
    bits = config.bits if config.rate is None else None
    measure = "best" if config.entropy == "best" else "fast"
    quantizer = named(config.quantizer, bits, config.rate, measure)
    quantizer = _affordable(quantizer, tensors[0].size // ELEMENTS_PER_CENTROID)
    return quantizer.calibrate(tensors).fit(tensors[0])


def _affordable(quantizer: Quantizer, centroids: int) -> Quantizer:
    """The same with fewer learned values, where a frame is small."""
    if isinstance(quantizer, RateQuantizer):
        among = [
            replace(each, centroids=min(each.centroids, centroids)) for each in quantizer.among
        ]
        return replace(quantizer, among=tuple(among))
    if isinstance(quantizer, DeadZoneQuantizer | TrellisQuantizer):
        return replace(quantizer, centroids=min(quantizer.centroids, centroids))
    return quantizer


def _whole(spec: TensorSpec) -> Grid | None:
    """All that an 8-bit tensor can hold; None for wider types, which have no common width."""
    if spec.dtype not in SHAREABLE:
        return None
    if spec.qtype is not None:
        return whole_range(spec.qtype.low, spec.qtype.high, spec.qtype.zero_point)
    limits = np.iinfo(spec.dtype)
    return whole_range(int(limits.min), int(limits.max))


def _trained(
    grids: Sequence[Grid | None], columns: Sequence[Sequence[Array]], config: CodecConfig
) -> list[TableSet]:
    """A set for each tensor; a frame takes one set, whose tables serve what has their width."""
    return [
        TableSet.train(
            column,
            Calibrated(grid),
            entropy="best" if config.entropy == "best" else "fast",
            block_log2=block_log2_of(column[0].shape),
        )
        for grid, column in zip(grids, columns, strict=True)
        if grid is not None
    ]


def sample_dims(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of one sample as it is coded: behind a dimension of 1 for the batch."""
    return spec.shape if spec.shape[:1] == (1,) else (1, *spec.shape)


def row_of(dims: Sequence[int]) -> int:
    """Symbols between vertical neighbours, as encoders choose it; 0 without any."""
    return dims[-1] if len(dims) >= 2 and dims[-1] < 1 << 24 else 0


def block_log2_of(dims: Sequence[int]) -> int:
    """The smallest block that holds a tensor, within limits: workspaces grow with blocks."""
    n = max(math.prod(dims), 1)
    return min(max((n - 1).bit_length(), MIN_BLOCK_LOG2), MAX_BLOCK_LOG2)
