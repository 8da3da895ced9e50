"""Entropy-coded trellis quantization: two interleaved sets of values, and a path through both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.cells import cell_of, require_cells
from joulecut.compiler.quantizers.grid import Array, Grid, quantizable
from joulecut.compiler.quantizers.learned import MAX_CENTROIDS, lattice_of, learned_grid
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.kernels import coder


@dataclass(frozen=True)
class TrellisQuantizer(Quantizer):
    """The path of least distance^2 + lambda * bits through a trellis; docs/tcq.md.

    Attributes:
        step: distance of the values of one union, twice that of all values; or
        bits: as if one union had 2^bits values from minimum to maximum of each tensor.
        states: 4 or 8; 8 are slower and 0.1 to 0.2 dB better.
        weight: lambda, in units of what a bit is worth to a fine uniform quantizer,
            ln 2 / 6 step^2; 0 takes the nearest values. 0.5 to 1 differ by 0.1 dB or so.
        centroids: how many magnitudes of each union have a learned value, 0 to 16.
        rounds: of learning what symbols cost, at most; it stops when they settle.
        rates: what they cost, and the weight of it; None learns it from each tensor.
    """

    step: float | None = None
    bits: int | None = None
    states: Literal[4, 8] = 8
    weight: float = 0.9
    centroids: int = MAX_CENTROIDS
    rounds: int = 15
    rates: coder.Rates | None = None

    def __post_init__(self) -> None:
        require_cells(self.step, self.bits, self.weight, self.centroids, self.rounds)
        if self.states not in (4, 8):
            raise ConfigError(f"states must be 4 or 8, not {self.states}")

    def fit(self, array: Array) -> Grid:
        """The grid for one tensor.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        array = quantizable(array)
        lattice = lattice_of(
            "trellis", self.states, array, cell_of(array, self.step, self.bits)
        )
        return learned_grid(
            lattice, array, self.rates or self.weight, self.centroids, self.rounds
        )
