"""Rate-distortion optimized scalar quantization: a value nearer to zero, where that saves bits."""

from __future__ import annotations

from dataclasses import dataclass

from joulecut.compiler.quantizers.cells import cell_of, require_cells
from joulecut.compiler.quantizers.grid import Array, Grid, quantizable
from joulecut.compiler.quantizers.learned import MAX_CENTROIDS, lattice_of, learned_grid
from joulecut.compiler.quantizers.quantizer import Quantizer
from joulecut.kernels import coder


@dataclass(frozen=True)
class DeadZoneQuantizer(Quantizer):
    """Evenly spaced values, around zero learned ones; each number takes the best of three.

    Those are the nearest value, the one below it, and zero; the best has the least
    distance^2 + lambda * bits.

    Attributes:
        step: distance of the values; or
        bits: 2^bits values from minimum to maximum of each tensor.
        weight: lambda, in units of what a bit is worth to a fine uniform quantizer,
            ln 2 / 6 step^2; 0 takes the nearest values.
        centroids: how many magnitudes have a learned value, 0 to 16.
        rounds: of learning what symbols cost, at most; it stops when they settle.
        rates: what they cost, and the weight of it; None learns it from each tensor.
    """

    step: float | None = None
    bits: int | None = None
    weight: float = 1.0
    centroids: int = MAX_CENTROIDS
    rounds: int = 15
    rates: coder.Rates | None = None

    def __post_init__(self) -> None:
        require_cells(self.step, self.bits, self.weight, self.centroids, self.rounds)

    def fit(self, array: Array) -> Grid:
        """The grid for one tensor.

        Raises:
            ConfigError: the tensor has another type or holds NaN or infinity.
        """
        array = quantizable(array)
        lattice = lattice_of("dead_zone", 0, array, cell_of(array, self.step, self.bits))
        return learned_grid(
            lattice, array, self.rates or self.weight, self.centroids, self.rounds
        )
