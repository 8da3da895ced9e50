"""How the tensors of a link are coded, decided once: at build, for the edge and the host alike.

An edge cannot fit a quantizer to a tensor that it has not seen, and the host must undo what the
edge did. So what coding depends on is fitted to samples when a bundle is built and frozen here;
the C tables of the edge and the host's coder are both made from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from joulecut.compiler.errors import ConfigError, UntrustedInputError
from joulecut.compiler.quant import TensorSpec

DTYPES = ("int8", "uint8", "int32", "float32")
Kind = Literal[
    "bytes", "integers", "uniform", "codebook", "dead_zone", "trellis", "fixed_trellis"
]
Mode = Literal["raw", "constant", "huffman", "packed", "context_prefix", "context_ans"]
MODES: tuple[Mode, ...] = (
    "raw",
    "constant",
    "huffman",
    "packed",
    "context_prefix",
    "context_ans",
)
MIN_BLOCK_LOG2, MAX_BLOCK_LOG2 = 10, 17

_Byte = Annotated[int, Field(ge=0, le=255)]
_Number = Annotated[float, Field(ge=-(2.0**128 - 2.0**104), le=2.0**128 - 2.0**104)]  # float32


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Quantizer(_Strict):
    """A quantizer as it is written; docs/bitstream.md says what each field means.

    Attributes:
        kind: which quantizer; the other fields count as it needs them.
        width: bits of a symbol.
        fold: symbols are signed numbers, folded.
        n_states: of a trellis.
        step: distance of values.
        offset: value of symbol 0; a whole number for integers.
        centroids: values of small magnitudes, for each union.
        book: values, not descending.
    """

    kind: Kind
    width: Annotated[int, Field(ge=1, le=16)] = 8
    fold: bool = False
    n_states: Annotated[int, Field(ge=0, le=256)] = 0
    step: _Number = 1.0
    offset: _Number = 0.0
    centroids: Annotated[
        tuple[Annotated[tuple[_Number, ...], Field(max_length=16)], ...], Field(max_length=2)
    ] = ()
    book: Annotated[tuple[_Number, ...], Field(max_length=512)] = ()


class Rates(_Strict):
    """What symbols cost, for the encoder's choice; `struct jc_rates` says in which units."""

    bits_q4: tuple[
        Annotated[tuple[_Byte, ...], Field(min_length=16, max_length=16)],
        Annotated[tuple[_Byte, ...], Field(min_length=16, max_length=16)],
    ]
    slope_q4: _Byte
    lambda_q8: Annotated[int, Field(ge=0, le=256)]


class TensorCode(_Strict):
    """How one tensor is coded.

    Attributes:
        quantizer: the same for every sample; None: without loss, chosen for each sample.
        rates: for quantizers that weigh distance against bits.
        block_log2: log2 of the symbols in a block.
    """

    quantizer: Quantizer | None = None
    rates: Rates | None = None
    block_log2: Annotated[int, Field(ge=MIN_BLOCK_LOG2, le=20)]


class _Fields(_Strict):
    """What a manifest says."""

    modes: Annotated[tuple[Mode, ...], Field(min_length=1)]
    tables_sum: Annotated[int, Field(ge=0, lt=1 << 32)]
    tensors: tuple[TensorCode, ...]


@dataclass(frozen=True)
class LinkCode:
    """How everything that crosses is coded, one sample a frame.

    Attributes:
        specs: the tensors that cross.
        tensors: how, one for each.
        modes: what blocks may be.
        tables: static tables as they are written, or b"".
    """

    specs: tuple[TensorSpec, ...]
    tensors: tuple[TensorCode, ...]
    modes: tuple[Mode, ...] = MODES
    tables: bytes = b""

    def __post_init__(self) -> None:
        if len(self.specs) != len(self.tensors):
            raise ConfigError(
                f"a link of {len(self.specs)} tensors must be coded in as many ways, "
                f"not {len(self.tensors)}"
            )
        for spec in self.specs:
            if spec.dtype not in DTYPES:
                raise ConfigError(
                    f"tensor '{spec.name}' must be one of {', '.join(DTYPES)} to be coded, "
                    f"not {spec.dtype}; cut elsewhere"
                )

    @property
    def is_lossless(self) -> bool:
        """Nothing changes on the way."""
        return all(tensor.quantizer is None for tensor in self.tensors)

    @property
    def tables_sum(self) -> int:
        """What names the static tables: their last four bytes; 0 without any."""
        return int.from_bytes(self.tables[-4:], "little")

    def to_fields(self) -> dict[str, Any]:
        """Plain values for a manifest; the tables are a file of their own."""
        return {
            "modes": list(self.modes),
            "tables_sum": self.tables_sum,
            "tensors": [tensor.model_dump(mode="json") for tensor in self.tensors],
        }

    @staticmethod
    def from_fields(fields: Any, specs: Sequence[TensorSpec], tables: bytes) -> LinkCode:
        """Inverse of `to_fields`, from untrusted values.

        Raises:
            UntrustedInputError: they are not how these tensors can be coded.
        """
        try:
            manifest = _Fields.model_validate(fields)
            code = LinkCode(tuple(specs), manifest.tensors, manifest.modes, tables)
        except (ValidationError, ConfigError) as error:
            raise UntrustedInputError(
                f"code of the link in a manifest must say how each tensor is coded: {error}"
            ) from error
        if code.tables_sum != manifest.tables_sum:
            raise UntrustedInputError(
                f"static tables of the link must be those of sum {manifest.tables_sum:#x}, as "
                f"the manifest says, not {code.tables_sum:#x}"
            )
        return code


def sample_dims(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of one sample as it is coded: behind a dimension of 1 for the batch."""
    return spec.shape if spec.shape[:1] == (1,) else (1, *spec.shape)


def row_of(dims: Sequence[int]) -> int:
    """Symbols between vertical neighbours, as encoders choose it; 0 without any."""
    return dims[-1] if len(dims) >= 2 and dims[-1] < 1 << 24 else 0


def block_log2_of(dims: Sequence[int]) -> int:
    """The smallest block that holds a tensor, within limits: workspaces grow with blocks."""
    n = math.prod(dims)
    return min(max((max(n, 1) - 1).bit_length(), MIN_BLOCK_LOG2), MAX_BLOCK_LOG2)
