"""Which of several points no other beats: exact dominance, and equals stay together."""

from __future__ import annotations

from collections.abc import Sequence

from joulecut.compiler.errors import ConfigError


def dominates(one: Sequence[float], other: Sequence[float], maximize: Sequence[bool]) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better."""
    pairs = [(-a, -b) if up else (a, b) for a, b, up in zip(one, other, maximize, strict=True)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Sequence[Sequence[float]], maximize: Sequence[bool]) -> list[int]:
    """Numbers of the points that no other dominates, in their order; equal points are all in.

    Args:
        points: finite values, one for each objective.
        maximize: for each objective whether more is better.

    Raises:
        ConfigError: a point has another number of values than there are objectives.
    """
    for number, point in enumerate(points):
        if len(point) != len(maximize):
            raise ConfigError(
                f"point {number} must have {len(maximize)} values, not {len(point)}"
            )
    return [
        number
        for number, point in enumerate(points)
        if not any(dominates(other, point, maximize) for other in points)
    ]
