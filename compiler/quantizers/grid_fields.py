"""Grids as plain values: into a manifest when a bundle is built, and back when one is opened."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from joulecut.compiler.errors import UntrustedInputError
from joulecut.compiler.quantizers.grid import Grid
from joulecut.kernels import coder

_FLOAT32_MAX = 2.0**128 - 2.0**104
_Number = Annotated[float, Field(ge=-_FLOAT32_MAX, le=_FLOAT32_MAX)]
_Byte = Annotated[int, Field(ge=0, le=255)]
_Bits = Annotated[tuple[_Byte, ...], Field(min_length=16, max_length=16)]
_Centroids = Annotated[tuple[_Number, ...], Field(max_length=16)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Quantizer(_Strict):
    """The fields of coder.Quantizer; docs/bitstream.md says what they mean."""

    kind: Literal["integers", "uniform", "codebook", "dead_zone", "trellis", "fixed_trellis"]
    width: Annotated[int, Field(ge=1, le=16)]
    fold: bool
    n_states: Annotated[int, Field(ge=0, le=256)]
    step: _Number
    offset: _Number
    centroids: Annotated[tuple[_Centroids, ...], Field(max_length=2)]
    book: Annotated[tuple[_Number, ...], Field(max_length=512)]


class _Rates(_Strict):
    bits_q4: tuple[_Bits, _Bits]
    slope_q4: _Byte
    lambda_q8: Annotated[int, Field(ge=0, le=256)]


class _Grid(_Strict):
    quantizer: _Quantizer
    rates: _Rates | None


def grid_fields(grid: Grid) -> dict[str, Any]:
    """A grid as values that JSON has; `grid_from_fields` is the inverse."""
    quantizer = _Quantizer(**grid.header._asdict())
    rates = None if grid.rates is None else _Rates(**grid.rates._asdict())
    return _Grid(quantizer=quantizer, rates=rates).model_dump(mode="json")


def grid_from_fields(fields: Any) -> Grid:
    """A grid from the untrusted values of a manifest.

    Raises:
        UntrustedInputError: they are not a grid.
    """
    try:
        found = _Grid.model_validate(fields)
    except ValidationError as error:
        raise UntrustedInputError(
            f"quantizer of a manifest must have the fields of one: {error}"
        ) from error
    header = coder.Quantizer(**found.quantizer.model_dump())
    return Grid(header, found.rates and coder.Rates(**found.rates.model_dump()))
