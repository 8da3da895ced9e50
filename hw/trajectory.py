"""Where an edge is, and the gain of its channel there: log-distance path loss under fading.

Mean gains fall with a power of the distance to the server (Rappaport, Wireless Communications,
2nd edition, section 4.9); fading (hw/radio.py) multiplies them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from joulecut.hw.radio import RadioError, rician_gains

Point = tuple[float, float]  # x and y, m


@dataclass(frozen=True)
class PathLoss:
    """The mean power gain at a distance: gain (reference_m / distance)^exponent.

    Attributes:
        reference_m: distance of the reference, m; nearer than it the gain is that of the reference.
        gain: mean |h|^2 there; 1 is that of the paper in docs/energy.md.
        exponent: 2 in free space, 2.7 to 5 in towns and buildings.

    Raises:
        RadioError: a value is not finite and positive.
    """

    reference_m: float = 1.0
    gain: float = 1.0
    exponent: float = 3.0

    def __post_init__(self) -> None:
        for name in ("reference_m", "gain", "exponent"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise RadioError(f"{name} must be finite and positive, not {value}")

    def at(self, distance_m: float) -> float:
        """The mean power gain at a distance, which is 0 or more."""
        if not distance_m >= 0:
            raise RadioError(f"distance_m must be 0 or more, not {distance_m}")
        far = max(distance_m, self.reference_m)
        return self.gain * (self.reference_m / far) ** self.exponent


def mean_gains(path: Sequence[Point], server: Point, loss: PathLoss) -> tuple[float, ...]:
    """Mean power gains at the points of a trajectory, without fading."""
    return tuple(loss.at(math.dist(point, server)) for point in path)


def faded_gains(
    means: Sequence[float], seed: int, *, k_factor: float = 0.0, correlation: float = 0.0
) -> tuple[float, ...]:
    """Each mean gain times |h|^2 of mean 1: of Rayleigh fading, or of Rician with a K factor.

    Args:
        means: of `mean_gains`.
        seed: the same seed gives the same fading.
        k_factor: as in `rician_gains`.
        correlation: from one point to the next, as in `rician_gains`.
    """
    fading = rician_gains(len(means), seed, k_factor=k_factor, correlation=correlation)
    return tuple(mean * gain for mean, gain in zip(means, fading, strict=True))
