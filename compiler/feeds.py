"""What a caller may feed a Graph: the names, shapes, types and ranges of its inputs.

Checked before anything is computed, so that an error names the feed and not a node deep inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from joulecut.compiler.errors import ConfigError
from joulecut.compiler.quant import TensorSpec


def batch_of(specs: Sequence[TensorSpec], feeds: Mapping[str, np.ndarray]) -> int | None:
    """Samples in the feeds, after a check that they are what the inputs want.

    Args:
        specs: the inputs of a graph of batch 1.
        feeds: for each its array: the spec's type and shape, or N in place of a leading 1.

    Returns:
        N, or None if some input of the graph has no leading 1 to put it in.

    Raises:
        ConfigError: a feed is missing, unknown, or of another shape, type, range or batch.
    """
    names = [spec.name for spec in specs]
    if sorted(feeds) != sorted(names):
        raise ConfigError(f"feeds must be {sorted(names)}, not {sorted(feeds)}")
    batched = all(spec.shape[:1] == (1,) for spec in specs)
    batches: set[int] = set()
    for spec in specs:
        feed = feeds[spec.name]
        free = batched and feed.ndim > 0 and len(feed) > 0
        expected = (len(feed), *spec.shape[1:]) if free else spec.shape
        if feed.shape != expected:
            raise ConfigError(
                f"feed '{spec.name}' must have shape {list(spec.shape)}"
                f"{' or N in place of the 1' if batched else ''}, not {list(feed.shape)}"
            )
        check_values(spec, feed)
        batches.add(len(feed) if batched else 1)
    if len(batches) > 1:
        raise ConfigError(f"feeds must have one batch size, not {sorted(batches)}")
    return batches.pop() if batched and batches else None


def check_values(spec: TensorSpec, feed: np.ndarray) -> None:
    """Refuse a feed of another type, one that is not finite, or integers out of range.

    Raises:
        ConfigError: naming the feed, and where in it the fault is.
    """
    if feed.dtype.name != spec.dtype:
        raise ConfigError(f"feed '{spec.name}' must be {spec.dtype}, not {feed.dtype}")
    if feed.dtype.kind == "f" and not np.isfinite(feed).all():
        place = np.argwhere(~np.isfinite(feed))[0].tolist()
        raise ConfigError(
            f"feed '{spec.name}' must be finite, not {feed[tuple(place)]} at {place}"
        )
    if spec.qtype is not None and feed.size:
        low, high = int(feed.min()), int(feed.max())
        if low < spec.qtype.low or high > spec.qtype.high:
            raise ConfigError(
                f"feed '{spec.name}' must be in {spec.qtype.low}..{spec.qtype.high}, "
                f"not {low}..{high}; quantize and clamp it"
            )
