"""Lloyd-Max quantization: as many values as the bits allow, each where the numbers are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from joulecut.compiler.quantizers.grid import Array, Grid, quantizable, require_bits
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.compiler.quantizers.sample import sample
from joulecut.compiler.quantizers.training import lloyd_max
from joulecut.kernels import coder


@dataclass(frozen=True)
class LloydMaxQuantizer(Quantizer):
    """2^bits values, trained on the tensor, or on others by `calibrate`.

    Attributes:
        bits: 1 to 8.
    """

    bits: int

    def __post_init__(self) -> None:
        require_bits(self.bits)

    def fit(self, array: Array) -> Grid:
        """The grid for one tensor.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        array = quantizable(array)
        part = sample(array).reshape(-1).astype(np.float32)
        book = lloyd_max(part if part.size else np.zeros(1, np.float32), self.bits)
        values = tuple(map(float, book))
        return Grid(coder.Quantizer("codebook", self.bits, book=values))
