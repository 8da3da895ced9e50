"""Fixed-rate trellis quantization: as many bits for each number, from twice as many values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import (
    Array,
    Grid,
    Symbols,
    quantizable,
    require_bits,
)
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.compiler.quantizers.sample import sample
from joulecut.compiler.quantizers.training import TrainingPlan, train_fixed_trellis
from joulecut.kernels import coder

STATES = (4, 8, 16, 32, 64, 128, 256)
_TRAINED_ON = 1 << 16  # numbers; each round walks the trellis over all of them
_PLAN = TrainingPlan(max_rounds=20)


@dataclass(frozen=True)
class FixedTrellisQuantizer(Quantizer):
    """2^(bits + 1) values, trained on the tensor, or on others by `calibrate`; docs/tcq.md.

    The state of a trellis says which half of them a symbol chooses from. It gains where bits
    are sent as they are; an entropy coder gains more with the trellis of `TrellisQuantizer`.

    Attributes:
        bits: 1 to 8.
        states: 4, 8, 16 .. 256; twice as many take twice as long, for up to 0.1 dB.
        book: "trained"; or "even": evenly spaced from minimum to maximum, both included, which
            is the textbook's alphabet and loses most where values pile up.
    """

    bits: int
    states: int = 8
    book: Literal["trained", "even"] = "trained"

    def __post_init__(self) -> None:
        require_bits(self.bits)
        if self.states not in STATES:
            raise ConfigError(f"states must be a power of two from 4 to 256, not {self.states}")
        if self.book not in ("trained", "even"):
            raise ConfigError(f"book must be 'trained' or 'even', not {self.book!r}")

    def fit(self, array: Array) -> Grid:
        """The grid for one tensor.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        array = quantizable(array)
        if self.book == "even":
            return self._grid(_even(array, self.bits))
        part = sample(array, _TRAINED_ON).reshape(-1).astype(np.float32)
        part = part if part.size else np.zeros(1, np.float32)
        book = train_fixed_trellis(part, self.bits, self.assign, _PLAN)
        return self._grid(book)

    def _grid(self, book: Array) -> Grid:
        values = tuple(map(float, book))
        return Grid(
            coder.Quantizer("fixed_trellis", self.bits, n_states=self.states, book=values)
        )

    def assign(self, x: Array, book: Array) -> tuple[Symbols, Array]:
        """The best path; the kernel names the places of its levels in a book of places."""
        symbols = self._grid(book).quantize(x)
        places = self._grid(np.arange(book.size)).dequantize(symbols)
        return symbols, places.astype(np.intp)


def _even(array: Array, bits: int) -> Array:
    """2^(bits + 1) levels from the least to the greatest number of the tensor."""
    low, high = (array.min(), array.max()) if array.size else (0.0, 0.0)
    return np.linspace(float(low), float(high), 2 ** (bits + 1)).astype(np.float32)
