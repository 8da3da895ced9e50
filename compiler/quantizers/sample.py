"""A part of a tensor that is large enough to learn from."""

from __future__ import annotations

import numpy as np

from joulecut.compiler.quantizers.grid import Array

SAMPLE = 1 << 18  # elements; all 3 million of a tensor moved rates by less than 1 %
_PIECES = 32


def sample(array: Array, most: int = SAMPLE) -> Array:
    """At most about `most` elements: evenly spaced pieces, whole rows where there are rows.

    Returns:
        The array itself if it is small; else [n] or [rows, row].
    """
    if array.size <= most:
        return array
    row = array.shape[-1] if array.ndim > 1 else 1
    if row * _PIECES > most:
        row = 1
    rows = array.reshape(-1, row)
    length = most // row // _PIECES
    starts = np.linspace(0, len(rows) - length, _PIECES).astype(int)
    taken = np.concatenate([rows[start : start + length] for start in starts])
    return taken if row > 1 else taken.reshape(-1)
