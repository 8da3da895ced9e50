"""Tensors for tests of the coder: one for each quantizer and type, as C and its twin take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulecut.kernels import coder
from joulecut.kernels.twin import container, quantizers, tables, trellis
from joulecut.kernels.twin.blocks import NO_TABLES, Tables

PRICES = (4, 12, 25, 31, 37, 43, 49, 55, 61, 68, 75, 82, 90, 98, 107, 115)


def binary32(*values: float) -> tuple[float, ...]:
    """The nearest binary32 numbers."""
    return tuple(np.array(values, np.float32).tolist())


@dataclass(frozen=True)
class Case:
    """A type, its quantizer, and whether magnitudes have prices."""

    dtype: str
    quantizer: coder.Quantizer
    has_rates: bool = False

    def __str__(self) -> str:
        q = self.quantizer
        return f"{q.kind}-{self.dtype}-{q.width}{'f' if q.fold else ''}"

    @property
    def rates(self) -> coder.Rates | None:
        """Rates for C."""
        n_unions = 2 if self.quantizer.kind == "trellis" else 1
        return coder.Rates((PRICES,) * n_unions, 14, 40) if self.has_rates else None

    @property
    def twin_rates(self) -> trellis.Rates | None:
        """The same for the twin."""
        return trellis.Rates(40, (PRICES, PRICES), 14) if self.has_rates else None

    @property
    def twin_quantizer(self) -> quantizers.Quantizer:
        """The quantizer for the twin."""
        return quantizers.Quantizer(**self.quantizer._asdict())

    def draw(self, n: int, seed: int = 0) -> NDArray[Any]:
        """Values of runs and of noise, two-dimensional where n allows it."""
        rng = np.random.default_rng([n, seed])
        x = np.repeat(rng.laplace(size=n), 3)[:n] + 0.1 * rng.normal(size=n)
        q = self.quantizer
        if q.kind == "integers":
            symbols = np.minimum(np.abs(2 * x).astype(np.int64), (1 << q.width) - 1)
            folded = np.where(symbols % 2, -(symbols + 1) // 2, symbols // 2)
            x = q.offset + (folded if q.fold else symbols)
        elif self.dtype != "float32":
            x = np.clip(3 * x, 0 if self.dtype == "uint8" else -50, 50)
        shape = (n // 10, 10) if n and n % 10 == 0 else (n,)
        return np.ascontiguousarray(x.astype(self.dtype).reshape(shape))

    def encode(self, array: NDArray[Any], **options: Any) -> bytes:
        """By C, in blocks of 1024."""
        return coder.encode(
            array,
            self.dtype,
            array.shape,
            self.quantizer,
            block_log2=10,
            rates=self.rates,
            **options,
        )

    def twin_encode(
        self, array: NDArray[Any], modes: tuple[str, ...], static: Tables = NO_TABLES
    ) -> bytes:
        """By the twin."""
        return container.encode(
            array.tobytes(),
            self.dtype,
            array.shape,
            self.twin_quantizer,
            row=array.shape[-1] if array.ndim >= 2 else 0,
            block_log2=10,
            modes=modes,
            rates=self.twin_rates,
            tables=static,
        )

    def build_tables(self, array: NDArray[Any]) -> bytes:
        """Static tables by C."""
        return coder.build_tables(
            [(array, array.shape)],
            self.dtype,
            self.quantizer,
            block_log2=10,
            rates=self.rates,
        )

    def twin_build_tables(self, array: NDArray[Any]) -> bytes:
        """Static tables by the twin."""
        row = array.shape[-1] if array.ndim >= 2 else 0
        h = container.Header(self.dtype, array.shape, self.twin_quantizer, row, 10, 0)
        return tables.build_tables([(array.tobytes(), h)], self.twin_rates)


def decoded(blob: bytes, static: coder.Tables | None = None, threads: int = 1) -> NDArray[Any]:
    """The array of a coded tensor."""
    header = coder.read_header(blob)
    out = np.empty(header.shape, header.dtype)
    coder.decode_into(blob, out, static, threads)
    return out


BOOK_4 = binary32(-1.2, -0.3, 0.25, 1.4)
BOOK_8 = binary32(-2.5, -1.25, -0.75, -0.2, 0.2, 0.75, 1.25, 2.5)
Q = coder.Quantizer
STEP, OFFSET = binary32(0.1, -2.5)

LOSSLESS = (
    Case("float32", Q("bytes")),
    Case("int32", Q("bytes")),
    Case("uint8", Q("bytes")),
    Case("int32", Q("integers", 12, fold=True, offset=-7)),
    Case("int32", Q("integers", 5, offset=100)),
    Case("int8", Q("integers", 8, fold=True, offset=0)),
    Case("uint8", Q("integers", 3, offset=0)),
    Case("uint8", Q("integers", 1, offset=3)),
)
LOSSY = (
    Case("float32", Q("uniform", 8, step=STEP, offset=OFFSET)),
    Case("float32", Q("uniform", 2, step=1.5, offset=OFFSET)),
    Case("int8", Q("uniform", 3, step=2.5, offset=-7.0)),
    Case("float32", Q("codebook", 2, book=BOOK_4)),
    Case("uint8", Q("codebook", 3, book=BOOK_8)),
    Case("float32", Q("dead_zone", 5, fold=True, step=STEP, offset=0.5), has_rates=True),
    Case("float32", Q("dead_zone", 12, step=STEP, offset=OFFSET)),
    Case("int8", Q("dead_zone", 4, fold=True, centroids=(binary32(0, 1.1),))),
    Case(
        "float32",
        Q("trellis", 5, True, 8, STEP, 0.0, (binary32(0, 0.19), binary32(0, 0.11))),
        has_rates=True,
    ),
    Case("float32", Q("trellis", 10, False, 4, STEP, OFFSET)),
    Case("uint8", Q("trellis", 4, False, 8), has_rates=True),
    Case("float32", Q("fixed_trellis", 2, n_states=8, book=BOOK_8)),
    Case("int8", Q("fixed_trellis", 1, n_states=16, book=BOOK_4)),
)
CASES = (*LOSSLESS, *LOSSY)
