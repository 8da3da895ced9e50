"""The distance of values, given as such or as bits, and the other options of learned grids."""

from __future__ import annotations

import math

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quantizers.grid import Array, require_bits

MAX_BITS = 16
_MAX_CENTROIDS = 16
_MAX_WEIGHT = 8.0


def require_cells(
    step: float | None, bits: int | None, weight: float, centroids: int, rounds: int
) -> None:
    """Refuse options of a dead zone or a trellis that cannot be.

    Raises:
        ConfigError: one of them is out of range, or neither step nor bits is given, or both.
    """
    if (step is None) == (bits is None):
        raise ConfigError(f"one of step and bits must be given, not {step} and {bits}")
    if bits is not None:
        require_bits(bits, MAX_BITS)
    if step is not None and not (math.isfinite(step) and step > 0):
        raise ConfigError(f"step must be finite and positive, not {step}")
    if not 0 <= weight <= _MAX_WEIGHT:
        raise ConfigError(f"weight must be 0 to {_MAX_WEIGHT:g}, not {weight}")
    if not 0 <= centroids <= _MAX_CENTROIDS:
        raise ConfigError(f"centroids must be 0 to {_MAX_CENTROIDS}, not {centroids}")
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1, not {rounds}")


def range_of(array: Array) -> float:
    """Maximum minus minimum; 1 if there is none."""
    if not array.size:
        return 1.0
    return float(array.max()) - float(array.min()) or 1.0


def cell_of(array: Array, step: float | None, bits: int | None) -> float:
    """The distance of neighbouring values: `step`, or range / (2^bits - 1)."""
    if step is not None:
        return step
    assert bits is not None
    return max(range_of(array) / ((1 << bits) - 1), 2.0**-94)
