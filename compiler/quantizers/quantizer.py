"""What all quantizers are: something that chooses, for a tensor, the grid it is rounded onto."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import Array, Grid, quantizable


class Quantizer(ABC):
    """Lossy: chooses the grid of a tensor; its fields are its options."""

    @abstractmethod
    def fit(self, array: Array) -> Grid:
        """The grid for a finite tensor of float32, int8 or uint8.

        Raises:
            ConfigError: the tensor is of another type or not finite.
        """

    def calibrate(self, arrays: Iterable[Array]) -> Calibrated:
        """The same grid for all tensors: the one that fits these ones together.

        Args:
            arrays: tensors of one type, like those that will be coded.
        """
        given = list(arrays)
        if not given:
            raise ConfigError("calibration must have at least one tensor, not none")
        if len({array.dtype for array in given}) > 1:
            names = sorted({array.dtype.name for array in given})
            raise ConfigError(f"calibration tensors must have one type, not {names}")
        if len({array.shape[1:] for array in given}) == 1 and given[0].ndim:
            return Calibrated(self.fit(np.concatenate(given)))
        return Calibrated(self.fit(np.concatenate([array.reshape(-1) for array in given])))


@dataclass(frozen=True)
class Calibrated(Quantizer):
    """One grid for every tensor; values outside it become its ends.

    Attributes:
        grid: from `Quantizer.calibrate`, or made by hand.
    """

    grid: Grid

    def fit(self, array: Array) -> Grid:
        """The grid, if the tensor can be rounded onto one."""
        quantizable(array)
        return self.grid
